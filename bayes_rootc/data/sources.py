"""The public inputs, where their publishers keep them, and how each becomes a file of the data folder.

A source whose publisher asks for a login, or gives no address that lasts, is brought by hand: its row says from where.
No checksum is stated here, because none of these publishers states one; the checksum seen first is kept in
`fetched.json`, so that a later change is noticed.
"""

from __future__ import annotations

import fnmatch
import shutil
import zipfile
from collections.abc import Callable
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
        What `only` calls it; `soilgrids` also stands for every `soilgrids-*`.
    publisher, licence : str
        For people, and for the manifest.
    files : dict of str to Unpack
        Path in the data folder → how it is made from the download.
    url : str
        Where the publisher keeps it; empty where it is brought by hand.
    sha256 : str, optional
        Of the download, where the publisher fixes it.
    by_hand : str
        What to do where there is no address, or a login in front of it.
    rasters : tuple of Raster
        Entries of `covariates/manifest.toml`.
    stands_in : str
        Pattern of files of another version that serve as well.
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


def as_is(download: Path, target: Path) -> None:
    """The download is the file."""
    shutil.copyfile(download, target)


def member(pattern: str) -> Unpack:
    """The one member of a zip archive whose name, folders apart, matches `pattern`.

    Nothing else is written, and to no other place than the target's, whatever folders the archive names.
    """

    def unpack(download: Path, target: Path) -> None:
        try:
            with zipfile.ZipFile(download) as archive:
                found = [
                    i
                    for i in archive.infolist()
                    if fnmatch.fnmatch(PurePosixPath(i.filename).name, pattern) and not i.is_dir()
                ]
                found = [i for i in found if "__MACOSX" not in i.filename]
                if len(found) != 1:
                    raise InputError(f"expected one member named {pattern}, found {len(found)}", file=download)
                with archive.open(found[0]) as packed, target.open("wb") as out:
                    shutil.copyfileobj(packed, out)
        except zipfile.BadZipFile as error:
            raise InputError(f"not a sound zip archive ({error})", file=download) from None

    return unpack


def calibration_curve(download: Path, target: Path) -> None:
    """IntCal's `.14c` (comment lines, then five unnamed columns) with the columns' names in a header."""
    lines = download.read_text(encoding="utf-8", errors="replace").splitlines()
    rows = [line.replace(" ", "") for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not rows or any(row.count(",") != 4 for row in rows):
        raise InputError("expected five comma-separated columns: cal BP, 14C age, sigma, Δ14C, sigma", file=download)
    write_text(target, "\n".join(["CAL.BP,C14.age,Sigma.C14.age,Delta.14C,Sigma.Delta.14C", *rows]) + "\n")


def soil_property(factor: float) -> Unpack:
    """A SoilGrids raster (equal-area, scaled integers) in degrees and in plain units."""

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
        files={f"covariates/{ours}.tif": soil_property(factor)},
        rasters=(_raster(ours, "soil", unit, "SoilGrids 2.0, 5-15 cm, mean, aggregated to 5 km"),),
    )


SOURCES: tuple[Source, ...] = (
    Source(
        name="israd",
        publisher="International Soil Radiocarbon Database (Lawrence et al. 2020), v2.5.5 of 2023-09-20",
        licence="CC BY 4.0",
        url="https://github.com/International-Soil-Radiocarbon-Database/ISRaD/raw/629b14634d0ddaadf523c662f2cc45b4dad29ae5"
        "/ISRaD_data_files/database/ISRaD_database_files.zip",
        files={"israd/ISRaD_extra_flat_layer_v2.5.5.2023-09-20.csv": member("ISRaD_extra_flat_layer_*.csv")},
        stands_in="israd/ISRaD_extra_flat_layer_*.csv*",
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
    ),
    Source(
        name="peng2023",
        publisher="Peng et al. 2023, Journal of Ecology",
        licence="as the authors state beside the file, cite the paper",
        url="https://raw.githubusercontent.com/yunkepeng/CNuptake_MS/b0f9f80c64fb514d4edd39b6bcef53413108015a"
        "/data/NPP_Yunke/NPP_dataset.csv",
        files={"npp/npp_peng2023.csv": as_is},
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
        files={"covariates/elevation.tif": member("wc2.1_10m_elev.tif")},
        rasters=(_raster("elevation", "topography", "m", "WorldClim 2.1, 10 arc-minutes, from SRTM"),),
    ),
    *(_soilgrids(theirs, *ours) for theirs, ours in SOIL_PROPERTIES.items()),
    Source(
        name="biomes",
        publisher="RESOLVE Ecoregions 2017 (Dinerstein et al. 2017)",
        licence="CC BY 4.0",
        url="https://storage.googleapis.com/teow2016/Ecoregions2017.zip",
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
)
