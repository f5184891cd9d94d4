"""The command `benchmark`: models compared with the posterior; scores and figures in the output folder of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..files import write_csv
from ..progress import Progress
from ..report.results import Results
from .archive import ANY, Choice
from .compare import compare, factor_table, score_table
from .figures import save_benchmark_figures


def benchmark(
    paths: Sequence[Path],
    variable: str,
    out: Path,
    *,
    data: Path | None = None,
    choice: Choice = ANY,
    progress: Progress | None = None,
) -> tuple[Path, list[str]]:
    """Scores and figures of models, in `benchmark/VARIABLE/` of the output folder of a run.

    Returns
    -------
    tuple of Path, list of str
        The path of `scores.csv`, and remarks on what was done to the models' numbers.

    Raises
    ------
    InputError
        As `compare`; or two models have one name.
    """
    results = Results.read(out, data=data)
    try:
        compared = compare(paths, variable, results, choice=choice, seed=int(results.run["seed"]), progress=progress)
        names = [c.model for c in compared]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(
                f"two models are called {twice}: give each file or folder a name of its own (or `source_id`)"
            )
        folder = out / "benchmark" / variable
        table = score_table(compared)
        write_csv(folder / "scores.csv", table)
        factors = factor_table(compared)
        if len(factors):
            write_csv(folder / "turnover_factor.csv", factors)
        save_benchmark_figures(compared, table, factors, results, folder)
    finally:
        results.close()
    return folder / "scores.csv", [f"{c.model}: {remark}" for c in compared for remark in c.remarks]
