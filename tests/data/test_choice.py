"""Which file of a folder is read."""

from __future__ import annotations

import pytest

from bayes_rootc.data.atmosphere import Atmosphere
from bayes_rootc.data.choice import not_read, the_table
from bayes_rootc.errors import InputError


def chosen(folder, *names: str) -> str:
    for name in names:
        (folder / name).touch()
    return the_table(folder, "T_", "T_*.csv").name


@pytest.mark.parametrize(
    ("names", "right"),
    [
        (
            ["T_mine.csv", "T_mine.csv~", "T_mine.csv.bak", "T_mine.xlsx", ".T_mine.csv.swp", "T_mine.csv.part"],
            "T_mine.csv",
        ),
        (["T_v9.csv", "T_v10.csv"], "T_v10.csv"),
        (["T_v2-2023-02-08.csv.gz", "T_v2-2022-11-30.csv", "T_v1.9-2024-01-01.csv"], "T_v2-2023-02-08.csv.gz"),
        (["T_v2-2023-02-08.csv.gz", "T_v2.5.5.2023-09-20.csv"], "T_v2.5.5.2023-09-20.csv"),
        (
            ["T_v 1.12.13.2021-07-13.csv", "T_v 1.6.7.2021-12-31.csv", "T_v1.4.NA.2022-01-30.csv"],
            "T_v 1.12.13.2021-07-13.csv",
        ),
        (["T_V3.CSV"], "T_V3.CSV"),
    ],
)
def test_the_newest_version_is_read_and_no_backup(tmp_path, names, right):
    assert chosen(tmp_path, *names) == right


@pytest.mark.parametrize(
    "names",
    [["T_mine.csv", "T_yours.csv"], ["T_mine.csv", "T_v2.csv"], ["T_v2.csv", "T_v2.csv.gz"], ["T_.csv", "T_x.csv"]],
)
def test_several_that_could_be_meant_are_refused_by_name(tmp_path, names):
    with pytest.raises(InputError, match=f"several files could be meant: .*{names[1]}; leave one"):
        chosen(tmp_path, *names)


def test_what_is_no_table_is_named(tmp_path):
    with pytest.raises(InputError, match=r"expected a file named T_\*.csv in it; found T_a.xlsx"):
        chosen(tmp_path, "T_a.xlsx", "other.csv")
    assert not_read(tmp_path, [tmp_path / "other.csv"]) == ["T_a.xlsx"]


HISTORY = "CAL.BP,Delta.14C,Sigma.Delta.14C\n50000,400,100\n500,{},2\n0,-25,1\n"


@pytest.mark.parametrize("south", ["shcal20.csv", "southern_hemisphere.csv", "curve-SH.csv"])
def test_a_southern_history_is_known_by_several_names(tmp_path, south):
    (tmp_path / "intcal20.csv").write_text(HISTORY.format(11))
    (tmp_path / south).write_text(HISTORY.format(99))
    air = Atmosphere.read(tmp_path)
    assert air.history("NHZone1").at(1450) == 11 and air.history("SHZone3").at(1450) == 99


def test_two_histories_of_one_hemisphere_are_refused(tmp_path):
    (tmp_path / "intcal20.csv").write_text(HISTORY.format(11))
    (tmp_path / "mine.csv").write_text(HISTORY.format(99))
    with pytest.raises(InputError, match=r"mine\.csv: a second curve of the north before 1950"):
        Atmosphere.read(tmp_path)
