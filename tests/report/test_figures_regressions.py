"""Figures of the regressions: the grid of coefficients, cell by cell, and forests and ridges of posteriors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_rootc.constants import BIOMES
from bayes_rootc.models.root_depth import DEPTHS
from bayes_rootc.report.figures_regressions import (
    PANELS,
    UNCERTAIN,
    explained,
    figure_2,
    figure_forest,
    figure_ridge,
    save_regression_figures,
)
from bayes_rootc.report.results import Results
from bayes_rootc.report.style import BIOME_LABELS
from tests.drawn import legible, row_names, texts, title, varied_results
from tests.report.conftest import made_up

COEFFICIENTS = {"intercept": "intercept", "soil 1": "soil", "climate 1": "climate", "layer bottom": "depth"}
ROWS = ["all", *BIOMES.values()]
UNSEEN = BIOMES[7]


def coefficients() -> pd.DataFrame:
    """A table of coefficients: some clear of 0, some not; tundra has no record, and depth is far stronger than all."""
    rng = np.random.default_rng(1)
    rows = []
    for name, group in COEFFICIENTS.items():
        for i, biome in enumerate(ROWS):
            median = rng.normal(0, 0.3) - 5 * (group == "depth")
            half = rng.uniform(0.02, 0.5)
            records = 0 if biome == UNSEEN else 10 + i
            row = {"coefficient": name, "group": group, "biome": biome, "records": records, "median": median}
            rows.append(row | {"mean": median, "p025": median - half, "p975": median + half})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def results(land, tmp_path_factory) -> Results:
    found = varied_results(tmp_path_factory.mktemp("regressions"), land.folder.parent)
    table = made_up("drivers_ibulk", *coefficients().to_dict("records"))
    table.to_csv(found.out / "tables" / "drivers_ibulk.csv", index=False)
    return found


def grids(axes) -> list:
    """The axes that are no colour bars."""
    return [ax for ax in axes if ax.get_label() != "<colorbar>"]


def test_every_cell_of_the_grid_is_the_coefficient_of_its_biome(results):
    ax = grids(figure_2(results))[1]
    table = coefficients().query("group != 'intercept'")
    columns = [name for name in COEFFICIENTS if name != "intercept"]
    assert [label.get_text() for label in ax.get_xticklabels()] == columns
    counts = [10, *(0 if name == UNSEEN else 11 + i for i, name in enumerate(BIOMES.values()))]
    names = ["mean of biomes", *BIOME_LABELS.values()]
    assert row_names(ax) == [f"{name} ({n})" for name, n in zip(names, counts, strict=True)]
    median = table.pivot(index="biome", columns="coefficient", values="median").loc[ROWS, columns].to_numpy()
    low, high = (
        table.pivot(index="biome", columns="coefficient", values=c).loc[ROWS, columns] for c in ("p025", "p975")
    )
    known = np.array([biome != UNSEEN for biome in ROWS])[:, None] & np.ones(3, bool)
    clear = ((low > 0) | (high < 0)).to_numpy() & known
    assert 0 < clear.sum() < known.sum()
    grey, coloured = (np.ma.getmaskarray(image.get_array()) for image in ax.images)
    np.testing.assert_array_equal(~grey, known)  # blank without records
    np.testing.assert_array_equal(~coloured, clear)  # grey where the interval spans 0
    np.testing.assert_allclose(ax.images[1].get_array()[clear], median[clear])
    written = {text.get_position(): text.get_text() for text in ax.texts}
    assert written == {(j, i): f"{round(median[i, j], 2) + 0:.2f}" for i, j in np.argwhere(known)}
    strongest = abs(median[:, :2][clear[:, :2]]).max()  # depth, which would pale the others, does not count
    assert ax.images[1].get_clim() == pytest.approx((-strongest, strongest))
    assert ax.images[1].colorbar.ax.get_ylabel() == "change for 1 sd"
    assert ax.get_xlabel() == "principal component, or depth"


def test_a_response_that_was_not_fitted_is_left_out_and_the_others_say_what_they_explain(results, finished, land):
    axes = grids(figure_2(results))
    assert explained(results) == list(PANELS) and len(axes) == 3
    summary = results.table("allocation_summary").iloc[0]
    want = f"{PANELS['allocation']}:  R² {summary['median']:.2f} ({summary['p025']:.2f}–{summary['p975']:.2f})"
    assert title(axes[2]) == want
    (finished / "tables" / "drivers_iroot.csv").unlink()
    table = pd.read_csv(finished / "tables" / "allocation.csv")  # fitted, but with too few sites for components
    table[table["group"] == "intercept"].to_csv(finished / "tables" / "allocation.csv", index=False)
    some = Results.read(finished, data=land.folder.parent)
    assert explained(some) == ["drivers_ibulk"]
    (ax,) = grids(figure_2(some))
    assert title(ax).startswith(PANELS["drivers_ibulk"]) and legible(ax.get_figure(root=True)) == []


def posterior(name: str) -> xr.DataTree:
    """Draws of a regression about values of their own."""
    rng, shape = np.random.default_rng(3), (2, 300)
    noise = 0.1 * rng.standard_normal((*shape, 9, 2))
    biome = {"biome": list(BIOMES.values())}
    if name == "root_depth":
        level = noise + 1 + 0.1 * np.arange(9)[:, None]
        dims = {"slope": ("chain", "draw", "predictor", "depth"), "biome_mean": ("chain", "draw", "biome", "depth")}
        values = {"slope": noise[:, :, :3] + np.arange(6).reshape(3, 2), "biome_mean": level}
        coords = biome | {"predictor": ["climate 1", "climate 2", "climate 3"], "depth": list(DEPTHS)}
    else:
        coefficient = ["intercept", "soil 1", "climate 1"]
        dims = {"mean": ("chain", "draw", "coefficient"), "by_biome": ("chain", "draw", "biome", "coefficient")}
        by_biome = np.concatenate([noise + np.arange(9)[:, None] / 3, noise[..., :1]], axis=-1)
        values = {"mean": noise[:, :, 0][..., [0, 0, 1]] + [7, 0.5, -0.3], "by_biome": by_biome}
        coords = biome | {"coefficient": coefficient}
    data = xr.Dataset({n: (dims[n], v) for n, v in values.items()}, coords)
    components = xr.Dataset(coords={"component": ["climate 1"]})
    tree = xr.DataTree.from_dict({"posterior": data, "components": components})
    tree.attrs["centre"] = 0.7
    return tree


@pytest.mark.parametrize(("name", "unit"), [("drivers_iroot", "Mg C ha⁻¹ yr⁻¹"), ("root_depth", "change for 1 sd")])
def test_a_forest_has_median_and_intervals_of_every_coefficient(name, unit):
    tree = posterior(name)
    names, ax = figure_forest(tree, name)
    draws = tree["posterior"].to_dataset()
    if name == "root_depth":
        shown = draws["slope"].stack(row=("predictor", "depth"))
    else:
        shown = draws["mean"].isel(coefficient=[1, 2])
        assert texts(names) == ["soil 1", "climate 1"]
    values = shown.values.reshape(600, -1)
    points = np.concatenate([c.get_offsets() for c in ax.collections])
    order = np.argsort(-points[:, 1])  # from the top down
    np.testing.assert_allclose(points[order, 0], np.median(values, axis=0), rtol=1e-6)
    bars = [line for line in ax.lines if len(np.unique(line.get_ydata())) == 1]
    for lines, levels in ((bars[: len(points)], (0.025, 0.975)), (bars[len(points) :], (0.25, 0.75))):
        ends = np.array(sorted((-line.get_ydata()[0], *sorted(line.get_xdata())) for line in lines))[:, 1:]
        np.testing.assert_allclose(ends, np.quantile(values, levels, axis=0).T, rtol=1e-6)
    assert unit in ax.get_xlabel()
    (zero,) = (line for line in ax.lines if line.get_color() == UNCERTAIN)
    assert zero.get_xdata()[0] == 0


@pytest.mark.parametrize(("name", "unit"), [("allocation", "logit"), ("root_depth", "(cm)")])
def test_a_ridge_has_the_level_of_every_biome(name, unit):
    """The height of each row's curve is where the draws of that biome are."""
    tree = posterior(name)
    names, ax = figure_ridge(tree, name)
    draws = tree["posterior"].to_dataset()
    level = draws["biome_mean"].sel(depth=DEPTHS[0]) if name == "root_depth" else draws["by_biome"][..., 0] + 0.7
    assert texts(names) == list(BIOME_LABELS.values())
    lines = sorted((line for line in ax.lines if len(line.get_xdata()) > 10), key=lambda line: -line.get_ydata().min())
    for line, biome in zip(lines, BIOMES.values(), strict=True):
        x, y = line.get_data()
        low, high = np.quantile(level.sel(biome=biome), [0.2, 0.8])
        assert low < x[np.argmax(y)] < high
    assert unit in ax.get_xlabel() and "at mean climate" in ax.get_xlabel()


def test_figures_of_posteriors_that_are_there_are_saved(finished, land):
    tree = posterior("root_depth")
    tree.to_netcdf(finished / "posterior" / "root_depth.nc", engine="h5netcdf")
    alone = posterior("allocation")
    alone["components"] = xr.DataTree(xr.Dataset(coords={"component": np.empty(0, str)}))  # there is nothing to compare
    alone.to_netcdf(finished / "posterior" / "allocation.nc", engine="h5netcdf")
    save_regression_figures(Results.read(finished, data=land.folder.parent), simulated=True)
    names = {path.stem for path in (finished / "figures").glob("*.png")}
    assert names == {"drivers", "root_depth_forest", "root_depth_ridge", "allocation_ridge"}
