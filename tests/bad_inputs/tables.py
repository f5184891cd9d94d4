"""Bad tables: radiocarbon layers, production, root profiles, and sites to predict at."""

from __future__ import annotations

import gzip
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

from .case import ISRAD, PENG, ROOTS, SRDB, Case, Change
from .spoil import a_folder, cells, first, remade, removed, table, text, times, write

MANY = 1_000_000
AT_SITES = ("predict", "iroot", "--at", "sites.csv", "--from", "out", "--data", "data", "--to", "predicted.csv")


def zipped_twice(folder: Path) -> None:
    """An archive of two tables."""
    (folder / ISRAD).unlink()
    with zipfile.ZipFile(folder / f"{ISRAD}.zip", "w") as archive:
        for name in "ab":
            archive.writestr(f"{name}.csv", "x\n1\n")


def zipped(change: Callable[[bytes], bytes]) -> Change:
    """The ISRaD table as gzip, of which a function spoils the bytes."""

    def spoil(folder: Path) -> None:
        packed = gzip.compress((folder / ISRAD).read_bytes())
        (folder / ISRAD).unlink()
        (folder / f"{ISRAD}.gz").write_bytes(change(packed))

    return spoil


def in_place(ending: str, content: str) -> Change:
    """Another file than the ISRaD table, whose name ends otherwise."""

    def spoil(folder: Path) -> None:
        (folder / ISRAD).unlink()
        (folder / f"{ISRAD}{ending}").write_text(content)

    return spoil


