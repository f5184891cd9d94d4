// The page: reads what it holds, keeps the state, and shows map, legend and panel for it.

import { Atlas } from "./atlas.mjs";
import { calculatorPanel } from "./calculator.mjs";
import { inflatedJson } from "./codec.mjs";
import { Colours, DOUBTS, ticks } from "./colours.mjs";
import { h, layerName, number, placeName, symbol } from "./dom.mjs";
import { MapView, forests } from "./map.mjs";
import { cellPanel, tiffName } from "./place.mjs";
import { Places, sitePanel } from "./site.mjs";
import { read, written } from "./state.mjs";
import { parametersPanel, totalsPanel } from "./tables.mjs";

const TABS = { place: "Place", totals: "Totals", parameters: "Parameters", calculator: "Calculator", about: "About" };
const element = (id) => document.getElementById(id);
const about = JSON.parse(element("about").textContent);
const part = (name) => inflatedJson(element(`part-${name}`).textContent);

/** Content of a tile's file: held by the page, or in a script of its own. */
function load(name) {
  if (about.tiles === null) return Promise.resolve(element(`part-${name}`).textContent);
  return new Promise((resolve, reject) => {
    waiting.set(name, resolve);
    const script = h("script", { src: `${about.tiles}/${name}.js` });
    script.onload = () => script.remove();
    script.onerror = () => reject(new Error(`${about.tiles}/${name}.js cannot be read: the folder is not whole`));
    document.head.append(script);
  });
}
const waiting = new Map();
globalThis.bayesRootcTile = (name, content) => {
  waiting.get(name)?.(content);
  waiting.delete(name);
};

const quantityOf = (name) => about.quantities.find((one) => one.name === name);

function usualStatistic(quantity) {
  return [about.middle, "median", "mean", ...quantity.statistics].find((one) => quantity.statistics.includes(one));
}

const DEFAULTS = {
  l: about.layers[0],
  q2: null,
  s2: null,
  l2: null,
  w: 0.5,
  at: null,
  site: null,
  layer: null,
  tab: "place",
  fade: true,
  hatch: true,
  sites: true,
};

/** A state in which everything is something that the page has. */
function sound(given) {
  const state = { ...DEFAULTS, ...given };
  const quantity = quantityOf(state.q) ?? about.quantities[0];
  state.q = quantity.name;
  if (!quantity.statistics.includes(state.s)) state.s = usualStatistic(quantity);
  if (!about.layers.includes(state.l) || !quantity.layered) state.l = about.layers[0];
  const other = state.q2 === null ? null : quantityOf(state.q2);
  if (other) {
    if (!other.statistics.includes(state.s2)) state.s2 = usualStatistic(other);
    if (!about.layers.includes(state.l2)) state.l2 = state.l;
    if (!other.layered) state.l2 = about.layers[0];
  } else [state.q2, state.s2, state.l2] = [null, null, null];
  if (!Object.hasOwn(TABS, state.tab)) state.tab = "place";
  state.w = Math.max(0, Math.min(1, state.w));
  if (places.lat[state.site] === undefined) state.site = null;
  if (state.site !== null) state.at = [places.lat[state.site], places.lon[state.site]];
  return state;
}

const [coast, placesPart, totals, persistence, parameters, air] = await Promise.all(
  ["coast", "places", "totals", "persistence", "parameters", "radiocarbon"].map(part),
);
const places = new Places(placesPart, about, about.siteScale);
const atlas = new Atlas(about, load);
let state = sound(read(location.hash));
let view = null;

/** Takes over some of a new state, shows it, and puts it behind the #. */
function change(some) {
  state = sound({ ...state, ...some });
  show();
  remember();
}

function remember() {
  const where = view.where() ?? { c: null, z: null };
  Object.assign(state, where);
  try {
    history.replaceState(null, "", written(state));
  } catch {
    // an inline frame of a notebook has no address
  }
}

// -- controls -------------------------------------------------------------------------------------------------------

function options(select, entries, value) {
  const texts = entries.map(([name, text]) => h("option", { value: name }, text));
  select.replaceChildren(...texts);
  select.value = value ?? "";
}

const quantityNames = () => about.quantities.map((one) => [one.name, one.symbol]);
const statisticNames = (quantity) =>
  quantity.statistics.map((one) => [
    one,
    one === "probability" && quantity.name !== "iloss" ? "probability" : about.statistics[one],
  ]);
const layerNames = () => about.layers.map((one) => [one, layerName(one)]);

