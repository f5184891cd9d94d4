"""Bad settings, commands, output folders and files of Earth system models."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayes_rootc.esm.model_output import read_field

from .case import Case, Change, nothing
from .spoil import a_folder, cells, cut, remade, removed, table, write

RUN = ("run", "run.toml")


def settings(name: str, says: tuple[str, ...], content: str | bytes) -> Case:
    """A settings file, which is named with its setting."""
    return Case(f"settings: {name}", ("run.toml", *says), write("run.toml", content), RUN)


SETTINGS = (
    settings("unknown key", ("setting sead: unknown setting, expected one of: data",), "sead = 1"),
    settings("key of two lines", (r"setting a\nb: unknown setting",), r'"a\nb" = 1'),
    settings("wrong type", ("setting members", "valid integer"), 'members = "many"'),
    settings("table for a value", ("setting members", "valid integer"), "[members]\na = 1"),
    settings("too few members", ("setting members", "greater than or equal to 20"), "members = 1"),
    settings("negative seed", ("setting seed", "greater than or equal to 0"), "seed = -1"),
    settings("resolution 0", ("setting resolution",), "resolution = 0"),
    settings("resolution tiny", ("setting resolution",), "resolution = 1e-9"),
    settings("resolution NaN", ("setting resolution",), "resolution = nan"),
    settings("reach infinite", ("setting nearest_km", "finite"), "nearest_km = inf"),
    settings("box reversed", ("setting bbox", "south < north"), "bbox = [5, 5, 10, 0]"),
    settings("box of three", ("setting bbox",), "bbox = [10, 0, 5]"),
    settings("wrong choice", ("setting prehistory", "'steady' or 'intcal20'"), 'prehistory = "ice"'),
    settings("no format", ("setting map_formats",), "map_formats = []"),
    settings("key twice", ("not valid TOML",), "seed = 1\nseed = 2"),
    settings("no value", ("not valid TOML",), "seed = "),
    settings("number without end", ("not valid TOML",), "seed = " + "1" * 5000),
    settings("brackets without end", ("not valid TOML",), "bbox = " + "[" * 100_000),
    settings("UTF-16", ("UTF-8",), "seed = 1".encode("utf-16")),
    settings("bytes", ("UTF-8",), b"\xff\x00\x01"),
    settings("NUL in a path", ("setting out", r"`a\x00b` is not a path"), r'out = "a\u0000b"'),
    settings("path too long", ("setting out", "…` is not a path (File name too long)"), f'out = "{"a" * 5000}"'),
    settings("data is the file itself", ("no such data folder",), 'data = "run.toml"'),
    settings("data is out", ("setting out", "is the data folder"), 'data = "data"\nout = "data/../data"'),
    settings("out is a file", ("setting out", "run.toml is a file"), 'out = "run.toml"'),
    settings("out is in a file", ("setting out", "run.toml is a file"), 'out = "run.toml/out"'),
    Case("settings: missing", ("run.toml: cannot be read (No such file",), command=RUN),
    Case("settings: folder", ("run.toml: cannot be read (Is a directory",), a_folder("run.toml"), RUN),
    Case("settings: a loop of links", ("run.toml: cannot be read",), lambda folder: os.symlink(
        "run.toml", folder / "run.toml"), RUN),
)  # fmt: skip


def command(line: str, *says: str, spoil: Change = nothing) -> Case:
    """A command line, understood but not possible."""
    return Case(f"`{line}`", says, spoil, tuple(line.split()))


def misused(line: str, *says: str) -> Case:
    """A command line that is not understood."""
    return Case(f"`{line}`", says, command=tuple(line.split()), usage=True)


SITES = write("sites.csv", "lat,lon,year\n10,20,2010\n")
PREDICT = "--at sites.csv --from out --data data --to predicted.csv"

COMMANDS = (
    misused("", "arguments are required"),
    misused("fly", "invalid choice: 'fly'"),
    misused("check", "required: --data"),
    misused("fit leaves", "invalid choice: 'leaves'"),
    misused("fit turnover --folds two", "invalid int value: 'two'"),
    misused("map --bbox 1 2 3", "expected 4 arguments"),
    misused("map --resolution fine", "invalid float value: 'fine'"),
    misused("map --mode both", "invalid choice: 'both'"),
    misused("report", "required: --from"),
    misused("run --wings 2", "unrecognized arguments"),
    command("check --data nowhere", "nowhere: no such data folder"),
    command("check --data sites.csv", "sites.csv: no such data folder", spoil=SITES),
    misused("run a.toml b.toml", "unrecognized arguments"),
    command("fit turnover --data nowhere", "nowhere: no such data folder"),
    command("fit turnover --folds 1", "setting folds: expected 0 (none), or at least 2"),
    command("fit turnover --simulations -3", "setting simulations: input should be greater than or equal to 0"),
    command("fit drivers --both-histories", "--both-histories: not a check of drivers"),
    command("train --folds 1", "setting learner_folds: input should be greater than or equal to 2"),
    command("run --seed -1", "setting seed"),
    command("run --data data --out data", "setting out: data is the data folder"),
    command("run --out sites.csv", "setting out: sites.csv is a file", spoil=SITES),
    command("map --data data --bbox 5 5 10 0", "setting bbox", "south < north"),
    command("map --data data --resolution 0", "setting resolution"),
    command("map --data data --resolution -1", "setting resolution"),
    command("map --data data --resolution nan", "setting resolution"),
    command("map --data data --tile 3", "setting tile"),
    command("map --data nowhere", "nowhere: no such data folder"),
    command("map --data data --like sites.csv", "sites.csv: not a readable raster", spoil=SITES),
    command("fetch --to sites.csv", "sites.csv: is a file", spoil=SITES),
    command("fetch --to new --source nowhere", "nowhere: no such folder"),
    command("fetch --to new --source out", "out: holds none of the files of a data folder"),
    command("fetch --to data --source data", "fetched.json: not readable", spoil=write("data/fetched.json", "[1]")),
    command("report --from nowhere", "nowhere: no such output folder"),
    command("report --from data", "run.json: not found"),
    command("export ilamb --from nowhere --to new", "nowhere: no such output folder"),
    command("draw iloss --from out --to a.bmp", "a.bmp: expected a name that ends in .png"),
    command("draw iloss --from nowhere --to a.png", "maps.nc: not found"),
    command("benchmark a.nc --variable rh --from nowhere", "nowhere: no such output folder"),
    command("benchmark a.nc --variable rh --from out --years 9 2", "--years 9 2: expected the first before the last"),
    command("predict iroot --at sites.csv --from out --data data --to data", "data: is a folder", spoil=SITES),
    command("predict iroot --at sites.csv --from out --data nowhere --to a.csv", "no such data folder", spoil=SITES),
    command(f"predict iroot {PREDICT} --nearest-km nan", "--nearest-km nan: expected 0 or more", spoil=SITES),
    command(f"predict iroot {PREDICT}", "learners.npz: not found", spoil=SITES),
)


def both(first: Change, second: Change) -> Change:
    """One change after the other."""

    def spoil(folder: Path) -> None:
        first(folder)
        second(folder)

    return spoil


def damaged(name: str, file: str, change: Change, says: str, line: str = "report --from out --data data") -> Case:
    """A file of an output folder."""

    return Case(f"{file}: {name}", (f"out/{file}", says), both(SITES, change), tuple(line.split()))


DRAW, TURNOVER, IBULK = "draw iloss --from out --to a.png", f"predict turnover {PREDICT}", f"predict ibulk {PREDICT}"
RECORD, MAPS, POSTERIOR, LEARNERS = "run.json", "maps/maps.nc", "posterior/turnover.nc", "models/learners.npz"
OTHER_NETCDF = xr.Dataset({"a": 1.0})


def netcdf(file: str, dataset: xr.Dataset = OTHER_NETCDF, **encoding: Any) -> Change:
    """A NetCDF file."""

    def spoil(folder: Path) -> None:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        every = dict.fromkeys(dataset.data_vars, encoding)
        dataset.to_netcdf(folder / file, engine="h5netcdf", encoding=every)

    return spoil


def npz(**arrays: np.ndarray) -> bytes:
    """A file of arrays."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


