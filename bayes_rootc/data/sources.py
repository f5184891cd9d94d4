"""The public inputs, where their publishers keep them, and how each becomes a file of the data folder.

A source whose publisher asks for a login, or gives no address that lasts, has to be downloaded by hand: its entry says
from where. No checksum is stated here, because none of these publishers states one; the checksum seen first is kept in
`fetched.json`, so that a later change is noticed.
"""

from __future__ import annotations

import csv
import fnmatch
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import rasterio
from rasterio.enums import Resampling
from rasterio.features import rasterize
from rasterio.transform import from_origin
from rasterio.vrt import WarpedVRT

from ..errors import InputError
from ..files import write_text
from .atmosphere import CMIP6_BANDS
from .biomes import WWF_TO_BIOME
from .covariates import BIOME_RASTER, CROPLAND_RASTER
from .manifest import Raster

Unpack = Callable[[Path, Path], None]
"""(download, target): makes one file of the data folder from what was downloaded."""

WORLD = (-180.0, 90.0)
BIOME_RESOLUTION_DEG = 0.1
SOIL_RESOLUTION_DEG = 0.05
ROCK_AND_ICE = "rock and ice"


@dataclass(frozen=True)
class Source:
    """One public input.

    Parameters
    ----------
    name : str
        Name by which `only` selects it; `soilgrids` also selects every `soilgrids-*`.
    publisher, licence : str
        Shown to the user, and written into the manifest.
    files : dict of str to Unpack
        Path in the data folder → how it is made from the download. A path with a `*` takes its name from the
        member of the archive that matches.
    url : str
        Address of the download; empty where it is downloaded by hand.
    sha256 : str, optional
        Checksum of the download, where the publisher fixes it.
    by_hand : str
        What the user has to do where there is no address, or a login is required.
    rasters : tuple of Raster
        Entries of `covariates/manifest.toml`.
    stands_in : str
        Pattern of files of another version that serve as well.
    page : str
        Page on which the publisher describes it: where to look if the file has moved.
    newest : bool
        Whether the address is that of the newest release, so that its file may change.
    """

    name: str
    publisher: str
    licence: str
    files: dict[str, Unpack]
    url: str = ""
    sha256: str | None = None
    by_hand: str = ""
    rasters: tuple[Raster, ...] = ()
    stands_in: str = ""
    page: str = ""
    newest: bool = False


def as_is(download: Path, target: Path) -> None:
    """The download is the file."""
    shutil.copyfile(download, target)


def member(pattern: str) -> Unpack:
    """The one member of a zip archive whose name, folders apart, matches `pattern`.

    Nothing else is written, and nowhere but to the target, whatever folders the archive names.
    """

    def unpack(download: Path, target: Path) -> None:
        with _archive(download) as archive, archive.open(_only(archive, pattern, download)) as packed:
            with target.open("wb") as out:
                shutil.copyfileobj(packed, out)

    return unpack


def member_name(download: Path, pattern: str) -> str:
    """Name, folders apart, of the one member of a zip archive that matches a pattern."""
    with _archive(download) as archive:
        return PurePosixPath(_only(archive, pattern, download).filename).name


@contextmanager
def _archive(download: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(download) as archive:
            yield archive
    except zipfile.BadZipFile as error:
        raise InputError(f"not a sound zip archive ({error})", file=download) from None


def _only(archive: zipfile.ZipFile, pattern: str, download: Path) -> zipfile.ZipInfo:
    files = [i for i in archive.infolist() if not i.is_dir() and "__MACOSX" not in i.filename]
    found = [i for i in files if fnmatch.fnmatch(PurePosixPath(i.filename).name, pattern)]
    if len(found) != 1:
        raise InputError(f"expected one member named {pattern}, found {len(found)}", file=download)
    return found[0]


def cmip6_bands(download: Path, target: Path) -> None:
    """Δ14C of CMIP6's three bands, from the table of the supplement, whose header and units are below a title."""
    raw = target.with_suffix(".raw")
    member("TableS1.csv")(download, raw)
    lines = raw.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    raw.unlink()
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines)]
    header = next((i for i, row in enumerate(rows) if row and row[0] == "Date"), None)
    wanted = ["Date", *(f"{band} Delta14co2" for band in CMIP6_BANDS)]
    if header is None or not set(wanted) <= set(rows[header]):
        raise InputError(f"expected a table with the columns {', '.join(wanted)}", file=download)
    at = [rows[header].index(name) for name in wanted]
    table = [[row[i] for i in at] for row in rows[header + 1 :] if len(row) > max(at) and row[0][:1].isdigit()]
    write_text(target, "\n".join(["Year.AD,NH,Tropics,SH", *(",".join(row) for row in table)]) + "\n")


