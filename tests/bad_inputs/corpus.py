"""Bad inputs of every kind, and what is said of each: `python -m tests.bad_inputs.corpus` prints them as a table."""

from __future__ import annotations

import tempfile
from pathlib import Path

from . import gridded, other, tables
from .case import LONGEST, Case, good_folder, run

CASES: tuple[Case, ...] = (*tables.CASES, *gridded.CASES, *other.CASES)


def main() -> None:
    """Prints a row a case, in Markdown."""
    print("| input | exit code | line |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        good = good_folder(Path(name) / "good")
        for number, case in enumerate(CASES):
            result = run(case, good, Path(name) / str(number))
            told = [case.prints.strip()] if case.prints else [line[:LONGEST] for line in result.errors[-1:]]
            cell = " ".join(told + [f"**{fault}**" for fault in result.faults(case)])
            print(f"| {case.name} | {result.code} | {cell.replace('|', chr(92) + '|')} |", flush=True)


if __name__ == "__main__":
    main()
