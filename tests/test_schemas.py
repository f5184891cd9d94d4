"""Schemas of the tables: a run keeps them, and what does not is not written."""

from __future__ import annotations

import pandas as pd
import pytest

from bayes_rootc.files import write_csv
from bayes_rootc.schemas import COLUMNS, STATISTICS, TABLES, require_schema
from tests.report.conftest import made_up

GOOD = made_up("stock_sources")


def test_every_table_of_a_run_keeps_its_schema_when_it_is_read_again(quick_run):
    for path in (quick_run / "tables").glob("*.csv"):
        require_schema(path.stem, pd.read_csv(path))


@pytest.mark.parametrize(
    ("name", "table", "says"),
    [
        ("stock_source", GOOD, "stock_source.csv has no schema"),
        (
            "stock_sources",
            GOOD.assign(log_sdd=1.0),
            "stock_sources.csv has the column log_sdd, which is not in its schema",
        ),
        ("stock_sources", GOOD.drop(columns="log_sd"), "stock_sources.csv lacks the column log_sd of its schema"),
        ("stock_sources", GOOD.assign(log_sd="wide"), "column log_sd: expected .*float64.*, found wide"),
        ("stock_sources", GOOD.assign(layers=1.5), "column layers: expected .*Int64"),
        ("stock_sources", GOOD.assign(layers=-1), r"column layers: expected greater_than_or_equal_to\(0\), found -1"),
        ("stock_sources", GOOD.assign(name=None), "column name: is empty in row 0; expected a value"),
        ("stock_sources", GOOD.assign(name=[{}]), "column name: expected .*, found {}"),
        ("root_shares", made_up("root_shares").assign(layer="0-200"), "column layer: expected isin.*, found 0-200"),
        (
            "iloss_correlation",
            made_up("iloss_correlation").drop(columns="estimate_1"),
            "column .*estimate_.*: expected",
        ),
        ("layers", made_up("layers").assign(unexplained="no"), "column unexplained: expected .*bool.*"),
    ],
)
def test_a_table_that_is_not_as_declared_is_not_written(name, table, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        write_csv(tmp_path / "tables" / f"{name}.csv", table)
    assert not (tmp_path / "tables").exists()


@pytest.mark.parametrize("name", TABLES)
def test_a_table_as_declared_is_written_and_keeps_its_schema(name, tmp_path):
    path, table = tmp_path / "tables" / f"{name}.csv", made_up(name)
    write_csv(path, table)
    assert list(pd.read_csv(path)) == list(table)


def test_what_is_none_of_ours_is_written_as_it_is(tmp_path):
    write_csv(tmp_path / "tables" / "stock_sources.csv", pd.DataFrame())  # nothing to tell
    write_csv(tmp_path / "stock_sources.csv", pd.DataFrame({"of one's own": [1]}))
    write_csv(tmp_path / "tables" / "sites.csv", pd.DataFrame({"age": [1 / 3]}), shorten=["age"])
    assert (tmp_path / "tables" / "sites.csv").read_text() == "age\n0.333333\n"


def test_every_column_has_a_meaning_and_every_number_a_unit_or_one_in_its_row():
    for name, schema in TABLES.items():
        assert schema.title and schema.description and schema.metadata["by"], name
        for column, found in schema.columns.items():
            assert len(found.description) > 2, (name, column)
            if str(found.dtype) in ("float64", "Int64") and found.metadata["unit"] is None:
                assert "unit" in schema.columns, (name, column)


def test_no_shared_column_is_without_a_table():
    named = {column for schema in TABLES.values() for column in schema.columns}
    assert {c for c in COLUMNS if not named & {c, *(f"{c}_{s}" for s in STATISTICS)}} == {"of"}


def test_columns_without_values_have_no_type_but_their_names():
    require_schema("drivers_ibulk_loadings", pd.DataFrame({"component": pd.Series(dtype=float)}))
    with pytest.raises(ValueError, match="lacks the column component of its schema"):
        require_schema("drivers_ibulk_loadings", pd.DataFrame({"clay": pd.Series(dtype=float)}))
