"""Bad covariates, curves of the atmosphere, and grids and zones of maps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from affine import Affine

from bayes_rootc.data.grid import MapGrid
from bayes_rootc.mapping.zones import Zones

from .case import MANIFEST, Case, Change
from .spoil import a_folder, cut, manifest, moved, raster, remade, removed, text, write

CURVE = "data/atmosphere/curve.csv"
CALENDAR = "data/atmosphere/intcal20.csv"
YEARS = np.arange(1950, 2020, 0.5)


def in_360(transform: Affine) -> Affine:
    """From 0 to 360 degrees east."""
    return Affine(transform.a, 0, 0, 0, transform.e, transform.f)


def huge(folder: Path) -> None:
    """A file of some kB that says it has 10^12 cells."""
    form = {"driver": "GTiff", "count": 1, "dtype": "float32", "crs": "EPSG:4326", "nodata": -9999.0}
    cell = 360 / 1_000_000
    path = folder / "data/covariates/clay.tif"
    with rasterio.open(
        path,
        "w",
        width=1_000_000,
        height=500_000,
        transform=Affine(cell, 0, -180, 0, -cell, 90),
        sparse_ok=True,
        tiled=True,
        blockxsize=16_384,
        blockysize=16_384,
        **form,
    ):
        pass


def with_class(value: float, dtype: str = "int16") -> Change:
    """The raster of biomes has one class instead of those it had."""
    return raster("wwf_biome", lambda v: np.where(v > 0, value, 0).astype(dtype), nodata=0)


RASTERS = (
    Case("raster: no CRS", ("clay.tif", "no coordinate system"), raster("clay", crs=None)),
    Case("raster: degrees taken for metres", ("clay.tif", "cells of at least"), raster("clay", crs="EPSG:3857")),
    Case("raster: rotated", ("clay.tif", "north-up"), moved("clay", lambda t: t @ Affine.rotation(10))),
    Case("raster: south up", ("clay.tif", "north-up"), moved("clay", lambda t: Affine(t.a, 0, t.c, 0, -t.e, -90))),
    Case("raster: 0 to 360 degrees", prints="covariates: ", spoil=moved("clay", in_360)),
    Case("raster: 0 to 720 degrees", ("clay.tif", "do not close the globe"), moved(
        "clay", lambda t: Affine(1.9 * t.a, 0, 0, 0, t.e, t.f))),
    Case("raster: degrees of latitude off the globe", ("clay.tif", "-90 to 90"), moved(
        "clay", lambda t: Affine(t.a, 0, t.c, 0, 2 * t.e, t.f))),
    Case("raster: complex", ("clay.tif", "complex64"), raster("clay", lambda v: v.astype("complex64"))),
    Case("raster: two bands", ("clay.tif", "one band, found 2"), raster("clay", lambda v: np.repeat(v, 2, 0))),
    Case("raster: nodata not declared", ("clay.tif", "-9999", "nodata"), raster(
        "clay", lambda v: np.where(v > 20, -9999, v).astype(v.dtype), nodata=None)),
    Case("raster: infinite", ("0 usable NPP sites", "soil covariate missing"), raster(
        "clay", lambda v: v + np.float32("inf"))),
    Case("raster: no value", ("0 usable NPP sites", "soil covariate missing"), raster("clay", lambda v: v * np.nan)),
    Case("raster: truncated", ("clay.tif", "not a readable raster"), cut("data/covariates/clay.tif", 0.8)),
    Case("raster: header only", ("clay.tif", "not a readable raster"), cut("data/covariates/clay.tif", 0.01)),
    Case("raster: damaged", ("clay.tif", "not a readable raster"), remade(
        "data/covariates/clay.tif", lambda b: b[:1500] + bytes(4000) + b[5500:])),
    Case("raster: empty", ("clay.tif", "not a readable raster"), write("data/covariates/clay.tif", b"")),
    Case("raster: text", ("clay.tif", "not a readable raster"), write("data/covariates/clay.tif", "clay\n")),
    Case("raster: missing", ("clay.tif", "not a readable raster"), removed("data/covariates/clay.tif")),
    Case("raster: folder", ("clay.tif", "not a readable raster"), a_folder("data/covariates/clay.tif")),
    Case("raster: huge", ("clay.tif", "cells of at least"), huge),
    Case("classes: none of ours", ("wwf_biome.tif", "77", "categor"), with_class(77)),
    Case("classes: negative", ("wwf_biome.tif", "-3", "categor"), with_class(-3)),
    Case("classes: not whole", ("wwf_biome.tif", "3.5", "categor"), with_class(3.5, "float32")),
    Case("classes: whole, as float", prints="covariates: ", spoil=with_class(3, "float32")),
)  # fmt: skip

MANIFESTS = (
    Case("manifest: missing", ("manifest.toml", "not found"), removed(MANIFEST)),
    Case("manifest: folder", ("manifest.toml", "directory"), a_folder(MANIFEST)),
    Case("manifest: empty", ("manifest.toml", "no entry named wwf_biome"), write(MANIFEST, "")),
    Case("manifest: not TOML", ("manifest.toml", "not valid TOML"), write(MANIFEST, '[[raster]\nname = "')),
    Case("manifest: not UTF-8", ("manifest.toml", "UTF-8"), text(MANIFEST, str, "utf-16")),
    Case("manifest: many brackets", ("manifest.toml", "not valid TOML"), write(MANIFEST, "a = " + "[" * 100_000)),
    Case("manifest: unknown key", ("entry bio1", "colour"), manifest('name = "bio1"', 'name = "bio1"\ncolour = "red"')),
    Case("manifest: key missing", ("column unit", "entry bio1"), manifest('unit = "degC"\n', "")),
    Case("manifest: wrong type", ("column unit", "entry bio1"), manifest('unit = "degC"', "unit = 5")),
    Case("manifest: wrong role", ("column role", "entry bio1"), manifest('role = "covariate"', 'role = "soil"')),
    Case("manifest: no list", ("manifest.toml", "[[raster]]"), write(MANIFEST, "raster = 5\n")),
    Case("manifest: one table", ("manifest.toml", "[[raster]]"), write(MANIFEST, '[raster]\nname = "bio1"\n')),
    Case("manifest: list of numbers", ("manifest.toml", "[[raster]]"), write(MANIFEST, "raster = [1, 2]\n")),
    Case("manifest: name twice", ("manifest.toml", "bio1", "twice"), manifest('name = "bio12"', 'name = "bio1"')),
    Case("manifest: name of a column", ("column name", "lat"), manifest('name = "bio1"', 'name = "lat"')),
    Case("manifest: outside the folder", ("column path", "entry bio1"), manifest("bio1.tif", "../../bio1.tif")),
    Case("manifest: absolute path", ("column path", "entry bio1"), manifest("bio1.tif", "/bio1.tif")),
    Case("manifest: NUL in a path", ("column path", "entry bio1"), manifest("bio1.tif", "bio\\u00001.tif")),
    Case("manifest: unit of stock", ("soc_stock_hwsd", "units `t/s`"), manifest('"kg m-2"', '"t/s"')),
    Case("manifest: unit of production", ("npp_satellite", "units `t`"), manifest('"g C m-2 yr-1"', '"t"')),
    Case("manifest: unit in other words", prints="covariates: ", spoil=lambda folder: [
        manifest('"kg m-2"', '"kg C/m2"')(folder), manifest('"g C m-2 yr-1"', '"gC/m2/yr"')(folder)]),
    Case("manifest: stock in another unit", prints="soc_stock_hwsd of the manifest", spoil=manifest(
        '"kg m-2"', '"t/ha"')),
    Case("manifest: unknown class", ("column categories", "`lava`"), manifest('"tundra"', '"lava"')),
    Case("manifest: no biome", ("no entry named wwf_biome",), manifest('name = "wwf_biome"', 'name = "biome_wwf"')),
    Case("manifest: no numbers", ("manifest.toml", "covariate"), text(
        MANIFEST, lambda t: "[[raster]]" + next(e for e in t.split("[[raster]]") if 'name = "wwf_biome"' in e))),
)  # fmt: skip


def curve(years: np.ndarray = YEARS, zone: str = "NHZone1", **cells: str) -> Change:
    """A curve in Hua's form; cells of its second row are others."""
    rows = [{"zone": zone, "Year": f"{y:g}", "mean.Delta14C": "10", "sd.Delta14C": "2"} for y in years]
    if len(rows) > 1:
        rows[1] |= {name.replace("_", "."): value for name, value in cells.items()}
    lines = ["zone,Year,mean.Delta14C,sd.Delta14C", *(",".join(row.values()) for row in rows)]
    return write(CURVE, "\n".join(lines) + "\n")


