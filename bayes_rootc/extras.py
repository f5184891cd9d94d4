"""Packages that only some parts need: which extra of ``pip install`` brings each, and the one line that says so.

The package is light without them: measured layers, production and root profiles are fitted with what is always there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from .errors import InputError

EXTRAS = {
    "maps": "rasterio affine pyogrio shapely zarr pooch requests openpyxl pandera pydantic matplotlib cartopy jinja2",
    "esm": "cftime",
    "learners": "xgboost cubist quantile_forest",
    "samplers": "blackjax",
    "dask": "distributed",
}
"""Packages of each extra, by the name under which they are imported; `pyproject.toml` has their versions."""

EXTRA_OF = {package: extra for extra, packages in EXTRAS.items() for package in packages.split()}


class MissingPackageError(InputError, ModuleNotFoundError):
    """A package of an extra is not installed: says which, what needs it, and what to type.

    Parameters
    ----------
    package : str
        Name under which it is imported.
    what : str
        What needs it.
    """

    def __init__(self, package: str, what: str):
        super().__init__(f"{what} needs the package {package}: pip install 'bayes-rootc[{EXTRA_OF[package]}]'")
        self.name = package


def require(extra: str, what: str) -> None:
    """Refuses to begin what would later miss a package.

    Parameters
    ----------
    extra : str
        One of `EXTRAS`.
    what : str
        What needs it.

    Raises
    ------
    MissingPackageError
        A package of the extra is not installed.

    Examples
    --------
    >>> require("maps", "`bayes-rootc draw`")
    """
    for package in EXTRAS[extra].split():
        if find_spec(package) is None:
            raise MissingPackageError(package, what)


@contextmanager
def extras_named(what: str) -> Iterator[None]:
    """Names the extra where an import fails for want of one of its packages; other errors pass.

    Parameters
    ----------
    what : str
        What needs the import.
    """
    try:
        yield
    except MissingPackageError:
        raise
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRA_OF:
            raise
        raise MissingPackageError(package, what) from error
