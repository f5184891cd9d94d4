// A density from three quantiles.

const Z = 1.959963984540054;

/** The shifted log-normal whose 2.5 %, 50 % and 97.5 % quantiles are these; where they are even, the Normal. A
 *  log-normal comes back as it is. Gives density at x; null where the three do not increase. */
export function densityThrough(low, middle, high) {
  if (!(low < middle && middle < high)) return null;
  const ratio = (high - middle) / (middle - low);
  if (Math.abs(Math.log(ratio)) < 1e-4) {
    const sd = (high - low) / (2 * Z);
    return (x) => Math.exp(-0.5 * ((x - middle) / sd) ** 2) / (sd * Math.sqrt(2 * Math.PI));
  }
  const sign = ratio > 1 ? 1 : -1; // the long tail
  const r = ratio > 1 ? ratio : 1 / ratio;
  const scale = (sign > 0 ? high - middle : middle - low) / (r - 1);
  const shift = middle - sign * scale;
  const sd = Math.log(r) / Z;
  return (x) => {
    const y = (sign * (x - shift)) / scale;
    return y > 0 ? Math.exp(-0.5 * (Math.log(y) / sd) ** 2) / (y * scale * sd * Math.sqrt(2 * Math.PI)) : 0;
  };
}
