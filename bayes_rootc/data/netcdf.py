"""Our NetCDF files, read with a look at what is in them, so that a file that lacks something is named at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from .tables import reason_of

if TYPE_CHECKING:
    import xarray as xr


def open_dataset(path: Path, needed: Iterable[str], *, command: str, group: str | None = None) -> xr.Dataset:
    """A dataset, lazily; close it, or use it in a `with`.

    Parameters
    ----------
    path : Path
        The file.
    needed : iterable of str
        Variables and coordinates that it must have.
    command : str
        What writes the file, as in ``bayes-rootc COMMAND``.
    group : str, optional
        The group to open, for a file that has some; a tree of all takes longer.

    Raises
    ------
    InputError
        The file is not readable, or lacks one of them.
    """
    import xarray as xr

    with _readable(path):
        dataset = xr.open_dataset(path, engine="h5netcdf", group=group)
    try:
        _refuse_missing([name for name in needed if name not in dataset.variables], path, command)
    except InputError:
        dataset.close()
        raise
    return dataset


def open_tree(path: Path, needed: Mapping[str, Iterable[str]], *, command: str) -> xr.DataTree:
    """A tree of groups, lazily; close it, or use it in a `with`.

    Parameters
    ----------
    path : Path
        The file.
    needed : mapping of str to iterable of str
        Variables that it must have, by group.
    command : str
        What writes the file, as in ``bayes-rootc COMMAND``.

    Raises
    ------
    InputError
        The file is not readable, or lacks a group or a variable.
    """
    import xarray as xr

    with _readable(path):
        tree = xr.open_datatree(path, engine="h5netcdf")
    try:
        require(tree, needed, path, command=command)
    except InputError:
        tree.close()
        raise
    return tree


def require(tree: xr.DataTree, needed: Mapping[str, Iterable[str]], path: Path, *, command: str) -> None:
    """Refuses a tree, read from `path`, that lacks something; parameters as `open_tree`.

    Raises
    ------
    InputError
        It lacks a group or a variable.
    """
    missing = []
    for group, names in needed.items():
        if group not in tree.children:
            missing.append(f"the group {group}")
        else:
            there = tree[group].to_dataset().variables
            missing += [f"{group}/{name}" for name in names if name not in there]
    _refuse_missing(missing, path, command)


def _refuse_missing(missing: list[str], path: Path, command: str) -> None:
    if missing:
        text = f"lacks {', '.join(missing)}: not as `bayes-rootc {command}` writes it; run that again"
        raise InputError(text, file=path)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"not a readable NetCDF file ({reason_of(error)})", file=path) from None
