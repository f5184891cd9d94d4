// Lines of the map as paths of the projection.

import { parallel, project } from "./projection.mjs";

/** Lines of hundredths of a degree, each pair after the first as a difference, as a path of the projection. */
export function pathOf(lines, closed) {
  const path = new Path2D();
  for (const line of lines) {
    let [lon, lat] = [0, 0];
    for (let i = 0; i + 1 < line.length; i += 2) {
      lon += line[i];
      lat += line[i + 1];
      const [x, y] = project(lon / 100, lat / 100);
      if (i) path.lineTo(x, y);
      else path.moveTo(x, y);
    }
    if (closed) path.closePath();
  }
  return path;
}

let lines = null;
/** Parallels every 30° and meridians every 60°. */
export function graticule() {
  if (lines) return lines;
  lines = new Path2D();
  for (let lat = -60; lat <= 60; lat += 30) {
    const { y, perDegree } = parallel(lat);
    lines.moveTo(-180 * perDegree, y);
    lines.lineTo(180 * perDegree, y);
  }
  for (let lon = -180; lon <= 180; lon += 60)
    for (let lat = -90; lat <= 90; lat += 3) lines[lat === -90 ? "moveTo" : "lineTo"](...project(lon, lat));
  return lines;
}
