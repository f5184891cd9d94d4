// Measured places: what was measured there, and what each radiocarbon layer says of its age.

import { densities, frame, line } from "./charts.mjs";
import { unpacked, valueOf } from "./codec.mjs";
import { csv, h, interval, layerName, number, placeName, s, stacked, symbol, table } from "./dom.mjs";
import { key, save } from "./place.mjs";
import { drivingCurve, interpolated, invert, respond } from "./radiocarbon.mjs";
import { ticks } from "./colours.mjs";

/** The places of a run, with what belongs to each. */
export class Places {
  constructor(part, about, scale) {
    Object.assign(this, { lat: part.lat, lon: part.lon, about, part });
    this.records = this.lat.map(() => ({ rows: [], layers: [], known: new Set() }));
    const { sites, layers } = part;
    if (sites) {
      const rows = sites.rows.site.length;
      this.values = unpacked(bytesOf(sites.values), rows, null);
      this.scale = scale;
      sites.rows.site.forEach((site, row) => {
        const record = this.records[sites.known.place[site]];
        record.rows.push(row);
        record.known.add(site);
      });
    }
    layers?.table.place.forEach((place, i) => this.records[place].layers.push(i));
    this.ages = layers?.ages ? bytesOf(layers.ages) : null;
    this.kinds = new Set(this.lat.flatMap((_, i) => this.kindNames(i)));
    this.colour = this.lat.map((_, i) => about.kinds[this.kindNames(i).at(-1)]?.colour ?? "#555");
  }

  kindNames(i) {
    const kinds = new Set([...this.records[i].known].map((site) => this.part.sites.known.sites[site]));
    if (this.records[i].layers.length) kinds.add("Δ14C");
    return [...kinds];
  }

  kindsOf(i) {
    return this.kindNames(i).map((name) => name.replace("14C", "¹⁴C"));
  }

  nameOf(i) {
    const { known, layers } = this.records[i];
    const [site] = known;
    return site !== undefined ? String(this.part.sites.known.id[site]) : String(this.part.layers.table.id[layers[0]]);
  }

  value(column, row) {
    const { steps, known } = this.values[this.part.sites.columns.indexOf(column)];
    return known && !known[row] ? NaN : valueOf(steps[row], this.scale);
  }

