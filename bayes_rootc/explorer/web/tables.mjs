// Tables of the whole run: totals, and the parameters of its models.

import { bars } from "./charts.mjs";
import { h, interval, layerName, number, stacked, symbol, table } from "./dom.mjs";

const TITLES = { map_totals: "By biome", map_totals_latitude: "By latitude", map_totals_zones: "By zone" };

/** Totals over the map of a layer. */
export function totalsPanel(totals, layer) {
  const found = Object.entries(totals).map(([name, t]) => {
    const rows = t.layer
      .map((one, i) => i)
      .filter((i) => t.layer[i] === layer)
      .map((i) => {
        const of = (flux) => stacked(t[`${flux}_pg_median`][i], t[`${flux}_pg_p025`][i], t[`${flux}_pg_p975`][i]);
        return [
          [nameOf(name, t, i), h("small", {}, `${number(t.area_mha[i])} Mha`)],
          of("iroot"),
          of("ibulk"),
          of("iloss"),
          stacked(t.share_median[i], t.share_p025[i], t.share_p975[i], 100, 2),
        ];
      });
    return rows.length
      ? table(TITLES[name], ["", symbol("I_root"), symbol("I_bulk"), symbol("I_loss"), "lost, %"], rows)
      : null;
  });
  return [
    h("h2", {}, `Totals, ${layerName(layer)}`),
    h(
      "p",
      { class: "note" },
      "Pg C yr⁻¹, median (95 %). One member is one whole map, so that errors which neighbouring cells share do not average out. No cells are summed here: the run did that, member by member.",
    ),
    ...(found.some(Boolean) ? found : [h("p", {}, "This run has no table of totals.")]),
  ];
}

function nameOf(name, t, i) {
  if (name === "map_totals") return breakable(t.biome_name[i]);
  if (name === "map_totals_zones") return breakable(t.zone[i]);
  const of = (value) => `${Math.abs(value)}°${value < 0 ? " S" : value > 0 ? " N" : ""}`;
  return `${of(t.south[i])} to ${of(t.north[i])}`;
}

/** A name that a narrow table may break after a slash. */
const breakable = (name) => String(name).replaceAll("/", "/\u200b");

/** Parameters of the fits, prior (grey) against posterior. */
export function parametersPanel(fits, colour) {
  if (!fits.length) return [h("h2", {}, "Parameters"), h("p", {}, "This run has no posterior files.")];
  const box = h("div");
  const show = (fit) => {
    const rows = fit.rows
      .filter((row) => row.posterior)
      .map((row) => {
        const name = [h("code", {}, row.name), row.meaning ? h("small", {}, row.meaning) : null];
        const title = `${row.name}: posterior ${interval(row.median, row.p025, row.p975)}; drawn from ${number(row.from)} to ${number(row.to)}`;
        const range = h(
          "div",
          {},
          bars({ title, prior: row.prior, posterior: row.posterior, colour }),
          h("small", { class: "ends" }, h("span", {}, number(row.from)), h("span", {}, number(row.to))),
          h("div", {}, interval(row.median, row.p025, row.p975)),
        );
        return [name, range];
      });
    box.replaceChildren(table("", ["parameter", "prior and posterior, median (95 %)"], rows));
  };
  const choice = h(
    "select",
    { id: "fit", change: (event) => show(fits[event.target.selectedIndex]) },
    fits.map((fit) => h("option", {}, fit.title)),
  );
  show(fits[0]);
  return [
    h("h2", {}, "Parameters"),
    h(
      "p",
      { class: "note" },
      "Grey: the prior, what was assumed before the data were seen. Colour: the posterior. Each to its own height, over the same values. Where the two are alike, the data said little. A quantity without grey follows from others.",
    ),
    h("p", {}, h("label", { for: "fit" }, "Model "), choice),
    box,
  ];
}
