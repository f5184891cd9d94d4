// Fills a picture with the cells of a map. As parallels are straight, each row of pixels has one latitude, and the cell
// of a pixel follows from its place in the row.

import { parallelAt } from "./projection.mjs";

/** Pixels between two lines of the hatching, and the width of one. */
const HATCH = [9, 1.3];

/** Paints `view` ({x, y} of the top left corner, `scale` in pixels a unit) into `pixels` (one number each).
 *  `look(tile)` gives {cols, left, right, outside} of a tile, or null: colours of its places on both sides of the pixel
 *  column `split`, and whether they are hatched. */
export function paint(pixels, width, height, view, level, grid, look, split, ratio) {
  pixels.fill(0);
  const round = 360 / level.width;
  const [period, thick] = [Math.round(HATCH[0] * ratio), HATCH[1] * ratio];
  for (let py = 0; py < height; py++) {
    const at = parallelAt(view.y - (py + 0.5) / view.scale);
    if (!at) continue;
    const row = Math.floor((grid.north - at.lat) / level.height);
    if (row < 0 || row >= level.rows) continue;
    const tileRow = Math.floor(row / level.side);
    const inRow = row - tileRow * level.side;
    const perPixel = 1 / view.scale / at.perDegree; // degrees
    const first = Math.max(0, Math.ceil((-180 - view.x / at.perDegree) / perPixel - 0.5));
    const last = Math.min(width - 1, Math.floor((180 - view.x / at.perDegree) / perPixel - 0.5));
    let lon = view.x / at.perDegree + (first + 0.5) * perPixel;
    let tileCol = -1;
    let tile = null;
    let offset = 0;
    for (let px = first; px <= last; px++, lon += perPixel) {
      let col = (lon - grid.west) / level.width;
      if (col < 0) col += round;
      else if (col >= round) col -= round;
      if (col >= level.cols) continue;
      col |= 0;
      const here = (col / level.side) | 0;
      if (here !== tileCol) {
        tileCol = here;
        tile = look(tileRow, tileCol);
        offset = tile ? inRow * tile.cols - tileCol * level.side : 0;
      }
      if (!tile) continue;
      const place = offset + col;
      let colour = px < split ? tile.left[place] : tile.right[place];
      if (colour && tile.outside && tile.outside[place] && (px + py) % period < thick)
        colour = (((colour >>> 1) & 0x7f7f7f) | 0xff000000) >>> 0;
      pixels[py * width + px] = colour;
    }
  }
}
