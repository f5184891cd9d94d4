// What a click on the map gives: everything that the run says of that cell.

import { LINEAR, densities, depthProfile, persistenceCurve } from "./charts.mjs";
import { densityThrough } from "./density.mjs";
import { csv, h, interval, layerName, number, percent, placeName, stacked, symbol, table } from "./dom.mjs";
import { distanceKm } from "./projection.mjs";

const FLUXES = ["iroot", "ibulk", "iloss"];
const NEAREST = 5;

/** The panel of a cell. `found` is what the atlas says of it; `go` shows a measured place. */
export function cellPanel({ about, cell, found, layer, places, persistence, go, at }) {
  if (!found)
    return [
      h("h2", {}, placeName(...at)),
      h("p", {}, "Nothing is mapped here: sea, or land that lacks a covariate."),
      nearest(at, places, layer, go),
    ];
  const biome = about.biomes[found.biome] ?? "";
  const n = about.layers.indexOf(layer);
  return [
    h("h2", {}, placeName(cell.lat, cell.lon, 3)),
    h("p", { class: "under" }, [biome, `cell of ${Number(cell.height.toFixed(5))}°`].filter(Boolean).join(" · ")),
    numbers(about, found, n, layer),
    applicability(found),
    profiles(about, found),
    posterior(about, found, n, layer),
    persistenceOf(about, found, persistence, layer),
    h("h3", {}, "Nearest measurements"),
    nearest([cell.lat, cell.lon], places, layer, go),
    h("h3", {}, "Take it along"),
    h(
      "p",
      { class: "links" },
      h(
        "button",
        {
          type: "button",
          click: () => save(`cell_${cell.lat.toFixed(3)}_${cell.lon.toFixed(3)}.csv`, cellCsv(about, cell, found)),
        },
        "CSV of this cell",
      ),
      tiffLinks(about, layer),
    ),
  ].flat();
}

const middleOf = (of) => of.median ?? of.mean;

/** Median and interval of every quantity in a layer. */
function numbers(about, found, n, layer) {
  const rows = about.quantities.flatMap(({ name, symbol: text, unit, layered }) => {
    const of = found.of[name];
    const i = layered ? n : 0;
    const middle = of && middleOf(of);
    if (!middle || !Number.isFinite(middle[i]) || (!layered && layer !== about.layers[0])) return [];
    const share = name === "share";
    const value = interval(middle[i], of.p025?.[i], of.p975?.[i], share ? 100 : 1);
    const mean = of.mean ? number(of.mean[i] * (share ? 100 : 1)) : "–";
    return [[[symbol(text), h("small", {}, share ? "%" : unit)], value, mean]];
  });
  const medians = Object.values(found.of).some((of) => of.median);
  const lost = found.of.iloss?.probability?.[n];
  return [
    rows.length
      ? table(layerName(layer), ["", `${medians ? "median" : "mean"} (95 %)`, "mean"], rows)
      : h("p", { class: "warning" }, `The maps have no values for ${layerName(layer)} here.`),
    Number.isFinite(lost)
      ? h("p", {}, "Probability that carbon is lost, ", symbol("I_loss"), " > 0: ", h("b", {}, percent(lost)))
      : null,
  ];
}

/** Whether the cell is like the places that the forests have learnt from, in words. */
function applicability(found) {
  return ["iroot", "ibulk"].flatMap((name) => {
    const ratio = found.of[name]?.applicability?.[0];
    if (!Number.isFinite(ratio)) return [];
    const of = name === "iroot" ? "I_root" : "I_bulk";
    const inside = ratio <= 1;
    const how = !inside ? (ratio > 1.5 ? "far outside" : "outside") : ratio > 0.85 ? "just inside" : "inside";
    const why = inside
      ? "the soil, climate and terrain are like those of measured sites"
      : "no measured site is like this place, so the value and its interval are a guess";
    return [
      h(
        "p",
        { class: inside ? "note" : "warning" },
        symbol(of),
        `: ${how} the area of applicability (dissimilarity ${number(ratio, 2)} of the threshold); ${why}.`,
      ),
    ];
  });
}

