// Equal Earth (Šavrič et al. 2018), on a sphere of radius 1: as in our figures. Parallels are straight, so a picture is
// painted row by row: a row of pixels has one latitude.

const [A1, A2, A3, A4] = [1.340264, -0.081106, 0.000893, 0.003796];
const M = Math.sqrt(3) / 2;
const DEGREE = Math.PI / 180;

/** Northing of a latitude (degrees), and easting of one degree of longitude there. */
export function parallel(lat) {
  const t = Math.asin(M * Math.sin(lat * DEGREE));
  return { y: northing(t), perDegree: eastingPerDegree(t) };
}

/** Latitude (degrees) of a northing, and easting of one degree there; null beyond the poles. */
export function parallelAt(y) {
  if (Math.abs(y) > HEIGHT) return null;
  let t = y / A1;
  for (let i = 0; i < 6; i++) {
    const t2 = t * t;
    const t6 = t2 * t2 * t2;
    t -= (northing(t) - y) / (A1 + 3 * A2 * t2 + t6 * (7 * A3 + 9 * A4 * t2));
  }
  return { lat: Math.asin(Math.max(-1, Math.min(1, Math.sin(t) / M))) / DEGREE, perDegree: eastingPerDegree(t) };
}

/** Easting and northing of a place. */
export function project(lon, lat) {
  const { y, perDegree } = parallel(lat);
  return [lon * perDegree, y];
}

/** Longitude and latitude of a point; null off the globe. */
export function unproject(x, y) {
  const at = parallelAt(y);
  if (!at) return null;
  const lon = x / at.perDegree;
  return Math.abs(lon) > 180 ? null : [lon, at.lat];
}

function northing(t) {
  const t2 = t * t;
  const t6 = t2 * t2 * t2;
  return t * (A1 + A2 * t2 + t6 * (A3 + A4 * t2));
}

function eastingPerDegree(t) {
  const t2 = t * t;
  const t6 = t2 * t2 * t2;
  return (DEGREE * Math.cos(t)) / (M * (A1 + 3 * A2 * t2 + t6 * (7 * A3 + 9 * A4 * t2)));
}

/** Northing of the pole, and easting of 180° at the equator. */
export const HEIGHT = northing(Math.PI / 3);
export const WIDTH = 180 * eastingPerDegree(0);

const EARTH_KM = 6371.0072;

/** Great-circle distance, km. */
export function distanceKm(lat1, lon1, lat2, lon2) {
  const half = (a, b) => Math.sin(((b - a) * DEGREE) / 2) ** 2;
  const h = half(lat1, lat2) + Math.cos(lat1 * DEGREE) * Math.cos(lat2 * DEGREE) * half(lon1, lon2);
  return 2 * EARTH_KM * Math.asin(Math.min(1, Math.sqrt(h)));
}
