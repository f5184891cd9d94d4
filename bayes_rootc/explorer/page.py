"""The explorer: interactive maps in one folder that opens by a double click.

`index.html` holds style, program, tables and, up to half a degree, the maps; finer maps are in scripts below `tiles/`,
which the page loads when they come into view. It asks for nothing else, and a content security policy says so.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import xarray as xr
from contourpy import FillType, contour_generator
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.colors import to_hex

from ..constants import BIOMES
from ..data.atmosphere import Atmosphere
from ..data.netcdf import open_dataset
from ..errors import InputError
from ..files import PARTIAL, write_text
from ..mapping.draw import Basemap
from ..progress import Progress
from ..report.figures_maps import map_box
from ..report.results import Results
from ..report.style import FLUX_COLOURS, SITE_COLOURS, SITE_LABELS
from . import evidence
from .codec import deflated_json
from .quantities import EVEN, STATISTICS, Variable, quantities_of, variables_of
from .tiles import SIDE, Cut, Pyramid, cut_maps, layers_of

NAME = "index.html"
MARK = '<meta name="generator" content="bayes-rootc explorer">'
"""By which an explorer's page is known from others, which are not written over."""

MODULES = (
    "codec projection colours density radiocarbon atlas state dom charts painter outlines hands map place site tables "
    "calculator main"
).split()
"""Modules of the page, each after those that it imports."""

MOST_BYTES = 12_000_000
"""Most that a page with its maps may have: beyond, their steps are doubled."""

MOST_STEP = 0.08


def write_explorer(
    results: Results,
    to: Path | None = None,
    *,
    settings: Mapping[str, Any],
    simulated: bool,
    progress: Progress | None = None,
) -> Path:
    """Writes the explorer of a run.

    Parameters
    ----------
    results : Results
        The run.
    to : Path, optional
        Folder to write into; by default `explorer` in that of the run. One that holds anything but an explorer is
        refused.
    settings : mapping
        Settings of the run.
    simulated : bool
        Whether the data were those of the demo world.
    progress : callable, optional
        Is told how far it is.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        The run has no maps, a file of it is not readable, or the folder holds something else.
    """
    folder = to or results.out / "explorer"
    _refuse_other(folder)
    with open_dataset(results.path("maps/maps.nc"), ("layer", "lat", "lon"), command="map") as maps:
        if not quantities_of(maps):
            raise InputError("holds no map that could be shown", file=results.path("maps/maps.nc"))
        return _write(results, maps, folder, settings, simulated, progress)


def _write(
    results: Results,
    maps: xr.Dataset,
    folder: Path,
    settings: Mapping[str, Any],
    simulated: bool,
    progress: Progress | None,
) -> Path:
    """Tiles first and the page last, so that a page is never without its tiles; then those of the page before go."""
    variables = variables_of(maps)
    about = _about(results, maps, variables, folder, settings, simulated)
    parts = _parts(results, maps, settings)
    one_tile = Pyramid(maps.sizes["lat"], maps.sizes["lon"]).is_one_tile
    key = hashlib.sha256(json.dumps([about, parts], sort_keys=True).encode()).hexdigest()[:12]
    held: dict[str, str] = {}

    def write(name: str, content: str) -> None:
        if one_tile:
            held[name] = content
        else:
            write_text(folder / "tiles" / key / f"{name}.js", f'bayesRootcTile("{name}","{content}")\n')

    cut = cut_maps(maps, variables, write, progress=progress)
    while one_tile and _size(parts | held) > MOST_BYTES and _step(variables) < MOST_STEP:
        variables = [v.coarser() for v in variables]
        cut = cut_maps(maps, variables, write, progress=progress)
    about |= {"tiles": None if one_tile else f"tiles/{key}"} | _maps(cut, variables)
    write_text(folder / NAME, _rendered(about, parts | dict(sorted(held.items())), simulated=simulated))
    for old in (folder / "tiles").glob("*"):
        if one_tile or old.name != key:
            shutil.rmtree(old)
    return folder / NAME


