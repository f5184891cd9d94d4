"""What a long run says while it works."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bayes_rootc import progress
from bayes_rootc.progress import BASIS, SECONDS_BETWEEN_LINES, Stages


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set by hand."""

    class Clock:
        now = 0.0

        def perf_counter(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def said(stages: Stages) -> list[str]:
    return stages.console.file.getvalue().splitlines()


@pytest.fixture
def stages():
    stages = Stages(1)
    stages.console = Console(file=io.StringIO(), width=200, highlight=False)
    return stages


def test_one_part_is_no_basis_for_the_time_left(stages, clock):
    with stages.stage("sample") as report:
        clock.now = SECONDS_BETWEEN_LINES + 1
        report(1, 4)
    assert said(stages)[0] == f"[1/1] sample  25 % in {SECONDS_BETWEEN_LINES + 1} s"


def test_time_left_is_not_said_before_a_tenth_is_done_and_leaves_out_what_came_before_the_first_part(stages, clock):
    """A compilation of 400 s before work that takes 2 s a part says nothing of the time that is left."""
    with stages.stage("work") as report:
        clock.now = 400.0
        report(1, 100)
        for done in range(2, 101):
            clock.now += 2 * SECONDS_BETWEEN_LINES / 10
            report(done, 100)
    lines = said(stages)
    early = [line for line in lines if "%" in line and float(line.split("%")[0].split()[-1]) < 100 * BASIS]
    assert early and not any("left" in line for line in early)
    later = [line for line in lines if "about" in line]
    for line in later:
        percent, left = float(line.split("%")[0].split()[-1]), float(line.split("about")[1].split()[0])
        assert left == pytest.approx((100 - percent) * 2 * SECONDS_BETWEEN_LINES / 10, abs=1)
    assert later and lines[-1].startswith("[1/1] work")


def test_the_end_is_not_announced_as_no_time_left(stages, clock):
    with stages.stage("work") as report:
        clock.now = 100.0
        report(1, 1)
    assert not any("left" in line for line in said(stages))


def test_a_quiet_run_says_nothing(capsys):
    stages = Stages(1, quiet=True)
    with stages.stage("work") as report:
        report(1, 2)
    assert capsys.readouterr() == ("", "") and stages.seconds["work"] >= 0


@pytest.mark.parametrize(
    ("kept", "ending"),
    [
        ([], "0.0 s"),
        ([False, False], "0.0 s"),
        ([True, True], "0.0 s, kept from an earlier run"),
        ([True, False, True], "0.0 s, 2 of 3 parts kept from an earlier run"),
    ],
)
def test_a_stage_says_what_is_kept(stages, clock, kept, ending):
    with stages.stage("drivers"):
        stages.kept += kept
    assert said(stages) == [f"[1/1] drivers  {ending}"]


def test_a_part_is_told_as_its_share_of_the_whole():
    told: list[float] = []
    whole = lambda done, total: told.append(done / total)  # noqa: E731
    for part in (progress.part_of(whole, 0, 6, span=5), progress.part_of(whole, 5, 6)):
        assert part is not None
        part(1, 2)
        part(2, 2)
    assert told == pytest.approx([2.5 / 6, 5 / 6, 5.5 / 6, 1.0])
    assert progress.part_of(None, 0, 2) is None
