"""What the cells of the maps range over."""

from __future__ import annotations

import numpy as np
import pytest

from bayes_rootc.data.grid import MapGrid
from bayes_rootc.mapping.ranges import CLASSES, REACH, Ranges, range_table
from bayes_rootc.mapping.variables import EVERY_MAP, FLAT, MAP_LAYERS
from bayes_rootc.mapping.writers import create_store, open_store, write_tile

WIDTH = 2 * REACH / CLASSES
"""Width of a class relative to its values."""


def test_quantiles_of_cells_and_of_their_area_are_those_of_sorting():
    rng, n = np.random.default_rng(1), 20_000
    values, area, biome = rng.normal(1, 2, n), rng.uniform(1, 9, n), rng.integers(0, 3, n)
    values[:50] = np.nan
    ranges = Ranges()
    for part in np.array_split(np.arange(n), 3):
        ranges.add(values[part], biome[part], area[part])
    for b, here in ((0, biome > 0), (2, biome == 2)):
        here = here & np.isfinite(values)
        row, order = ranges.row(b), np.argsort(values[here])
        assert row["cells"] == here.sum()
        below = np.cumsum(area[here][order]) / area[here].sum()
        for name, level in (("p025", 0.025), ("median", 0.5), ("p975", 0.975)):
            gap = 2 / (0.058 * here.sum())  # between neighbours of a Normal of sd 2 at the rarest of these quantiles
            want = np.quantile(values[here], level)
            assert row[f"cell_{name}"] == pytest.approx(want, rel=WIDTH, abs=4 * gap)
            want = values[here][order][np.searchsorted(below, level)]
            assert row[name] == pytest.approx(want, rel=WIDTH, abs=4 * gap)


def test_the_table_weighs_cells_by_their_area_and_counts_them(tmp_path):
    """Two rows of cells, at 75° and 15° N: I_root 1 in the north, 3 in the south; the latter has 0.79 of the area."""
    grid = MapGrid(30.0, (-180, 0, 180, 90)).rows(0, 3)
    create_store(tmp_path / "maps.zarr", grid, 16)
    store = open_store(tmp_path / "maps.zarr", write=True)
    index = np.r_[0:12, 24:36]
    value = np.repeat([1.0, 3.0], 12)
    fields = dict.fromkeys(EVERY_MAP.layered, np.zeros((24, 8), np.float32)) | dict.fromkeys(
        FLAT, np.zeros(24, np.float32)
    )
    fields["iroot_median"] = np.outer(value, np.arange(1.0, 9)).astype(np.float32)
    fields["iloss_median"] = -fields["iroot_median"]
    fields["ibulk_median"] = np.tile(np.float32([1, 2, 3, 4, 5, 6, 7, 99]), (24, 1))
    write_tile(store, (0, 0), grid, index, fields, np.repeat([1, 6], 12).astype(np.uint8))
    table = range_table(store, grid).set_index(["biome", "layer", "quantity"])
    assert len(table) == 3 * 8 * 3 and table.index.is_unique
    top, whole = table.loc[(0, MAP_LAYERS[0], "iroot")], table.loc[(0, MAP_LAYERS[-1], "iroot")]
    assert (top["cells"], top["p025"], top["cell_p975"]) == (
        24,
        pytest.approx(1, rel=WIDTH),
        pytest.approx(3, rel=WIDTH),
    )
    south = np.sin(np.radians(30)) / (np.sin(np.radians(30)) + 1 - np.sin(np.radians(60)))
    assert top["mean"] == pytest.approx(1 + 2 * south, rel=1e-5)
    assert top["median"] == pytest.approx(3, rel=WIDTH)
    assert top["cell_median"] == pytest.approx(1, rel=WIDTH)
    assert whole["p975"] == pytest.approx(24, rel=WIDTH)
    assert table.loc[(1, MAP_LAYERS[1], "iloss"), "median"] == pytest.approx(-2, rel=WIDTH)
    assert table.loc[(6, MAP_LAYERS[0], "ibulk"), "p975"] == pytest.approx(1, rel=WIDTH)
    assert table.loc[(6, MAP_LAYERS[-1], "ibulk"), "mean"] == pytest.approx(28)  # of the layers, not of their sum
