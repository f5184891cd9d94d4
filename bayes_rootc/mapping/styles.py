"""Styles of maps for QGIS: a `.qml` next to a GeoTIFF of the same name is taken by itself when it is opened."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import rasterio
from matplotlib.colors import to_hex
from numpy.typing import NDArray

from .draw import Scale
from .variables import BIOME_COLOURS, BIOME_NAMES, colours_of, describe

STEPS = 21
"""Colours of a ramp, between which QGIS interpolates."""

MOST_UNCERTAIN = 10.0
"""Margin over mean at which the colours of its maps end."""

MOST_SAMPLED = 1_000_000
"""Cells from which the limits of colours are taken."""


def scale_of(variable: str, values: NDArray) -> Scale:
    """Colours of a map, the same as in figures: 2 to 98 % of its values."""
    colours, centred = colours_of(variable)
    limits = {"uncertainty": (0.0, MOST_UNCERTAIN), "probability": (0.0, 1.0)}.get(variable.rpartition("_")[2])
    return Scale.of(values, colours, centred=centred, limits=limits or (None, None))


def sampled(raster: Path) -> NDArray[np.float64]:
    """Values of a GeoTIFF, of a fine one those of its overviews: as many as `MOST_SAMPLED`; NaN where there is none."""
    with rasterio.open(raster) as source:
        coarser = max(np.sqrt(source.height * source.width / MOST_SAMPLED), 1.0)
        shape = max(int(source.height / coarser), 1), max(int(source.width / coarser), 1)
        return source.read(1, out_shape=shape, masked=True).astype(float).filled(np.nan)


def write_style(raster: Path, variable: str, scale: Scale | None) -> Path:
    """Writes the style of a GeoTIFF, beside it.

    Parameters
    ----------
    raster : Path
        The GeoTIFF.
    variable : str
        The map that it holds.
    scale : Scale, optional
        Its colours; classes of the biome have none.

    Returns
    -------
    Path
        The style.
    """
    about = {"version": "3.34.0", "styleCategories": "Symbology"}
    root = ElementTree.Element("qgis", about)
    pipe = ElementTree.SubElement(root, "pipe")
    common = {"band": "1", "opacity": "1", "alphaBand": "-1", "nodataColor": ""}
    if scale is None:
        renderer = ElementTree.SubElement(pipe, "rasterrenderer", common | {"type": "paletted"})
        palette = ElementTree.SubElement(renderer, "colorPalette")
        for number, colour in BIOME_COLOURS.items():
            entry = {"value": str(number), "color": colour, "label": BIOME_NAMES[number], "alpha": "255"}
            ElementTree.SubElement(palette, "paletteEntry", entry)
    else:
        low, high = f"{scale.low:.6g}", f"{scale.high:.6g}"
        limits = {"classificationMin": low, "classificationMax": high, "type": "singlebandpseudocolor"}
        renderer = ElementTree.SubElement(pipe, "rasterrenderer", common | limits)
        shader = ElementTree.SubElement(ElementTree.SubElement(renderer, "rastershader"), "colorrampshader")
        shader.attrib |= {"colorRampType": "INTERPOLATED", "classificationMode": "2", "clip": "0"}
        shader.attrib |= {"minimumValue": low, "maximumValue": high, "labelPrecision": "3"}
        for share in np.linspace(0, 1, STEPS):
            value = f"{scale.low + share * (scale.high - scale.low):.6g}"
            item = {"value": value, "label": f"{float(value):.3g}", "color": to_hex(scale.cmap(share)), "alpha": "255"}
            ElementTree.SubElement(shader, "item", item)
    ElementTree.SubElement(pipe, "brightnesscontrast", {"brightness": "0", "contrast": "0", "gamma": "1"})
    ElementTree.SubElement(root, "blendMode").text = "0"
    ElementTree.SubElement(root, "abstract").text = str(describe(variable)["long_name"])
    ElementTree.indent(root)
    path = raster.with_suffix(".qml")
    text = ElementTree.tostring(root, encoding="unicode")
    path.write_text(f"<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n{text}\n", encoding="utf-8")
    return path
