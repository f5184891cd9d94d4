// Radiocarbon of one pool and the posterior of its age, as models/radiocarbon.py computes them.

const MERIDIANS = [-165, -135, -105, -75, -45, -15, 15, 45, 75, 105, 135, 165];
const JULY = [9, 10, 12, 11, 9, 14, 17, 19, 26, 26, 20, 12];
const JANUARY = [-2, 3, 4, -12, -10, 2, -15, -17, -9, -9, -13, -10];
const FIRST_YEAR = 1800;
const MODE_FLOOR = 0.005;
const MAX_MODES = 3;
const UNEXPLAINED_SD = 3;

/** Atmospheric zone of a place (Hua et al. 2021). */
export function zoneOf(lat, lon) {
  const july = around(lon, JULY);
  const january = around(lon, JANUARY);
  if (lat >= 40) return "NHZone1";
  if (lat >= july) return "NHZone2";
  if (lat >= (july + january) / 2) return "NHZone3";
  return lat >= january ? "SHZone3" : "SHZone1-2";
}

function around(lon, values) {
  const at = ((((lon - MERIDIANS[0]) % 360) + 360) % 360) / 30;
  const i = Math.floor(at) % 12;
  return values[i] + (at - Math.floor(at)) * (values[(i + 1) % 12] - values[i]);
}

/** The air that a pool has seen since it was last steady: since 1950, or for 55,000 years. */
export function drivingCurve(air, zone, prehistory) {
  const bomb = air.bomb[zone];
  if (prehistory !== "intcal20") return bomb;
  const before = air.before[zone.startsWith("SH") ? "south" : "north"];
  const early = before.years.filter((year) => year <= bomb.years[0]).length;
  const join = (name) => before[name].slice(0, early).concat(bomb[name]);
  return { years: join("years"), delta14c: join("delta14c"), sd: join("sd") };
}

/** Linear interpolation, constant beyond the ends. */
export function interpolated(x, xs, ys) {
  if (x <= xs[0]) return ys[0];
  if (x >= xs[xs.length - 1]) return ys[xs.length - 1];
  let [low, high] = [0, xs.length - 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (xs[middle] <= x) low = middle;
    else high = middle;
  }
  return ys[low] + ((ys[high] - ys[low]) * (x - xs[low])) / (xs[high] - xs[low]);
}

/** Δ14C (‰) in a year of pools with decay rates k: each interval of the curve has a closed form. */
export function respond(k, year, curve, gamma) {
  const { years, delta14c } = curve;
  const activity = Float64Array.from(k, (one) => (one / (one + gamma)) * (delta14c[0] / 1000 + 1));
  for (let i = 0; i + 1 < years.length && years[i] < year; i++) {
    const length = years[i + 1] - years[i];
    const dt = Math.min(year - years[i], length);
    if (!(dt > 0)) continue;
    const inflow = delta14c[i] / 1000 + 1;
    const slope = (delta14c[i + 1] - delta14c[i]) / 1000 / length;
    for (let j = 0; j < k.length; j++) activity[j] = advanced(activity[j], k[j], inflow, slope, dt, gamma);
  }
  return activity.map((a) => (a - 1) * 1000);
}

function advanced(activity, k, inflow, slope, dt, gamma) {
  const x = (k + gamma) * dt;
  const decayed = -Math.expm1(-x);
  // These cancel for small x, where their series are exact.
  let phi1, phi2;
  if (x < 1e-2) {
    phi1 = 1 - x * (1 / 2 - x * (1 / 6 - x * (1 / 24 - x * (1 / 120 - x / 720))));
    phi2 = 1 / 2 - x * (1 / 6 - x * (1 / 24 - x * (1 / 120 - x * (1 / 720 - x / 5040))));
  } else {
    phi1 = decayed / x;
    phi2 = (x - decayed) / (x * x);
  }
  return activity * (1 - decayed) + k * dt * (inflow * phi1 + slope * dt * phi2);
}

