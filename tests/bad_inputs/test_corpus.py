"""Every case of the corpus: exit code 2, one line that says what is wrong and where, and nothing left behind."""

from __future__ import annotations

import pytest

from tests.bad_inputs.case import Case, good_folder, run
from tests.bad_inputs.corpus import CASES

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return good_folder(tmp_path_factory.mktemp("good"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input(case, good, tmp_path):
    result = run(case, good, tmp_path)
    assert result.faults(case) == [], result


def test_the_good_folder_is_good(good, tmp_path):
    case = Case("good", prints="numeric, and biome")
    assert run(case, good, tmp_path).faults(case) == []


def test_cases_differ():
    assert len({case.name for case in CASES}) == len(CASES) >= 60
