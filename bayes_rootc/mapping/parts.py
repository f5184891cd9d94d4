"""Parts of a map that several machines make without a scheduler: every Nth tile, in one folder that all of them see."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import NamedTuple

from ..errors import InputError
from ..files import write_json
from ..progress import Progress
from .tiles import MapJob, Place, begin, make_tiles

ARRAY = "SLURM_ARRAY_TASK_"
"""How SLURM's variables of a job array begin."""


class Part(NamedTuple):
    """Part `number` of `of`, counted from 1: tiles `number`, `number + of`, `number + 2 of`, … of a map."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def read(cls, text: str, environment: Mapping[str, str]) -> Part:
        """A part from `I/N`, or, of an empty text, from the variables of a SLURM job array.

        Raises
        ------
        InputError
            It is not a part, the variables are missing, or the numbers of the array have gaps.

        Examples
        --------
        >>> Part.read("2/16", {})
        Part(number=2, of=16)
        >>> task = {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_COUNT": "16"}
        >>> Part.read("", task)
        Part(number=1, of=16)
        """
        if text:
            found = re.fullmatch(r"(\d+)/(\d+)", text)
            part = cls(int(found[1]), int(found[2])) if found else cls(0, 0)
            if not 1 <= part.number <= part.of:
                raise InputError(f"--part {text}: expected I/N, such as 2/16, with I from 1 to N")
            return part
        names = {name: ARRAY + name for name in ("ID", "COUNT", "MIN")}
        given = {"MIN": "1"} | {name: environment[key] for name, key in names.items() if key in environment}
        wrong = [key for name, key in names.items() if not given.get(name, "").isdecimal()]
        if wrong:
            text = f"--part: expected I/N, such as 2/16, or the variables of a SLURM job array; {', '.join(wrong)}"
            raise InputError(f"{text} {'is' if len(wrong) == 1 else 'are'} not set to a number")
        task, count, first = (int(given[name]) for name in names)
        if not 0 <= task - first < count:
            text = f"--part: {ARRAY}ID {task} is not among {count} numbers from {first} on"
            raise InputError(f"{text}; expected an array without gaps, or give I/N")
        return cls(task - first + 1, count)

    def of_places(self, places: list[Place]) -> list[Place]:
        """Its tiles among those of a map."""
        return places[self.number - 1 :: self.of]


def make_part(
    job: MapJob, part: Part, *, workers: int, dask: str | None = None, progress: Progress | None = None
) -> None:
    """Makes the tiles of a part that are not finished; parameters as of `make_tiles`.

    Raises
    ------
    InputError
        The models are missing, or other parts were made with something else.
    """
    begin(job, resume=True, shared=True)
    write_json(job.work / "parts.json", part.of)
    own = part.of_places(job.places())
    left = [place for place in own if not job.done(place).exists()]
    make_tiles(job, left, workers=workers, dask=dask, total=len(own), progress=progress)


def require_tiles(job: MapJob) -> None:
    """Refuses to join a map whose tiles are not all there, and says which parts to make again.

    Raises
    ------
    InputError
        Tiles are missing, or were made with something else.
    """
    places = job.places()
    missing = set(begin(job, resume=True, shared=True) if job.work.exists() else places)
    if not missing:
        return
    said, again = job.work / "parts.json", "make them with `--part I/N`"
    if said.is_file():
        of = int(json.loads(said.read_text(encoding="utf-8")))
        numbers = {i % of + 1 for i, place in enumerate(places) if place in missing}
        ends = (sorted(n for n in numbers if n + step not in numbers) for step in (-1, 1))
        ranges = ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in zip(*ends, strict=True))
        again = f"run part{'s' * (len(numbers) > 1)} {ranges} of {of} again"
    raise InputError(f"{len(missing)} of {len(places)} tiles are missing: {again}", file=job.work)
