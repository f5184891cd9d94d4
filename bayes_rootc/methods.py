"""Each statement of the paper's Methods, figure and number of its text: where it is made here, and whether as there.

All of it is in one file, `data/methods.toml`, from which the documentation and the report make their tables.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd
import pydantic

from .data.toml import read_toml

FILE = Path(__file__).parent / "data" / "methods.toml"


class Entry(pydantic.BaseModel):
    """What the paper has, and what became of it here."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    status: Literal["done", "otherwise", "not possible"]
    where: tuple[str, ...] = ()
    """Functions or classes below `bayes_rootc`."""
    why: str = ""


class Statement(Entry):
    """A statement of the Methods."""

    section: str
    says: str


class Figure(Entry):
    """A figure of the paper, or a table that its text names."""

    name: str
    shows: str
    tables: tuple[str, ...] = ()
    """Tables of a run that hold what it shows."""


class Number(Entry):
    """A number of the paper's text, and the cell of our tables that corresponds to it.

    Examples
    --------
    >>> number = next(n for n in read_numbers() if n.says.startswith("I_loss / I_root"))
    >>> number.value, number.unit, number.cell
    ('77.9 (65.3 to 90.9)', '%', 'paper_comparison.csv: ours, ours_low, ours_high of I_loss / I_root, six estimates')
    """

    place: str
    """Part of the paper."""
    says: str
    value: str
    """As printed there."""
    unit: str = ""
    table: str = ""
    """Table of a run; none where nothing in the tables corresponds to it."""
    columns: tuple[str, ...] = ()
    """Column of the value, or columns of the value and its lower and upper bound."""
    row: dict[str, int | str] = {}
    """What the row has in other columns."""

    @property
    def cell(self) -> str:
        """Table, columns and row, in words."""
        if not self.table:
            return ""
        row = ", ".join(v if isinstance(v, str) else f"{k} {v}" for k, v in self.row.items())
        return f"{self.table}.csv: {', '.join(self.columns)} of {row}"

    def ours(self, table: pd.DataFrame) -> tuple[float, ...] | None:
        """The values of `columns` in the unit of the paper; None where the table lacks the row.

        Parameters
        ----------
        table : DataFrame
            The table of this name.

        Examples
        --------
        >>> number = next(n for n in read_numbers() if n.says == "Part of I_loss in 20-40 cm")
        >>> number.ours(pd.DataFrame({"layer": ["20-40"], "quantity": ["iloss_of_profile"], "mean": [0.5]}))
        (50.0,)
        """
        here = pd.Series(True, index=table.index)
        for column, wanted in self.row.items():
            here &= table[column] == wanted
        if not here.any():
            return None
        factor = 100.0 if self.unit == "%" else 1.0
        return tuple(factor * float(v) for v in table.loc[here, list(self.columns)].iloc[0])


def read_statements() -> list[Statement]:
    """All statements of the Methods, in the paper's order.

    Examples
    --------
    >>> [s.status for s in read_statements() if "eq. 6" in s.says]
    ['done']
    """
    return [Statement.model_validate(entry) for entry in read_toml(FILE)["statement"]]


def read_figures() -> list[Figure]:
    """All figures that the paper's text names, and the tables that go with them.

    Examples
    --------
    >>> [f.where for f in read_figures() if f.name == "Fig. 2"]
    [('report.figures_regressions.figure_2',)]
    """
    return [Figure.model_validate(entry) for entry in read_toml(FILE)["figure"]]


def read_numbers() -> list[Number]:
    """All numbers of the paper's abstract, results and conclusions, and the counts of its Methods, in its order.

    Examples
    --------
    >>> {n.place for n in read_numbers()} >= {"Abstract", "I_root", "I_bulk", "I_loss"}
    True
    """
    return [Number.model_validate(entry) for entry in read_toml(FILE)["number"]]
