"""Which file of a folder is meant: one that fits is read, several are refused by name, and the others are named."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from ..errors import InputError

TABLE = r"\.csv(\.gz|\.bz2|\.xz|\.zip|\.zst)?"
"""How the name of a table ends; files that editors, browsers and spreadsheets leave next to it end differently."""

VERSION = re.compile(r"^v ?(\d(?:[\d.\-_]|NA)*)$", re.IGNORECASE)
DATE = re.compile(r"\d{4}-\d\d-\d\d$")
"""Day of a release, with which the names of ISRaD's end: v2.5.5.2023-09-20 is newer than v2-2023-11-08."""


def the_table(folder: Path, start: str, expected: str) -> Path:
    """The table whose name begins like this; of several that differ by their version, the newest.

    Parameters
    ----------
    folder : Path
        Where it lies.
    start : str
        How its name begins.
    expected : str
        What it may be called, for messages.

    Raises
    ------
    InputError
        There is none, or there are several that could be meant.
    """
    found = the_files(folder, start)
    if not found:
        near = [path.name for path in sorted(folder.glob(f"{start}*"))]
        there = f"; found {', '.join(near)}" if near else ""
        raise InputError(f"expected a file named {expected} in it{there}", file=folder)
    versions = {path: VERSION.match(match["rest"]) for path, match in found.items()}
    order = {path: _order(version) for path, version in versions.items()}
    newest = max(found, key=lambda path: order[path])
    same = [path for path in found if order[path] == order[newest]]
    if len(found) > 1 and (len(same) > 1 or not all(versions.values())):
        names = ", ".join(path.name for path in found)
        raise InputError(f"several files could be meant: {names}; leave one of them in it", file=folder)
    return newest


def the_files(folder: Path, start: str) -> dict[Path, re.Match[str]]:
    """Tables of a folder whose name begins like this, each with the `rest` of its name."""
    form = re.compile(re.escape(start) + r"(?P<rest>.*)" + TABLE, re.IGNORECASE)
    return {path: match for path in sorted(folder.glob("*")) if (match := form.fullmatch(path.name))}


def _order(version: re.Match[str] | None) -> list[tuple[int, ...]]:
    """Numbers of the version, then of its day."""
    text = version[1] if version else ""
    number = DATE.sub("", text)
    return [tuple(map(int, re.findall(r"\d+", part))) for part in (number, text[len(number) :])]


def not_read(folder: Path, used: Collection[Path]) -> list[str]:
    """Names of files in a folder that are none of those used; hidden ones are passed over."""
    read = {path.resolve() for path in used}
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return [p.name for p in found if p.is_file() and p.resolve() not in read and not p.name.startswith(".")]
