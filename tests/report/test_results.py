"""The reader of an output folder: what is there, once, and a clear word on what is not."""

from __future__ import annotations

import json
import re

import pandas as pd
import pytest
import xarray as xr

from bayes_rootc.errors import InputError
from bayes_rootc.report.captions import caption
from bayes_rootc.report.contents import MAPS_OF, SETTINGS, TURNOVER_VARIABLES, maps_of
from bayes_rootc.report.figures import FIGURES, catalogue
from bayes_rootc.report.figures_learners import figure_blocks, figure_importance
from bayes_rootc.report.figures_maps import figure_one_map
from bayes_rootc.report.figures_turnover import figure_turnover
from bayes_rootc.report.html import render
from bayes_rootc.report.results import LISTED, TURNOVER, Results
from bayes_rootc.schemas import TABLES, needed_columns

from .conftest import made_up

pytestmark = pytest.mark.thorough


def test_every_table_of_the_folder_is_read(finished):
    (finished / "tables" / "of_ones_own.csv").write_text("component,clay\nsoil 1,0.7\n")
    results, tables = Results.read(finished), sorted((finished / "tables").glob("*.csv"))
    assert len(tables) > 40
    for path in tables:
        pd.testing.assert_frame_equal(results.table(path.stem), pd.read_csv(path))
    assert results.maps.sizes["layer"] == 8
    assert results.turnover["posterior"]["log_k"].sizes["layer"] == len(results.table("layers"))
    assert not results.simulated


def test_a_table_is_read_once(finished):
    results = Results.read(finished)
    assert results.table("sites") is results.table("sites")


def test_a_table_without_rows_is_empty(finished):
    (finished / "tables" / "stock_sources.csv").write_text("\n")
    assert Results.read(finished).table("stock_sources").empty


@pytest.mark.parametrize(
    ("lost", "use"),
    [
        ("tables/sites.csv", lambda r: r.table("sites")),
        ("maps/maps.nc", lambda r: r.maps),
        ("posterior/turnover.nc", lambda r: r.turnover),
    ],
)
def test_a_missing_file_is_named(finished, lost, use):
    (finished / lost).unlink()
    with pytest.raises(InputError, match=f"{lost}: not found in the output folder"):
        use(Results.read(finished))


@pytest.mark.parametrize("broken", ["maps/maps.nc", "posterior/turnover.nc"])
def test_a_broken_file_is_named(finished, broken):
    (finished / broken).write_bytes(b"no NetCDF")
    results = Results.read(finished)
    with pytest.raises(InputError, match=f"{broken}: not a readable NetCDF file"):
        _ = results.maps if "maps" in broken else results.turnover


def test_a_folder_without_a_finished_run_is_refused(finished):
    with pytest.raises(InputError, match="no such output folder"):
        Results.read(finished.parent / "nowhere")
    (finished / "run.json").unlink()
    with pytest.raises(InputError, match=r"run\.json: not found"):
        Results.read(finished)


def test_an_unknown_table_lists_the_nearest_of_those_that_are_there(finished):
    says = r"tables/site\.csv: not found in the output folder; choose one of sites, "
    with pytest.raises(InputError, match=says) as error:
        Results.read(finished).table("site")
    there = {path.stem for path in (finished / "tables").glob("*.csv")}
    names, count = re.search(r"choose one of (.*) \((\d+) in all\), or let", error.value.message).groups()
    assert len(set(names.split(", ")) & there) == LISTED and int(count) == len(there)
    for name in ("../run", "../tables/sites", "", "sites.csv"):
        with pytest.raises(InputError, match="not found in the output folder"):
            Results.read(finished).table(name)


@pytest.mark.parametrize("table", [name for name in TABLES if needed_columns(name)])
def test_a_lacking_column_is_named_with_its_file(tmp_path, table):
    known = made_up(table).assign(another=1)
    (tmp_path / "tables").mkdir()
    for column in needed_columns(table):
        known.drop(columns=column).to_csv(tmp_path / "tables" / f"{table}.csv", index=False)
        with pytest.raises(InputError, match=rf"{table}\.csv: lacks the column {column}: not as `bayes-rootc run`"):
            Results(tmp_path).table(table)