def many_rows(last: bytes) -> Change:
    """A million rows, and one more."""
    header, row = b"lat,lon,ANPP_2,BNPP_1,TNPP_1\n", b"55.44,125.9,345.5,217.2,562.7\n"

    def spoil(folder: Path) -> None:
        with (folder / PENG).open("wb") as file:
            file.write(header)
            for _ in range(100):
                file.write(row * (MANY // 100))
            file.write(last)

    return spoil


def no_tables(folder: Path) -> None:
    """The folder of radiocarbon is gone."""
    shutil.rmtree(folder / "data/israd")


FILES = (
    Case("UTF-16", ("israd", "UTF-8"), text(ISRAD, str, "utf-16")),
    Case("Latin-1", ("israd", "UTF-8"), text(ISRAD, lambda t: t.replace("Demo_01", "Démo", 3), "latin-1")),
    Case("semicolons between columns", ("npp_peng2023.csv", "`;`"), text(PENG, lambda t: t.replace(",", ";"))),
    Case("tabs between columns", ("root_profiles", "tab"), text(ROOTS, lambda t: t.replace(",", "\t"))),
    Case("column missing", ("lyr_top is missing",), table(ISRAD, lambda t: t.drop(columns="lyr_top"))),
    Case("no header", ("column lat is missing",), text(PENG, lambda t: t.partition("\n")[2])),
    Case("column twice", ("column BNPP_1", "twice"), text(PENG, lambda t: t.replace("site", "BNPP_1", 1))),
    Case("empty file", ("root_profiles", "not a readable CSV"), write(ROOTS, b"")),
    Case("blank lines only", ("root_profiles", "not a readable CSV"), write(ROOTS, b"\n \n\n")),
    Case("header only: layers", ("israd", "at least one row"), table(ISRAD, lambda t: t[:0])),
    Case("header only: production", ("srdb-data", "at least one row"), table(SRDB, lambda t: t[:0])),
    Case("header only: roots", ("root_profiles", "at least one row"), table(ROOTS, lambda t: t[:0])),
    Case("one row", ("israd", "1 usable radiocarbon layers"), table(ISRAD, lambda t: t[:1])),
    Case("NUL bytes in a number", ("row 2", "column lat"), text(PENG, lambda t: t.replace("\n5", "\n\0\0", 1))),
    Case("NUL bytes only", ("srdb-data.csv",), write(SRDB, bytes(4096))),
    Case("a picture", ("srdb-data.csv", "UTF-8"), write(SRDB, b"\x89PNG\r\n\x1a\n" + bytes(range(256)))),
    Case("quote never closed", ("not a readable CSV",), text(SRDB, lambda t: t.replace("\n", '\n"', 1))),
    Case(
        "rows longer than the header",
        ("more fields than",),
        text(PENG, lambda t: t.replace("\n", ",7,8\n").replace(",7,8", "", 1)),
    ),
    Case("one row longer", ("npp_peng2023.csv", "line 4"), remade(PENG, lambda b: _longer(b, 3))),
    Case("truncated gzip", ("csv.gz", "not a readable CSV"), zipped(lambda b: b[: len(b) // 2])),
    Case("damaged gzip", ("csv.gz", "not a readable CSV"), zipped(lambda b: b[:500] + bytes(200) + b[700:])),
    Case("gzip in name only", ("csv.gz", "not a readable CSV"), in_place(".gz", "a,b\n1,2\n")),
    Case("zip of two tables", ("csv.zip", "not a readable CSV"), zipped_twice),
    Case("zip in name only", ("csv.zip", "not a readable CSV"), in_place(".zip", "a,b\n1,2\n")),
    Case("xz in name only", ("csv.xz", "not a readable CSV"), in_place(".xz", "a,b\n1,2\n")),
    Case("folder in place of a table", ("root_profiles", "directory"), a_folder(ROOTS)),
    Case("roots missing", ("root_profiles", "not found"), removed(ROOTS)),
    Case("no radiocarbon", ("data/israd", "expected a file named"), no_tables),
    Case(
        "no production",
        ("data/npp", "expected npp_peng2023.csv or srdb-data.csv"),
        lambda folder: [path.unlink() for path in (folder / "data/npp").iterdir()],
    ),
    Case(
        "an editor's backup",
        prints="files that are not read: ISRaD_extra_flat_layer_demo.csv~",
        spoil=write(f"{ISRAD}~", "a,b\n1,2\n"),
    ),
    Case(
        "two tables that could be meant",
        ("data/israd", "several files could be meant", "layer_demo.csv, ", "v2"),
        write(f"{ISRAD.replace('demo', 'v2-2023-02-08')}", "a,b\n1,2\n"),
    ),
    Case(
        "two forms of one table",
        ("data/israd", "several files could be meant", "layer_demo.csv.gz"),
        write(f"{ISRAD}.gz", "a,b\n1,2\n"),
    ),
    Case(
        "a table that is no CSV",
        ("data/israd", "layer_demo.csv.xlsx", "not a readable Excel workbook"),
        in_place(".xlsx", "a"),
    ),
    Case("a million rows", prints=f"{MANY - 1:,} dropped: duplicate", spoil=many_rows(b"")),
    Case("a million rows, the last one bad", (f"row {MANY + 2:d}", "`many`"), many_rows(b"5,5,5,many,5\n")),
)


def _longer(content: bytes, row: int) -> bytes:
    lines = content.split(b"\n")
    lines[row] += b",7,8"
    return b"\n".join(lines)


VALUES = (
    Case("text for a number", ("srdb-data.csv, row 2, column BNPP", "`lots`"), first(SRDB, BNPP="lots")),
    Case("decimal comma", ("row 2, column lat", "`5,7655`"), first(PENG, lat="5,7655")),
    Case("several lines in a cell", ("row 2, column BNPP",), first(SRDB, BNPP="one\ntwo\r\nthree")),
    Case("a long cell", ("row 2, column BNPP", "…"), first(SRDB, BNPP="x" * 10_000)),
    Case("Δ14C of 1e9", ("row 2, column lyr_14c", "outside [-1000, 2000]"), first(ISRAD, lyr_14c="1e9")),
    Case("Δ14C infinite", ("row 2, column lyr_14c", "outside [-1000, 2000]"), first(ISRAD, lyr_14c="-inf")),
    Case("Δ14C missing", prints="7 dropped: no Δ14C", spoil=cells(ISRAD, slice(0, 6), lyr_14c=None)),
    Case("Δ14C missing everywhere", ("israd", "no layer has radiocarbon"), cells(ISRAD, lyr_14c=None)),
    Case("latitude of 95", ("row 2, column pro_lat", "95 is outside [-90, 90]"), first(ISRAD, pro_lat="95")),
    Case("latitude infinite", ("row 2, column pro_lat", "outside [-90, 90]"), first(ISRAD, pro_lat="inf")),
    Case("latitude missing", prints="1 dropped: no coordinates", spoil=first(ISRAD, pro_lat=None)),
    Case("latitude and longitude swapped", ("column lat", "outside [-90, 90]"), table(
        PENG, lambda t: t.rename(columns={"lat": "lon", "lon": "lat"}))),
    Case("longitudes of 0 to 360", ("column longitude", "200"), first(ROOTS, longitude="200")),
    Case("sites at sea", ("0 usable root profiles", "no soil biome"), cells(ROOTS, latitude="0", longitude="0")),
    Case("most sites at sea", prints="are latitude and longitude exchanged, or a sign lost?", spoil=table(
        ROOTS, lambda t: t.assign(latitude=[x if i % 4 == 0 else 0.01 * i for i, x in enumerate(t["latitude"])],
                                  longitude=[x if i % 4 == 0 else 0 for i, x in enumerate(t["longitude"])]))),
    Case("bottom infinite", prints="2 dropped: depth of top or bottom unknown", spoil=first(ISRAD, lyr_bot="inf")),
    Case("top and bottom swapped", prints="2 dropped: bottom not below", spoil=first(ISRAD, lyr_top="40", lyr_bot="0")),
    Case("top and bottom swapped everywhere", ("0 usable radiocarbon layers", "bottom not below top"), table(
        ISRAD, lambda t: t.rename(columns={"lyr_top": "lyr_bot", "lyr_bot": "lyr_top"}))),
    Case("row twice", prints="dropped: duplicate", spoil=table(ISRAD, lambda t: t.loc[t.index.repeat(2)])),
    Case("one name for all layers", prints="radiocarbon layers (ISRaD)", spoil=cells(
        ISRAD, entry_name="E", site_name="S", pro_name="P", lyr_name="L")),
    Case("name missing", ("row 2, column entry_name", "missing"), first(ISRAD, entry_name=None)),
    Case("two-digit year", ("row 2, column lyr_obs_date_y", "19"), first(ISRAD, lyr_obs_date_y="19")),
    Case("year to come", ("row 2, column lyr_obs_date_y", "2999"), first(ISRAD, lyr_obs_date_y="2999")),
    Case("carbon in g/kg", ("column lyr_c_org_filled", "%"), times(ISRAD, 1000, "lyr_c_org_filled")),
    Case("density in kg/m³", ("column lyr_bd_samp_filled", "g cm⁻³"), times(ISRAD, 1000, "lyr_bd_samp_filled")),
    Case("root depths in cm", ("column D50", "looks like cm"), times(ROOTS, 100, "D50", "D95", "D50_extrapolated")),
    Case("production in mg", ("npp_peng2023.csv, column BNPP_1", "looks like mg m⁻² yr⁻¹"), lambda folder: [
        times(PENG, 1000, "BNPP_1")(folder), times(SRDB, 1000, "BNPP")(folder)]),
    Case("production infinite", prints="2 dropped: belowground production > 1500", spoil=first(PENG, BNPP_1="inf")),
    Case("production negative", prints="2 dropped: belowground production not > 0", spoil=first(PENG, BNPP_1="-5")),
    Case("root depth infinite", ("row 2, column D95", "[0, 20] m"), first(ROOTS, D95="inf")),
    Case("fractions modern", ("column lyr_14c", "look like fractions modern"), table(
        ISRAD, lambda t: t.assign(lyr_14c=t["lyr_14c"].astype(float) / 1000 + 1))),
    Case("depths in m", ("column lyr_bot", "looks like m"), times(ISRAD, 0.01, "lyr_top", "lyr_bot")),
    Case("a Δ14C that no rate explains", prints="Δ14C that no rate of turnover explains (3 σ), first Demo", spoil=first(
        ISRAD, lyr_14c="1150", lyr_obs_date_y="2005")),
    Case("a unit that does not fit", ("column D50 [ounce]", "expected such as can be brought to m"), text(
        ROOTS, lambda t: t.replace(",D50,", ",D50 [ounce],", 1))),
    Case("empty rows below", prints="radiocarbon layers (ISRaD)", spoil=text(
        ISRAD, lambda t: t + ("," * t.split("\n")[0].count(",") + "\n") * 3)),
    Case("gridded carbon infinite", prints="radiocarbon layers (ISRaD)", spoil=cells(ISRAD, pro_corg_0_cm_SG="inf")),
)  # fmt: skip

SITES = (
    Case("sites: no file", ("sites.csv", "No such file"), command=AT_SITES),
    Case("sites: no latitude", ("sites.csv", "lat is missing"), write("sites.csv", "x,lon\n1,2\n"), AT_SITES),
    Case("sites: no row", ("sites.csv", "at least one row"), write("sites.csv", "lat,lon\n"), AT_SITES),
    Case("sites: folder", ("sites.csv", "directory"), a_folder("sites.csv"), AT_SITES),
    Case(
        "sites: text", ("sites.csv, row 2, column lat", "`north`"), write("sites.csv", "lat,lon\nnorth,2\n"), AT_SITES
    ),
    Case("sites: longer rows", ("sites.csv", "more fields"), write("sites.csv", "lat,lon\n1,2,3\n"), AT_SITES),
    Case("sites: no bottom", ("sites.csv", "top and bottom"), write("sites.csv", "lat,lon,top\n1,2,3\n"), AT_SITES),
    Case("sites: UTF-16", ("sites.csv", "UTF-8"), write("sites.csv", "lat,lon\n1,2\n".encode("utf-16")), AT_SITES),
)

CASES = (*FILES, *VALUES, *SITES)