function showControls() {
  const quantity = quantityOf(state.q);
  options(element("q"), quantityNames(), state.q);
  options(element("s"), statisticNames(quantity), state.s);
  options(element("l"), quantity.layered ? layerNames() : layerNames().slice(0, 1), state.l);
  options(element("q2"), [["", "nothing"], ...quantityNames()], state.q2);
  const other = state.q2 && quantityOf(state.q2);
  for (const id of ["s2", "l2"]) element(id).hidden = !other;
  if (other) {
    options(element("s2"), statisticNames(other), state.s2);
    options(element("l2"), other.layered ? layerNames() : layerNames().slice(0, 1), state.l2);
  }
  for (const id of ["fade", "hatch", "sites"]) element(id).checked = state[id];
}

function listen() {
  for (const id of ["q", "s", "l", "q2", "s2", "l2"])
    element(id).addEventListener("change", (event) => change({ [id]: event.target.value || null }));
  for (const id of ["fade", "hatch", "sites"])
    element(id).addEventListener("change", (event) => change({ [id]: event.target.checked }));
  element("in").addEventListener("click", () => view.zoomBy(1.6));
  element("out").addEventListener("click", () => view.zoomBy(1 / 1.6));
  element("home").addEventListener("click", () => {
    view.look(null, 1);
    view.changed();
  });
  element("goto").addEventListener("submit", (event) => {
    event.preventDefault();
    const [lat, lon] = ["goto-lat", "goto-lon"].map((id) => element(id).valueAsNumber);
    if (Math.abs(lat) <= 90 && Math.abs(lon) <= 180) {
      if (view.zoom < 4) view.look([lat, lon], 4);
      else view.look([lat, lon], view.zoom);
      change({ at: [lat, lon], site: null, tab: "place" });
    }
  });
  const tabs = element("tabs");
  tabs.replaceChildren(
    ...Object.entries(TABS).map(([name, text]) =>
      h(
        "button",
        {
          type: "button",
          role: "tab",
          id: `tab-${name}`,
          "aria-controls": "panel",
          click: () => change({ tab: name }),
        },
        text,
      ),
    ),
  );
  tabs.addEventListener("keydown", (event) => {
    const names = Object.keys(TABS);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    change({ tab: names[(names.indexOf(state.tab) + step + names.length) % names.length] });
    element(`tab-${state.tab}`).focus();
  });
  window.addEventListener("hashchange", () => {
    state = sound(read(location.hash));
    view.look(state.c, state.z);
    show();
  });
}

// -- legend ---------------------------------------------------------------------------------------------------------

function legend(side, name) {
  if (!side) return null;
  const { quantity, statistic, layer, limits, fades, hex, diverging } = side;
  const unit = statistic === "uncertainty" || statistic === "probability" ? "" : quantity.unit;
  const bar = h("canvas", {
    width: "256",
    height: fades ? "32" : "8",
    class: fades ? "bar fading" : "bar",
    "aria-hidden": "true",
  });
  const context = bar.getContext("2d");
  const colours = new Colours(hex, limits, diverging);
  const rows = fades ? DOUBTS.length + 1 : 1;
  const image = new ImageData(256, rows * 8);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = colours.parts[Math.floor(i / 256 / 8)][i % 256];
  context.putImageData(image, 0, 0);
  const scale = h(
    "div",
    { class: "scale" },
    ticks(...limits, 4).map((value) => {
      const mark = h("span", {}, percentOf(statistic) ? `${Math.round(100 * value)} %` : number(value, 2));
      mark.style.left = `${(100 * (value - limits[0])) / (limits[1] - limits[0])}%`;
      return mark;
    }),
  );
  const doubts = fades
    ? h(
        "div",
        { class: "doubts" },
        [...DOUBTS.map((d) => `to ± ${100 * d} %`), "more"].map((text) => h("span", {}, text)),
      )
    : null;
  const missing = side.missing ? h("p", { class: "warning" }, `The maps have no ${layerName(layer)} of this.`) : null;
  return h(
    "div",
    { class: "legend-one" },
    h("p", {}, name ? h("b", {}, name) : null, symbol(quantity.symbol), `, ${titleOf(side)}`, unit ? ` (${unit})` : ""),
    h("div", { class: "bars" }, h("div", {}, bar, scale), doubts),
    missing,
  );
}

const percentOf = (statistic) => statistic === "probability" || statistic === "uncertainty";
const titleOf = ({ statistic, layer }) => `${about.statistics[statistic]}, ${layerName(layer)}`;

function showLegend() {
  const sides = view.sides();
  const notes = [];
  if (state.hatch && forests(state.q).some((name) => `${name}_applicability` in about.variables))
    notes.push(
      h("span", {}, h("span", { class: "hatched", "aria-hidden": "true" }), "outside the area of applicability"),
    );
  notes.push(h("span", {}, h("span", { class: "unmapped", "aria-hidden": "true" }), "land that is not mapped"));
  if (state.sites)
    for (const [name, { label, colour }] of Object.entries(about.kinds)) {
      if (!places.kinds.has(name)) continue;
      const dot = h("span", { class: "dot", "aria-hidden": "true" });
      dot.style.background = colour;
      notes.push(h("span", {}, dot, label));
    }
  element("legend").replaceChildren(
    ...sides.map((side, i) => legend(side, sides.length > 1 ? ["left: ", "right: "][i] : "")).filter(Boolean),
    h("p", { class: "notes" }, notes),
  );
  const fades = sides.some((side) => side?.fades);
  element("fade-note").hidden = !fades;
}