  /** Fluxes of a place in a layer, by its first estimate; null where there is none. */
  fluxesAt(i, layer) {
    const { rows } = this.part.sites ?? {};
    const row = this.records[i].rows.find((one) => rows.layer[one] === layer);
    return row === undefined
      ? null
      : Object.fromEntries(this.part.sites.columns.map((column) => [column, this.value(column, row)]));
  }
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

/** The panel of a measured place. `shown` is the number of the radiocarbon layer that is shown, `show` changes it. */
export function sitePanel({ about, places, place, layer, air, shown, show, ageBins }) {
  const record = places.records[place];
  const { part } = places;
  const out = [
    h("h2", {}, placeName(places.lat[place], places.lon[place], 4)),
    h("p", { class: "under" }, `measured: ${places.kindsOf(place).join(", ")}`),
  ];
  for (const site of record.known) {
    const { known, rows } = part.sites;
    out.push(h("h3", {}, String(known.id[site])));
    const about_ = [
      about.biomes[known.biome[site]],
      known.npp?.[site] ? `NPP measured ${number(known.npp[site])}` : "",
      known.satellite_npp?.[site] ? `by satellite ${number(known.satellite_npp[site])} Mg C ha⁻¹ yr⁻¹` : "",
    ];
    out.push(h("p", { class: "note" }, about_.filter(Boolean).join("; ")));
    const here = record.rows.filter((row) => rows.site[row] === site && rows.layer[row] === layer);
    const of = (row, name, ...how) =>
      stacked(places.value(name, row), places.value(`${name}_p025`, row), places.value(`${name}_p975`, row), ...how);
    const cells = here.map((row) => [
      String(rows.estimate[row]),
      of(row, "iroot"),
      of(row, "ibulk"),
      of(row, "iloss"),
      of(row, "share", 100, 2),
    ]);
    out.push(
      cells.length
        ? table(
            `${layerName(layer)}, Mg C ha⁻¹ yr⁻¹`,
            ["estimate", symbol("I_root"), symbol("I_bulk"), symbol("I_loss"), "lost, %"],
            cells,
          )
        : h("p", { class: "note" }, `No estimate for ${layerName(layer)}.`),
    );
  }
  if (record.layers.length)
    out.push(...radiocarbonOf(record.layers, { about, part, places, air, shown, show, ageBins }));
  if (record.rows.length)
    out.push(
      h(
        "p",
        { class: "links" },
        h("button", { type: "button", click: () => save("site.csv", siteCsv(places, place)) }, "CSV of this place"),
      ),
    );
  return out;
}

function radiocarbonOf(numbers, { part, places, air, shown, show, ageBins, about }) {
  const t = part.layers.table;
  const order = [...numbers].sort((a, b) => t.top[a] - t.top[b]);
  const chosen = order.includes(shown) ? shown : order[0];
  const rows = order.map((i) => {
    const label = [t.top[i], t.bottom[i]].map((depth) => Number(depth.toFixed(1))).join("–");
    const choose = h(
      "button",
      { type: "button", class: "link", "aria-pressed": String(i === chosen), click: () => show(i) },
      label,
    );
    const value = [`${number(t.delta14c[i])} ± ${number(t.sigma[i], 2)}`, h("small", {}, `in ${t.year[i].toFixed(1)}`)];
    return [
      choose,
      value,
      stacked(t.age_median[i], t.age_p025[i], t.age_p975[i]),
      stacked(t.ibulk_median?.[i], t.ibulk_p025?.[i], t.ibulk_p975?.[i]),
    ];
  });
  return [
    h("h3", {}, "Radiocarbon layers"),
    table("Choose a layer to see its age", ["depth, cm", "Δ¹⁴C, ‰", "age, yr", symbol("I_bulk")], rows),
    ...layerAge(chosen, { t, places, air, ageBins, about }),
  ];
}

/** Posterior of the age of a layer: alone, and with all layers of the run; and its ages on the bomb curve. */
function layerAge(i, { t, places, air, ageBins, about }) {
  const alone = invert(
    {
      delta14c: t.delta14c[i],
      sigma: t.sigma[i],
      year: t.year[i],
      zone: t.zone[i],
      prehistory: air.prehistory,
      modelSd: t.model_sd?.[i] ?? 0,
    },
    air,
  );
  const [first, last, bins] = ageBins;
  const curves = [aloneCurve(alone, "#6b6b6b")];
  if (places.ages) {
    const heights = places.ages.subarray(i * bins, (i + 1) * bins);
    const of = (age) => {
      const at = Math.min(bins - 1.001, Math.max(0, ((Math.log10(age) - first) / (last - first)) * bins - 0.5));
      return heights[Math.floor(at)] + (at % 1) * (heights[Math.floor(at) + 1] - heights[Math.floor(at)]);
    };
    curves.push({ colour: about.fluxes.ibulk, of, middle: t.age_median[i] });
  }
  const spread = curves.length > 1 ? t.age_p975[i] : 0;
  const x = [
    Math.max(0.5, Math.min(alone.age.p025, t.age_p025[i] || Infinity) / 3),
    Math.max(alone.age.p975, spread) * 3,
  ];
  const ages = alone.modes
    .map((mode) => `${number(mode.age)} yr (${Math.round(100 * mode.probability)} %)`)
    .join(" or ");
  return [
    h("h4", {}, String(t.id[i])),
    densities({ title: `Posterior of the age of ${t.id[i]}`, xLabel: "age, yr", log: true, x, curves }),
    key([
      ["#6b6b6b", "this layer alone"],
      ...(places.ages ? [[about.fluxes.ibulk, "with all layers of the run"]] : []),
    ]),
    h(
      "p",
      { class: "note" },
      `Alone, under the weak prior, its Δ¹⁴C means an age of ${ages}. `,
      places.ages
        ? `With what depth, biome, climate and the other layers say: ${interval(t.age_median[i], t.age_p025[i], t.age_p975[i])} yr. `
        : "",
      places.ages && about.spread ? "The green curve is 1/k of the middle of the layer’s rates. " : "",
      t.unexplained[i]
        ? h("b", {}, "No decay rate brings the model within three standard deviations of this value.")
        : "",
    ),
    bombChart({
      measured: [t.year[i], t.delta14c[i], t.sigma[i]],
      modes: alone.modes,
      zone: t.zone[i],
      prehistory: air.prehistory,
      air,
    }),
    h("p", { class: "note" }, `Air of ${t.zone[i]} (grey), and pools of these ages on their way to the sample.`),
  ];
}

const MODE_COLOURS = ["#0072B2", "#D55E00", "#CC79A7"];

/** Density of an age over log age, from the posterior of log k. */
export function aloneCurve({ logK, density, age }, colour) {
  const step = logK[1] - logK[0];
  const of = (years) =>
    density[Math.max(0, Math.min(density.length - 1, Math.round((-Math.log(years) - logK[0]) / step)))];
  return { colour, of, middle: age.median, dash: "5 3" };
}

/** The air, the measurement, and pools of each age that it can mean. */
export function bombChart({ measured: [year, delta, sigma], modes, zone, prehistory, air }) {
  const curve = drivingCurve(air, zone, prehistory);
  const start = Math.min(1950, Math.floor(year / 10) * 10 - 10);
  const end = Math.max(2000, year + 3);
  const years = Array.from({ length: 140 }, (_, i) => start + (i / 139) * (end - start));
  const tracks = modes.map((mode) =>
    years
      .filter((one) => one <= year)
      .concat(year)
      .map((one) => [one, respond([1 / mode.age], one, curve, air.gamma)[0]]),
  );
  const airLine = years.map((one) => [one, interpolated(one, curve.years, curve.delta14c)]);
  const values = [...[...tracks.flat(), ...airLine].map((p) => p[1]), delta - 2 * sigma, delta + 2 * sigma, 0];
  const y = [Math.min(...values) - 25, Math.max(...values) + 25];
  const text = modes.map((mode) => `${number(mode.age)} yr`).join(" and ");
  const f = frame({
    title: `Radiocarbon of the air and of pools of ${text}, against year; measured ${number(delta)} ‰ in ${year.toFixed(1)}`,
    x: [start, end],
    y,
    xLabel: "year",
    yLabel: "Δ¹⁴C, ‰",
    height: 200,
    xTicks: ticks(start, end, 4).map((v) => [v, String(v)]),
    yTicks: ticks(...y, 6).map((v) => [v, number(v)]),
  });
  const at = ([a, b]) => [f.xAt(a), f.yAt(b)];
  f.marks.append(line(airLine.map(at), { stroke: "#8a8a8a", "stroke-width": 1.3 }));
  tracks.forEach((track, n) => {
    f.marks.append(
      line(track.map(at), { stroke: MODE_COLOURS[n], "stroke-width": 1.7, "stroke-dasharray": n ? "6 3" : null }),
    );
    const [x, yy] = at(track.find(([one]) => one >= start + 0.45 * (year - start)) ?? track[0]);
    f.marks.append(
      s("text", { x, y: yy - 6, fill: MODE_COLOURS[n], "text-anchor": "middle" }, `${number(modes[n].age)} yr`),
    );
  });
  const [x, low] = at([year, delta - sigma]);
  const [, high] = at([year, delta + sigma]);
  f.marks.append(
    s("line", { x1: x, x2: x, y1: low, y2: high, stroke: "#111", "stroke-width": 1.5 }),
    s("circle", { cx: x, cy: at([year, delta])[1], r: 3.6, fill: "#111" }),
  );
  return f.drawing;
}

function siteCsv(places, place) {
  const { known, rows, columns } = places.part.sites;
  const lines = places.records[place].rows.map((row) => {
    const site = rows.site[row];
    return [
      known.id[site],
      known.sites[site],
      places.lat[place],
      places.lon[place],
      rows.estimate[row],
      rows.layer[row],
      ...columns.map((c) => Number(places.value(c, row).toPrecision(4))),
    ];
  });
  return csv(["id", "sites", "lat", "lon", "estimate", "layer", ...columns], lines);
}
