"""Two things that are timed in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


class Seconds(float):
    """What a function says that its work took, in place of the time it ran."""


@dataclass(frozen=True)
class Case:
    """`what` is done by `ours` and by `theirs`, each a name and the work.

    work : how many times more of it ours does. cold : each run compiles anew, as a user's first does; it takes long, so
    three runs are enough.
    """

    what: str
    ours_name: str
    ours: Callable[[], object]
    theirs_name: str
    theirs: Callable[[], object]
    work: float = 1.0
    cold: bool = False


def measure(case: Case, repeats: int) -> dict[str, object]:
    """Median times of both ways, run in turn, after a warm-up of each unless they are to be cold."""
    seconds: dict[str, list[float]] = {"ours": [], "theirs": []}
    for repeat in range(min(repeats, 3) if case.cold else repeats + 1):
        for who, run in (("ours", case.ours), ("theirs", case.theirs)):
            start = time.perf_counter()
            told = run()
            if repeat or case.cold:
                seconds[who].append(told if isinstance(told, Seconds) else time.perf_counter() - start)
    mine, other = statistics.median(seconds["ours"]) / case.work, statistics.median(seconds["theirs"])
    return {
        "what": case.what,
        "ours": case.ours_name,
        "theirs": case.theirs_name,
        "seconds_ours": mine,
        "seconds_theirs": other,
        "times_faster": other / mine,
    }