def _size(held: Mapping[str, str]) -> int:
    return sum(map(len, held.values()))


def _step(variables: list[Variable]) -> float:
    """The largest relative step."""
    return max((v.scale.step for v in variables if v.scale.floor), default=MOST_STEP)


def _refuse_other(folder: Path) -> None:
    """Refuses a folder that holds something, unless that is an explorer, or what is left of one that was stopped."""
    if folder.is_file():
        raise InputError("is a file; expected a folder to write into", file=folder)
    page = folder / NAME
    if page.is_file() and MARK in page.read_text(encoding="utf-8", errors="replace")[:2000]:
        return
    others = [p.name for p in folder.glob("*") if p.name != "tiles" and not p.name.startswith(PARTIAL)]
    if others:
        text = f"holds {sorted(others)[0]}, and no explorer; expected a new or empty folder, or an older explorer"
        raise InputError(text, file=folder)


def _about(
    results: Results,
    maps: xr.Dataset,
    variables: list[Variable],
    folder: Path,
    settings: Mapping[str, Any],
    simulated: bool,
) -> dict[str, Any]:
    """What the page must know before it can draw."""
    lat, lon = maps["lat"].values, maps["lon"].values
    west, east, south, north = map_box(lat, lon)
    tiffs = evidence.geotiffs(results.out / "maps", [v.name for v in variables], layers_of(maps))
    quantities = [asdict(q) | {"diverging": q.diverging} for q in quantities_of(maps)]
    palettes = sorted({q["palette"] for q in quantities} | {"cividis"})
    return {
        "version": version("bayes-rootc"),
        "seed": settings.get("seed"),
        "simulated": simulated,
        "mode": settings.get("map_mode", "independent"),
        "members": settings.get("members"),
        "middle": "median" if settings.get("tau_bootstraps") else "mean",
        "spread": bool(settings.get("pool_spread")),
        "grid": {"west": west, "east": east, "south": south, "north": north, "rows": len(lat), "cols": len(lon)},
        "layers": layers_of(maps),
        "quantities": quantities,
        "statistics": STATISTICS,
        "palettes": {name: _colours(name) for name in palettes},
        "fluxes": FLUX_COLOURS,
        "kinds": {name: {"label": SITE_LABELS[name], "colour": colour} for name, colour in SITE_COLOURS.items()},
        "biomes": BIOMES,
        "side": SIDE,
        "ages": evidence.AGES,
        "siteScale": asdict(evidence.SITE_SCALE),
        "maps": _relative(results.out / "maps", folder) if tiffs else "",
        "tiffs": tiffs,
    }


def _maps(cut: Cut, variables: list[Variable]) -> dict[str, Any]:
    """What the page must know of the tiles."""
    return {
        "present": cut.tiles,
        "variables": {v.name: {"layered": v.layered, "base": v.base} | asdict(v.scale) for v in variables},
        "limits": cut.limits,
        "probabilityStep": EVEN["probability"].step,
    }


def _relative(target: Path, start: Path) -> str:
    try:
        return Path(os.path.relpath(target.resolve(), start.resolve())).as_posix()
    except ValueError:  # on another drive
        return ""


def _colours(name: str) -> list[str]:
    return [to_hex(colour) for colour in colormaps[name](np.linspace(0, 1, 256))]


def _parts(results: Results, maps: xr.Dataset, settings: Mapping[str, Any]) -> dict[str, str]:
    """What the page holds besides maps, by name, deflated."""
    atmosphere = _atmosphere(results, settings)
    parts = {
        "coast": _coast(_land(results, maps)),
        "places": evidence.places(results),
        "totals": evidence.totals(results),
        "persistence": evidence.persistence(results),
        "parameters": evidence.parameters(results),
        "radiocarbon": evidence.radiocarbon(atmosphere, dict(settings)),
    }
    return {name: deflated_json(part) for name, part in parts.items()}


