"""The command line as a user meets it: exit codes, one-line errors, help with an example."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bayes_rootc.cli import main


@pytest.mark.parametrize("command", ["run", "check", "fetch", "fit", "predict"])
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"example:\n  bayes-rootc {command}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["check", "--data", "nowhere"], "bayes-rootc: nowhere: no such data folder\n"),
        (["run", "nowhere.toml"], "bayes-rootc: nowhere.toml: cannot be read (No such file or directory)\n"),
        (["fit", "turnover", "--folds", "1"], "bayes-rootc: --folds 1: expected 0 (none), or at least 2\n"),
        (["fit", "root-depth", "--both-histories"], "bayes-rootc: --both-histories: not a check of root-depth\n"),
        (["run", "--seed", "-1"], "bayes-rootc: setting seed: input should be greater than or equal to 0\n"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert capsys.readouterr().err == says
    assert list(tmp_path.iterdir()) == []


def test_unknown_command_exits_with_2(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["fly"])
    assert stop.value.code == 2


def test_import_is_light_and_sets_no_flag():
    code = (
        "import sys, bayes_rootc, bayes_rootc.cli\n"
        "names = 'jax pymc numpyro arviz sklearn matplotlib rasterio pandas xarray'.split()\n"
        "heavy = set(names) & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "from bayes_rootc import delta14c, invert\n"
        "delta14c(0.1, 2000.0, 'NHZone1')\n"
        "import jax\n"
        "assert not jax.config.jax_enable_x64 and jax.numpy.ones(1).dtype == 'float32'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_python_m_runs_the_same_command():
    done = subprocess.run(
        [sys.executable, "-m", "bayes_rootc", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("bayes-rootc 0.")
