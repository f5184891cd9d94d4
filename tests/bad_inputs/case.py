"""What a case of the corpus is, and how it is run: a good folder, spoiled, and a command on it."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bayes_rootc.cli import main
from bayes_rootc.demo import simulate_world
from bayes_rootc.errors import InputError
from tests.report.conftest import finish

RASTERS = ("bio1", "bio12", "clay", "cropland_fraction", "npp_satellite", "soc_stock_hwsd", "wwf_biome")
ISRAD, PENG, SRDB, ROOTS = (
    "data/israd/ISRaD_extra_flat_layer_demo.csv",
    "data/npp/npp_peng2023.csv",
    "data/npp/srdb-data.csv",
    "data/roots/root_profiles_D50D95.csv",
)
MANIFEST = "data/covariates/manifest.toml"
CHECK = ("check", "--data", "data")
LONGEST = 700
"""Characters of a line, at most."""

Change = Callable[[Path], object]
"""Of files in the folder that it is given, which holds `data` and `out`."""


def nothing(folder: Path) -> None:
    """Leaves the folder as it is."""


@dataclass(frozen=True)
class Case:
    """A bad input.

    Parameters
    ----------
    name : what is wrong. says : words of the one line. spoil : how it is made. command : of the command line, in the
        folder; or a function of the folder, where no command reads this input by itself. prints : the command is to end
        well, and to print this. usage : the command is not understood, and its usage is printed.
    """

    name: str
    says: tuple[str, ...] = ()
    spoil: Change = nothing
    command: tuple[str, ...] | Change = CHECK
    prints: str = ""
    usage: bool = False


@dataclass(frozen=True)
class Result:
    """Exit code, lines on stderr and stdout, and files that were not there before."""

    code: int
    errors: list[str]
    printed: list[str]
    left: list[str]

    def faults(self, case: Case) -> list[str]:
        """What is not as it should be; nothing, if all is well."""
        if case.prints:
            found = [f"exit code {self.code}"] if self.code else []
            found += [] if any(case.prints in line for line in self.printed) else [f"does not print `{case.prints}`"]
            return found + self.errors
        line = self.errors[-1] if self.errors else ""
        found = [f"exit code {self.code}"] if self.code != 2 else []
        found += [f"`{words}` is not in the line" for words in case.says if words not in line]
        if not case.usage:
            found += [f"{len(self.errors)} lines on stderr"] if len(self.errors) != 1 else []
            found += [] if line.startswith("bayes-rootc: ") else ["not a line of bayes-rootc"]
            found += [f"{len(line)} characters"] if len(line) > LONGEST else []
        return found + [f"{path} is left behind" for path in self.left]


def good_folder(folder: Path) -> Path:
    """A small simulated `data` folder, with few rasters and a plain ISRaD table, and a made-up finished `out`."""
    simulate_world(folder / "data", resolution=6.0, radiocarbon_profiles=40, npp_sites=60, root_profiles=40)
    head, *entries = (folder / MANIFEST).read_text(encoding="utf-8").split("[[raster]]")
    entries = [entry for entry in entries if entry.split('"')[1] in RASTERS]
    (folder / MANIFEST).write_text("[[raster]]".join([head, *entries]), encoding="utf-8")
    for path in (folder / MANIFEST).parent.glob("*.tif"):
        if path.stem not in RASTERS:
            path.unlink()
    packed = folder / f"{ISRAD}.gz"
    (folder / ISRAD).write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    finish(folder / "out")
    return folder


def run(case: Case, good: Path, folder: Path) -> Result:
    """Copies the good folder, spoils the copy, runs the command in it and removes it."""
    shutil.copytree(good, folder, dirs_exist_ok=True)
    case.spoil(folder)
    before = _files_of(folder)
    with tempfile.TemporaryFile("w+", encoding="utf-8") as errors:
        printed = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(printed), _stderr_in(errors):
            code = _exit_code(case.command, folder)
        errors.seek(0)
        lines = errors.read().splitlines()
    left = sorted(_files_of(folder) - before)
    shutil.rmtree(folder)
    return Result(code, lines, printed.getvalue().splitlines(), left)


def _files_of(folder: Path) -> set[str]:
    """All but the lock of an output folder, which stays, and finished figures."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path) for path in files if not path.match("out/figures/[!.]*.png")}


@contextlib.contextmanager
def _stderr_in(file: io.TextIOWrapper) -> Iterator[None]:
    """What Python and the libraries below it would print there; warnings as well, whoever else collects them."""
    known = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        with contextlib.redirect_stderr(file), warnings.catch_warnings(record=True) as warned:
            yield
            file.writelines(f"{w.category.__name__}: {w.message}\n" for w in warned)
    finally:
        file.flush()
        os.dup2(known, 2)
        os.close(known)


def _exit_code(command: tuple[str, ...] | Change, folder: Path) -> int:
    try:
        if not callable(command):
            return main(command)
        command(folder)
        return 0
    except InputError as error:
        print(f"bayes-rootc: {error}", file=sys.stderr)
        return 2
    except SystemExit as stop:
        return int(stop.code or 0)
    except Exception as error:  # what the corpus is there to find
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
