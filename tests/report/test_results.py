"""The reader of an output folder: what is there, once, and a clear word on what is not."""

from __future__ import annotations

import pytest

from bayes_rootc.errors import InputError
from bayes_rootc.report.results import TABLES, Results


def test_every_table_of_the_folder_is_read(finished):
    results = Results.read(finished)
    assert all(len(results.table(name)) > 0 for name in TABLES)
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


def test_an_unknown_table_lists_the_choices(finished):
    with pytest.raises(InputError, match=r"`site` is not a table of a run, choose from checks"):
        Results.read(finished).table("site")