def test_a_column_may_be_asked_for(finished):
    with pytest.raises(InputError, match=r"sites\.csv: lacks the column clay, sand: not as"):
        Results(finished).table("sites", "lat", "clay", "sand")


def test_a_lacking_map_is_named_with_its_file(finished_once, tmp_path):
    maps, path = xr.load_dataset(finished_once / "maps" / "maps.nc", engine="h5netcdf"), tmp_path / "maps" / "maps.nc"
    path.parent.mkdir()
    maps.isel(lat=slice(2)).drop_vars("biome").to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InputError, match=r"maps/maps\.nc: lacks biome: not as `bayes-rootc map` writes it"):
        _ = Results(tmp_path).maps
    maps.drop_vars(["lat", "lon"]).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InputError, match=r"maps\.nc: lacks lat, lon: not as"):
        _ = Results(tmp_path).maps


def test_a_lacking_part_of_the_posterior_is_named(finished_once, tmp_path):
    tree, path = xr.load_datatree(finished_once / TURNOVER, engine="h5netcdf"), tmp_path / TURNOVER
    path.parent.mkdir()
    for group, names in TURNOVER_VARIABLES.items():
        for name in names:
            lacking = tree.assign({group: xr.DataTree(tree[group].to_dataset().drop_vars(name))})
            lacking.to_netcdf(path, engine="h5netcdf")
            with pytest.raises(InputError, match=rf"turnover\.nc: lacks {group}/{name}: not as `bayes-rootc fit turn"):
                _ = Results(tmp_path).turnover
        tree.filter(lambda node, group=group: node.name != group).to_netcdf(path, engine="h5netcdf")
        with pytest.raises(InputError, match=f"lacks the group {group}"):
            _ = Results(tmp_path).turnover


@pytest.mark.parametrize("group", ["prior", "prior_predictive"])
def test_a_lacking_prior_is_named(finished, group):
    path = finished / TURNOVER
    tree = xr.load_datatree(path, engine="h5netcdf")
    del tree[group]
    tree.to_netcdf(path, engine="h5netcdf")
    with pytest.raises(InputError, match=rf"turnover\.nc: lacks the group {group}: not as"):
        figure_turnover(Results(finished))


def test_a_lacking_setting_is_named(finished_once, tmp_path):
    record = json.loads((finished_once / "run.json").read_text(encoding="utf-8"))
    for key in SETTINGS:
        few = {name: value for name, value in record["settings"].items() if name != key}
        (tmp_path / "run.json").write_text(json.dumps(record | {"settings": few}), encoding="utf-8")
        with pytest.raises(InputError, match=rf"run\.json: has no `settings\.{key}`: not the record of a run"):
            Results.read(tmp_path)


def test_nothing_else_is_read_for_the_report(finished, land):
    """Every figure, caption and table of the report, from a folder that has nothing but what is said to be read."""
    for path in (finished / "tables").glob("*.csv"):
        table, optional = pd.read_csv(path), ["concordance"] * (path.stem == "learners")
        if path.stem != "turnover_sbc_ranks":  # whose columns are those of the model
            table[needed_columns(path.stem) + optional].to_csv(path, index=False)
    maps = xr.load_dataset(finished / "maps" / "maps.nc", engine="h5netcdf")
    needed = {name for figure in MAPS_OF for name in maps_of(figure, "mean")}
    maps[["biome", *needed]].to_netcdf(finished / "maps" / "maps.nc", engine="h5netcdf")
    tree = xr.load_datatree(finished / TURNOVER, engine="h5netcdf")
    read = {group: tree[group].to_dataset()[names] for group, names in TURNOVER_VARIABLES.items()}
    spreads = list(tree["prior"].to_dataset().data_vars)
    read["posterior"] = tree["posterior"].to_dataset()[[*TURNOVER_VARIABLES["posterior"], *spreads]]
    read |= {group: tree[group].to_dataset() for group in ("prior", "prior_predictive")}
    xr.DataTree.from_dict(read).to_netcdf(finished / TURNOVER, engine="h5netcdf")
    results = Results.read(finished, data=land.folder.parent)
    drawn = [name for name, _, draw in catalogue(results) if len(draw())]
    assert drawn == list(FIGURES)
    assert all(len(caption(results, name)) > 100 for name in drawn)
    assert len(figure_importance(results)) and len(figure_blocks(results))
    assert "<h1>" in render(results, [])


