"""Which commit of the code this is: that of a clone which is used in place, or the one an installation was built from.

Loads nothing of the package, because the build (`setup.py`) runs it too.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

BUILT_FROM = "COMMIT"
"""File in the package to which the build writes the commit; an archive without git has none."""


def commit(package: Path = Path(__file__).parent) -> str:
    """Commit of the code, with ``-dirty`` if files were changed since; empty where git does not know it.

    Parameters
    ----------
    package : Path
        Folder of the package.
    """
    built = package / BUILT_FROM
    return built.read_text(encoding="utf-8").strip() if built.is_file() else commit_of_clone(package)


def commit_of_clone(package: Path) -> str:
    """Commit of the clone in which the package lies; parameters as `commit`."""
    try:
        # refuses a package that is installed inside the clone of another project
        _git(package, "ls-files", "--error-unmatch", "__init__.py")
        return _git(package, "describe", "--always", "--dirty", "--abbrev=10", "--exclude", "*")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()
