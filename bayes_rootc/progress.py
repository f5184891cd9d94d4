"""What a long run says while it works: the stage, how far it is, and how long each stage took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

Progress = Callable[[int, int], None]
"""What long work calls: (done, total)."""


SECONDS_BETWEEN_LINES = 60
"""Seconds between progress lines when output is not a terminal."""

BASIS = 0.1
"""Share of the work that must be done before the time left is estimated from it: the first part compiles."""


class Stages:
    """Runs named stages in order, with a progress bar on a terminal and lines elsewhere.

    Parameters
    ----------
    total : int
        Number of stages.
    quiet : bool
        Print nothing.

    Attributes
    ----------
    seconds : dict of str to float
        Wall time of each finished stage.
    kept : list of bool
        For each part of the running stage, whether it is kept from an earlier run.
    """

    def __init__(self, total: int, *, quiet: bool = False):
        self.total = total
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self.seconds: dict[str, float] = {}
        self.kept: list[bool] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        """A stage; gives a function `progress(done, total)` for the work inside."""
        label = f"[{len(self.seconds) + 1}/{self.total}] {name}"
        start, self.kept = time.perf_counter(), []
        bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        with bar:
            task: TaskID = bar.add_task(label, total=None)

            said, begun, first = start, start, 0

            def progress(done: int, total: int) -> None:
                nonlocal said, begun, first
                bar.update(task, completed=done, total=total)
                now = time.perf_counter()
                if begun == start:  # what came before the first report, such as compiling, will not come again
                    begun, first = now, done
                if not self.console.is_terminal and now - said > SECONDS_BETWEEN_LINES:
                    said = now
                    said_left = ""
                    if done > first and done >= BASIS * total:
                        left = (now - begun) * (total - done) / (done - first)
                        said_left = f", about {left:.0f} s left" if done < total else ""
                    self.console.print(f"{label}  {100 * done / total:.0f} % in {now - start:.0f} s{said_left}")

            yield progress
        self.seconds[name] = time.perf_counter() - start
        some = "" if all(self.kept) else f"{sum(self.kept)} of {len(self.kept)} parts "
        kept = f", {some}kept from an earlier run" if any(self.kept) else ""
        self.console.print(f"{label}  {self.seconds[name]:.1f} s{kept}")


def part_of(progress: Progress | None, part: int, parts: int, *, span: int = 1) -> Progress | None:
    """Progress within one of several equal parts, or within `span` of them from there on, as progress of the whole."""
    return progress and (lambda done, total: progress(part * total + span * done, parts * total))
