"""The tables' own description: complete, and true to the files."""

from __future__ import annotations

import hashlib
import json

import pandas as pd
import pytest

from bayes_rootc.errors import InputError
from bayes_rootc.report.datapackage import describe_tables, tables_as_written
from bayes_rootc.schemas import TABLES


def test_every_table_and_column_is_described(finished_once):
    tables = finished_once / "tables"
    package = json.loads((tables / "datapackage.json").read_text(encoding="utf-8"))
    assert [resource["path"] for resource in package["resources"]] == sorted(path.name for path in tables.glob("*.csv"))
    for resource in package["resources"]:
        path, schema = tables / resource["path"], TABLES[resource["name"]]
        assert resource["title"] == schema.title and resource["bytes"] == path.stat().st_size
        assert resource["hash"] == "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
        fields = {field["name"]: field for field in resource["schema"]["fields"]}
        assert list(fields) == list(pd.read_csv(path))
        for name, column in schema.columns.items():
            if name in fields:
                assert fields[name]["description"] == column.description
                assert fields[name].get("unit") == column.metadata["unit"]


def test_a_column_has_its_type_and_limits(finished_once):
    package = json.loads((finished_once / "tables" / "datapackage.json").read_text(encoding="utf-8"))
    fields = {
        (resource["name"], field.pop("name")): field
        for resource in package["resources"]
        for field in resource["schema"]["fields"]
    }
    latitude = fields["layers", "lat"]
    assert latitude["type"] == "number" and latitude["unit"] == "degrees_north"
    assert latitude["constraints"] == {"minimum": -90, "maximum": 90}
    assert fields["layers", "age_p975"]["description"] == "carbon age 1/k, 97.5 % quantile"
    assert fields["sites", "biome"]["type"] == "integer" and fields["sites", "biome"]["constraints"]["required"]
    assert fields["layers", "unexplained"]["type"] == "boolean"
    assert fields["checks", "what"]["constraints"]["enum"] == ["read", "dropped", "remark", "used"]
    assert fields["turnover_sbc_ranks", "tau_profile"]["constraints"] == {"minimum": 0, "maximum": 1}
    assert fields["iloss_correlation", "estimate_1"]["unit"] == "1"
    assert "unit" not in fields["summary_global", "mean"]  # which is in the row


def test_a_table_of_ones_own_is_described_by_what_it_holds(tmp_path):
    pd.DataFrame({"layer": ["0-20"], "n": [3], "age_p975": [900.5]}).to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "empty.csv").write_text("")
    describe_tables(tmp_path)
    first, empty = json.loads((tmp_path / "datapackage.json").read_text(encoding="utf-8"))["resources"]
    assert [field["type"] for field in first["schema"]["fields"]] == ["string", "integer", "number"]
    assert "title" not in first and empty["schema"]["fields"] == []


def test_a_failure_is_laid_to_the_table_that_was_changed_and_to_no_other(tmp_path):
    for name in "ab":
        pd.DataFrame({"x": [1], "y": [2]}).to_csv(tmp_path / f"{name}.csv", index=False)
    describe_tables(tmp_path)
    with pytest.raises(KeyError, match="our own"), tables_as_written(tmp_path):
        raise KeyError("our own")
    (tmp_path / "b.csv").write_text("x,z\n1,2\n")
    with pytest.raises(InputError, match=r"b\.csv: .*lacks the column y"), tables_as_written(tmp_path):
        raise KeyError("y")
    (tmp_path / "b.csv").write_bytes(b"\xff\x00")
    with pytest.raises(InputError, match=r"b\.csv: "), tables_as_written(tmp_path):
        raise KeyError("y")
    with pytest.raises(PermissionError), tables_as_written(tmp_path):
        raise PermissionError
    with tables_as_written(tmp_path):
        pass
    for damaged in ("", "{", '{"resources": [1]}', "[]"):
        (tmp_path / "datapackage.json").write_text(damaged)
        with pytest.raises(KeyError), tables_as_written(tmp_path):
            raise KeyError("y")
    describe_tables(tmp_path)  # of a table that is none, no columns
