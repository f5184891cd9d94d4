"""What describes a folder of maps to others: a SpatioTemporal Asset Catalog (STAC) and a Frictionless Data Package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import rasterio

from ..data.grid import MapGrid
from ..files import sha256, write_json
from .draw import Scale
from .geotiffs import Picture
from .styles import sampled, scale_of, write_style
from .variables import BIOME_NAMES, EVERY, NODATA, STATISTIC_NAMES, colours_of, parts_of
from .writers import About

VERSION = "1.1.0"
COG_TYPE = "image/tiff; application=geotiff; profile=cloud-optimized"
RENDER = "https://stac-extensions.github.io/render/v1.0.0/schema.json"
PROJECTION = "https://stac-extensions.github.io/projection/v2.0.0/schema.json"
CLASSIFICATION = "https://stac-extensions.github.io/classification/v2.0.0/schema.json"
MEDIA = {".tif": COG_TYPE, ".nc": "application/x-netcdf", ".qml": "application/xml", ".json": "application/json"}
STATISTICS = {"minimum": "MINIMUM", "maximum": "MAXIMUM", "mean": "MEAN", "stddev": "STDDEV"}
"""Statistics of a band, and GDAL's names of them."""


@dataclass(frozen=True)
class Origin:
    """Where maps come from.

    Attributes
    ----------
    about : About
        What is said of the maps in each file.
    years : tuple of int
        First and last year of the samples: maps of a steady state have no date of their own.
    sources : sequence of dict
        `title`, and where known `licence`, of each source of a covariate.
    """

    about: About
    years: tuple[int, int]
    sources: Sequence[dict[str, str]] = field(default_factory=tuple)

    @property
    def interval(self) -> list[str]:
        """Beginning and end of those years."""
        return [f"{self.years[0]}-01-01T00:00:00Z", f"{self.years[1]}-12-31T23:59:59Z"]


def describe_maps(folder: Path, pictures: Sequence[Picture], grid: MapGrid, origin: Origin) -> list[Path]:
    """Writes styles, `stac/` and `datapackage.json` next to finished maps.

    Parameters
    ----------
    folder : Path
        Where the maps are.
    pictures : sequence of Picture
        GeoTIFFs in it.

    Returns
    -------
    list of Path
        Styles and other files that belong beside the maps.
    """
    scales = {p: None if p.variable == "biome" else scale_of(p.variable, sampled(p.path)) for p in pictures}
    paths = [write_style(picture.path, picture.variable, scale) for picture, scale in scales.items()]
    paths += [other for p in pictures if (other := p.path.with_name(f"{p.path.name}.aux.xml")).exists()]
    if pictures:
        paths.append(_write_stac(folder / "stac", scales, grid, origin))
    files = [*(picture.path for picture in pictures), *paths, *folder.glob("maps.nc")]
    paths.append(_write_package(folder / "datapackage.json", files, origin))
    return paths


def _write_stac(folder: Path, scales: dict[Picture, Scale | None], grid: MapGrid, origin: Origin) -> Path:
    """One item a quantity and layer, whose statistics are its assets."""
    items: dict[str, list[Picture]] = {}
    for picture in scales:
        quantity, statistic = parts_of(picture.variable)
        layer = "" if picture.layer is None else f"_{picture.layer}"
        name = picture.variable if statistic in ("applicability", "") else f"{quantity}{layer}"
        items.setdefault(name, []).append(picture)
    west, south, east, north = grid.bbox
    bbox = [west, south, east if east <= 180 else east - 360, north]
    for name, pictures in items.items():
        write_json(folder / f"{name}.json", _item(name, pictures, scales, grid, origin, bbox))
    collection = {
        "type": "Collection",
        "stac_version": VERSION,
        "stac_extensions": [],
        "id": f"bayes-rootc-{origin.about['run_id']}",
        "title": origin.about["title"],
        "description": f"{origin.about['title']}. {origin.about['summary']}",
        "license": origin.about["license"],
        "providers": [{"name": source["title"], "roles": ["producer"]} for source in origin.sources],
        "extent": {"spatial": {"bbox": [bbox]}, "temporal": {"interval": [origin.interval]}},
        "summaries": {"quantity": sorted({parts_of(p.variable).quantity for p in scales})},
        "links": [
            {"rel": "root", "href": "./collection.json", "type": "application/json"},
            *({"rel": "item", "href": f"./{name}.json", "type": "application/geo+json"} for name in items),
        ],
    }
    write_json(folder / "collection.json", collection)
    return folder


