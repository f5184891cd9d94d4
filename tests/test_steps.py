"""Steps of a run: made once for the same data, settings and code; again when any of these is another."""

from __future__ import annotations

from pathlib import Path

import pytest

from bayes_rootc import steps
from bayes_rootc.settings import RunSettings
from bayes_rootc.steps import STEPS, Steps

FILES = {"layers.csv": "1", "manifest.toml": "2"}
NO_STEP = {"out", "data", "workers", "seed", "quick", "nearest_km"}
"""Settings that change no number, or those of every step."""


class Folder:
    """An output folder whose turnover step writes how often it was made."""

    def __init__(self, out: Path):
        self.out, self.made = out, 0

    def run(self, files: dict[str, str] = FILES, **settings) -> bool:
        def make() -> None:
            self.made += 1
            (self.out / "posterior").mkdir(parents=True, exist_ok=True)
            (self.out / "posterior" / "turnover.nc").write_text(str(self.made))

        return Steps(RunSettings(out=self.out, **settings), files).once("turnover", make)


@pytest.fixture
def folder(tmp_path) -> Folder:
    made = Folder(tmp_path / "out")
    assert made.run()
    return made


def test_what_is_there_is_not_made_again(folder):
    assert not folder.run() and folder.made == 1
    assert not folder.run(resolution=1.0, workers=1, data=folder.out.parent) and folder.made == 1


@pytest.mark.parametrize(
    "settings", [{"seed": 21}, {"prehistory": "intcal20"}, {"turnover_draws": 300}, {"nearest_km": 50}, {"quick": True}]
)
def test_other_settings_make_it_again_and_once(folder, settings):
    assert folder.run(**settings) and not folder.run(**settings)
    assert folder.run()  # the first ones are others again


def test_other_data_or_code_make_it_again(folder, monkeypatch):
    assert folder.run(files=FILES | {"layers.csv": "3"})
    monkeypatch.setattr(steps, "_fingerprint", lambda: "other code")
    assert folder.run(files=FILES | {"layers.csv": "3"})


def test_a_product_that_was_changed_or_removed_is_made_again(folder):
    path = folder.out / "posterior" / "turnover.nc"
    path.write_text("by hand")
    assert folder.run()
    path.unlink()
    assert folder.run() and path.exists()


def test_a_step_that_was_stopped_is_made_again(folder):
    def stopped() -> None:
        (folder.out / "posterior" / "turnover.nc").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Steps(RunSettings(out=folder.out, seed=3), FILES).once("turnover", stopped)
    assert folder.run()  # although its record said that it was whole


def test_a_record_that_cannot_be_read_is_none(folder):
    (folder.out / steps.RECORD).write_text("{")
    assert folder.run() and not folder.run()


def test_a_step_is_made_again_after_what_it_needs(tmp_path):
    def key(name: str, **settings) -> str:
        return Steps(RunSettings(out=tmp_path, **settings), FILES).key(name)

    assert key("maps") != key("maps", turnover_draws=300)  # by the learners, which need the turnover
    assert key("maps") != key("maps", validation_splits=3)
    assert key("root_depth") == key("root_depth", turnover_draws=300)
    assert key("learners") == key("learners", resolution=1.0)


def test_the_file_of_a_setting_counts_by_what_is_in_it(tmp_path):
    zones = tmp_path / "zones.geojson"
    zones.write_text("one")
    first = Steps(RunSettings(out=tmp_path, zones=zones), FILES).key("maps")
    zones.write_text("other")
    assert Steps(RunSettings(out=tmp_path, zones=zones), FILES).key("maps") != first


def test_no_setting_is_forgotten():
    named = {name for step in STEPS.values() for name in step.settings}
    assert named <= set(RunSettings.model_fields)
    assert set(RunSettings.model_fields) - named == NO_STEP


def test_needs_are_steps_without_a_circle():
    order: list[str] = []
    while len(order) < len(STEPS):
        ready = [name for name, step in STEPS.items() if name not in order and set(step.needs) <= set(order)]
        assert ready
        order += ready
