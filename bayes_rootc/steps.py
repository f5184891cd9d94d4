"""Steps of a run: what was made from the same data, settings and code is kept, and a run that was stopped resumes.

A library was looked for first. Hamilton and joblib's Memory keep results as pickles, which we refuse to read, and hash
whole tables of arguments; pydoit keeps a database of files and has a command line of its own. Here the products of a
step are files that a user wants anyway, so a record of their checksums is all that is missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .files import sha256, write_json
from .settings import RunSettings

RECORD = "steps.json"
"""File of the output folder that says what each step was made from, and the checksums of what it made."""

PACKAGES = tuple("numpy scipy pandas xarray scikit-learn jax jaxlib numpyro pymc nutpie numba arviz rasterio".split())
"""Packages whose version may change a number."""

REGRESSION = ("chains", "tune", "sampler_draws", "sampler")
MAPS = tuple("members resolution bbox map_like map_mode map_formats zones zone_field tile".split())


@dataclass(frozen=True)
class Step:
    """A step of a run.

    Parameters
    ----------
    name : str
        Its name.
    needs : tuple of str
        Steps whose products it reads.
    settings : tuple of str
        Settings that change its products; the seed, `quick` and `nearest_km` change those of every step.
    makes : tuple of str
        Its products, below the output folder; those that are not made under some settings may be missing.
    """

    name: str
    needs: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()


def _tables(*names: str) -> tuple[str, ...]:
    return tuple(f"tables/{name}.csv" for name in names)


def _regression(name: str, *needs: str, more: tuple[str, ...] = ()) -> Step:
    tables = _tables(name, f"{name}_ppc", f"{name}_summary", f"{name}_loadings", f"{name}_biome")
    return Step(name, needs, (*REGRESSION, "members"), (f"posterior/{name}.nc", *tables, *more))


TURNOVER = tuple(
    "prehistory turnover_prior turnover_error pool_spread chains turnover_tune turnover_draws prior_median_age "
    "prior_log_sd model_sd members".split()
)

STEPS = {
    step.name: step
    for step in (
        Step("world", (), ("resolution",), ("demo-data/**/*",)),
        Step(
            "turnover",
            settings=TURNOVER,
            makes=(
                "posterior/turnover.nc",
                "posterior/layers.nc",
                *_tables("turnover_population", "turnover_ages", "turnover_ppc", "turnover_misfit"),
            ),
        ),
        _regression("drivers_iroot"),
        _regression("drivers_ibulk", "turnover"),
        _regression("allocation"),
        _regression("root_depth", more=("posterior/root_shares.nc", *_tables("root_shares"))),
        Step(
            "learners",
            ("turnover",),
            ("members", "validation_splits", "block_km"),
            ("models/learners.npz", *_tables("learners", "held_out", "variograms")),
        ),
        Step("maps", ("learners", "root_depth"), MAPS, ("maps/**/*", "tables/map_totals*.csv")),
    )
}
"""The steps that take long; all others are done anew each time."""


class Steps:
    """The steps of one output folder.

    Parameters
    ----------
    settings : RunSettings
        What is to be made, and where.
    files : dict of str
        Checksums of the input files, by name.
    """

    def __init__(self, settings: RunSettings, files: dict[str, str]):
        self.settings, self.path = settings, settings.out / RECORD
        self.common = {
            "code": _fingerprint(),
            "packages": {name: version(name) for name in PACKAGES},
            "files": sorted(files.values()),
            "settings": {name: getattr(settings, name) for name in ("seed", "quick", "nearest_km")},
        }
        try:
            self.record: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            self.record = {}

    def once(self, name: str, make: Callable[[], object]) -> bool:
        """Makes a step's products, unless they are there, unchanged, from the same data, settings and code.

        Parameters
        ----------
        name : str
            One of `STEPS`.
        make : callable
            Writes the products.

        Returns
        -------
        bool
            Whether they were made now.
        """
        key, known = self.key(name), self.record.get(name, {})
        if known.get("key") == key and all(self._unchanged(*item) for item in known["files"].items()):
            return False
        if self.record.pop(name, None):  # half of them may be new when this one is stopped
            write_json(self.path, self.record)
        make()
        out = self.settings.out
        made = sorted(path for pattern in STEPS[name].makes for path in out.glob(pattern) if path.is_file())
        self.record[name] = {"key": key, "files": {path.relative_to(out).as_posix(): sha256(path) for path in made}}
        write_json(self.path, self.record)
        return True

    def key(self, name: str) -> str:
        """Checksum of all that a step is made from."""
        step, values = STEPS[name], {}
        for setting in step.settings:
            value = getattr(self.settings, setting)
            values[setting] = sha256(value) if isinstance(value, Path) and value.is_file() else value
        about = {
            "step": name,
            "common": self.common,
            "values": values,
            "needs": [self.key(need) for need in step.needs],
        }
        return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()

    def _unchanged(self, name: str, checksum: str) -> bool:
        path = self.settings.out / name
        return path.is_file() and sha256(path) == checksum


@cache
def _fingerprint() -> str:
    """Checksum of the package's own code."""
    folder, found = Path(__file__).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        found.update(path.relative_to(folder).as_posix().encode() + path.read_bytes())
    return found.hexdigest()
