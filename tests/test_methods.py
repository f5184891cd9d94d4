"""The tables of the paper's Methods, figures and numbers."""

from __future__ import annotations

import importlib
import re

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.constants import BIOMES
from bayes_rootc.methods import read_figures, read_numbers, read_statements
from bayes_rootc.report import figures as drawn
from bayes_rootc.report.regression_tables import PAPER_R_SQUARED, RESPONSES
from bayes_rootc.report.tables import PAPER
from bayes_rootc.schemas import TABLES

STATEMENTS, FIGURES, NUMBERS = read_statements(), read_figures(), read_numbers()
IN_TABLES = [number for number in NUMBERS if number.table]


def found(name: str) -> object:
    """What a dotted name below the package stands for."""
    parts = ["bayes_rootc", *name.split(".")]
    for end in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[end:]:
            thing = getattr(thing, attribute)
        return thing
    raise AssertionError(name)


def column_of(table: str, name: str):
    """Schema of a column of a table."""
    columns = TABLES[table].columns
    (column,) = (c for known, c in columns.items() if known == name or (c.regex and re.fullmatch(known, name)))
    return column


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: s.says[:40])
def test_each_statement_leads_to_code_and_says_why_it_is_not_done_as_written(statement):
    assert statement.where and all(found(name) is not None for name in statement.where)
    assert statement.status == "done" or statement.why


def test_every_equation_is_in_the_table():
    text = " ".join(statement.says for statement in STATEMENTS)
    for equation in ("eq. 1)", "eq. 2)", "eq. 3)", "eq. 4-5)", "eq. 6)", "eq. 7-8)", "eq. 9)", "eq. 10)"):
        assert equation in text, equation
    assert len(STATEMENTS) == len({s.says for s in STATEMENTS})


@pytest.mark.parametrize("figure", FIGURES, ids=lambda f: f.name)
def test_each_figure_leads_to_code_and_tables_and_says_why_it_is_otherwise(figure):
    assert figure.where and all(found(name) is not None for name in figure.where)
    assert set(figure.tables) <= TABLES.keys()
    assert figure.status == "done" or figure.why


def test_every_figure_of_the_paper_is_there_and_no_numbered_one_of_ours_is_left_out():
    names = [figure.name for figure in FIGURES]
    assert len(set(names)) == len(names)
    assert {f"Fig. {i}" for i in range(1, 6)} | {f"Extended Data Fig. {i}" for i in range(1, 10)} <= set(names)
    supplement = " ".join(name for name in names if name.startswith("Supplementary Fig"))
    assert set(re.findall(r"\d", supplement)) == set("12345678")
    by_name = {figure.name: figure.where for figure in FIGURES}
    for name in (n for n in vars(drawn) if re.fullmatch(r"figure_(ed|s)?\d", n)):
        kind, digit = re.fullmatch(r"figure_(ed|s)?(\d)", name).groups()
        called = {None: "Fig.", "ed": "Extended Data Fig.", "s": "Supplementary Fig."}[kind]
        assert f"{getattr(drawn, name).__module__.removeprefix('bayes_rootc.')}.{name}" in by_name[f"{called} {digit}"]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: f"{n.place}-{n.says[:40]}")
def test_each_number_leads_to_a_cell_or_code_and_says_why_it_is_otherwise(number):
    assert all(found(name) is not None for name in number.where)
    assert number.status == "done" or number.why
    assert number.table or number.where or number.status == "not possible"
    assert re.search(r"\d", number.value)
    assert (len(number.columns) in (1, 3)) == (number.row != {}) == bool(number.table)
    for name in number.columns:
        assert str(column_of(number.table, name).dtype) in ("float64", "Int64"), name
    for name, value in number.row.items():
        for check in column_of(number.table, name).checks:
            assert value in check.statistics.get("allowed_values", [value]), name
            assert check.statistics.get("min_value", 0) <= (value if isinstance(value, int) else 0)
    for name in {"name", "biome_name"} & number.row.keys():
        assert number.row[name] in BIOMES.values()


def test_no_number_is_there_twice():
    assert len({(n.place, n.says) for n in NUMBERS}) == len(NUMBERS)


@pytest.mark.parametrize("number", [n for n in IN_TABLES if n.table == "paper_comparison"], ids=lambda n: n.says[:40])
def test_numbers_that_a_run_compares_are_the_same_here(number):
    """`tables/paper_comparison.csv` holds the paper's numbers too."""
    regressions = {f"R² of the drivers of {RESPONSES[k]}": (v, np.nan, np.nan) for k, v in PAPER_R_SQUARED.items()}
    known = {p.quantity: (p.value, p.low, p.high) for p in PAPER.values()} | regressions
    printed = [float(v.replace(",", "")) for v in re.findall(r"[\d,.]+", number.value)]
    want = np.array(known[number.row["quantity"]]) * (100 if number.unit == "%" else 1)
    # what is rounded in one place of the text is within its last digit of what another place has
    rounding = 2.5 if "about" in number.says else 0.0
    np.testing.assert_allclose(printed, want[: len(printed)], atol=rounding + 1e-9)


def test_every_number_that_a_run_compares_is_in_the_table():
    compared = {n.row["quantity"] for n in IN_TABLES if n.table == "paper_comparison"}
    assert {p.quantity for p in PAPER.values()} <= compared


def test_ours_is_found_by_its_row_and_in_the_papers_unit():
    (share,) = (n for n in NUMBERS if n.says == "I_loss / I_root, mean and range of the six estimates")
    other = {"quantity": "another", "ours": 9.0, "ours_low": 9.0, "ours_high": 9.0}
    table = pd.DataFrame([other, {"ours": 0.7, "ours_low": 0.6, "ours_high": 0.8} | share.row])
    assert share.ours(table) == pytest.approx((70, 60, 80))
    assert share.ours(table.iloc[:1]) is None