// -- panel ----------------------------------------------------------------------------------------------------------

let turn = 0;

async function showPanel() {
  const mine = ++turn;
  for (const button of element("tabs").children) {
    const chosen = button.id === `tab-${state.tab}`;
    button.setAttribute("aria-selected", String(chosen));
    button.tabIndex = chosen ? 0 : -1;
  }
  element("panel").setAttribute("aria-labelledby", `tab-${state.tab}`);
  const content = await contentOf(state.tab).catch((error) => [h("p", { class: "warning" }, error.message)]);
  if (mine !== turn) return;
  element("content").replaceChildren(...content.flat(Infinity).filter(Boolean));
  element("goto").hidden = state.tab !== "place";
  element("content").dataset.shown = state.tab;
}

async function contentOf(tab) {
  switch (tab) {
    case "totals":
      return totalsPanel(totals, state.l);
    case "parameters":
      return parametersPanel(parameters, about.fluxes.iroot);
    case "calculator":
      return calculatorPanel(air, state.at, about.fluxes.ibulk);
    case "about":
      return [element("about-text").content.cloneNode(true), h("p", {}, errors())];
    default:
      return placeContent();
  }
}

async function placeContent() {
  if (state.site !== null) {
    const cell = h(
      "button",
      { type: "button", class: "link", click: () => change({ site: null }) },
      "what the map says of its cell",
    );
    return [
      ...sitePanel({
        about,
        places,
        place: state.site,
        layer: state.l,
        air,
        shown: state.layer,
        show: (layer) => change({ layer }),
        ageBins: about.ages,
      }),
      h("p", {}, "See ", cell, "."),
    ];
  }
  if (!state.at) return [element("welcome-text").content.cloneNode(true)];
  const cell = atlas.cellAt(...state.at);
  const found = await atlas.everything(cell);
  if (cell) cell.height = atlas.cell.height;
  announce(cell, found);
  return cellPanel({ about, cell, found, at: state.at, layer: state.l, places, persistence, go });
}

/** Says a picked cell to who cannot see it. */
function announce(cell, found) {
  const of = found?.of[state.q];
  const value = (of?.median ?? of?.mean)?.[about.layers.indexOf(state.l)];
  element("said").textContent = found
    ? `${placeName(cell.lat, cell.lon)}, ${about.biomes[found.biome] ?? ""}: ${quantityOf(state.q).symbol} ${number(value)} ${quantityOf(state.q).unit}`
    : `${placeName(...state.at)}: nothing is mapped here`;
}

/** Shows a measured place. */
function go(site) {
  view.look([places.lat[site], places.lon[site]], Math.max(view.zoom, 4));
  change({ site, layer: null });
}

function errors() {
  const steps = Object.values(about.variables).filter((one) => one.floor);
  const relative = Math.max(...steps.map((one) => one.step)) / 2;
  return `Values of maps and sites are rounded: by at most ${number(100 * relative, 2)} % of the value (below 0.001 Mg C ha⁻¹ yr⁻¹, of that; below 0.1 yr, of that), and probabilities by ${about.probabilityStep / 2}. The files of the run have them in full.`;
}

// -- together -------------------------------------------------------------------------------------------------------

function show() {
  showControls();
  view.draw();
  showLegend();
  showPanel();
  const side = view.sides()[0];
  const [tiff] = side ? tiffName(about, state.q, state.s, state.l) : [];
  element("tiff").hidden = !tiff || !about.maps;
  if (tiff) element("tiff").href = `${about.maps}/${tiff}.tif`;
  element("canvas").setAttribute(
    "aria-label",
    `Map of ${quantityOf(state.q).symbol}, ${side ? titleOf(side) : ""}. Arrow keys move it, plus and minus zoom, Enter picks the middle, Shift with arrows picks the next cell.`,
  );
}

view = new MapView(element("map"), atlas, coast, places, () => state, {
  moved: remember,
  picked: (some) => change({ ...some, layer: null, tab: "place" }),
  swiped: (w) => {
    state.w = w;
    view.changed();
  },
  hovered: (found) => {
    element("hover").textContent = found
      ? [placeName(found.place[1], found.place[0]), found.text].filter(Boolean).join(": ")
      : "";
  },
  failed: (error) => {
    element("said").textContent = error.message;
    element("hover").textContent = error.message;
  },
});
listen();
view.look(state.c, state.z);
show();
