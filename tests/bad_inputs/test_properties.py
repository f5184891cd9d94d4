"""What holds for any input: loaders refuse in one line or read, and the numerical core keeps its laws."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from bayes_rootc.constants import GAMMA
from bayes_rootc.data.atmosphere import ATMOSPHERE_ZONES, Atmosphere
from bayes_rootc.data.grid import MapGrid
from bayes_rootc.esm.grids import ModelGrid
from bayes_rootc.mapping.forest import CompiledForest
from bayes_rootc.mapping.maps import LandCells
from bayes_rootc.mapping.monte_carlo import LogNormals, independent_statistics
from bayes_rootc.models.radiocarbon import delta14c, invert
from tests.bad_inputs.loaders import TABLES, TOML, Loader

pytestmark = pytest.mark.thorough


def every(examples: int) -> settings:
    """So many examples, the same in each run."""
    return settings(max_examples=examples, deadline=None, derandomize=True)


NUMBERS = "nan NA inf -inf 1e309 -1e308 1e9 95 -0 0x1F 1_000 1,5 ٣ ½".split()
STRANGE = st.sampled_from(
    [*NUMBERS, *'" =1+1 None true 2020-01-01 🌱'.split(), "", " ", "\0", "\n", "\ufeff", "9" * 400]
)
CELLS = st.one_of(STRANGE, st.floats(allow_subnormal=True).map(repr), st.integers().map(str), st.text(max_size=8))


@pytest.fixture(scope="module", params=TABLES)
def table(request, tmp_path_factory) -> tuple[Loader, object]:
    return TABLES[request.param], tmp_path_factory.mktemp(request.param)


@pytest.fixture(scope="module", params=TOML)
def toml(request, tmp_path_factory) -> tuple[Loader, object]:
    return TOML[request.param], tmp_path_factory.mktemp(request.param)


def test_good_content_is_read(table, toml):
    for loader, folder in (table, toml):
        assert loader.refusal(folder, loader.good.encode()) is None


@every(60)
@given(data=st.data())
def test_any_text_in_cells_of_a_table_is_read_or_refused(table, data):
    loader, folder = table
    rows = list(csv.reader(io.StringIO(loader.good)))
    for _ in range(data.draw(st.integers(1, 3))):
        row = rows[data.draw(st.integers(0 if data.draw(st.booleans()) else 1, len(rows) - 1))]
        row[data.draw(st.integers(0, len(row) - 1))] = data.draw(CELLS)
    content = io.StringIO()
    csv.writer(content).writerows(rows)
    loader.refusal(folder, content.getvalue().encode(errors="replace"))


@every(30)
@given(column=st.lists(CELLS, min_size=3, max_size=3), at=st.integers(0, 20))
def test_any_text_in_a_column_of_a_table_is_read_or_refused(table, column, at):
    loader, folder = table
    rows = list(csv.reader(io.StringIO(loader.good)))
    for row, cell in zip(rows[1:], column, strict=False):
        row[at % len(row)] = cell
    content = io.StringIO()
    csv.writer(content).writerows(rows)
    loader.refusal(folder, content.getvalue().encode(errors="replace"))


@every(60)
@given(text=st.one_of(st.text(st.sampled_from('a1,;"\n\r\t \0.-'), max_size=60), st.text(), st.binary()))
def test_any_file_in_place_of_a_table_is_read_or_refused(table, text):
    loader, folder = table
    content = text if isinstance(text, bytes) else text.encode(errors="replace")
    for whole in (content, loader.good.encode() + content, loader.good.partition("\n")[0].encode() + b"\n" + content):
        loader.refusal(folder, whole)


VALUES = st.recursive(
    st.one_of(
        st.integers(), st.floats(), st.booleans(), st.text(max_size=6), st.sampled_from([-1, 10**400, "a\0b", "out"])
    ),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=6,
)


def written(value: object) -> str:
    """A value in TOML."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return '"' + "".join(f"\\U{ord(c) if not 0xD800 <= ord(c) < 0xE000 else 63:08x}" for c in value) + '"'
        case list():
            return f"[{', '.join(map(written, value))}]"
    return repr(value)


@every(150)
@given(data=st.data())
def test_any_value_of_a_setting_is_read_or_refused(toml, data):
    loader, folder = toml
    lines = loader.good.splitlines()
    keys = [i for i, line in enumerate(lines) if "=" in line]
    at = data.draw(st.sampled_from(keys))
    lines[at] = f"{lines[at].partition('=')[0]}= {written(data.draw(VALUES))}"
    loader.refusal(folder, "\n".join(lines).encode())


@every(100)
@given(text=st.one_of(st.text(st.sampled_from("a1=[]{}.\"\n# '-"), max_size=40), st.text(), st.binary()))
def test_any_file_in_place_of_toml_is_read_or_refused(toml, text):
    loader, folder = toml
    content = text if isinstance(text, bytes) else text.encode(errors="replace")
    for whole in (content, loader.good.encode() + content):
        loader.refusal(folder, whole)


LOG_K = st.floats(np.log(1e-6), np.log(10.0))
ZONES = st.sampled_from(ATMOSPHERE_ZONES)


