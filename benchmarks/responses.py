"""The responses that are learnt, from real data: what the benchmarks of learners have in common."""

from __future__ import annotations

import argparse
from pathlib import Path

from bayes_rootc.mapping.tasks import Task
from bayes_rootc.pipeline import STEPS
from bayes_rootc.settings import RunSettings
from bayes_rootc.steps.engine import Run
from bayes_rootc.steps.learners import tasks_of


def real_responses(name: str, description: str | None) -> tuple[dict[str, Task], Path]:
    """Reads the command line of `python -m benchmarks.NAME`; returns the responses, and where the JSON is to go."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=description)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder of a run or fit, whose turnover is used")
    parser.add_argument("--json", type=Path, default=Path(f"build/{name}.json"))
    arguments = parser.parse_args()
    settings = RunSettings(data=arguments.data, out=arguments.out)
    made = Run(STEPS, settings)
    bulk_input = made.upto("bulk_input", models_there=True)
    return tasks_of(made.products["inputs"], bulk_input, settings), arguments.json
