"""Everything is in pyproject.toml; this only writes into a wheel which commit it was built from."""

import runpy
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

COMMIT = runpy.run_path("bayes_rootc/commit.py")


class BuildWithCommit(build_py):
    """Copies the package, and the commit into it where git knows one."""

    def run(self) -> None:
        super().run()
        found = COMMIT["commit_of_clone"](Path("bayes_rootc").resolve())
        if found and not self.editable_mode:
            (Path(self.build_lib) / "bayes_rootc" / COMMIT["BUILT_FROM"]).write_text(f"{found}\n", encoding="utf-8")


setup(cmdclass={"build_py": BuildWithCommit})
