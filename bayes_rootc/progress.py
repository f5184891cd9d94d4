"""What a long run says while it works: the stage, how far it is, and how long each stage took."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

Progress = Callable[[int, int], None]
"""What long work calls: (done, total)."""


SECONDS_BETWEEN_LINES = 60
"""Where there is no terminal for a bar, long work says so often how far it is."""


class Stages:
    """Runs named stages in order, with a progress bar on a terminal and lines elsewhere.

    Parameters
    ----------
    total : how many stages there will be.
    quiet : say nothing.

    Attributes
    ----------
    seconds : wall time of each finished stage.
    """

    def __init__(self, total: int, *, quiet: bool = False):
        self.total = total
        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[Progress]:
        """A stage; gives a function `progress(done, total)` for the work inside."""
        label = f"[{len(self.seconds) + 1}/{self.total}] {name}"
        start = time.perf_counter()
        bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        with bar:
            task: TaskID = bar.add_task(label, total=None)

            said = start

            def progress(done: int, total: int) -> None:
                nonlocal said
                bar.update(task, completed=done, total=total)
                now = time.perf_counter()
                if not self.console.is_terminal and now - said > SECONDS_BETWEEN_LINES:
                    said = now
                    left = (now - start) * (total - done) / max(done, 1)
                    self.console.print(f"{label}  {100 * done / total:.0f} % in {now - start:.0f} s, {left:.0f} s left")

            yield progress
        self.seconds[name] = time.perf_counter() - start
        self.console.print(f"{label}  {self.seconds[name]:.1f} s")


def part_of(progress: Progress | None, part: int, parts: int) -> Progress | None:
    """Progress within one of several equal parts, as progress of the whole."""
    return progress and (lambda done, total: progress(part * total + done, parts * total))
