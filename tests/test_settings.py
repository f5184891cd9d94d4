"""Settings from TOML, and what is said of bad ones."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path

import pydantic
import pytest

from bayes_rootc.errors import InputError
from bayes_rootc.mapping.variables import MAP_LAYERS, STATISTIC_NAMES
from bayes_rootc.settings import PRESETS, RunSettings


def test_file_then_command_line(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('seed = 7\nresolution = 1.0\nout = "here"\nbbox = [-10, 30, 40, 70]\n')
    settings = RunSettings.read(path, seed=9, data=None)
    assert (settings.seed, settings.resolution, settings.out, settings.data) == (9, 1.0, Path("here"), None)
    assert settings.bbox == (-10, 30, 40, 70)


def test_quick_only_ever_reduces():
    quick = RunSettings.read(None, quick=True, members=30, resolution=5.0)
    assert (quick.members, quick.resolution) == (30, 5.0) and RunSettings.read(None, quick=True).members == 60


def test_quick_from_python_is_quick():
    quick = RunSettings(quick=True, members=300, sampler_draws=150, resolution=1.0)
    assert (quick.members, quick.sampler_draws, quick.turnover_draws, quick.resolution) == (60, 150, 150, 2.0)
    assert quick == RunSettings.read(None, quick=True, members=300, sampler_draws=150, resolution=1.0)
    assert RunSettings(members=300, resolution=1.0).members == 300


def test_quick_survives_copies_and_the_record_of_a_run():
    quick = RunSettings(quick=True, members=300, data=Path("here"))
    assert RunSettings(**json.loads(json.dumps(quick.model_dump(mode="json")))) == quick
    assert quick.model_copy() == quick == copy.deepcopy(quick) == pickle.loads(pickle.dumps(quick))
    assert quick.model_copy(update={"members": 400}).members == 60
    assert RunSettings(members=300).model_copy(update={"quick": True}) == RunSettings(quick=True, members=60)
    with pytest.raises(pydantic.ValidationError, match="prehistory"):
        quick.model_copy(update={"prehistory": "ice"})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sead = 1", "setting sead: unknown setting, expected one of: data, out, seed"),
        ('members = "many"', "setting members: input should be a valid integer"),
        ("members = 1", "setting members: input should be greater than or equal to 20"),
        ('prehistory = "ice"', "setting prehistory: input should be 'steady' or 'intcal20'"),
        ("seed = ", "not valid TOML"),
    ],
)
def test_bad_settings_are_named_with_the_file(tmp_path, text, says):
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=f"run.toml: {says}"):
        RunSettings.read(path)


def test_layers_and_statistics_are_those_that_there_are_in_their_order():
    assert RunSettings().map_layers == MAP_LAYERS and RunSettings().map_statistics == tuple(STATISTIC_NAMES)
    chosen = RunSettings(map_layers=["0-200", "0-20", "0-200"], map_statistics=["p975", "mean"])
    assert (chosen.map_layers, chosen.map_statistics) == (("0-20", "0-200"), ("mean", "p975"))


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        RunSettings.read(tmp_path / "none.toml")


def test_the_paper_s_preset_gives_the_same_from_python_a_file_and_the_command_line(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('preset = "paper"\n')
    from_python = RunSettings(preset="paper")
    assert from_python == RunSettings.read(path) == RunSettings.read(None, preset="paper")
    assert from_python.model_dump().items() >= PRESETS["paper"].items()
    assert RunSettings(**json.loads(json.dumps(from_python.model_dump(mode="json")))) == from_python


def test_what_is_given_besides_a_preset_goes_before_it():
    settings = RunSettings(preset="paper", members=60, prehistory="intcal20")
    assert (settings.members, settings.prehistory, settings.turnover_prior) == (60, "intcal20", "point")
    assert RunSettings(members=60).model_copy(update={"preset": "paper"}).turnover_prior == "point"
    assert RunSettings(preset="paper", quick=True).tau_bootstraps == 3


def test_an_unknown_preset_is_named():
    with pytest.raises(InputError, match="setting preset: input should be 'paper'"):
        RunSettings.read(None, preset="nature")