/** The three fluxes by depth, over one axis. */
function profiles(about, found) {
  const shown = FLUXES.filter((name) => found.of[name] && middleOf(found.of[name])).map((name) => {
    const of = found.of[name];
    const layers = about.layers.flatMap((layer, i) => {
      const [top, bottom] = layer.split("-").map(Number);
      return layer === "0-200" ? [] : [{ top, bottom, middle: middleOf(of)[i], low: of.p025?.[i], high: of.p975?.[i] }];
    });
    return { ...about.quantities.find((one) => one.name === name), layers };
  });
  if (!shown.some((one) => one.layers.length)) return []; // the maps may have the profile alone
  const values = shown.flatMap((one) => one.layers.flatMap((l) => [l.low, l.high, l.middle])).filter(Number.isFinite);
  const x = [Math.min(0, ...values), Math.max(LINEAR, ...values) * 1.1];
  return [
    h("h3", {}, "By depth"),
    h(
      "div",
      { class: "trio" },
      shown.map(({ name, symbol: text, unit, layers }) =>
        h(
          "figure",
          {},
          h("figcaption", {}, symbol(text)),
          depthProfile({ name: text, unit, colour: about.fluxes[name], layers, x }),
        ),
      ),
    ),
    h(
      "p",
      { class: "note" },
      `Mg C ha⁻¹ yr⁻¹ against depth in cm: ${shown.some((one) => found.of[one.name].median) ? "median" : "mean"} of each layer (of 20 cm, below 1 m of 50 cm), and 95 % interval, where the flux of a new site in this cell would lie. The axis is logarithmic from ±${LINEAR} on.`,
    ),
  ];
}

/** Posterior of the fluxes as densities. */
function posterior(about, found, n, layer) {
  const curves = FLUXES.flatMap((name) => {
    const of = found.of[name];
    if (!of?.median || !of.p025 || !of.p975) return [];
    const [low, middle, high] = [of.p025[n], of.median[n], of.p975[n]];
    const density = densityThrough(low, middle, high);
    return density ? [{ name, colour: about.fluxes[name], low, middle, high, of: density }] : [];
  });
  if (!curves.length) return [];
  const low = Math.min(0, ...curves.map((c) => c.low));
  const high = Math.max(...curves.map((c) => c.high)) * 1.1;
  const names = curves.map((c) => about.quantities.find((q) => q.name === c.name).symbol);
  return [
    h("h3", {}, `Posterior, ${layerName(layer)}`),
    densities({
      title: `Posterior densities of ${names.join(", ")}`,
      xLabel: "Mg C ha⁻¹ yr⁻¹",
      x: [low, high],
      curves,
    }),
    key(curves.map((c, i) => [c.colour, names[i]])),
    h(
      "p",
      { class: "note" },
      "Shifted log-normals through the 2.5 %, 50 % and 97.5 % quantiles of the cell’s members, each to its own height; dashed: the median. The maps keep these quantiles, not the members.",
    ),
  ];
}

/** Colours and what they stand for. */
export function key(entries) {
  return h(
    "p",
    { class: "key" },
    entries.map(([colour, text]) => {
      const dot = h("span", { class: "dot", "aria-hidden": "true" });
      dot.style.background = colour;
      return h("span", {}, dot, symbol(text));
    }),
  );
}

