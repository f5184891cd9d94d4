"""The engine of a run: a step is made once for the same data, settings and code; again when any of these is another."""

from __future__ import annotations

from pathlib import Path

import pytest

from bayes_rootc.pipeline import STEPS
from bayes_rootc.settings import RunSettings
from bayes_rootc.steps import engine
from bayes_rootc.steps.engine import Run, Step
from bayes_rootc.steps.inputs import WORLD

CHANGE_NO_NUMBER = {"out", "data", "workers", "dask", "resume"}
OF_EVERY_STEP = {"seed", "quick", "nearest_km"}


class Folder:
    """An output folder, and three small steps that note when they are made: a fit, a map of it, and a check of it."""

    def __init__(self, out: Path):
        self.out, self.made, self.data = out, [], "1"

    def steps(self) -> tuple[Step, ...]:
        def write(name: str, text: str) -> None:
            self.made.append(name)
            path = self.out / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

        def fit(inputs, settings, progress):
            write("posterior/fit.nc", f"{inputs} {settings.turnover_draws}")
            write("tables/scores.csv", "fit")

        def draw(fit, settings, progress):
            write("maps/map.tif", f"{fit} {settings.resolution}")

        def check(fit, settings, progress):
            write("tables/fit_cv.csv", fit)
            write("tables/scores.csv", "fit, check")

        def posterior(settings) -> str:
            return (settings.out / "posterior" / "fit.nc").read_text()

        return (
            Step("inputs", lambda settings, progress: self.data, sources=lambda product: {"a.csv": product}),
            Step(
                *("fit", fit, ("inputs",), ("turnover_draws",), ("posterior/fit.nc",)),
                shared=("tables/scores.csv",),
                read=posterior,
            ),
            Step("map", draw, ("fit",), ("resolution", "zones"), ("maps/**/*",)),
            Step("check", check, ("fit",), ("folds",), ("tables/fit_cv.csv",), checks="fit"),
        )

    def upto(self, *targets: str, models_there: bool = False, **settings) -> list[str]:
        """What is made on the way."""
        self.made.clear()
        Run(self.steps(), RunSettings(out=self.out, **settings), quiet=True).upto(*targets, models_there=models_there)
        return [Path(name).stem for name in self.made if name != "tables/scores.csv"]


@pytest.fixture
def folder(tmp_path) -> Folder:
    made = Folder(tmp_path / "out")
    assert made.upto("map") == ["fit", "map"]
    return made


def test_what_is_there_is_not_made_again(folder):
    assert folder.upto("map") == []
    assert folder.upto("map", workers=1, data=folder.out.parent) == []


@pytest.mark.parametrize("settings", [{"seed": 21}, {"turnover_draws": 300}, {"nearest_km": 50}, {"quick": True}])
def test_other_settings_make_it_again_and_once(folder, settings):
    assert folder.upto("map", **settings) == ["fit", "map"]
    assert folder.upto("map", **settings) == []
    assert folder.upto("map") == ["fit", "map"]  # the first ones are others again


def test_a_setting_of_a_later_step_does_not_make_an_earlier_one(folder):
    assert folder.upto("map", resolution=1.0) == ["map"]
    assert folder.upto("fit", resolution=2.0) == []


def test_other_data_or_code_make_it_again(folder, monkeypatch):
    folder.data = "2"
    assert folder.upto("map") == ["fit", "map"]
    monkeypatch.setattr(engine, "code_checksum", lambda: "other code")
    assert folder.upto("map") == ["fit", "map"]


def test_a_product_that_was_changed_or_removed_is_made_again(folder):
    path = folder.out / "posterior" / "fit.nc"
    path.write_text("by hand")
    assert folder.upto("map") == ["fit"]  # the same as before, so the map is still its map
    path.unlink()
    assert folder.upto("map") == ["fit"] and path.exists()


def test_a_step_that_was_stopped_is_made_again(folder, monkeypatch):
    def stopped(**_) -> None:
        (folder.out / "posterior" / "fit.nc").write_text("half")
        raise KeyboardInterrupt

    inputs, fit, *_ = folder.steps()
    settings = RunSettings(out=folder.out, seed=3)
    with pytest.raises(KeyboardInterrupt):
        Run((inputs, Step("fit", stopped, fit.needs, fit.settings, fit.makes)), settings, quiet=True).upto("fit")
    assert folder.upto("fit") == ["fit"]  # although its record said that it was whole


def test_a_record_that_cannot_be_read_is_none(folder):
    (folder.out / engine.RECORD).write_text("{")
    assert folder.upto("map") == ["fit", "map"]
    assert folder.upto("map") == []


def test_the_file_of_a_setting_counts_by_what_is_in_it(folder, tmp_path):
    zones = tmp_path / "zones.geojson"
    zones.write_text("one")
    assert folder.upto("map", zones=zones) == ["map"] and folder.upto("map", zones=zones) == []
    zones.write_text("other")
    assert folder.upto("map", zones=zones) == ["map"]


def test_a_check_goes_with_the_fit_that_it_is_of(folder):
    check = folder.out / "tables" / "fit_cv.csv"
    assert folder.upto("check", folds=2) == ["fit_cv"] and folder.upto("check", folds=2) == []
    assert folder.upto("check", folds=3) == ["fit_cv"]
    assert folder.upto("map", seed=4) == ["fit", "map"] and not check.exists()
    check.write_text("of nobody knows which fit")
    assert folder.upto("map") == ["fit", "map"] and not check.exists()
    assert folder.upto("check", folds=2) == ["fit_cv"]
    (folder.out / "posterior" / "fit.nc").unlink()
    assert folder.upto("fit") == ["fit"] and check.exists()  # the same fit


def test_a_file_that_another_step_adds_to_may_change_but_must_be_there(folder):
    assert folder.upto("check", folds=2) == ["fit_cv"]
    assert (folder.out / "tables" / "scores.csv").read_text() == "fit, check"
    assert folder.upto("map") == []
    (folder.out / "tables" / "scores.csv").unlink()
    assert folder.upto("map") == ["fit"]


def test_models_that_are_there_are_taken_whatever_they_are_of(folder):
    assert folder.upto("map", models_there=True, seed=9) == ["map"]  # of a fit with another seed
    assert folder.upto("map", models_there=True, seed=9) == []
    (folder.out / "posterior" / "fit.nc").write_text("brought from elsewhere")
    (folder.out / engine.RECORD).unlink()
    assert folder.upto("map", models_there=True) == ["map"] == folder.upto("map", models_there=True)  # not on record
    (folder.out / "posterior" / "fit.nc").unlink()
    assert folder.upto("map", models_there=True) == ["fit", "map"]


def test_no_setting_is_forgotten():
    named = {name for step in (WORLD, *STEPS) for name in step.settings}
    assert named <= set(RunSettings.model_fields)
    assert set(RunSettings.model_fields) - named == CHANGE_NO_NUMBER | OF_EVERY_STEP | {"both_histories", "preset"}


def test_each_step_comes_after_what_it_needs_and_checks():
    before: set[str] = set()
    for step in STEPS:
        assert set(step.needs) <= before and ({step.checks} - {""}) <= set(step.needs), step.name
        before.add(step.name)