@every(200)
@given(log_k=LOG_K, year=st.floats(1950, 2039), zone=ZONES)
def test_a_pool_stays_between_the_extremes_of_what_feeds_it(log_k, year, zone):
    """Above by the highest atmosphere; below by the steady state under the lowest one, which decay keeps lower."""
    k, air = np.exp(log_k), Atmosphere.packaged()
    for prehistory, curves in (("steady", [air.bomb(zone)]), ("intcal20", [air.bomb(zone), air.history(zone)])):
        fed = np.concatenate([curve.delta14c for curve in curves])
        lowest, highest = ((fed.min() / 1000 + 1) * k / (k + GAMMA) - 1) * 1000, fed.max()
        got = float(delta14c(k, year, zone, prehistory))
        assert np.isfinite(got) and lowest - 1e-6 <= got <= highest + 1e-6


@every(100)
@given(log_k=st.floats(np.log(1e-4), np.log(1.0)), year=st.floats(1950, 2020), zone=ZONES, sigma=st.floats(1, 10))
def test_every_mode_of_an_inversion_reproduces_the_measurement(log_k, year, zone, sigma):
    measured = delta14c(np.exp(log_k), year, zone)
    found = invert(measured, sigma, year, zone)
    modes = found["mode_k"].values[0, : int(found["n_modes"][0])]
    sd = np.hypot(sigma, Atmosphere.packaged().bomb(zone).sd_at(year))
    assert len(modes) and not bool(found["unexplained"][0])
    assert (np.abs(delta14c(modes, year, zone) - measured) < 4 * sd).all()


@every(30)
@given(
    seed=st.integers(0, 10_000),
    kind=st.sampled_from([RandomForestRegressor, ExtraTreesRegressor]),
    leaf=st.integers(1, 20),
    trees=st.integers(1, 6),
    rows=st.integers(1, 300),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_a_compiled_forest_says_what_the_forest_says(seed, kind, leaf, trees, rows, scale):
    rng = np.random.default_rng(seed)
    X = (scale * rng.standard_normal((90, 4))).round(int(1 - np.log10(scale))).astype(np.float32)
    forest = kind(trees, min_samples_leaf=leaf, random_state=seed).fit(X, rng.standard_normal(90))
    new = np.concatenate([X, scale * 3 * rng.standard_normal((rows, 4))]).astype(np.float32)
    each = np.stack([tree.predict(new) for tree in forest.estimators_], axis=1)
    compiled = CompiledForest(forest)
    np.testing.assert_array_equal(compiled.members(new), each.astype(np.float32))
    np.testing.assert_allclose(compiled.mean_and_std(new)[0], forest.predict(new), rtol=0, atol=1e-10)


EDGES = st.lists(st.floats(0.001, 0.999), min_size=1, max_size=40, unique=True).map(sorted)


@every(60)
@given(
    lat=EDGES, lon=EDGES, west=st.floats(-360, 360), turned=st.booleans(), cell=st.sampled_from([2.0, 5.0, 7.5, 30.0])
)
def test_every_map_cell_is_shared_out_whole(lat, lon, west, turned, cell):
    lat_edges = -90 + 180 * np.r_[0, lat, 1]
    lat_edges, lon_edges = lat_edges[::-1] if turned else lat_edges, west + 360 * np.r_[0, lon, 1]
    centres = [(edges[1:] + edges[:-1]) / 2 for edges in (lat_edges, lon_edges)]
    grid = MapGrid(cell)
    count = grid.shape[0] * grid.shape[1]
    cells = LandCells(grid, np.arange(count), np.ones(count, np.int64), np.empty((count, 0), np.float32))
    overlap = ModelGrid(*centres, lat_edges, lon_edges).overlap(cells)
    assert overlap.data.min() >= 0
    np.testing.assert_allclose(overlap.sum(axis=0), cells.area_ha, rtol=1e-7)


@every(25)
@given(
    seed=st.integers(0, 2**31 - 1), cuts=st.lists(st.integers(1, 299), max_size=4, unique=True), shuffled=st.booleans()
)
def test_statistics_do_not_depend_on_how_cells_are_cut(seed, cuts, shuffled):
    rng, n = np.random.default_rng(seed), 300
    shares = rng.dirichlet(np.ones(7), (20, 9))
    cells = {
        "root_mean": rng.normal(0.5, 0.5, n),
        "root_sd": rng.uniform(0.1, 0.8, n),
        "bulk_mean": rng.normal(-2, 0.5, (n, 7)),
        "bulk_sd": rng.uniform(0.1, 0.8, (n, 7)),
        "biome": rng.integers(1, 10, n),
        "cell": rng.choice(10**9, n, replace=False),
    }

    def of(rows: np.ndarray) -> dict[str, np.ndarray]:
        part = LogNormals(**{name: values[rows] for name, values in cells.items()})
        return independent_statistics(part, shares, members=40, seed=seed, profile_correlation=0.3)

    order = rng.permutation(n) if shuffled else np.arange(n)
    whole, parts = of(np.arange(n)), [of(rows) for rows in np.split(order, sorted(cuts))]
    for name, values in whole.items():
        joined = np.concatenate([part[name] for part in parts])
        np.testing.assert_allclose(joined, values[order], rtol=2e-4, atol=2e-5, err_msg=name)