def calibration_curve(download: Path, target: Path) -> None:
    """Rewrites IntCal's `.14c` (comment lines, then five unnamed columns) with a header of column names."""
    lines = download.read_text(encoding="utf-8", errors="replace").splitlines()
    rows = [line.replace(" ", "") for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not rows or any(row.count(",") != 4 for row in rows):
        raise InputError("expected five comma-separated columns: cal BP, 14C age, sigma, Δ14C, sigma", file=download)
    write_text(target, "\n".join(["CAL.BP,C14.age,Sigma.C14.age,Delta.14C,Sigma.Delta.14C", *rows]) + "\n")


def soil_property(factor: float) -> Unpack:
    """Converts a SoilGrids raster (equal-area, scaled integers) to degrees and plain units."""

    def unpack(download: Path, target: Path) -> None:
        step = SOIL_RESOLUTION_DEG
        grid = {"width": round(360 / step), "height": round(180 / step), "transform": from_origin(*WORLD, step, step)}
        with (
            rasterio.open(download) as source,
            WarpedVRT(source, crs="EPSG:4326", resampling=Resampling.average, **grid) as warped,
        ):
            values = warped.read(1, masked=True).astype(np.float32) * np.float32(factor)
        _write_raster(target, np.ma.filled(values, np.nan), step, nodata=np.nan)

    return unpack


def ecoregion_biomes(download: Path, target: Path) -> None:
    """The biome at each cell's centre, from the polygons of RESOLVE's ecoregions: its category's number (0: sea)."""
    from cartopy.io.shapereader import BasicReader

    number = {name: i for i, name in enumerate(WWF_TO_BIOME, start=1)}
    folder = target.with_suffix(".shapefile")
    folder.mkdir()
    try:
        for ending in ("shp", "shx", "dbf"):
            member(f"*.{ending}")(download, folder / f"ecoregions.{ending}")
        reader = BasicReader(str(folder / "ecoregions.shp"), encoding="utf-8", encodingErrors="replace")
        shapes = [(r.geometry, number[_biome_name(r.attributes["BIOME_NAME"], download)]) for r in reader.records()]
    finally:
        shutil.rmtree(folder)
    step = BIOME_RESOLUTION_DEG
    shape = round(180 / step), round(360 / step)
    cells = rasterize(shapes, out_shape=shape, transform=from_origin(*WORLD, step, step), dtype=np.uint8)
    _write_raster(target, cells, step, nodata=0)


def _biome_name(text: str, file: Path) -> str:
    name = text.strip().lower().replace("&", "and")
    if name == "n/a":  # the ecoregion "Rock and Ice" has no biome
        return ROCK_AND_ICE
    if name not in WWF_TO_BIOME:
        raise InputError(
            f"`{text}` is not a WWF biome, expected one of: {'; '.join(WWF_TO_BIOME)}", file=file, column="BIOME_NAME"
        )
    return name


def _write_raster(target: Path, values: np.ndarray, step: float, nodata: float) -> None:
    profile = {
        "driver": "GTiff",
        "count": 1,
        "crs": "EPSG:4326",
        "compress": "deflate",
        "tiled": True,
        "nodata": nodata,
    }
    height, width = values.shape
    with rasterio.open(
        target,
        "w",
        height=height,
        width=width,
        dtype=values.dtype,
        transform=from_origin(*WORLD, step, step),
        **profile,
    ) as out:
        out.write(values, 1)


WORLDCLIM = "https://geodata.ucdavis.edu/climate/worldclim/2_1/base/wc2.1_10m_{}.zip"
WORLDCLIM_LICENCE = "free for academic and other non-commercial use"
BIOCLIM_UNITS = {3: "%", 4: "degC * 100", 15: "%"} | {i: "mm" for i in (12, 13, 14, 16, 17, 18, 19)}

SOILGRIDS = "https://files.isric.org/soilgrids/latest/data_aggregated/5000m/{0}/{0}_5-15cm_mean_5000.tif"
SOIL_PROPERTIES = {  # SoilGrids' name: our name, unit, factor from SoilGrids' integers
    "clay": ("clay", "%", 0.1),
    "sand": ("sand", "%", 0.1),
    "silt": ("silt", "%", 0.1),
    "soc": ("organic_carbon", "%", 0.01),
    "phh2o": ("ph_h2o", "1", 0.1),
    "bdod": ("bulk_density", "g cm-3", 0.01),
    "nitrogen": ("total_nitrogen", "%", 0.001),
    "cec": ("cation_exchange_capacity", "cmol kg-1", 0.1),
    "cfvo": ("coarse_fragments", "%", 0.1),
}


def _raster(name: str, group: str, unit: str, source: str, **more: object) -> Raster:
    return Raster.model_validate(
        {"name": name, "path": f"{name}.tif", "role": "covariate", "group": group, "unit": unit, "source": source}
        | more
    )


def _soilgrids(theirs: str, ours: str, unit: str, factor: float) -> Source:
    return Source(
        name=f"soilgrids-{theirs}",
        publisher="ISRIC SoilGrids 2.0 (Poggio et al. 2021)",
        licence="CC BY 4.0",
        url=SOILGRIDS.format(theirs),
        page="https://www.isric.org/explore/soilgrids",
        files={f"covariates/{ours}.tif": soil_property(factor)},
        rasters=(_raster(ours, "soil", unit, "SoilGrids 2.0, 5-15 cm, mean, aggregated to 5 km"),),
    )


ISRAD_TABLES = tuple(
    f"ISRaD_extra_flat_{table}_*.csv" for table in ("layer", "fraction", "incubation", "flux", "interstitial")
)
"""Flat tables of a release, whose names end in its version and day."""

PENG_MAPS = (
    "https://raw.githubusercontent.com/yunkepeng/CNuptake_MS/31ae09888b2afb0b67630095e024ba02b32705ae/data/map_output/"
)
VARNEY_MAPS = (
    "https://raw.githubusercontent.com/rebeccamayvarney/soiltau_ec/104badf0c79ba52789406655adcd847e872bde62"
    "/observational_datasets/"
)

SOURCES: tuple[Source, ...] = (
    Source(
        name="israd",
        publisher="International Soil Radiocarbon Database (Lawrence et al. 2020), newest release",
        licence="CC BY 4.0",
        url="https://github.com/International-Soil-Radiocarbon-Database/ISRaD/raw/main"
        "/ISRaD_data_files/database/ISRaD_database_files.zip",
        files={f"israd/{name}": member(name) for name in ISRAD_TABLES},
        stands_in="israd/ISRaD_extra_flat_layer_*.csv*",
        page="https://soilradiocarbon.org",
        newest=True,
    ),
    Source(
        name="hua2021",
        publisher="Hua et al. 2021, Radiocarbon",
        licence="CC BY 4.0",
        files={"atmosphere/hua2021_monthly.csv": as_is},
        stands_in="atmosphere/hua2021*.csv",
        by_hand="optional, a monthly table is packaged: from https://doi.org/10.1017/RDC.2021.95 save the supplement's"
        " monthly curves as one CSV with the columns zone, Year, mean.Delta14C, sd.Delta14C",
    ),
    *(
        Source(
            name=name,
            publisher=f"IntCal Working Group ({who} 2020)",
            licence="CC BY 4.0",
            url=f"https://intcal.org/curves/{name}.14c",
            page="https://intcal.org",
            files={f"atmosphere/{name}.csv": calibration_curve},
        )
        for name, who in {"intcal20": "Reimer et al.", "shcal20": "Hogg et al."}.items()
    ),
    Source(
        name="srdb",
        publisher="Global Soil Respiration Database (Jian et al. 2021), release 20250503a",
        licence="free, cite the paper",
        url="https://raw.githubusercontent.com/bpbond/srdb/v20250503a/srdb-data.csv",
        files={"npp/srdb-data.csv": as_is},
        page="https://github.com/bpbond/srdb/releases",
    ),
    Source(
        name="peng2023",
        publisher="Peng et al. 2023, Journal of Ecology",
        licence="as the authors state next to the file; cite the paper",
        url="https://raw.githubusercontent.com/yunkepeng/CNuptake_MS/b0f9f80c64fb514d4edd39b6bcef53413108015a"
        "/data/NPP_Yunke/NPP_dataset.csv",
        files={"npp/npp_peng2023.csv": as_is},
        page="https://github.com/yunkepeng/CNuptake_MS",
    ),
    Source(
        name="roots",
        publisher="Schenk & Jackson 2003, ORNL DAAC 660",
        licence="NASA Earthdata, free with a login",
        files={"roots/root_profiles_D50D95.csv": as_is},
        by_hand="needs an Earthdata login: download root_profiles_D50D95.csv from https://doi.org/10.3334/ORNLDAAC/660",
    ),
    Source(
        name="worldclim",
        publisher="WorldClim 2.1 (Fick & Hijmans 2017)",
        licence=WORLDCLIM_LICENCE,
        url=WORLDCLIM.format("bio"),
        page="https://www.worldclim.org/data/worldclim21.html",
        files={f"covariates/bio{i}.tif": member(f"wc2.1_10m_bio_{i}.tif") for i in range(1, 20)},
        rasters=tuple(
            _raster(f"bio{i}", "climate", BIOCLIM_UNITS.get(i, "degC"), "WorldClim 2.1, 10 arc-minutes, 1970-2000")
            for i in range(1, 20)
        ),
    ),
    Source(
        name="elevation",
        publisher="WorldClim 2.1 (Fick & Hijmans 2017)",
        licence=WORLDCLIM_LICENCE,
        url=WORLDCLIM.format("elev"),
        page="https://www.worldclim.org/data/worldclim21.html",
        files={"covariates/elevation.tif": member("wc2.1_10m_elev.tif")},
        rasters=(_raster("elevation", "topography", "m", "WorldClim 2.1, 10 arc-minutes, from SRTM"),),
    ),
    *(_soilgrids(theirs, *ours) for theirs, ours in SOIL_PROPERTIES.items()),
    Source(
        name="biomes",
        publisher="RESOLVE Ecoregions 2017 (Dinerstein et al. 2017)",
        licence="CC BY 4.0",
        url="https://storage.googleapis.com/teow2016/Ecoregions2017.zip",
        page="https://ecoregions.appspot.com",
        files={f"covariates/{BIOME_RASTER}.tif": ecoregion_biomes},
        rasters=(
            _raster(
                BIOME_RASTER, "biome", "class", "RESOLVE Ecoregions 2017, rasterised", categories=list(WWF_TO_BIOME)
            ),
        ),
    ),
    Source(
        name="cropland",
        publisher="GLAD global cropland (Potapov et al. 2022)",
        licence="CC BY 4.0",
        files={f"covariates/{CROPLAND_RASTER}.tif": as_is},
        by_hand="optional: from https://glad.umd.edu/dataset/croplands make a raster of the fraction of cropland"
        f" (0 to 1) in EPSG:4326, and add {CROPLAND_RASTER} to covariates/manifest.toml"
        " (role covariate, group biome, unit 1)",
    ),
    Source(
        name="npp_satellite",
        publisher="MODIS MOD17A3HGF (Running & Zhao 2021)",
        licence="NASA Earthdata, free with a login",
        files={"covariates/npp_satellite.tif": as_is},
        by_hand="needs an Earthdata login: from https://doi.org/10.5067/MODIS/MOD17A3HGF.061 make a raster of the mean"
        " annual NPP in EPSG:4326, and add npp_satellite to covariates/manifest.toml"
        " (role npp, group npp, unit g C m-2 yr-1)",
    ),
    Source(
        name="soc_stock",
        publisher="ISRIC WISE30sec (Batjes 2016)",
        licence="CC BY 4.0",
        files={"covariates/soc_stock.tif": as_is},
        by_hand="from https://doi.org/10.1016/j.geoderma.2016.01.034 make a raster of the organic carbon stock of the"
        " first metre in EPSG:4326, and add soc_stock to covariates/manifest.toml"
        " (role stock, group stock, unit kg m-2)",
    ),
    Source(
        name="cmip6-14c",
        publisher="Graven et al. 2017, Geoscientific Model Development (forcing of CMIP6)",
        licence="CC BY 3.0",
        url="https://gmd.copernicus.org/articles/10/4405/2017/gmd-10-4405-2017-supplement.zip",
        files={"atmosphere/cmip6/graven2017_bands.csv": cmip6_bands},
        page="https://doi.org/10.5194/gmd-10-4405-2017",
    ),
    Source(
        name="jungfraujoch",
        publisher="ICOS, Jungfraujoch (Emmenegger et al. 2024)",
        licence="CC BY 4.0, to be accepted at the ICOS Carbon Portal",
        files={"atmosphere/observed/jungfraujoch.csv": as_is},
        by_hand="optional, quarterly means are packaged: from https://data.icos-cp.eu the 14C of CO2 at Jungfraujoch",
    ),
    *(
        Source(
            name=f"peng2023-{name}",
            publisher="Peng et al. 2023, Journal of Ecology: published map, for comparison only",
            licence="as the authors state next to the file; cite the paper",
            url=f"{PENG_MAPS}{name}.nc",
            files={f"compare/peng2023_{name}.nc": as_is},
            page="https://github.com/yunkepeng/CNuptake_MS",
        )
        for name in ("npp", "anpp")
    ),
    *(
        Source(
            name=f"varney2020-{name.lower()}",
            publisher="Varney et al. 2020, Nature Communications: soil carbon of the first metre, for comparison only",
            licence="as the authors state next to the file; cite the paper",
            url=f"{VARNEY_MAPS}{theirs}_soilc_0.5x0.5.nc",
            files={f"compare/varney2020_soilc_{name.lower()}.nc": as_is},
            page="https://github.com/rebeccamayvarney/soiltau_ec",
        )
        for name, theirs in {"HWSD": "HWSD", "NCSCD": "NCSCDV22"}.items()
    ),
    Source(
        name="georgiou2022",
        publisher="Georgiou et al. 2022, Nature Communications: mineral-associated carbon, for comparison only",
        licence="CC BY 4.0",
        files={"compare/georgiou2022_moc.nc": as_is},
        by_hand="optional: the maps that https://doi.org/10.1038/s41467-022-31540-9 names under data availability",
    ),
    Source(
        name="sun2022",
        publisher="Sun, Chang & Fang 2022, Dryad: production of grasslands",
        licence="CC0",
        files={"npp/sun2022_grassland_bnpp.csv": as_is},
        by_hand="optional, in g dry mass: Dryad asks a browser; download it from https://doi.org/10.5061/dryad.7sqv9s4vv",
    ),
    Source(
        name="hwsd2",
        publisher="Harmonized World Soil Database v2.0 (FAO & IIASA 2023)",
        licence="CC BY-NC-SA 3.0 IGO",
        files={"covariates/hwsd2_units.tif": as_is, "covariates/hwsd2_layers.csv.gz": as_is},
        by_hand="for preset paper: its raster of mapping units and its table of layers, from"
        " https://gaez.fao.org/pages/hwsd (the table as SQLite: https://www.isric.org/sites/default/files/HWSD2.sqlite),"
        " as a GeoTIFF in EPSG:4326 and a CSV of the dominant soils",
    ),
    Source(
        name="land_cover",
        publisher="MODIS MCD12C1 v6.1, IGBP classes of 2019 (Friedl & Sulla-Menashe 2022)",
        licence="NASA Earthdata, free with a login",
        files={"covariates/mcd12c1_2019_igbp.tif": as_is},
        by_hand="optional, needs an Earthdata login: from https://doi.org/10.5067/MODIS/MCD12C1.061 the IGBP classes of"
        " 2019 as a GeoTIFF in EPSG:4326",
    ),
)
