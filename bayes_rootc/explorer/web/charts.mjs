// Small charts, as drawings that scale with the page. Each has a title that a screen reader reads.

import { interval, number, s } from "./dom.mjs";
import { ticks } from "./colours.mjs";

/** Fluxes up to this, either side of 0, are drawn linearly, others by their logarithm. */
export const LINEAR = 0.01;
const bent = (v) => Math.sign(v) * Math.log1p(Math.abs(v) / LINEAR);

const MARGIN = { left: 46, right: 17, top: 8, bottom: 34 };

/** A frame with axes. `x` and `y` are limits; `xAt` and `yAt` turn values into places; marks go into `marks`. */
export function frame({
  title,
  x,
  y,
  xLabel,
  yLabel,
  width = 340,
  height = 190,
  log = false,
  xTicks,
  yTicks,
  left,
  bend,
}) {
  const m = { ...MARGIN, left: left ?? (yTicks ? MARGIN.left : 14) };
  const scaled = log ? Math.log10 : bend ? bent : (v) => v;
  const [x0, x1] = x.map(scaled);
  const xAt = (v) => m.left + ((scaled(v) - x0) / (x1 - x0)) * (width - m.left - m.right);
  const yAt = (v) => m.top + ((y[1] - v) / (y[1] - y[0])) * (height - m.top - m.bottom);
  const marks = s("g");
  const bottom = height - m.bottom;
  const drawing = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title, class: "chart" });
  const xs = xTicks ?? (log ? decades(...x) : ticks(...x, 4).map((v) => [v, number(v, 2)]));
  for (const [value, text] of xs)
    drawing.append(
      s("line", { x1: xAt(value), x2: xAt(value), y1: m.top, y2: bottom, class: "grid" }),
      s("text", { x: xAt(value), y: bottom + 13, "text-anchor": "middle" }, text),
    );
  for (const [value, text] of yTicks ?? [])
    drawing.append(
      s("line", { x1: m.left, x2: width - m.right, y1: yAt(value), y2: yAt(value), class: "grid" }),
      s("text", { x: m.left - 5, y: yAt(value) + 3.5, "text-anchor": "end" }, text),
    );
  drawing.append(s("line", { x1: m.left, x2: width - m.right, y1: bottom, y2: bottom, class: "axis" }), marks);
  drawing.append(
    s(
      "text",
      { x: (m.left + width - m.right) / 2, y: height - 4, "text-anchor": "middle", class: "label" },
      xLabel ?? "",
    ),
  );
  if (yLabel)
    drawing.append(
      s(
        "text",
        { transform: `translate(11 ${(m.top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle", class: "label" },
        yLabel,
      ),
    );
  return { drawing, marks, xAt, yAt, bottom, top: m.top };
}

function decades(low, high) {
  const out = [];
  const far = Math.log10(high / low) > 4;
  for (let p = Math.ceil(Math.log10(low) - 1e-9); p <= Math.log10(high) + 1e-9; p++)
    if (!far || p % 2 === 0)
      out.push([
        10 ** p,
        p < -3
          ? `10${[...("" + p)].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("")}`
          : (10 ** p).toLocaleString("en-US"),
      ]);
  return out;
}

/** A line through points. */
export function line(points, attributes) {
  const d = points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  return s("path", { d, fill: "none", ...attributes });
}

/** An area between a line and a level. */
function area(points, level, attributes) {
  if (!points.length) return s("g");
  const d = points.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
  return s("path", {
    d: `${d}L${points.at(-1)[0].toFixed(1)} ${level}L${points[0][0].toFixed(1)} ${level}Z`,
    stroke: "none",
    ...attributes,
  });
}

/** Values of layers with 95 % bars, in depth. `layers`: {top, bottom, middle, low, high}. */
export function depthProfile({ name, unit, colour, layers, x, width = 175, left = 34 }) {
  const known = layers.filter((one) => Number.isFinite(one.middle));
  const text = known.map((one) => `${one.top} to ${one.bottom} cm: ${number(one.middle)}`).join("; ");
  const depth = Math.max(...layers.map((one) => one.bottom), 1);
  const yTicks = ticks(0, depth, 4).map((d) => [-d, String(d)]);
  const f = frame({
    title: `${name} by depth, ${unit}. ${text}`,
    x,
    y: [-depth, 0],
    width,
    height: 210,
    left,
    yTicks,
    bend: true,
    xTicks: [-10, -1, -0.1, 0, 0.1, 1, 10]
      .filter((v) => v >= x[0] && v <= x[1])
      .map((v) => [v, String(v).replace("-", "−")]),
  });
  for (const one of known) {
    const y = f.yAt(-(one.top + one.bottom) / 2);
    f.marks.append(
      s("rect", {
        x: f.xAt(Math.min(0, one.middle)),
        width: Math.abs(f.xAt(one.middle) - f.xAt(0)),
        y: f.yAt(-one.top) + 1,
        height: f.yAt(-one.bottom) - f.yAt(-one.top) - 2,
        fill: colour,
        "fill-opacity": 0.28,
      }),
    );
    if (Number.isFinite(one.low) && Number.isFinite(one.high))
      f.marks.append(
        s("line", { x1: f.xAt(one.low), x2: f.xAt(one.high), y1: y, y2: y, stroke: colour, "stroke-width": 1.4 }),
      );
    f.marks.append(
      s(
        "circle",
        { cx: f.xAt(one.middle), cy: y, r: 3, fill: colour },
        s("title", {}, `${one.top}–${one.bottom} cm: ${interval(one.middle, one.low, one.high)} ${unit}`),
      ),
    );
  }
  if (x[0] < 0) f.marks.append(s("line", { x1: f.xAt(0), x2: f.xAt(0), y1: f.top, y2: f.bottom, class: "axis" }));
  return f.drawing;
}

/** Densities over one axis, each to its own height. `curves`: {name, colour, low, middle, high, of}. */
export function densities({ title, xLabel, curves, log = false, x }) {
  const f = frame({ title, x, y: [0, 1.08], xLabel, log, height: 150 });
  const at = Array.from({ length: 241 }, (_, i) =>
    log ? 10 ** (Math.log10(x[0]) + (i / 240) * Math.log10(x[1] / x[0])) : x[0] + (i / 240) * (x[1] - x[0]),
  );
  for (const { colour, of, middle, dash } of curves) {
    const heights = at.map(of);
    const top = Math.max(...heights);
    if (!(top > 0)) continue;
    const points = heights.map((height, i) => [f.xAt(at[i]), f.yAt(height / top)]);
    f.marks.append(
      area(points, f.bottom, { fill: colour, "fill-opacity": dash ? 0.06 : 0.16 }),
      line(points, { stroke: colour, "stroke-width": 1.6, "stroke-dasharray": dash ?? null }),
    );
    if (Number.isFinite(middle) && middle >= x[0] && middle <= x[1])
      f.marks.append(
        s("line", {
          x1: f.xAt(middle),
          x2: f.xAt(middle),
          y1: f.top,
          y2: f.bottom,
          stroke: colour,
          "stroke-width": 1,
          "stroke-dasharray": "2 2",
        }),
      );
  }
  return f.drawing;
}

/** Input that stays longer than some years, with its band. */
export function persistenceCurve({ title, unit, colour, years, middle, low, high, cell }) {
  const shift = (year) => Math.log10(year + 1);
  const top = Math.max(...high.filter(Number.isFinite), cell?.high ?? 0) * 1.05;
  const f = frame({
    title,
    x: [0, shift(years.at(-1)) * 1.02],
    y: [0, top],
    xLabel: "years since the carbon entered",
    yLabel: unit,
    height: 180,
    xTicks: years.map((year) => [shift(year), String(year)]),
    yTicks: ticks(0, top, 4).map((v) => [v, number(v, 2)]),
  });
  const points = (values) => years.map((year, i) => [f.xAt(shift(year)), f.yAt(values[i])]);
  f.marks.append(
    s("path", { d: band(points(high), points(low)), fill: colour, "fill-opacity": 0.18 }),
    line(points(middle), { stroke: colour, "stroke-width": 1.8 }),
  );
  for (const [x, y] of points(middle)) f.marks.append(s("circle", { cx: x, cy: y, r: 2.6, fill: colour }));
  if (cell) {
    const x = f.xAt(shift(cell.years));
    f.marks.append(
      s("line", { x1: x, x2: x, y1: f.yAt(cell.low), y2: f.yAt(cell.high), stroke: "#222", "stroke-width": 1.4 }),
      s("rect", { x: x - 3, y: f.yAt(cell.middle) - 3, width: 6, height: 6, fill: "#222" }),
    );
  }
  return f.drawing;
}

function band(above, below) {
  const to = ([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`;
  return `M${above.map(to).join("L")}L${below.reverse().map(to).join("L")}Z`;
}

/** Prior and posterior of a parameter, in bins. */
export function bars({ title, prior, posterior, colour }) {
  const [width, height] = [150, 34];
  const drawing = s("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title, class: "spark" });
  const top = Math.max(...posterior, 1);
  for (const [values, fill, scale] of [
    [prior, "#9a9a9a", Math.max(...(prior ?? [1]), 1)],
    [posterior, colour, top],
  ]) {
    if (!values) continue;
    const step = width / values.length;
    let d = `M0 ${height}`;
    values.forEach(
      (value, i) =>
        (d += `L${(i * step).toFixed(1)} ${(height - (value / scale) * (height - 3)).toFixed(1)}L${((i + 1) * step).toFixed(1)} ${(height - (value / scale) * (height - 3)).toFixed(1)}`),
    );
    drawing.append(s("path", { d: `${d}L${width} ${height}Z`, fill, "fill-opacity": fill === colour ? 0.75 : 0.45 }));
  }
  return drawing;
}
