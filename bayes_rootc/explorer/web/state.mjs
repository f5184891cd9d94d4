// What is looked at, as text behind the # of an address, so that a view can be sent.

/** Keys of the address and how their values are read; a value that cannot be read is left out. */
const number = (text) => (text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : undefined);
const pair = (text) => {
  const [lat, lon] = text.split(",").map(number);
  return lat >= -90 && lat <= 90 && lon >= -180 && lon <= 180 ? [lat, lon] : undefined;
};
const flag = (text) => (text === "1" ? true : text === "0" ? false : undefined);
const word = (text) => text;
const READ = {
  q: word,
  s: word,
  l: word, // quantity, statistic, layer
  q2: word,
  s2: word,
  l2: word,
  w: number, // those on the right of the swipe, and where it is, 0 to 1
  c: pair,
  z: number, // centre and zoom
  at: pair,
  site: number,
  layer: number,
  tab: word, // what was clicked
  fade: flag,
  hatch: flag,
  sites: flag,
};

/** State from the text behind the #. */
export function read(hash) {
  const found = {};
  for (const [key, text] of new URLSearchParams(hash.replace(/^#/, ""))) {
    const value = Object.hasOwn(READ, key) ? READ[key](text) : undefined;
    if (value !== undefined) found[key] = value;
  }
  return found;
}

/** Text for a state, without what is null. */
export function written(state) {
  const parts = new URLSearchParams();
  for (const key of Object.keys(READ)) {
    const value = state[key];
    if (value === null || value === undefined) continue;
    if (typeof value === "boolean") parts.set(key, value ? "1" : "0");
    else if (Array.isArray(value)) parts.set(key, value.map((v) => Number(v.toFixed(4))).join(","));
    else parts.set(key, typeof value === "number" ? String(Number(value.toFixed(4))) : value);
  }
  return "#" + parts.toString().replaceAll("%2C", ",").replaceAll("%2F", "/");
}
