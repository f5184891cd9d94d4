// Numbers in few bytes, as explorer/codec.py writes them.

/** Bytes of base64 text that was deflated (zlib). */
export async function inflated(text) {
  const letters = atob(text);
  const packed = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) packed[i] = letters.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** A value from deflated JSON. */
export async function inflatedJson(text) {
  return JSON.parse(new TextDecoder().decode(await inflated(text)));
}

/** Bits as bytes of 0 and 1, `count` of them. */
export function bits(bytes, count) {
  const out = new Uint8Array(count);
  for (let i = 0; i < count; i++) out[i] = (bytes[i >> 3] >> (7 - (i & 7))) & 1;
  return out;
}

/** Layers of a map: for each its `steps`, and in `known` which cells have a value (null: all).
 *  `reference`: the layers of the map that it was written against. */
export function unpacked(bytes, cells, reference) {
  const layers = [];
  let at = 0;
  for (let layer = 0; at < bytes.length; layer++) {
    let known = null;
    if (bytes[at++]) {
      const size = (cells + 7) >> 3;
      known = bits(bytes.subarray(at, at + size), cells);
      at += size;
    }
    const low = bytes.subarray(at, at + cells);
    const high = bytes.subarray(at + cells, at + 2 * cells);
    at += 2 * cells;
    const base = reference ? reference[layer].steps : layer ? layers[layer - 1].steps : null;
    const steps = new Int16Array(cells);
    let difference = 0;
    for (let i = 0; i < cells; i++) {
      const zigzag = low[i] | (high[i] << 8);
      difference += (zigzag >>> 1) ^ -(zigzag & 1);
      steps[i] = difference + (base ? base[i] : 0);
    }
    layers.push({ steps, known });
  }
  return layers;
}

/** Value of a number of steps. */
export function valueOf(steps, scale) {
  const along = steps * scale.step;
  return scale.floor ? scale.floor * Math.sign(along) * Math.expm1(Math.abs(along)) : along;
}