def _atmosphere(results: Results, settings: Mapping[str, Any]) -> Atmosphere:
    """The atmosphere of the run; the packaged one where the data folder is gone."""
    try:
        found = results.atmosphere
    except InputError:
        found = Atmosphere.packaged()
    return found.by_hemisphere() if settings.get("atmosphere") == "hemispheres" else found


def _land(results: Results, maps: xr.Dataset) -> Basemap:
    """Land of the data folder; where that is gone, of the maps."""
    try:
        return results.land
    except InputError:
        land = maps["biome"].values > 0 if "biome" in maps else np.zeros((2, 2), bool)
        return Basemap.trace(land, map_box(maps["lat"].values, maps["lon"].values))


def _coast(land: Basemap) -> dict[str, list[list[int]]]:
    """Rings around land and its lakes, and coastlines, in hundredths of a degree: longitude, latitude, longitude, …,
    each pair after the first as a difference.
    """
    rings: list[np.ndarray] = []
    if min(land.cover.shape) >= 2:
        generator = contour_generator(land.lon, land.lat, land.cover, fill_type=FillType.OuterOffset)
        for points, offsets in zip(*generator.filled(0.5, 2.0), strict=True):
            rings += np.split(points, offsets[1:-1])
    return {"land": [_thinned(ring) for ring in rings], "coast": [_thinned(line) for line in land.coastline]}


def _thinned(line: np.ndarray) -> list[int]:
    at = np.rint(100 * np.asarray(line)).astype(int)
    moved = np.any(np.diff(at, axis=0, prepend=at[:1] - 1) != 0, axis=1)
    kept = at[moved]
    return np.concatenate([kept[:1], np.diff(kept, axis=0)]).ravel().tolist()


def _rendered(about: dict[str, Any], held: dict[str, str], *, simulated: bool) -> str:
    """The page as text. Nothing of a table is in it but as JSON, and that is deflated or has no `<`."""
    web = files("bayes_rootc.explorer") / "web"

    def read(name: str) -> str:
        return (web / name).read_text(encoding="utf-8")

    style, program = read("explorer.css"), joined({name: read(f"{name}.mjs") for name in MODULES})
    policy = [
        "default-src 'none'",
        f"script-src 'sha256-{_sha256(program)}'" + (" 'self' file:" if about["tiles"] else ""),
        f"style-src 'sha256-{_sha256(style)}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(read(NAME)).render(
        mark=Markup(MARK),
        policy=Markup("; ".join(policy)),
        style=Markup(style),
        program=Markup(program),
        about=Markup(json.dumps(about, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")),
        held=held,
        simulated=simulated,
        version=about["version"],
    )


def joined(modules: dict[str, str]) -> str:
    """The modules as one script, as a page opened from a file may not import others: each is a function that gives what
    it exports; the last one, which exports nothing, stands by itself.

    Examples
    --------
    >>> print(joined({"a": "export const one = 1;\\n", "b": 'import { one } from "./a.mjs";\\none + 1;\\n'}))
    const $a = (() => {
    const one = 1;
    return { one };
    })();
    const { one } = $a;
    one + 1;
    """
    parts = []
    for name, text in modules.items():
        exported = re.findall(r"^export (?:async )?(?:function|class|const|let) (\w+)", text, flags=re.MULTILINE)
        body = re.sub(r'^import (\{[^}]*\}) from "\./(\w+)\.mjs";', r"const \1 = $\2;", text, flags=re.MULTILINE)
        body = re.sub(r"^export ", "", body, flags=re.MULTILINE).strip()
        given = f"return {{ {', '.join(exported)} }};"
        parts.append(f"const ${name} = (() => {{\n{body}\n{given}\n}})();" if exported else body)
    return "\n".join(parts)


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
