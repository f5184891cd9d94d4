// Tests of the page's modules that need no page: `node --test tests/explorer/`.

import assert from "node:assert/strict";
import { test } from "node:test";

const web = new URL("../../bayes_rootc/explorer/web/", import.meta.url);
const load = (name) => import(new URL(`${name}.mjs`, web));
const near = (a, b, tolerance = 1e-9) => assert.ok(Math.abs(a - b) <= tolerance, `${a} is not ${b}`);

test("a place comes back from its projection", async () => {
  const { project, unproject, HEIGHT, WIDTH } = await load("projection");
  for (const [lon, lat] of [
    [0, 0],
    [-179.9, 12.5],
    [100, -89],
    [33.3, 66.6],
    [180, 45],
  ]) {
    const [x, y] = project(lon, lat);
    const [lon2, lat2] = unproject(x, y);
    near(lon, lon2, 1e-6);
    near(lat, lat2, 1e-6);
  }
  assert.equal(unproject(0, HEIGHT * 1.01), null);
  assert.equal(unproject(WIDTH * 1.01, 0), null);
});

test("areas are as on the globe", async () => {
  const { parallel, WIDTH } = await load("projection");
  // Area between two parallels over that of the hemisphere, by strips; on the sphere it is the difference of sines.
  const strip = (low, high, n = 4000) => {
    let sum = 0;
    for (let i = 0; i < n; i++) {
      const [a, b] = [low + ((high - low) * i) / n, low + ((high - low) * (i + 1)) / n].map(parallel);
      sum += (b.y - a.y) * (a.perDegree + b.perDegree) * 180;
    }
    return sum;
  };
  near(strip(0, 30) / strip(0, 90), 0.5, 1e-6);
  near(strip(60, 90) / strip(0, 90), 1 - Math.sin(Math.PI / 3), 1e-6);
  near(strip(0, 90), 2 * Math.PI, 1e-5);
  near(WIDTH, parallel(0).perDegree * 180);
});

test("distances are those of great circles", async () => {
  const { distanceKm } = await load("projection");
  near(distanceKm(0, 0, 0, 90), (6371.0072 * Math.PI) / 2, 1e-6);
  near(distanceKm(10, 179.5, 10, -179.5), distanceKm(10, 0, 10, 1), 1e-6);
});

test("a density has the quantiles that it goes through", async () => {
  const { densityThrough } = await load("density");
  for (const [low, middle, high] of [
    [0.2, 1, 5],
    [-2, 1, 2],
    [-1, 0, 1],
    [0.9, 1, 1.3],
  ]) {
    const of = densityThrough(low, middle, high);
    const [first, last, n] = [middle - 40 * (middle - low), middle + 40 * (high - middle), 400_000];
    const step = (last - first) / n;
    let [sum, found] = [0, []];
    for (let i = 0; i < n; i++) {
      const x = first + (i + 0.5) * step;
      sum += of(x) * step;
      for (const [k, level] of [0.025, 0.5, 0.975].entries()) if (found[k] === undefined && sum >= level) found[k] = x;
    }
    near(sum, 1, 2e-3);
    [low, middle, high].forEach((want, k) => near(found[k], want, 0.01 * (high - low)));
  }
});

test("a log-normal comes back as it is, and what does not increase has no density", async () => {
  const { densityThrough } = await load("density");
  const [m, sd, z] = [0.7, 0.5, 1.959963984540054];
  const of = densityThrough(m * Math.exp(-sd * z), m, m * Math.exp(sd * z));
  for (const x of [0.1, 0.7, 2])
    near(of(x), Math.exp(-0.5 * (Math.log(x / m) / sd) ** 2) / (x * sd * Math.sqrt(2 * Math.PI)), 1e-12);
  assert.equal(densityThrough(1, 1, 2), null);
  assert.equal(densityThrough(1, NaN, 2), null);
});

test("a view comes back from its address", async () => {
  const { read, written } = await load("state");
  const state = {
    q: "iloss",
    s: "p975",
    l: "0-20",
    q2: null,
    s2: null,
    l2: null,
    w: 0.25,
    c: [12.3456, -170.5],
    z: 3.7,
    at: [-33.25, 18.75],
    site: null,
    layer: 4,
    tab: "totals",
    fade: false,
    hatch: true,
    sites: true,
  };
  const back = read(written(state));
  for (const [key, value] of Object.entries(state))
    assert.deepEqual(back[key], value === null ? undefined : value, key);
});

test("an address that somebody has spoilt harms nothing", async () => {
  const { read } = await load("state");
  assert.deepEqual(read("#at=95,10&c=1&z=&w=x&fade=2&__proto__=1&constructor=x&q=%3Cscript%3E"), { q: "<script>" });
  assert.deepEqual(read(""), {});
});

