// The map: what part of the world is seen, and how it is drawn.

import { Colours, doubtClass } from "./colours.mjs";
import { attach } from "./hands.mjs";
import { graticule, pathOf } from "./outlines.mjs";
import { paint } from "./painter.mjs";
import { HEIGHT, WIDTH, parallel, project, unproject } from "./projection.mjs";

const MOST_ZOOM = 4000;
const NO_FADE = ["uncertainty", "probability"];
/** Limits of colours that do not follow from the values. */
const FIXED = { probability: [0, 1], uncertainty: [0, 2] };

export class MapView {
  /** `shown()` gives the state; `on` has `moved`, `picked` and `swiped`. */
  constructor(box, atlas, coast, places, shown, on) {
    Object.assign(this, { box, atlas, places, shown, on });
    this.canvas = box.querySelector("canvas");
    this.handle = box.querySelector(".swipe");
    this.land = pathOf(coast.land, true);
    this.coast = pathOf(coast.coast, false);
    this.points = places.lat.map((lat, i) => project(places.lon[i], lat));
    this.looks = new Map();
    this.pending = new Map();
    this.raster = new OffscreenCanvas(1, 1);
    this.centre = [0, 0]; // of the projection
    this.zoom = 1;
    new ResizeObserver(() => this.resized()).observe(box);
    attach(this);
  }

  // -- where ------------------------------------------------------------------------------------------------------

  /** Pixels a unit of the projection, where the whole map just fits at zoom 1. */
  get scale() {
    return Math.min(this.width / this.home.width, this.height / this.home.height) * this.zoom;
  }

  /** The part of the world that is mapped, with a margin: what is seen at first. */
  get home() {
    if (this.homeBox) return this.homeBox;
    const { west, east, south, north } = this.atlas.about.grid;
    const whole = east - west > 340 || east > 180;
    const [low, high] = whole
      ? [Math.max(south, -57), Math.min(north, 84)]
      : [Math.max(south - 1, -90), Math.min(north + 1, 90)];
    const y = [parallel(low).y, parallel(high).y];
    const widest = low <= 0 && high >= 0 ? 0 : Math.min(Math.abs(low), Math.abs(high));
    const per = parallel(widest).perDegree;
    const x = whole ? [-WIDTH, WIDTH] : [(west - 1) * per, (east + 1) * per];
    return (this.homeBox = {
      width: (x[1] - x[0]) * 1.02,
      height: (y[1] - y[0]) * 1.03,
      x: (x[0] + x[1]) / 2,
      y: (y[0] + y[1]) / 2,
    });
  }

  /** Shows a centre (latitude, longitude) at a zoom; without, all that is mapped. */
  look(centre, zoom) {
    this.centre = centre ? project(centre[1], centre[0]) : [this.home.x, this.home.y];
    this.zoom = Math.min(Math.max(zoom ?? 1, 0.8), MOST_ZOOM);
    this.draw();
  }

  /** Latitude, longitude and zoom that are shown; null where that is all. */
  where() {
    const [x, y] = this.centre;
    if (this.zoom === 1 && x === this.home.x && y === this.home.y) return null;
    const at = unproject(x, y);
    return at ? { c: [at[1], at[0]], z: this.zoom } : null;
  }

  toPixel([x, y]) {
    return [this.width / 2 + (x - this.centre[0]) * this.scale, this.height / 2 - (y - this.centre[1]) * this.scale];
  }

  toPlace(px, py) {
    return unproject(
      this.centre[0] + (px - this.width / 2) / this.scale,
      this.centre[1] - (py - this.height / 2) / this.scale,
    );
  }

  moveBy(dx, dy) {
    const [x, y] = [this.centre[0] - dx / this.scale, this.centre[1] + dy / this.scale];
    this.centre = [Math.max(-WIDTH, Math.min(WIDTH, x)), Math.max(-HEIGHT, Math.min(HEIGHT, y))];
    this.changed();
  }

  /** Zooms by a factor about a pixel, by default the middle. */
  zoomBy(factor, px = this.width / 2, py = this.height / 2) {
    const before = this.scale;
    this.zoom = Math.min(Math.max(this.zoom * factor, 0.8), MOST_ZOOM);
    const part = 1 / before - 1 / this.scale;
    this.centre = [this.centre[0] + (px - this.width / 2) * part, this.centre[1] - (py - this.height / 2) * part];
    this.changed();
  }

