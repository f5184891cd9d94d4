// Colours of values, and how they fade where a cell is uncertain.

/** Half the 95 % interval over |middle| from which a cell is of the next class. */
export const DOUBTS = [0.5, 1, 2];
/** For each class: how far colours fade, and into how many steps they are cut (0: none). */
const FADING = [
  [0, 0],
  [0.35, 9],
  [0.65, 5],
  [0.88, 3],
];
const PAPER = [246, 246, 244];

/** Class of an uncertainty, 0 to 3. */
export function doubtClass(uncertainty) {
  let found = 0;
  while (found < DOUBTS.length && uncertainty > DOUBTS[found]) found++;
  return found;
}

/** Colours of one map: of a value and a class, as a number that an image of bytes holds (alpha, blue, green, red). */
export class Colours {
  constructor(hex, [low, high], diverging) {
    this.low = low;
    this.high = high;
    const reach = Math.max(-low, high);
    const parts = FADING.map(([fade, cuts]) => {
      const row = new Uint32Array(256);
      for (let i = 0; i < 256; i++) {
        const t = cuts ? (Math.min(Math.floor((i / 256) * cuts), cuts - 1) + 0.5) / cuts : i / 255;
        // Of a diverging map only the part that the limits need, so that equal steps differ equally on both sides.
        const s = diverging ? 0.5 + (0.5 * (low + t * (high - low))) / reach : t;
        const rgb = rgbOf(hex[Math.max(0, Math.min(255, Math.round(255 * s)))]);
        const [r, g, b] = rgb.map((c, k) => Math.round(c + fade * (PAPER[k] - c)));
        row[i] = ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
      }
      return row;
    });
    this.parts = parts;
  }

  of(value, doubt = 0) {
    if (Number.isNaN(value)) return 0;
    const t = (value - this.low) / (this.high - this.low);
    return this.parts[doubt][t <= 0 ? 0 : t >= 1 ? 255 : (t * 256) | 0];
  }
}

function rgbOf(hex) {
  const n = parseInt(hex.slice(1), 16);
  return [n >> 16, (n >> 8) & 255, n & 255];
}

/** A handful of round numbers within limits. */
export function ticks(low, high, count = 5) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((m) => m * power >= rough * 0.999) * power;
  const out = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++)
    out.push(Number((i * step).toPrecision(12)));
  return out;
}