def calendar(*rows: str) -> Change:
    """A curve in the form of IntCal20."""
    return write(CALENDAR, "\n".join(["CAL.BP,Delta.14C,Sigma.Delta.14C", *rows]) + "\n")


CURVES = (
    Case("curve: good, of one zone", prints="atmosphere: curve.csv", spoil=curve()),
    Case("curve: gap", ("curve.csv", "column Year", "1955.5", "1966"), curve(YEARS[(YEARS < 1956) | (YEARS >= 1966)])),
    Case("curve: backwards", ("curve.csv, row 3, column Year", "must increase"), curve(YEARS[::-1])),
    Case("curve: year twice", ("curve.csv, row 3, column Year", "must increase"), curve(Year="1950")),
    Case("curve: one row", ("curve.csv", "NHZone1", "at least two"), curve(YEARS[:1])),
    Case("curve: header only", ("curve.csv", "at least one row"), curve(YEARS[:0])),
    Case("curve: begins late", ("curve.csv", "NHZone1", "1970"), curve(YEARS[40:])),
    Case("curve: unknown zone", ("curve.csv", "`NHZone9` is not a zone"), curve(zone="NHZone9")),
    Case("curve: no zone", ("curve.csv", "zone"), curve(zone="")),
    Case("curve: text", ("curve.csv, row 3, column mean.Delta14C", "`high`"), curve(mean_Delta14C="high")),
    Case("curve: missing value", ("curve.csv, row 3, column sd.Delta14C", "missing"), curve(sd_Delta14C="")),
    Case("curve: infinite", ("curve.csv, row 3, column mean.Delta14C", "inf"), curve(mean_Delta14C="inf")),
    Case("curve: 1e9 ‰", ("curve.csv, row 3, column mean.Delta14C", "[-1000, 2000]"), curve(mean_Delta14C="1e9")),
    Case("curve: negative σ", ("curve.csv, row 3, column sd.Delta14C", "-2"), curve(sd_Delta14C="-2")),
    Case("curve: other columns", ("curve.csv", "expected the columns zone"), write(CURVE, "a,b\n1,2\n")),
    Case("curve: semicolons", ("curve.csv", "commas"), write(CURVE, "zone;Year\nNHZone1;1950\n")),
    Case("curve: empty", ("curve.csv", "not a readable CSV"), write(CURVE, "")),
    Case("curve: UTF-16", ("curve.csv", "UTF-8"), write(CURVE, "zone,Year\n".encode("utf-16"))),
    Case("curve: folder", ("curve.csv", "directory"), a_folder(CURVE)),
    Case("curve: longer rows", ("curve.csv", "fields"), curve(sd_Delta14C="1,2")),
    Case(
        "curve: in fractions modern",
        ("curve.csv, column mean.Delta14C", "fractions modern"),
        write(
            CURVE,
            "\n".join(
                ["zone,Year,mean.Delta14C,sd.Delta14C", *(f"NHZone1,{y:g},{1 + 0.01 * (y % 7):g},0.002" for y in YEARS)]
            ),
        ),
    ),
    Case(
        "curve: one zone in two files",
        ("z.csv", "a second curve of NHZone1, which is in curve.csv"),
        lambda folder: [curve()(folder), (folder / "data/atmosphere/z.csv").write_bytes((folder / CURVE).read_bytes())],
    ),
    Case("history: one row", ("intcal20.csv", "at least two"), calendar("0,5,1")),
    Case("history: negative σ", ("intcal20.csv, row 3, column Sigma.Delta.14C",), calendar("5,5,1", "0,5,-1")),
    Case("history: year twice", ("intcal20.csv, row 3, column CAL.BP",), calendar("5,5,1", "5,9,1", "0,5,1")),
    Case(
        "history: one hemisphere in two files",
        ("other.csv", "a second curve of the north before 1950"),
        lambda f: [
            calendar("500,11,2", "0,-25,1")(f),
            (f / "data/atmosphere/other.csv").write_bytes((f / CALENDAR).read_bytes()),
        ],
    ),
    Case("history: ends early", ("intcal20.csv", "1950"), calendar("9000,5,1", "5000,5,1")),
)