  changed() {
    this.draw();
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.on.moved(), 250);
  }

  resized() {
    this.width = this.box.clientWidth;
    this.height = this.box.clientHeight;
    this.ratio = Math.min(window.devicePixelRatio || 1, 2);
    this.canvas.width = this.raster.width = Math.max(1, Math.round(this.width * this.ratio));
    this.canvas.height = this.raster.height = Math.max(1, Math.round(this.height * this.ratio));
    this.image = new ImageData(this.canvas.width, this.canvas.height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.draw();
  }

  // -- what is drawn ----------------------------------------------------------------------------------------------

  /** Limits, colours and quantity of both sides; the right one only while two are compared. */
  sides() {
    const state = this.shown();
    const left = this.side(state.q, state.s, state.l);
    if (!state.q2) return [left];
    const right = this.side(state.q2, state.s2, state.l2);
    // Two statistics of one quantity share their colours, else a difference of limits would pass for one of values.
    if (left && right && state.q === state.q2 && state.l === state.l2 && !FIXED[state.s] && !FIXED[state.s2])
      for (const side of [left, right])
        side.limits = [Math.min(left.limits[0], right.limits[0]), Math.max(left.limits[1], right.limits[1])];
    return [left, right];
  }

  side(name, statistic, layer) {
    const { about } = this.atlas;
    const quantity = about.quantities.find((one) => one.name === name);
    if (!quantity) return null;
    const sources = this.atlas.sources(name, statistic);
    const at = sources.length ? this.atlas.layerOf(sources[0], layer) : -1;
    const limits = FIXED[statistic] ?? about.limits[sources[0]]?.[at] ?? [0, 1];
    const plain = NO_FADE.includes(statistic);
    const fades = this.shown().fade && !plain && this.atlas.sources(name, "uncertainty").length > 0;
    return {
      quantity,
      statistic,
      layer,
      limits,
      hex: about.palettes[plain ? "cividis" : quantity.palette],
      diverging: quantity.diverging && !plain,
      fades,
      missing: at < 0,
    };
  }

  /** Draws soon: once a frame, whatever was asked. */
  draw() {
    if (this.asked || !this.width) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      this.drawn();
    });
  }

  drawn() {
    const { grid } = this.atlas.about;
    const degrees = 1.5 / (this.scale * parallel(0).perDegree);
    const level = this.atlas.levelFor(degrees);
    const sides = this.sides();
    const state = this.shown();
    const key = JSON.stringify([
      sides.map((one) => one && [one.quantity.name, one.statistic, one.layer, one.limits, one.fades]),
      state.hatch,
    ]);
    if (key !== this.key) {
      this.key = key;
      this.looks.clear();
      this.pending.clear();
    }
    const scale = this.scale * this.ratio;
    const view = {
      scale,
      x: this.centre[0] - this.canvas.width / 2 / scale,
      y: this.centre[1] + this.canvas.height / 2 / scale,
    };
    const split = sides.length > 1 ? Math.round(state.w * this.canvas.width) : this.canvas.width;
    const look = (row, col) => this.lookOf(`${level}/${row}/${col}`, sides, state.hatch);
    paint(
      this.pixels,
      this.canvas.width,
      this.canvas.height,
      view,
      this.atlas.levels[level],
      grid,
      look,
      split,
      this.ratio,
    );
    this.raster.getContext("2d").putImageData(this.image, 0, 0);
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const onMap = () => context.setTransform(scale, 0, 0, -scale, -view.x * scale, view.y * scale);
    onMap();
    context.fillStyle = "#d3d4d2";
    context.fill(this.land, "evenodd");
    context.lineWidth = 0.7 / this.scale;
    context.strokeStyle = "#e3e6e8";
    context.stroke(graticule());
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(this.raster, 0, 0);
    onMap();
    context.lineWidth = 0.6 / this.scale;
    context.strokeStyle = "#4a4a4a";
    context.stroke(this.coast);
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    if (state.sites) this.drawPlaces(context);
    this.drawPicked(context);
    this.handle.hidden = sides.length < 2;
    if (sides.length > 1) {
      this.handle.style.left = `${state.w * this.width}px`;
      this.handle.setAttribute("aria-valuenow", String(Math.round(100 * state.w)));
    }
    this.box.dataset.waiting = String(this.pending.size);
  }

  drawPlaces(context) {
    const { places } = this;
    const size = Math.min(2.2 + 0.5 * Math.log2(Math.max(this.zoom, 1)), 5);
    context.lineWidth = 0.7;
    context.strokeStyle = "#fff";
    this.points.forEach((point, i) => {
      const [x, y] = this.toPixel(point);
      if (x < -9 || y < -9 || x > this.width + 9 || y > this.height + 9) return;
      context.beginPath();
      context.fillStyle = places.colour[i];
      context.arc(x, y, size, 0, 2 * Math.PI);
      context.fill();
      context.stroke();
    });
  }

  drawPicked(context) {
    const { at, site } = this.shown();
    if (site !== null && this.points[site]) {
      const [x, y] = this.toPixel(this.points[site]);
      ring(context, (path) => path.arc(x, y, 8, 0, 2 * Math.PI));
    } else if (at) {
      const cell = this.atlas.cellAt(...at);
      const { height, width } = this.atlas.cell;
      const corners = cell
        ? [
            [-1, 1],
            [1, 1],
            [1, -1],
            [-1, -1],
          ].map(([e, n]) =>
            this.toPixel(project(cell.lon + (e * width) / 2, Math.max(-90, Math.min(90, cell.lat + (n * height) / 2)))),
          )
        : [];
      ring(context, (path) => {
        if (corners.length && Math.abs(corners[0][0] - corners[1][0]) > 9) {
          corners.forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
          path.closePath();
        } else path.arc(...this.toPixel(project(at[1], at[0])), 7, 0, 2 * Math.PI);
      });
    }
  }

  /** Colours of a tile; null until they are there, when the map is drawn again. */
  lookOf(tile, sides, hatch) {
    const found = this.looks.get(tile);
    if (found !== undefined) return found;
    if (!this.atlas.present.has(tile) || this.pending.has(tile)) return null;
    const { key } = this;
    const made = this.makeLook(tile, sides, hatch).then(
      (look) => key === this.key && this.looks.set(tile, look),
      (error) => {
        if (key === this.key) this.looks.set(tile, null);
        this.on.failed(error);
      },
    );
    this.pending.set(tile, made);
    made.finally(() => {
      if (key !== this.key) return;
      this.pending.delete(tile);
      this.draw();
    });
    return null;
  }

  async makeLook(tile, sides, hatch) {
    const land = await this.atlas.land(tile);
    const [left, right] = await Promise.all(sides.map((side) => this.coloured(tile, land, side)));
    return {
      cols: land.cols,
      left,
      right: right ?? left,
      outside: hatch ? await this.outside(tile, land, sides[0]) : null,
    };
  }

  async coloured(tile, land, side) {
    const out = new Uint32Array(land.index.length);
    if (!side) return out;
    const { quantity, statistic, layer } = side;
    const [values, doubts] = await Promise.all([
      this.atlas.values(tile, quantity.name, statistic, layer),
      side.fades ? this.atlas.values(tile, quantity.name, "uncertainty", layer) : null,
    ]);
    if (!values) return out;
    const colours = new Colours(side.hex, side.limits, side.diverging);
    for (let place = 0; place < out.length; place++) {
      const i = land.index[place];
      if (i >= 0) out[place] = colours.of(values[i], doubts ? doubtClass(doubts[i]) : 0);
    }
    return out;
  }

  /** Places outside the area of applicability of the forests that a quantity is made from. */
  async outside(tile, land, side) {
    const names = forests(side?.quantity.name ?? "")
      .map((name) => `${name}_applicability`)
      .filter((name) => name in this.atlas.about.variables);
    if (!names.length) return null;
    const layer = this.atlas.about.layers[0];
    const fields = await Promise.all(
      names.map((name) => this.atlas.values(tile, name.slice(0, -14), "applicability", layer)),
    );
    return Uint8Array.from(land.index, (i) => (i >= 0 && fields.some((field) => field && field[i] > 1) ? 1 : 0));
  }
}

/** Forests that a quantity is made from. */
export function forests(quantity) {
  if (["iloss", "share"].includes(quantity)) return ["iroot", "ibulk"];
  return quantity.startsWith("ibulk") || quantity.startsWith("age") ? ["ibulk"] : ["iroot"];
}

function ring(context, trace) {
  for (const [width, colour] of [
    [4.5, "#fff"],
    [2.2, "#111"],
  ]) {
    context.beginPath();
    trace(context);
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.stroke();
  }
}
