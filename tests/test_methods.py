"""The table of the paper's Methods."""

from __future__ import annotations

import importlib

import pytest

from bayes_rootc.methods import methods_table, read_statements

STATEMENTS = read_statements()


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


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: s.says[:40])
def test_each_statement_leads_to_code_and_says_why_it_is_not_done_as_written(statement):
    assert statement.where and all(found(name) is not None for name in statement.where)
    assert statement.status == "done" or statement.why


def test_every_equation_is_in_the_table():
    text = " ".join(statement.says for statement in STATEMENTS)
    for equation in ("eq. 1)", "eq. 2)", "eq. 3)", "eq. 4-5)", "eq. 6)", "eq. 7-8)", "eq. 9)", "eq. 10)"):
        assert equation in text, equation
    assert len(methods_table()) == len(STATEMENTS) == len({s.says for s in STATEMENTS})