/** Decay rates of the grid. */
function rates(air) {
  const [first, last, count] = air.log_k;
  return Float64Array.from({ length: count }, (_, i) => first + (i * (last - first)) / (count - 1));
}

/** What is wrong with a measurement, or an empty text. */
export function complaint({ delta14c, sigma, modelSd, year, zone }, air) {
  const end = air.bomb[zone]?.years.at(-1);
  if (!Number.isFinite(delta14c) || delta14c <= -1000) return "Δ14C must be a number of ‰ above −1000";
  if (!(sigma >= 0) || !(modelSd >= 0)) return "standard deviations must be 0 ‰ or more";
  if (!(year >= FIRST_YEAR && year <= end)) return `the year must be ${FIRST_YEAR} to ${end}`;
  return "";
}

/** Posterior of the decay rate of a layer, on a grid of log k, as `invert` gives it. */
export function invert({ delta14c, sigma, year, zone, prehistory, modelSd = 0 }, air) {
  const logK = rates(air);
  const step = logK[1] - logK[0];
  const predicted = respond(logK.map(Math.exp), year, drivingCurve(air, zone, prehistory), air.gamma);
  const bomb = air.bomb[zone];
  const sd = Math.hypot(sigma, modelSd, interpolated(year, bomb.years, bomb.sd));
  const [medianAge, logSd] = air.prior;
  const joint = logK.map((at, i) => {
    const z = (at + Math.log(medianAge)) / logSd;
    return -0.5 * ((delta14c - predicted[i]) / sd) ** 2 - 0.5 * z * z;
  });
  const top = joint.reduce((a, b) => Math.max(a, b));
  const density = joint.map((value) => Math.exp(value - top));
  const mass = density.reduce((a, b) => a + b) * step;
  density.forEach((value, i) => (density[i] = value / mass));
  const nearest = predicted.reduce((least, p) => Math.min(least, Math.abs(delta14c - p)), Infinity);
  const [old, median, young] = [0.025, 0.5, 0.975].map((level) => quantile(density, logK, level));
  return {
    logK,
    density,
    predicted,
    age: {
      mean: density.reduce((sum, d, i) => sum + d * Math.exp(-logK[i]), 0) * step,
      median: Math.exp(-median),
      p025: Math.exp(-young),
      p975: Math.exp(-old),
    },
    modes: modesOf(density, logK),
    unexplained: nearest / sd > UNEXPLAINED_SD,
  };
}

/** Quantile of log k; each node stands for a cell around it. */
function quantile(density, logK, level) {
  const step = logK[1] - logK[0];
  const total = density.reduce((a, b) => a + b);
  let below = 0;
  for (let i = 0; i < density.length; i++) {
    const above = below + density[i] / total;
    if (above >= level || i === density.length - 1) {
      const part = above > below ? (level - below) / (above - below) : 0.5;
      const at = logK[i] + step * (Math.max(0, Math.min(1, part)) - 0.5);
      return Math.max(logK[0], Math.min(logK[logK.length - 1], at));
    }
    below = above;
  }
}

/** Separate modes: the density is cut at its local minima, and the mass between two cuts is a mode's probability. */
function modesOf(density, logK) {
  const size = density.length;
  const step = logK[1] - logK[0];
  const starts = [0];
  for (let i = 1; i < size - 1; i++) if (density[i] < density[i - 1] && !(density[i + 1] < density[i])) starts.push(i);
  const modes = starts.map((start, n) => {
    const end = n + 1 < starts.length ? starts[n + 1] : size;
    let [mass, top] = [0, start];
    for (let i = start; i < end; i++) {
      mass += density[i] * step;
      if (density[i] > density[top]) top = i;
    }
    return { age: Math.exp(-logK[top]), probability: mass };
  });
  const kept = modes.filter((mode) => mode.probability >= MODE_FLOOR);
  return kept.sort((a, b) => b.probability - a.probability).slice(0, MAX_MODES);
}
