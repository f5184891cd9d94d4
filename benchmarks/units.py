"""Which wrong units are noticed: every numeric column of the public tables times 0.001 to 1000, one at a time.

    python -m benchmarks.units DATA

prints a row a column: `refused`, `doubted` (printed first by `check`), `dropped` (more than half of the rows that were
used are left out and counted), or `-`: taken as it stands.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from bayes_rootc.data.choice import the_table
from bayes_rootc.data.israd import read_layers
from bayes_rootc.data.npp import read_npp
from bayes_rootc.data.roots import read_root_profiles
from bayes_rootc.data.tables import SourceCheck
from bayes_rootc.errors import InputError

FACTORS = (0.001, 0.01, 0.1, 10, 100, 1000)
LAYER_COLUMNS = (
    "pro_lat pro_long lyr_top lyr_bot lyr_obs_date_y lyr_14c lyr_14c_sigma lyr_soc_filled lyr_c_org_filled "
    "lyr_bd_samp_filled lyr_coarse_tot"
).split()
LAYER_TEXT = "entry_name site_name pro_name lyr_name lyr_hzn pro_treatment pro_peatland pro_usda_soil_order".split()
TOGETHER = {"depths": ["lyr_top", "lyr_bot"]}
"""Columns that people convert together."""

type Reader = Callable[[Path], SourceCheck]


def verdict(table: pd.DataFrame, columns: list[str], factor: float, name: str, read: Reader, base: SourceCheck) -> str:
    """What becomes of a table some of whose columns are in another unit."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        table.assign(**{column: table[column] * factor for column in columns}).to_csv(path, index=False)
        try:
            check = read(path)
        except InputError:
            return "refused"
    if set(check.doubts) - set(base.doubts):
        return "doubted"
    return "dropped" if check.used < 0.5 * base.used else "-"


def tables(data: Path) -> list[tuple[str, pd.DataFrame, dict[str, list[str]], Reader]]:
    """File name, table, columns, reader of each source; of ISRaD only the rows with Δ14C."""
    israd = pd.read_csv(the_table(data / "israd", "ISRaD_extra_flat_layer_", "ISRaD"), low_memory=False)
    layers = israd.loc[israd["lyr_14c"].notna(), LAYER_TEXT + LAYER_COLUMNS]
    own = {name: [name] for name in LAYER_COLUMNS} | TOGETHER
    found: list[tuple[str, pd.DataFrame, dict[str, list[str]], Reader]] = [
        ("ISRaD_extra_flat_layer_x.csv", layers, own, lambda path: read_layers(path)[1])
    ]
    for name, columns in (
        ("npp_peng2023.csv", "lat lon TNPP_1 ANPP_2 BNPP_1"),
        ("srdb-data.csv", "Latitude Longitude NPP ANPP BNPP"),
    ):
        found.append((name, pd.read_csv(data / "npp" / name, low_memory=False), {c: [c] for c in columns.split()},
                      lambda path: read_npp(path.parent)[2][0]))  # fmt: skip
    roots = pd.read_csv(data / "roots" / "root_profiles_D50D95.csv")
    columns = "latitude longitude D50 D95 D50_extrapolated D95_extrapolated"
    missing = roots.replace(-999.0, float("nan"))
    found.append(("root_profiles_D50D95.csv", missing, {c: [c] for c in columns.split()},
                  lambda path: read_root_profiles(path)[1]))  # fmt: skip
    return found


def main(data: Path) -> None:
    """Prints the table, in Markdown."""
    print(f"| column | {' | '.join(f'× {factor:g}' for factor in FACTORS)} |\n|---|{'---|' * len(FACTORS)}")
    counts: dict[str, int] = {}
    for name, table, columns, read in tables(data):
        with tempfile.TemporaryDirectory() as folder:
            table.to_csv(Path(folder) / name, index=False)
            base = read(Path(folder) / name)
        for label, some in columns.items():
            found = [verdict(table, some, factor, name, read, base) for factor in FACTORS]
            for one in found:
                counts[one] = counts.get(one, 0) + 1
            print(f"| {label} | {' | '.join(found)} |", flush=True)
    print("\n" + ", ".join(f"{n} {what}" for what, n in sorted(counts.items())))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