/** How long carbon stays, of the biome. */
function persistenceOf(about, found, all, layer) {
  if (!all.biome) return [];
  const pick = (biome) => all.biome.map((b, i) => i).filter((i) => all.biome[i] === biome && all.layer[i] === layer);
  const own = pick(found.biome);
  const rows = own.length ? own : pick(0);
  const families = [...new Set(rows.map((i) => all.family[i]))];
  const family = families.at(-1);
  const of = (quantity) => rows.filter((i) => all.quantity[i] === quantity && all.family[i] === family);
  const stays = of("ibulk").sort((a, b) => all.years[a] - all.years[b]);
  if (!stays.length) return [];
  const column = (name) => stays.map((i) => all[name][i]);
  const later = about.quantities.map((q) => q.name.match(/^ibulk_t(\d+)$/)).find(Boolean);
  const n = about.layers.indexOf(layer);
  const cell =
    later && found.of[later[0]]?.median
      ? {
          years: Number(later[1]),
          middle: found.of[later[0]].median[n],
          low: found.of[later[0]].p025?.[n],
          high: found.of[later[0]].p975?.[n],
        }
      : null;
  const whose = own.length
    ? `${all.n[stays[0]]} profiles in ${about.biomes[found.biome]}`
    : `all ${all.n[stays[0]]} profiles, as none is in this biome`;
  const [age] = of("age");
  return [
    h("h3", {}, `How long it stays, ${layerName(layer)}`),
    persistenceCurve({
      title: `Input to bulk soil that stays longer than some years, mean over ${whose}`,
      unit: "Mg C ha⁻¹ yr⁻¹",
      colour: about.fluxes.ibulk,
      years: column("years"),
      middle: column("median"),
      low: column("p025"),
      high: column("p975"),
      cell,
    }),
    h(
      "p",
      { class: "note" },
      `Input that stays longer than so many years: the mean over ${whose} with its 95 % interval, rates taken as ${family}. `,
      cell
        ? `The black mark is this cell’s own value after ${cell.years} years.`
        : "It is of the biome, not of this cell, whose maps hold no such curve.",
      age !== undefined
        ? ` Mean age of the carbon: ${interval(all.median[age], all.p025[age], all.p975[age])} yr.`
        : "",
    ),
  ];
}

/** The nearest places where something was measured, with their fluxes in a layer. */
function nearest([lat, lon], places, layer, go) {
  if (!places.lat.length) return h("p", { class: "note" }, "This run has no table of sites.");
  const order = places.lat
    .map((other, i) => [distanceKm(lat, lon, other, places.lon[i]), i])
    .sort((a, b) => a[0] - b[0])
    .slice(0, NEAREST);
  const rows = order.map(([km, i]) => {
    const values = places.fluxesAt(i, layer);
    const of = (name) => (values ? stacked(values[name], values[`${name}_p025`], values[`${name}_p975`]) : "–");
    const show = h("button", { type: "button", class: "link", click: () => go(i) }, places.nameOf(i));
    return [
      [show, h("small", {}, `${places.kindsOf(i).join(", ")}, ${number(km)} km`)],
      of("iroot"),
      of("ibulk"),
      of("iloss"),
    ];
  });
  return table("", ["site", symbol("I_root"), symbol("I_bulk"), symbol("I_loss")], rows);
}

function tiffLinks(about, layer) {
  if (!about.maps) return [];
  const names = about.quantities.flatMap((quantity) =>
    quantity.statistics.flatMap((statistic) => tiffName(about, quantity.name, statistic, layer)),
  );
  return names.length
    ? h(
        "details",
        {},
        h("summary", {}, `GeoTIFFs of ${layerName(layer)}`),
        h(
          "ul",
          {},
          names.map((name) => h("li", {}, h("a", { href: `${about.maps}/${name}.tif` }, `${name}.tif`))),
        ),
      )
    : [];
}

/** Name of the GeoTIFF of a map, in a list of none or one. */
export function tiffName(about, quantity, statistic, layer) {
  return [`${quantity}_${layer}_${statistic}`, `${quantity}_${statistic}_${layer}`, `${quantity}_${statistic}`]
    .filter((name) => about.tiffs.includes(name))
    .slice(0, 1);
}

/** All that the maps say of a cell, one row a quantity and layer. */
function cellCsv(about, cell, found) {
  const statistics = Object.keys(about.statistics);
  const head = ["lat", "lon", "biome", "quantity", "unit", "layer_cm", ...statistics, "applicability"];
  const rows = about.quantities.flatMap(({ name, unit, layered }) => {
    const of = found.of[name];
    if (!of) return [];
    return (layered ? about.layers : about.layers.slice(0, 1)).map((layer, i) => {
      const value = (values, at) => (values && Number.isFinite(values[at]) ? Number(values[at].toPrecision(4)) : null);
      return [
        cell.lat,
        cell.lon,
        about.biomes[found.biome] ?? "",
        name,
        unit,
        layer,
        ...statistics.map((one) => value(of[one], i)),
        value(of.applicability, 0),
      ];
    });
  });
  return csv(head, rows);
}

/** Hands a text to the browser as a file. */
export function save(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