test("numbers have a sensible count of digits", async () => {
  const { number, interval, percent } = await load("dom");
  const texts = [13726.4, 981.35, 2.0829, 0.0449, -1.5, 0, NaN, null, 9.996].map((value) => number(value));
  assert.deepEqual(texts, ["13,700", "981", "2.08", "0.0449", "−1.50", "0", "–", "–", "10.0"]);
  assert.equal(interval(1.52, 1.19, 1.8), "1.52 (1.19 to 1.80)");
  assert.equal(interval(2, 2, 2), "2.00");
  assert.deepEqual([1, 0.5, 0.02, NaN].map(percent), ["> 99 %", "50 %", "2 %", "–"]);
});

test("no cell of a CSV becomes a formula or another cell", async () => {
  const { csv } = await load("dom");
  assert.equal(
    csv(
      ["a", "b"],
      [
        ["=1+1", -2.5],
        ['x, "y"', NaN],
        ["+cmd\nrun", null],
      ],
    ),
    'a,b\n\'=1+1,-2.5\n"x, ""y""",\n"\'+cmd\nrun",\n',
  );
});

test("ticks are round and within limits", async () => {
  const { ticks } = await load("colours");
  assert.deepEqual(ticks(0, 3.9, 4), [0, 1, 2, 3]);
  assert.deepEqual(ticks(-0.52, 1, 4), [-0.5, 0, 0.5, 1]);
  for (const [low, high] of [
    [0.003, 0.0171],
    [-3, 950],
    [1e-6, 2e-6],
  ]) {
    const found = ticks(low, high);
    assert.ok(found.length >= 2 && found.length <= 8 && found[0] >= low - 1e-12 && found.at(-1) <= high * (1 + 1e-9));
  }
});

test("colours end at their limits, fade with doubt, and leave out what is missing", async () => {
  const { Colours, doubtClass } = await load("colours");
  const hex = Array.from({ length: 256 }, (_, i) => `#${i.toString(16).padStart(2, "0").repeat(3)}`);
  const colours = new Colours(hex, [1, 3], false);
  assert.equal(colours.of(0), colours.of(1));
  assert.equal(colours.of(3), colours.of(99));
  assert.equal(colours.of(NaN), 0);
  const red = (colour) => colour & 255;
  const [dark, ...paler] = [0, 1, 2, 3].map((doubt) => red(colours.of(1.1, doubt)));
  paler.reduce((before, now) => (assert.ok(now > before), now), dark);
  assert.deepEqual([0.1, 0.5, 0.6, 1.5, 30].map(doubtClass), [0, 0, 1, 2, 3]);
  const parted = new Colours(hex, [-1, 3], true);
  assert.ok(Math.abs(red(parted.of(0)) - 128) <= 1); // 0 has the colour of the middle
});

test("pixels take the colour of the cell that they lie in", async () => {
  const { paint } = await load("painter");
  const { project } = await load("projection");
  const grid = { north: 90, west: -180 };
  const level = { rows: 18, cols: 36, side: 36, height: 10, width: 10 };
  const left = Uint32Array.from({ length: 18 * 36 }, (_, i) => i + 1);
  const right = left.map((v) => v + 10_000);
  const [width, height, scale] = [400, 200, 70];
  const view = { scale, x: -width / 2 / scale, y: height / 2 / scale };
  const pixels = new Uint32Array(width * height);
  paint(pixels, width, height, view, level, grid, () => ({ cols: 36, left, right, outside: null }), 250, 1);
  for (const [lon, lat] of [
    [5, 5],
    [-95, 35],
    [64, -41],
    [-3, 55],
    [100, 12],
  ]) {
    const [x, y] = project(lon, lat);
    const [px, py] = [Math.floor((x - view.x) * scale), Math.floor((view.y - y) * scale)];
    const cell = Math.floor((90 - lat) / 10) * 36 + Math.floor((lon + 180) / 10) + 1;
    assert.equal(pixels[py * width + px], px < 250 ? cell : cell + 10_000);
  }
  assert.equal(pixels[0], 0); // beyond the globe
});

test("a map across 180° is painted on both sides of it", async () => {
  const { paint } = await load("painter");
  const { project } = await load("projection");
  const level = { rows: 4, cols: 4, side: 4, height: 5, width: 5 };
  const grid = { north: 10, west: 170 };
  const left = Uint32Array.from({ length: 16 }, (_, i) => i + 1);
  const [width, height, scale] = [700, 60, 120];
  const view = { scale, x: -width / 2 / scale, y: height / 2 / scale };
  const pixels = new Uint32Array(width * height);
  paint(pixels, width, height, view, level, grid, () => ({ cols: 4, left, right: left, outside: null }), width, 1);
  const at = (lon, lat) => {
    const [x, y] = project(lon, lat);
    return pixels[Math.floor((view.y - y) * scale) * width + Math.floor((x - view.x) * scale)];
  };
  assert.deepEqual(
    [172.5, 177.5, -177.5, -172.5].map((lon) => at(lon, 7.5)),
    [1, 2, 3, 4],
  );
  assert.equal(at(160, 7.5), 0);
});
