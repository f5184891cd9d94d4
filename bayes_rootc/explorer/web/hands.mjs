// What mouse, fingers and keys do with the map.

import { number } from "./dom.mjs";
import { project } from "./projection.mjs";

const HIT = 11; // pixels around a place within which a click means it

/** Lets a map be moved, zoomed, picked from and swiped. */
export function attach(view) {
  const { canvas, handle } = view;
  const fingers = new Map();
  let start = null;
  const at = (event) => [event.offsetX, event.offsetY];
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
    start = fingers.size === 1 ? { at: at(event), moved: false } : { moved: true };
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    if (!before) return hovered(view, event);
    const now = at(event);
    if (fingers.size === 1) {
      if (!start.moved && Math.hypot(now[0] - start.at[0], now[1] - start.at[1]) < 4) return;
      start.moved = true;
      view.moveBy(now[0] - before[0], now[1] - before[1]);
    } else {
      const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
      const grown =
        Math.hypot(now[0] - other[0], now[1] - other[1]) /
        Math.max(1, Math.hypot(before[0] - other[0], before[1] - other[1]));
      view.moveBy((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
      view.zoomBy(grown, (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    }
    fingers.set(event.pointerId, now);
  });
  const up = (event) => {
    if (fingers.delete(event.pointerId) && !fingers.size && start && !start.moved && event.type === "pointerup")
      pick(view, ...at(event));
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => view.on.hovered(null));
  canvas.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      view.zoomBy(2 ** (-event.deltaY / (event.deltaMode ? 8 : 400)), ...at(event));
    },
    { passive: false },
  );
  canvas.addEventListener("dblclick", (event) => view.zoomBy(2, ...at(event)));
  canvas.addEventListener("keydown", (event) => typed(view, event));
  const slide = (event) =>
    view.on.swiped(Math.max(0, Math.min(1, (event.clientX - view.box.getBoundingClientRect().left) / view.width)));
  handle.addEventListener("pointerdown", (event) => {
    handle.setPointerCapture(event.pointerId);
    event.preventDefault();
    handle.focus();
    handle.onpointermove = slide;
  });
  handle.addEventListener("lostpointercapture", () => (handle.onpointermove = null));
  handle.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    view.on.swiped(Math.max(0, Math.min(1, view.shown().w + step)));
  });
}

function typed(view, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const far = 60;
  const moves = { ArrowLeft: [far, 0], ArrowRight: [-far, 0], ArrowUp: [0, far], ArrowDown: [0, -far] };
  if (event.shiftKey && moves[event.key]) step(view, ...moves[event.key].map(Math.sign));
  else if (moves[event.key]) view.moveBy(...moves[event.key]);
  else if (event.key === "+" || event.key === "=") view.zoomBy(1.5);
  else if (event.key === "-") view.zoomBy(1 / 1.5);
  else if (event.key === "0") {
    view.look(null, 1);
    view.changed();
  } else if (event.key === "Enter" || event.key === " ") pick(view, view.width / 2, view.height / 2);
  else return;
  event.preventDefault();
}

/** Picks the next cell to the west, east, north or south. */
function step(view, west, north) {
  const from = view.shown().at ?? view.toPlace(view.width / 2, view.height / 2)?.reverse();
  const cell = from && view.atlas.cellAt(...from);
  if (!cell) return;
  const lon = ((((cell.lon - west * view.atlas.cell.width + 180) % 360) + 360) % 360) - 180;
  const lat = Math.max(-90, Math.min(90, cell.lat + north * view.atlas.cell.height));
  view.on.picked({ at: [lat, lon], site: null });
  const [x, y] = view.toPixel(project(lon, lat));
  if (x < 20 || y < 20 || x > view.width - 20 || y > view.height - 20) {
    view.centre = project(lon, lat);
    view.changed();
  }
}

function pick(view, px, py) {
  const place = view.toPlace(px, py);
  if (!place) return;
  view.on.picked({ at: [place[1], place[0]], site: placeNear(view, px, py) });
}

/** Number of the measured place at a pixel; null where there is none. */
function placeNear(view, px, py) {
  if (!view.shown().sites) return null;
  let [best, found] = [HIT, null];
  view.points.forEach((point, i) => {
    const [x, y] = view.toPixel(point);
    const away = Math.hypot(x - px, y - py);
    if (away < best) [best, found] = [away, i];
  });
  return found;
}

async function hovered(view, event) {
  const place = view.toPlace(event.offsetX, event.offsetY);
  const turn = (view.turn = (view.turn ?? 0) + 1);
  const side = view.sides()[view.shown().q2 && event.offsetX >= view.shown().w * view.width ? 1 : 0];
  if (!place || !side) return view.on.hovered(null);
  const cell = view.atlas.cellAt(place[1], place[0]);
  // only of what is there: a moving mouse loads nothing
  if (!cell || !view.looks.get(cell.tile)) return view.on.hovered({ place, text: "" });
  const land = await view.atlas.land(cell.tile);
  const i = land.index[cell.row * land.cols + cell.col];
  const values = i < 0 ? null : await view.atlas.values(cell.tile, side.quantity.name, side.statistic, side.layer);
  if (turn === view.turn)
    view.on.hovered({
      place,
      text: values
        ? `${number(values[i])}${side.statistic === "uncertainty" || side.statistic === "probability" ? "" : ` ${side.quantity.unit}`}`
        : "",
    });
}
