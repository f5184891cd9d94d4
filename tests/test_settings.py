"""Settings from TOML, and what is said of bad ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from bayes_rootc.errors import InputError
from bayes_rootc.settings import RunSettings


def test_file_then_command_line(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('seed = 7\nresolution = 1.0\nout = "here"\nbbox = [-10, 30, 40, 70]\n')
    settings = RunSettings.read(path, seed=9, data=None)
    assert (settings.seed, settings.resolution, settings.out, settings.data) == (9, 1.0, Path("here"), None)
    assert settings.bbox == (-10, 30, 40, 70)


def test_quick_only_ever_reduces():
    quick = RunSettings.read(None, quick=True, members=30, resolution=5.0)
    assert (quick.members, quick.resolution) == (30, 5.0) and RunSettings.read(None, quick=True).members == 60


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


def test_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        RunSettings.read(tmp_path / "none.toml")