@pytest.mark.parametrize(
    ("layers", "statistics", "drawn"),
    [
        (["0-20", "0-200"], ("mean",), ["iroot_maps", "ibulk_maps", "iloss_maps", "ibulk_t100_maps"]),
        (["20-40"], ("uncertainty", "median"), ["iloss_uncertainty"]),
        (
            ["0-200"],
            ("mean", "p025", "p975", "probability", "applicability"),
            ["loss_map", "production_maps", "iroot_maps", "ibulk_maps", "iloss_maps", "ibulk_t100_maps"],
        ),
        (["0-20"], ("probability",), []),
    ],
)
def test_figures_of_maps_that_were_not_made_are_left_out_and_named(finished, land, layers, statistics, drawn):
    """Those whose maps were made show the layers that there are."""
    path = finished / "maps" / "maps.nc"
    maps = xr.load_dataset(path, engine="h5netcdf").sel(layer=layers)
    maps[[n for n in maps.data_vars if str(n).endswith((*statistics, "biome"))]].to_netcdf(path, engine="h5netcdf")
    results = Results.read(finished, data=land.folder.parent)
    found = {name: draw for name, _, draw in catalogue(results) if name in MAPS_OF}
    assert [*found] == drawn
    for name in set(drawn) - {"loss_map", "production_maps"}:
        titles = [ax.get_title(loc="left") for ax in found[name]()]
        panels = [title for title in titles if title.endswith("cm")]
        assert len(panels) == len(layers), titles
        shown = " and ".join(layer.replace("-", "–") for layer in layers)
        assert f" in {shown} cm" in caption(results, name)
    text = render(results, [])
    for name in MAPS_OF:
        assert (FIGURES[name][0] in text) == (name not in found)


def test_a_single_map_that_was_not_made_is_refused(finished):
    maps = Results.read(finished).maps.drop_vars("iloss_p975").sel(layer=["0-20"])
    with pytest.raises(InputError, match="the maps have no iloss_p975, layer 0-200; make them with"):
        figure_one_map(maps, "iloss", "0-200")
    assert len(figure_one_map(maps, "iroot", "0-20"))


def test_the_caption_of_the_drivers_does_without_a_regression_that_was_not_fitted(finished):
    for name in ("drivers_ibulk_summary", "allocation_biome"):
        (finished / "tables" / f"{name}.csv").unlink()
    assert "explain – of what varies in I_bulk, and 50 % (40 to 65) in I_root" in caption(Results(finished), "drivers")


def test_the_caption_of_the_reliability_names_what_was_learnt(finished):
    assert "I_root 95 %, I_bulk 95 %, f_BNPP 95 %" in caption(Results(finished), "learners_reliability")


def test_the_caption_says_where_two_families_of_rates_agree(finished):
    path = finished / "tables" / "persistence.csv"
    table = pd.read_csv(path)
    more = table[table["family"] == "log-normal"].assign(family="two pools")
    early = more["t_years"] < 30
    more.loc[early, "ibulk_median"] *= 1.5
    pd.concat([table, more]).to_csv(path, index=False)
    text = caption(Results(finished), "persistence")
    assert "agree within 10 % on the input that stays longer than 30, 100 and 300 years" in text
    assert "two pools give more or less: 1.5 times as much after 0, 1.5 times as much after 1, 1.5" in text