OUTPUTS = (
    damaged("not JSON", RECORD, write("out/run.json", '{"settings": '), "not valid JSON"),
    damaged("not UTF-8", RECORD, write("out/run.json", b"\xff\xfe{}"), "not valid JSON"),
    damaged("folder", RECORD, a_folder("out/run.json"), "not found"),
    damaged("missing", "tables/layers.csv", removed("out/tables/layers.csv"), "not found"),
    damaged("bytes", "tables/layers.csv", write("out/tables/layers.csv", b"\xff\x00"), "not a readable CSV"),
    damaged("quote", "tables/layers.csv", write("out/tables/layers.csv", 'a,b\n1,"'), "not a readable CSV"),
    damaged("no column", "tables/layers.csv", write("out/tables/layers.csv", "a\n1\n"), "the column id, lat, lon"),
    damaged("no column", "tables/npp_sites.csv", write("out/tables/npp_sites.csv", "npp\n1\n"), "the column id, lat"),
    damaged("text", "tables/sites.csv", cells("out/tables/sites.csv", [3], iroot="much"), "has another checksum"),
    damaged("no rows", "tables/sites.csv", table("out/tables/sites.csv", lambda t: t[:0]), "has another checksum"),
    damaged("text", MAPS, write(f"out/{MAPS}", "maps"), "not a readable NetCDF"),
    damaged("text, drawn", MAPS, write(f"out/{MAPS}", "maps"), "not a readable NetCDF", DRAW),
    damaged("truncated", MAPS, cut(f"out/{MAPS}"), "not a readable NetCDF", DRAW),
    damaged("truncated", POSTERIOR, cut(f"out/{POSTERIOR}"), "not a readable NetCDF", TURNOVER),
    damaged("other NetCDF", MAPS, netcdf(f"out/{MAPS}"), "lacks layer, lat, lon, biome"),
    damaged("other NetCDF, reported", POSTERIOR, netcdf(f"out/{POSTERIOR}"), "lacks the group posterior"),
    damaged("text", POSTERIOR, write(f"out/{POSTERIOR}", "x"), "not a readable NetCDF", TURNOVER),
    damaged("other NetCDF", POSTERIOR, netcdf(f"out/{POSTERIOR}"), "lacks the group posterior", TURNOVER),
    damaged("text", LEARNERS, write(f"out/{LEARNERS}", "x"), "file of learners", IBULK),
    damaged("pickle", LEARNERS, write(f"out/{LEARNERS}", pickle.dumps({"a": np.arange(3)})), "file of learners", IBULK),
    damaged("other arrays", LEARNERS, write(f"out/{LEARNERS}", npz(a=np.arange(3))), "file of learners", IBULK),
    damaged("objects", LEARNERS, write(f"out/{LEARNERS}", npz(about=np.array([{}]))), "file of learners", IBULK),
)  # fmt: skip


