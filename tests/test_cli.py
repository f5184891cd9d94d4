"""The command line as a user meets it: exit codes, one-line errors, help with an example."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pandas as pd
import pytest

from bayes_rootc.cli import main
from bayes_rootc.memory import bound_raster_cache
from bayes_rootc.settings import RunSettings


class Anything:
    """Stands for what is read; two of it are draws and components."""

    covariates = features = ()

    @property
    def components(self):
        return self

    def __iter__(self):
        return iter(({}, self))


PREDICT = ["--at", "new.csv", "--from", "out", "--data", "data", "--to", "predicted.csv"]


@pytest.mark.parametrize("command", ["run", "check", "fetch", "fit", "predict", "template"])
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
        (["fit", "turnover", "--folds", "1"], "bayes-rootc: setting folds: expected 0 (none), or at least 2\n"),
        (["fit", "root-depth", "--both-histories"], "bayes-rootc: --both-histories: not a check of root-depth\n"),
        (["predict", "root-depth", *PREDICT, "--seed", "-1"], "bayes-rootc: --seed -1: expected 0 or more\n"),
        (["run", "--seed", "-1"], "bayes-rootc: setting seed: input should be greater than or equal to 0\n"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, says, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert capsys.readouterr().err == says
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["turnover", "root-depth", "iroot", "iloss"])
def test_the_seed_of_predict_reaches_the_prediction(name, tmp_path, monkeypatch):
    """What is read is replaced; the command itself is what is tested."""
    from bayes_rootc import files
    from bayes_rootc.data import covariates
    from bayes_rootc.data.atmosphere import Atmosphere
    from bayes_rootc.inference import predict, store
    from bayes_rootc.mapping import model_file
    from bayes_rootc.mapping import predict as fluxes

    seeds: list[int] = []

    def predicted(*_, seed: int, **__) -> pd.DataFrame:
        seeds.append(seed)
        return pd.DataFrame({"reason": [""]})

    read = [(predict, "read_sites"), (store, "read_fit"), (store, "read_root_depth"), (model_file, "read_learners")]
    for module, function in [*read, (covariates, "covariates_for"), (files, "write_csv"), (Atmosphere, "read")]:
        monkeypatch.setattr(module, function, lambda *_, **__: Anything())
    for module, function in ((predict, "predict_turnover"), (predict, "predict_root_depth"), (fluxes, "predict_flux")):
        monkeypatch.setattr(module, function, predicted)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    command = ["predict", name, *PREDICT]
    assert main(command) == 0 and main([*command, "--seed", "7"]) == 0
    assert seeds == [RunSettings().seed, 7]


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


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
def test_a_console_shows_what_it_can(encoding, monkeypatch):
    """Windows writes into a pipe or file in cp1252, which has no ⁻¹."""
    written = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", written)
    with pytest.raises(SystemExit) as stop:
        main(["predict", "--help"])
    written.flush()
    text = written.buffer.getvalue().decode(encoding)
    assert stop.value.code == 0 and "Mg C ha" in text and "?" in text


def test_what_gdal_keeps_is_bounded_unless_the_environment_says_how_much(monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    bound_raster_cache()
    assert int(os.environ["GDAL_CACHEMAX"]) < 1000  # MB
    os.environ["GDAL_CACHEMAX"] = "64"
    bound_raster_cache()
    assert os.environ["GDAL_CACHEMAX"] == "64"
