// The maps: where a cell is, which tile has it, and its values, unpacked when they are first asked for.

import { bits, inflated, unpacked, valueOf } from "./codec.mjs";

/** Most files that are kept unpacked, where maps are in tiles. */
const KEPT = 600;

export class Atlas {
  /** `about`: what the page says of the maps; `load`: gives the content of a tile's file, by name. */
  constructor(about, load) {
    this.about = about;
    this.load = load;
    this.present = new Set(about.present);
    this.files = new Map();
    const { rows, cols, north, south, west, east } = about.grid;
    this.cell = { height: (north - south) / rows, width: (east - west) / cols };
    const one = about.tiles === null;
    const coarsest = Math.max(...about.present.map((name) => Number(name.split("/")[0])), 0);
    this.levels = Array.from({ length: coarsest + 1 }, (_, n) => ({
      rows: Math.ceil(rows / 2 ** n),
      cols: Math.ceil(cols / 2 ** n),
      side: one ? Math.max(rows, cols) : about.side,
      height: this.cell.height * 2 ** n,
      width: this.cell.width * 2 ** n,
    }));
  }

  /** The coarsest level whose cells are at most as many degrees wide. */
  levelFor(degrees) {
    let level = 0;
    while (level + 1 < this.levels.length && this.levels[level + 1].width <= degrees) level++;
    return level;
  }

  /** Row, column, tile and centre of the cell of the finest maps at a place; null where there is none. */
  cellAt(lat, lon) {
    const { north, west, rows, cols } = this.about.grid;
    const row = Math.floor((north - lat) / this.cell.height);
    const col = Math.floor(((((lon - west) % 360) + 360) % 360) / this.cell.width);
    if (row < 0 || row >= rows || col >= cols) return null;
    const { side } = this.levels[0];
    const east = west + (col + 0.5) * this.cell.width;
    return {
      row: row % side,
      col: col % side,
      tile: `0/${Math.floor(row / side)}/${Math.floor(col / side)}`,
      lat: north - (row + 0.5) * this.cell.height,
      lon: east > 180 ? east - 360 : east,
    };
  }

  /** Rows and columns of a tile, and the number of the land cell at each of its places, -1 at sea. */
  land(tile) {
    return this.kept(`${tile}/cells`, async (content) => {
      const [level, row, col] = tile.split("/").map(Number);
      const { rows, cols, side } = this.levels[level];
      const shape = { rows: Math.min(side, rows - row * side), cols: Math.min(side, cols - col * side) };
      const land = bits(await inflated(content), shape.rows * shape.cols);
      let count = 0;
      const index = Int32Array.from(land, (one) => (one ? count++ : -1));
      return { ...shape, index, count };
    });
  }

  /** Layers of a variable in a tile. */
  layers(tile, name) {
    return this.kept(`${tile}/${name}`, async (content) => {
      const { base } = this.about.variables[name];
      const [bytes, land, reference] = await Promise.all([
        inflated(content),
        this.land(tile),
        base ? this.layers(tile, base) : null,
      ]);
      return unpacked(bytes, land.count, reference);
    });
  }

  kept(name, make) {
    let found = this.files.get(name);
    if (!found) {
      found = this.load(name).then(make);
      found.catch(() => this.files.delete(name));
      this.files.set(name, found);
      if (this.about.tiles !== null && this.files.size > KEPT) this.files.delete(this.files.keys().next().value);
    }
    return found;
  }

  /** Number of a layer in a variable; -1 where it has no such layer. */
  layerOf(name, layer) {
    return this.about.variables[name].layered
      ? this.about.layers.indexOf(layer)
      : layer === this.about.layers[0]
        ? 0
        : -1;
  }

  /** Variables from which a statistic of a quantity is made. */
  sources(quantity, statistic) {
    const own = `${quantity}_${statistic}`;
    if (own in this.about.variables) return [own];
    if (statistic !== "uncertainty") return [];
    const middle = [`${quantity}_mean`, `${quantity}_median`].find((name) => name in this.about.variables);
    return middle ? [middle, `${quantity}_p025`, `${quantity}_p975`] : [];
  }

  /** Values of all land cells of a tile, NaN where there is none; null if the maps lack the layer or the statistic. */
  async values(tile, quantity, statistic, layer) {
    const names = this.sources(quantity, statistic);
    const at = names.map((name) => this.layerOf(name, layer));
    if (!names.length || at.some((n) => n < 0)) return null;
    const fields = await Promise.all(names.map((name) => this.layers(tile, name)));
    const read = names.map((name, n) => reader(fields[n][at[n]], this.about.variables[name]));
    const count = fields[0][0].steps.length;
    if (names.length === 1) return Float32Array.from({ length: count }, (_, i) => read[0](i));
    return Float32Array.from({ length: count }, (_, i) => (read[2](i) - read[1](i)) / 2 / Math.abs(read[0](i)));
  }

  /** Everything that the maps say of a cell: `biome`, and `of[quantity][statistic]`, one value a layer. Null at sea. */
  async everything(cell) {
    if (!cell || !this.present.has(cell.tile)) return null;
    const land = await this.land(cell.tile);
    const i = land.index[cell.row * land.cols + cell.col];
    if (i < 0) return null;
    const of = {};
    let biome = null;
    for (const [name, variable] of Object.entries(this.about.variables)) {
      const layers = await this.layers(cell.tile, name);
      const values = layers.map((layer) => reader(layer, variable)(i));
      if (name === "biome") biome = values[0];
      else {
        const [quantity, statistic] = split(name);
        (of[quantity] ??= {})[statistic] = values;
      }
    }
    for (const found of Object.values(of)) {
      const middle = found.mean ?? found.median;
      if (middle && found.p025 && found.p975 && !found.uncertainty)
        found.uncertainty = middle.map((m, n) => (found.p975[n] - found.p025[n]) / 2 / Math.abs(m));
    }
    return { biome, of };
  }
}

function reader({ steps, known }, scale) {
  return known ? (i) => (known[i] ? valueOf(steps[i], scale) : NaN) : (i) => valueOf(steps[i], scale);
}

/** Quantity and statistic of a variable's name. */
function split(name) {
  const at = name.lastIndexOf("_");
  return [name.slice(0, at), name.slice(at + 1)];
}