NOISE = np.random.default_rng(0).random((6, 12))


def field(**attributes: str) -> xr.Dataset:
    """Respiration of a model on 6 x 12 cells."""
    axes = {
        "lat": ("lat", np.arange(-75.0, 90, 30), {"units": "degrees_north"}),
        "lon": ("lon", np.arange(15.0, 360, 30), {"units": "degrees_east"}),
    }
    return xr.Dataset({"rh": (("lat", "lon"), np.ones((6, 12)), {"units": "kg m-2 s-1"} | attributes)}, axes)


def yearly(**attributes: str) -> xr.Dataset:
    """The same at two times."""
    dataset = field().expand_dims(time=[1.0, 2.0])
    dataset["time"].attrs |= attributes
    return dataset


def holed(content: bytes) -> bytes:
    """Zeros at the end of it."""
    return content[:-400] + bytes(400)


def model(name: str, says: str, change: Change, path: str = "m.nc") -> Case:
    """A file of a model. `benchmark` reads it after the maps of a run, which the folder has not."""
    return Case(f"model: {name}", (path, says), change, lambda folder: read_field(Path(path), "rh"))


MODELS = (
    model("missing", "no such file or folder", nothing),
    model("text", "not a readable NetCDF", write("m.nc", "rh")),
    model("empty", "not a readable NetCDF", write("m.nc", "")),
    model("truncated", "not a readable NetCDF", both(netcdf("m.nc", field()), cut("m.nc", 0.5))),
    model("damaged", "not a readable NetCDF", both(netcdf("m.nc", field() + NOISE, zlib=True), remade("m.nc", holed))),
    model("folder without files", "none of its 0 NetCDF files", a_folder("models"), "models"),
    model("folder of text", "not a readable NetCDF", write("models/a.nc", "x"), "models"),
    model("other variable", "no variable `rh` in it, it has: a", netcdf("m.nc")),
    model("other units", "units `K`", netcdf("m.nc", field(units="K"))),
    model("no grid", "found no latitude", netcdf("m.nc", field().drop_vars(["lat", "lon"]))),
    model("no value", "no value anywhere", netcdf("m.nc", field() * np.nan)),
    model("text for values", "rh", netcdf("m.nc", field().astype(str))),
    model("time without units", "days since", netcdf("m.nc", yearly())),
    model("months of no calendar", "m.nc", netcdf("m.nc", yearly(units="months since 1850-13-45"))),
)  # fmt: skip

CASES = (*SETTINGS, *COMMANDS, *OUTPUTS, *MODELS)
