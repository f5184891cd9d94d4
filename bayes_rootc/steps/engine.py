"""The engine of a run: makes steps in order, keeps what is there for the same data, settings and code, and resumes.

A library was looked for first. Hamilton and joblib's Memory keep results as pickles, which we refuse to read, and hash
whole tables of arguments; pydoit keeps a database of files and has a command line of its own. Here the products of a
step are files that a user wants anyway, so a record of their checksums is all that is missing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..extras import require
from ..files import code_checksum, sha256, write_json
from ..progress import Progress, Stages
from ..settings import RunSettings

RECORD = "steps.json"
"""File of the output folder that says what each step was made from, and the checksums of what it made."""

PACKAGES = tuple("numpy scipy pandas xarray scikit-learn jax jaxlib numpyro pymc nutpie numba arviz rasterio".split())
"""Packages whose version may change a number."""


@dataclass(frozen=True)
class Step:
    """A step of a run.

    Parameters
    ----------
    name : str
        Its name.
    make : callable
        Called with the product of each step that it needs, by the name of that step, with `settings` and `progress`.
        Returns its product, or writes the files from which `read` takes it.
    needs : tuple of str
        Steps whose products it takes.
    settings : tuple of str
        Settings that change its product; the seed, `quick` and `nearest_km` change that of every step.
    makes : tuple of str
        Files below the output folder, as patterns, the main one first. A step that names some is kept: it is made once
        for the same data, settings and code. Files that are not made under some settings may be missing.
    shared : tuple of str
        Files to which another step adds: they must be there, but may have changed.
    read : callable, optional
        Takes the product of a step that is kept from its files, called with the settings.
    sources : callable, optional
        Checksums of the files that a product was read from: they identify the step in place of what it needs.
    checks : str
        Step whose fit it checks; its files are removed when that is made from something else.
    title : str
        What progress calls it; by default its name with blanks for underscores.
    wanted : callable
        Whether it makes something under these settings; by default always.
    extra : str
        Extra of the installation without which it cannot be made; missed before anything is made.
    """

    name: str
    make: Callable[..., Any]
    needs: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    read: Callable[[RunSettings], Any] | None = None
    sources: Callable[[Any], dict[str, str]] | None = None
    checks: str = ""
    title: str = ""
    wanted: Callable[[RunSettings], bool] = lambda _: True
    extra: str = ""


class Run:
    """Steps made in one output folder.

    Products go from step to step as they stand in files, so a run that was stopped ends like one that was not.

    Parameters
    ----------
    steps : sequence of Step
        All steps there are, each after those that it needs.
    settings : RunSettings
        What is to be made, and where.
    quiet : bool
        Says nothing.
    """

    def __init__(self, steps: Sequence[Step], settings: RunSettings, *, quiet: bool = False):
        self.steps = {step.name: step for step in steps}
        self.settings, self.quiet = settings, quiet
        self.products: dict[str, Any] = {}
        self.stages = Stages(0, quiet=quiet)
        self._sources: dict[str, dict[str, str]] = {}
        self._taken: set[str] = set()
        self._common = {
            "code": code_checksum(),
            "packages": {name: version(name) for name in PACKAGES},
            "settings": {name: getattr(settings, name) for name in ("seed", "quick", "nearest_km")},
        }

    @property
    def record(self) -> dict[str, Any]:
        """What `steps.json` says of each step: its key, the keys of what it needs, and checksums of its files."""
        try:
            return dict(json.loads((self.settings.out / RECORD).read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError):
            return {}

    def upto(self, *targets: str, models_there: bool = False, more: int = 0) -> Any:
        """Makes steps, and before them all that they need.

        Parameters
        ----------
        *targets : str
            Names of steps.
        models_there : bool
            What the targets need is taken as it is there, whatever it was made from; only what is missing is made.
        more : int
            Number of stages that follow.

        Returns
        -------
        Any
            Product of the last target.
        """
        wanted = self._plan(targets, models_there=models_there)
        self._taken = {name for name, taken in wanted.items() if taken}
        for name in wanted.keys() - self._taken:
            step = self.steps[name]
            if step.extra and step.wanted(self.settings):
                require(step.extra, f"the step {step.title or name.replace('_', ' ')}")
        self.stages = Stages(len(wanted) + more, quiet=self.quiet)
        for name, taken in wanted.items():
            with self.stages.stage(self.steps[name].title or name.replace("_", " ")) as progress:
                step = self.steps[name]
                kept = taken or not self._make(step, progress)
                if step.wanted(self.settings):
                    self.stages.kept.append(kept)
                if step.read:
                    self.products[name] = step.read(self.settings)
        return self.products.get(targets[-1])

    def _plan(self, targets: Sequence[str], *, models_there: bool) -> dict[str, bool]:
        """Steps on the way, in order; whether each is taken as it is."""
        found: dict[str, bool] = {}

        def visit(name: str) -> None:
            step = self.steps[name]
            taken = models_there and name not in targets and self._is_there(step)
            if not taken:
                for need in step.needs:
                    visit(need)
            found.setdefault(name, taken)

        for name in targets:
            visit(name)
        return {name: found[name] for name in self.steps if name in found}

    def _is_there(self, step: Step) -> bool:
        if not step.wanted(self.settings):
            return True  # nothing is to be there
        return bool(step.makes) and any(self.settings.out.glob(step.makes[0]))

    def _make(self, step: Step, progress: Progress) -> bool:
        """Makes a step, unless it is kept. Returns whether it was made now."""
        key, known = self.key(step.name), self.record.get(step.name, {})
        kept = bool(step.makes and key)
        if kept and known.get("key") == key and all(self._unchanged(*f) for f in known["files"].items()):
            return False
        needs = {need: self.key(need) for need in step.needs}
        self._remember(step, {"needs": needs} if kept else None)  # when it is stopped, half of its files may be new
        needed = {need: self.products.get(need) for need in step.needs}
        product = step.make(**needed, settings=self.settings, progress=progress)
        self.products[step.name] = product
        if step.sources:
            self._sources[step.name] = step.sources(product)
        if kept:
            made = {path.relative_to(self.settings.out).as_posix(): sha256(path) for path in self._files(step)}
            made |= dict.fromkeys(step.shared, "")
            self._remember(step, {"key": key, "needs": needs, "files": made})
        for check in self.steps.values():
            if check.checks == step.name:
                self._remove_stale(check)
        return True

    def key(self, name: str) -> str:
        """Checksum of all that a step is made from; of a step that is taken as it is, the one on record, or nothing."""
        if name in self._taken:
            return str(self.record.get(name, {}).get("key", ""))
        step, values = self.steps[name], {}
        for setting in step.settings:
            value = getattr(self.settings, setting)
            values[setting] = sha256(value) if isinstance(value, Path) and value.is_file() else value
        needs = {need: self.key(need) for need in step.needs} if not step.sources else self._sources.get(name, {})
        if "" in needs.values():
            return ""
        about = self._common | {"step": name, "values": values, "needs": needs}
        return hashlib.sha256(json.dumps(about, sort_keys=True, default=str).encode()).hexdigest()

    def _files(self, step: Step) -> list[Path]:
        return sorted(path for pattern in step.makes for path in self.settings.out.glob(pattern) if path.is_file())

    def _unchanged(self, name: str, checksum: str) -> bool:
        path = self.settings.out / name
        return path.is_file() and checksum in ("", sha256(path))

    def _remove_stale(self, check: Step) -> None:
        """Removes the results of a check of an earlier fit, which would be taken for those of the present one."""
        known = self.record.get(check.name, {}).get("needs", {})
        if known.get(check.checks) != self.key(check.checks):
            self._remember(check, None)
            for path in self._files(check):
                path.unlink()

    def _remember(self, step: Step, entry: dict[str, Any] | None) -> None:
        """Puts a step on record, or takes it from there."""
        before = self.record
        after = {name: known for name, known in before.items() if name != step.name}
        after |= {step.name: entry} if entry else {}
        if after != before:
            write_json(self.settings.out / RECORD, after)
