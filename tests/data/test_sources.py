"""How downloads become files of the data folder, and that the registry and the loaders agree."""

import zipfile

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from rasterio.warp import transform

from bayes_rootc.data import sources
from bayes_rootc.data.atmosphere import Atmosphere
from bayes_rootc.data.biomes import wwf_lookup
from bayes_rootc.data.sources import (
    SOURCES,
    calibration_curve,
    cmip6_bands,
    ecoregion_biomes,
    member,
    soil_property,
)
from bayes_rootc.errors import InputError


def test_every_source_can_be_had_and_has_a_place():
    assert len({s.name for s in SOURCES}) == len(SOURCES)
    for source in SOURCES:
        assert bool(source.url) != bool(source.by_hand), source.name
        assert {f"covariates/{r.path}" for r in source.rasters} <= set(source.files), source.name
        assert not source.url or source.url.startswith("https://"), source.name
        assert bool(source.page) == bool(source.url), source.name
        assert source.page or "https://" in source.by_hand, source.name


def test_the_biome_entry_is_one_the_loader_understands():
    (entry,) = next(s for s in SOURCES if s.name == "biomes").rasters
    assert wwf_lookup(entry.categories).max() == 8


def test_only_the_named_member_is_taken_from_an_archive(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../../evil.csv", "evil")
        archive.writestr("folder/wanted.csv", "wanted")
        archive.writestr("__MACOSX/folder/._wanted.csv", "resource fork")
    member("wanted.csv")(tmp_path / "a.zip", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "wanted"
    with pytest.raises(InputError, match=r"expected one member named other\*\.csv, found 0"):
        member("other*.csv")(tmp_path / "a.zip", tmp_path / "other.csv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "out.csv"]


def test_a_calibration_curve_gets_its_header(tmp_path):
    raw = tmp_path / "intcal20.14c"
    raw.write_text("##Atmospheric data from Reimer et al (2020);\n# CAL BP, 14C age\n55000, 50100,1024,528.5,193.9\n")
    calibration_curve(raw, tmp_path / "intcal20.csv")
    assert (tmp_path / "intcal20.csv").read_text() == (
        "CAL.BP,C14.age,Sigma.C14.age,Delta.14C,Sigma.Delta.14C\n55000,50100,1024,528.5,193.9\n"
    )
    raw.write_text("<html>moved</html>")
    with pytest.raises(InputError, match="five comma-separated columns"):
        calibration_curve(raw, tmp_path / "intcal20.csv")


def test_the_forcing_of_cmip6_comes_without_its_title_and_units(tmp_path):
    bands = "Date,Global delta13co2,NH Delta14co2,Tropics Delta14co2,SH Delta14co2"
    rows = [f"{year + 0.5},-7.5,{year - 1900}.5,{year - 1910},{year - 1920}" for year in range(1850, 1960)]
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr("TableS1.csv", "\n".join(["Table S1,,,,", ",,,,", bands, "year,permil,permil,,", *rows]))
    cmip6_bands(tmp_path / "s.zip", tmp_path / "graven.csv")
    lines = (tmp_path / "graven.csv").read_text().splitlines()
    assert lines[:2] == ["Year.AD,NH,Tropics,SH", "1850.5,-50.5,-60,-70"] and len(lines) == 111
    assert Atmosphere.cmip6(tmp_path / "graven.csv").source == "graven.csv (CMIP6)"
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr("TableS1.csv", "Year,NH\n1850,1\n")
    with pytest.raises(InputError, match="expected a table with the columns Date, NH Delta14co2"):
        cmip6_bands(tmp_path / "s.zip", tmp_path / "graven.csv")


def test_a_soil_property_comes_in_degrees_and_plain_units(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "SOIL_RESOLUTION_DEG", 0.5)
    easting, northing = transform("EPSG:4326", "ESRI:54052", [10.0], [50.0])
    side, step = 100, 5000.0  # 500 km about 10° E, 50° N, in SoilGrids' own projection
    place = from_origin(easting[0] - side * step / 2, northing[0] + side * step / 2, step, step)
    with rasterio.open(
        tmp_path / "clay_5000.tif",
        "w",
        driver="GTiff",
        width=side,
        height=side,
        count=1,
        dtype="int16",
        crs="ESRI:54052",
        transform=place,
        nodata=-32768,
    ) as out:
        out.write(np.full((side, side), 234, np.int16), 1)
    soil_property(0.1)(tmp_path / "clay_5000.tif", tmp_path / "clay.tif")
    with rasterio.open(tmp_path / "clay.tif") as source:
        assert source.crs.to_epsg() == 4326
        values = np.array([v[0] for v in source.sample([(10.0, 50.0), (11.0, 51.0), (40.0, 50.0)])])
    np.testing.assert_allclose(values, [23.4, 23.4, np.nan], rtol=1e-6)


def test_ecoregions_become_a_biome_raster(tmp_path):
    import shapefile

    boxes = {"Tundra": 60.0, "Mediterranean Forests, Woodlands & Scrub": 40.0, "N/A": 75.0}
    with shapefile.Writer(str(tmp_path / "Ecoregions2017")) as writer:
        writer.field("BIOME_NAME", "C", 254)
        for name, south in boxes.items():
            writer.poly([[[0, south], [0, south + 5], [10, south + 5], [10, south], [0, south]]])
            writer.record(name)
    with zipfile.ZipFile(tmp_path / "eco.zip", "w") as archive:
        for ending in ("shp", "shx", "dbf"):
            archive.write(tmp_path / f"Ecoregions2017.{ending}", f"Ecoregions2017.{ending}")
    ecoregion_biomes(tmp_path / "eco.zip", tmp_path / "wwf_biome.tif")
    (entry,) = next(s for s in SOURCES if s.name == "biomes").rasters
    with rasterio.open(tmp_path / "wwf_biome.tif") as source:
        values = [int(v[0]) for v in source.sample([(5.0, 62.0), (5.0, 42.0), (5.0, 77.0), (50.0, 0.0)])]
    assert [*np.append("sea", entry.categories)[values]] == [
        "tundra",
        "mediterranean forests, woodlands and scrub",
        "rock and ice",
        "sea",
    ]
