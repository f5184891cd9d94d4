"""Files that are whole or not there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout

from .errors import InputError

PARTIAL = ".partial-"
"""How the names of files begin that are not whole yet."""

IN_USE = "another bayes-rootc is writing into it: wait for it, or take another folder"

TABLES = "tables"
"""Folder, in an output folder, of tables that have a schema."""


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Makes an output folder one process's own while the block lasts; what a killed one left half-written is removed.

    The lock is the system's: it ends with the process, however that ends.

    Raises
    ------
    InputError
        Another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(IN_USE, file=folder) from None
    try:
        for path in folder.rglob(f"{PARTIAL}*"):
            path.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


@contextmanager
def side_by_side(folder: Path) -> Iterator[None]:
    """Lets several processes write into an output folder at once, while none has it as its own (`owned`).

    Both take the system's lock of one file, here shared, there exclusive.

    Raises
    ------
    InputError
        There is no such folder, a process has it as its own, or there are no such locks.
    """
    if not folder.is_dir():
        raise InputError("no such output folder", file=folder)
    try:
        import fcntl
    except ImportError:
        raise InputError("--part needs the locks of Unix; one command, or --dask, works without them") from None
    path = folder / ".lock"
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                raise InputError(IN_USE, file=folder) from None
            if path.stat().st_size == 0:  # where there are no locks, the file itself is one for `owned`
                path.unlink(missing_ok=True)
            raise InputError(f"--part needs a file system with locks ({error.strerror})", file=folder) from None
        yield


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path next to `path`, with the same suffix; it takes the name of `path` when the block ends without an
    error, and is removed otherwise.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f"{PARTIAL}{path.stem}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes JSON atomically, readable by people."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def write_csv(path: Path, table: pd.DataFrame, *, shorten: Sequence[str] | None = None) -> None:
    """Writes a CSV table atomically, with six significant digits; `shorten`: only these columns, others in full.

    Raises
    ------
    ValueError
        A table of an output folder is not as its schema says.
    """
    if shorten is None and path.parent.name == TABLES:
        from .schemas import require_schema  # loads pandera

        require_schema(path.stem, table)
    if shorten is not None:
        table = table.assign(**{c: table[c].map(lambda v: float(f"{v:.6g}")) for c in shorten})
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, float_format="%.6g" if shorten is None else None)


@cache
def code_checksum() -> str:
    """Checksum of the package's own code."""
    folder, found = Path(__file__).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        found.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def sha256(path: Path) -> str:
    """Checksum of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