def _item(
    name: str,
    pictures: list[Picture],
    scales: dict[Picture, Scale | None],
    grid: MapGrid,
    origin: Origin,
    bbox: list[float],
) -> dict[str, Any]:
    west, south, east, north = bbox
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    assets, renders, extensions = {}, {}, [PROJECTION]
    for picture in pictures:
        key = parts_of(picture.variable).statistic or picture.variable
        assets[key] = _asset(picture)
        if picture.variable == "biome":
            extensions.append(CLASSIFICATION)
        scale = scales[picture]
        if scale is not None:
            colours, _ = colours_of(picture.variable)
            renders[key] = {
                "title": assets[key]["title"],
                "assets": [key],
                "rescale": [[float(f"{scale.low:.6g}"), float(f"{scale.high:.6g}")]],
                "colormap_name": colours.lower(),
                "nodata": NODATA,
            }
    if renders:
        extensions.append(RENDER)
    quantity = parts_of(pictures[0].variable).quantity
    meaning = EVERY[quantity].meaning if quantity in EVERY else "biome"
    layer = pictures[0].layer
    return {
        "type": "Feature",
        "stac_version": VERSION,
        "stac_extensions": extensions,
        "id": name,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": bbox,
        "properties": {
            "title": meaning if layer is None else f"{meaning}, {layer} cm",
            "datetime": None,
            "start_datetime": origin.interval[0],
            "end_datetime": origin.interval[1],
            "license": origin.about["license"],
            "proj:code": "EPSG:4326",
            "proj:shape": list(grid.shape),
            "proj:transform": list(grid.transform)[:6],
            **({"renders": renders} if renders else {}),
        },
        "links": [
            {"rel": rel, "href": "./collection.json", "type": "application/json"}
            for rel in ("root", "parent", "collection")
        ],
        "assets": assets,
        "collection": f"bayes-rootc-{origin.about['run_id']}",
    }


def _asset(picture: Picture) -> dict[str, Any]:
    """An asset, with the statistics that its file has."""
    statistic = parts_of(picture.variable).statistic
    asset: dict[str, Any] = {
        "href": f"../{picture.path.name}",
        "type": COG_TYPE,
        "roles": ["data"] if statistic in ("mean", "median", "") else ["data", "uncertainty"],
        "title": STATISTIC_NAMES.get(statistic, "biome"),
    }
    if picture.variable == "biome":
        classes = [{"value": i, "name": name.replace("/", "-"), "title": name} for i, name in enumerate(BIOME_NAMES)]
        return asset | {"data_type": "uint8", "nodata": 0, "classification:classes": classes}
    with rasterio.open(picture.path) as source:
        tags, unit = source.tags(1), source.units[0]
    found = {name: float(tags[f"STATISTICS_{key}"]) for name, key in STATISTICS.items() if f"STATISTICS_{key}" in tags}
    return asset | {"data_type": "float32", "nodata": NODATA, "unit": unit} | ({"statistics": found} if found else {})


def _write_package(path: Path, files: Sequence[Path], origin: Origin) -> Path:
    """The files with their sizes and checksums, licence and sources."""
    resources = [
        {
            "name": file.name.lower().replace(" ", "-"),
            "path": file.name,
            "mediatype": MEDIA.get(file.suffix, "application/octet-stream"),
            "bytes": file.stat().st_size,
            "hash": f"sha256:{sha256(file)}",
        }
        for file in files
        if file.is_file()
    ]
    package = {
        "name": "bayes-rootc-maps",
        "id": origin.about["run_id"],
        "title": origin.about["title"],
        "description": origin.about["summary"],
        "version": origin.about["software"],
        "licenses": [{"name": origin.about["license"]}],
        "sources": [*origin.sources],
        "resources": resources,
    }
    write_json(path, package)
    return path