def like(file: str) -> Change:
    """Takes the grid of a raster."""
    return lambda folder: MapGrid.like(Path(file))


def zones(file: str, field: str | None = None) -> Change:
    """Reads zones."""

    def read(folder: Path) -> None:
        found = Zones(Path(file), field)
        _ = found.names, found.on_grid(MapGrid(10.0))

    return read


def geojson(geometry: str) -> str:
    """One zone."""
    feature = f'{{"type": "Feature", "properties": {{"name": "A"}}, "geometry": {geometry}}}'
    return f'{{"type": "FeatureCollection", "features": [{feature}]}}'


POINT, NO_RING = '{"type": "Point", "coordinates": [1, 2]}', '{"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}'
SQUARE = '{"type": "Polygon", "coordinates": [[[0, 0], [20, 0], [20, 20], [0, 20], [0, 0]]]}'
CLAY = "data/covariates/clay.tif"
BIOME = "data/covariates/wwf_biome.tif"

PLACES = (
    Case("grid like: missing", ("none.tif", "not a readable raster"), command=like("none.tif")),
    Case("grid like: text", ("a.tif", "not a readable raster"), write("a.tif", "x"), like("a.tif")),
    Case("grid like: other CRS", (CLAY, "EPSG:4326"), raster("clay", crs="EPSG:3857"), like(CLAY)),
    Case("zones: missing", ("none.geojson", "not a readable file of polygons"), command=zones("none.geojson")),
    Case("zones: text", ("z.geojson", "not a readable file of polygons"), write("z.geojson", "x"), zones("z.geojson")),
    Case("zones: truncated", ("z.geojson", "polygons"), write("z.geojson", geojson(SQUARE)[:-40]), zones("z.geojson")),
    Case("zones: points", ("z.geojson", "holds no polygon"), write("z.geojson", geojson(POINT)), zones("z.geojson")),
    Case("zones: no geometry", ("z.geojson", "no polygon"), write("z.geojson", geojson("null")), zones("z.geojson")),
    Case("zones: two corners", ("z.geojson", "polygon"), write("z.geojson", geojson(NO_RING)), zones("z.geojson")),
    Case("zones: no column", ("z.geojson", "land"), write("z.geojson", geojson(SQUARE)), zones("z.geojson", "land")),
    Case("zones: folder", ("z.geojson", "polygons"), a_folder("z.geojson"), zones("z.geojson")),
    Case("zones: raster of floats", (CLAY, "whole numbers"), command=zones(CLAY)),
    Case("zones: truncated raster", (BIOME, "not a readable raster"), cut(BIOME, 0.8), zones(BIOME)),
    Case("zones: raster of zeros", (BIOME, "no class"), raster("wwf_biome", np.zeros_like), zones(BIOME)),
)

CASES = (*RASTERS, *MANIFESTS, *CURVES, *PLACES)
