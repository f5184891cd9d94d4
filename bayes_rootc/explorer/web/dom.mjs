// Elements and numbers as text. Nothing is ever read as HTML.

/** An element with attributes and children; text is text. Attributes that are functions are listeners. */
export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same, of a drawing. */
export function s(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

/** A number with a sensible count of digits: thousands parted, a dash where there is none. */
export function number(value, digits = 3) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)));
  if (size < -5) return value.toExponential(digits - 1).replace("-", "−");
  const rounded = Number(value.toPrecision(digits));
  const decimals = Math.max(digits - 1 - Math.floor(Math.log10(Math.abs(rounded))), 0);
  const text = Math.abs(rounded).toLocaleString("en-US", {
    minimumFractionDigits: decimals,
    maximumFractionDigits: decimals,
  });
  return (rounded < 0 ? "−" : "") + text;
}

/** `1.52 (1.19 to 1.80)`. */
export function interval(middle, low, high, factor = 1) {
  const of = (value) => number(value === null || value === undefined ? NaN : value * factor);
  return Number.isFinite(low) && Number.isFinite(high) && low !== null && low < high
    ? `${of(middle)} (${of(low)} to ${of(high)})`
    : of(middle);
}

/** The same for a narrow table: the interval under the value. */
export function stacked(middle, low, high, factor = 1, digits = 3) {
  const known = Number.isFinite(low) && Number.isFinite(high) && low !== null && low < high;
  const of = (value) => number(value === null || value === undefined ? NaN : value * factor, digits);
  return [of(middle), known ? h("small", {}, `${of(low)} to ${of(high)}`) : null];
}

/** A share in percent. */
export function percent(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value > 0.99) return "> 99 %";
  return `${Math.round(100 * value)} %`.replace("-", "−");
}

/** A symbol with its index set low: I_root. */
export function symbol(text) {
  return text.split(/\b([If]_(?:root|bulk|loss|BNPP))\b/).map((part) => {
    const found = part.match(/^([If])_(root|bulk|loss|BNPP)$/);
    return found ? [h("i", {}, found[1]), h("sub", {}, found[2])] : part;
  });
}

/** A place: 48.75° N, 9.25° E. */
export function placeName(lat, lon, digits = 2) {
  const of = (value, plus, minus) => `${Number(Math.abs(value).toFixed(digits))}° ${value < 0 ? minus : plus}`;
  return `${of(lat, "N", "S")}, ${of(lon, "E", "W")}`;
}

/** Layer as printed. */
export const layerName = (layer) => `${layer.replace("-", "–")} cm`;

/** A table; `rows` are lists of cells, the first of each is its head. */
export function table(caption, head, rows) {
  const first = (cell, i) => (i === 0 ? h("th", { scope: "row" }, cell) : h("td", {}, cell));
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      {},
      caption ? h("caption", {}, caption) : null,
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          head.map((cell) => h("th", { scope: "col" }, cell)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) => h("tr", {}, row.map(first))),
      ),
    ),
  );
}

/** A table as CSV text. */
export function csv(head, rows) {
  const cell = (value) => {
    const text = value === null || value === undefined || Number.isNaN(value) ? "" : String(value);
    // A sheet would take text that begins so for a formula.
    const safe = typeof value === "string" && /^[=+\-@\t]/.test(text) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  return [head, ...rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
}
