"""What summaries say of the map."""

from __future__ import annotations

import pandas as pd
import pytest

from bayes_rootc.report.tables import Mapped

LAYER = {"biome": [0, 3], "layer": "0-200"}
OF_TOTALS = {"mean": 8.0, "median": 7.0, "p025": 4.0, "p975": 99.0}


@pytest.fixture
def totals() -> pd.DataFrame:
    columns = [f"{flux}_{unit}" for flux in ("iroot", "ibulk", "iloss") for unit in ("mg_ha", "pg")] + ["share"]
    return pd.DataFrame(LAYER | {f"{name}_{key}": value for name in columns for key, value in OF_TOTALS.items()})


def test_totals_are_of_the_members(totals):
    rows = Mapped(totals).rows(0, "0-200", total=True, share=True)
    assert [(row["quantity"], row["where"]) for row in rows] == [
        *((flux, where) for flux in ("iroot", "ibulk", "iloss") for where in ("map, per area", "map, total")),
        ("share", "map"),
    ]
    assert all(row["p975"] == 99 for row in rows)
    assert len(Mapped(totals).rows(3, "0-200")) == 3 and Mapped(totals).rows(4, "0-200") == []


def test_where_bootstraps_stretch_the_members_summaries_say_what_the_cells_range_over(totals):
    of_cells = {"mean": 1.8, "median": 1.6, "p025": 0.2, "p975": 4.0, "cells": 9}
    ranges = pd.DataFrame([{"biome": 0, "layer": "0-200", "quantity": flux} | of_cells for flux in ("iroot", "ibulk")])
    rows = Mapped(totals, ranges).rows(0, "0-200", total=True, share=True)
    assert [row["quantity"] for row in rows] == ["iroot", "ibulk"]
    for row in rows:
        assert (row["where"], row["interval"]) == ("map, cells", "95 % of the mapped area")
        assert (row["mean"], row["median"], row["p025"], row["p975"]) == (1.8, 1.6, 0.2, 4.0)
    assert Mapped(totals, ranges).rows(3, "0-200") == []
