"""The tables' own description: complete, and true to the files."""

from __future__ import annotations

import hashlib
import json

import pandas as pd
import pytest

from bayes_rootc.errors import InputError
from bayes_rootc.report.datapackage import describe_tables, tables_as_written


def test_every_table_and_column_is_described(tmp_path):
    table = pd.DataFrame({"layer": ["0-20"], "n": [3], "iloss_mean": [1.5], "age_p975": [900.0], "note": ["x"]})
    table.to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "empty.csv").write_text("")
    describe_tables(tmp_path)
    package = json.loads((tmp_path / "datapackage.json").read_text(encoding="utf-8"))
    first, empty = package["resources"]
    assert first["path"] == "a.csv" and first["bytes"] == (tmp_path / "a.csv").stat().st_size
    assert first["hash"] == "sha256:" + hashlib.sha256((tmp_path / "a.csv").read_bytes()).hexdigest()
    fields = {field["name"]: field for field in first["schema"]["fields"]}
    assert list(fields) == list(table)
    assert fields["iloss_mean"]["unit"] == "Mg ha-1 yr-1" and fields["iloss_mean"]["description"].endswith(", mean")
    assert fields["age_p975"]["unit"] == "yr" and fields["layer"]["unit"] == "cm"
    assert fields["n"]["type"] == "integer" and "unit" not in fields["note"]
    assert empty["schema"]["fields"] == []


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
