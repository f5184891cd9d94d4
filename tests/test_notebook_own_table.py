"""The longest of the notebooks runs."""

import pytest

from tests.test_notebooks import LONGEST, check_run


@pytest.mark.compiled
def test_the_longest_notebook_runs(tmp_path):
    check_run(LONGEST, tmp_path)
