"""The paper's Methods, statement by statement: where each is in the code, and whether it is done as written.

All of it is in one file, `data/methods.toml`, from which the documentation makes its table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pandas as pd
import pydantic

from .data.toml import read_toml

FILE = Path(__file__).parent / "data" / "methods.toml"


class Statement(pydantic.BaseModel):
    """A statement of the Methods."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    section: str
    says: str
    status: Literal["done", "otherwise", "not possible"]
    where: tuple[str, ...]
    """Functions or classes below `bayes_rootc`."""
    why: str = ""


def read_statements() -> list[Statement]:
    """All statements, in the paper's order.

    Examples
    --------
    >>> [s.status for s in read_statements() if "eq. 6" in s.says]
    ['done']
    """
    return [Statement.model_validate(entry) for entry in read_toml(FILE)["statement"]]


def methods_table() -> pd.DataFrame:
    """`section`, what the paper `says`, `status`, `where` in the code, and `why`, a row a statement."""
    rows = [{**statement.model_dump(), "where": ", ".join(statement.where)} for statement in read_statements()]
    return pd.DataFrame(rows)
