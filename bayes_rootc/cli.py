"""The command line: arguments in, one call, exit code out; what commands are called and take."""

from __future__ import annotations

import argparse
import errno
import io
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from . import __version__, commands
from .cache import keep_compiled_code
from .commit import commit
from .constants import LAYER_NAMES, PROFILE_NAME
from .errors import InputError, InputWarning
from .extras import extras_named
from .mapping.variables import MAP_LAYERS, STATISTIC_NAMES
from .memory import bound_raster_cache, keep_freed_memory

BAD_INPUT = 2
INTERRUPTED = 130
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""No space, no quota, a file too large, a file system that cannot be written to."""

REPEAT_SECONDS = 5.0
"""Seconds until an interrupt that was not heard is sent again; closing a cluster of workers takes less."""

BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

MAP_FILES = """\
writes maps/{iroot,ibulk,iloss}_{layer}_{mean,median,p025,p975,uncertainty}.tif, iloss_probability_{layer}.tif,
share_{layer}_{median,p025,p975}.tif (I_loss / I_root), {iroot,ibulk}_applicability.tif, maps.nc, and
tables/map_totals*.csv: by biome, by latitude, and by zone"""

BENCHMARK_VARIABLES = "nppRoot npp rh cSoil cSoilAbove1m cSoilLevels turnover".split()

BENCHMARK_FILES = """\
nppRoot is compared with I_root; npp and rh, times the mapped f_BNPP, as well; cSoil with the gridded stock; turnover:
cSoil over rh (or npp), or tau, with the stock over I_bulk. Names of CMIP5, 6 and 7, CLM and ORCHIDEE; any units,
calendar, and regular, curvilinear or unstructured grid; pieces of a period are joined.
writes benchmark/VARIABLE/scores.csv, turnover_factor.csv, and figures, in the output folder"""

COMPARE_QUANTITIES = "age transit_time ibulk ibulk_t100 iroot f_bnpp npp stock".split()

COMPARE_FILES = """\
writes compare/MAP-QUANTITY/scores.csv (all land, biomes, latitudes), map.png, and differs.tif, in the output folder.
A map that is finer than ours is averaged over our cells, else ours over its; ages are compared by their logarithms"""

SITE_COLUMNS = """\
predict iroot, ibulk, iloss: columns lat, lon, and optionally top and bottom (cm, 0 to 200) of a layer; a file without
them gives each row's seven standard layers and 0-200 cm; adds iroot, ibulk or iloss (Mg C ha⁻¹ yr⁻¹, of a new
measurement there) as _mean, _median, _p025 and _p975, and reason

predict root-depth: columns lat, lon; adds d50 and d95 (cm, of a new profile there) and share_0-20 … share_150-200
of the seven layers in its roots, each as _mean, _median, _p025 and _p975, and reason

predict turnover: columns of SITES.csv, one row a layer, or a profile:
  lat, lon      degrees north and east
  year          of sampling, decimal year AD, 1800 or later
  top, bottom   of the layer, cm, 0 to 200; a file without them gives each row's seven standard layers
  delta14c      optional: a measured Δ14C, ‰; it informs its layer, and the other layers of its profile
  sigma         optional: its laboratory σ, ‰ (missing, 0 or above 100: 5)
  profile       optional: which rows are one profile (missing: the rows of one place)
  biome         optional, in all of these: its name or number (missing: that of the rasters)
columns that are added: delta14c (‰, of a new measurement), k (yr⁻¹) and age (yr), each as _mean, _median, _p025
and _p975; unexplained: True where no rate of turnover comes near the measured Δ14C; and reason: why a row, which then
keeps its place, could not be predicted"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; bad input gives one line on stderr and exit code 2."""
    _make_printable(sys.stdout, sys.stderr)
    arguments = _parser().parse_args(argv)
    # Threads split a sum, so that its last digits, and the path of a chain, would depend on the number of processors.
    # Our own threads are one level up: chains, profiles, trees, tiles.
    for name in BLAS_THREADS:
        os.environ.setdefault(name, "1")
    keep_compiled_code()
    keep_freed_memory()
    bound_raster_cache()
    try:
        with _interrupts_heard(), _warnings_in_a_line(), extras_named("this command"):
            return int(arguments.command(arguments) or 0)
    except InputError as error:
        print(f"bayes-rootc: {error}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:  # `bayes-rootc check | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except PermissionError as error:
        print(
            f"bayes-rootc: {error.filename}: {error.strerror}; expected a folder that can be written", file=sys.stderr
        )
        return BAD_INPUT
    except (FileExistsError, NotADirectoryError) as error:
        print(f"bayes-rootc: {error.filename}: is a file; expected a folder", file=sys.stderr)
        return BAD_INPUT
    except OSError as error:
        if error.errno not in NO_ROOM and not any(os.strerror(code) in str(error) for code in NO_ROOM):
            raise
        place = f"{error.filename}: " if error.filename else ""
        print(f"bayes-rootc: {place}no room to write ({_reason(error)}); what is finished is kept", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print(
            "bayes-rootc: stopped; what is finished is kept, and the same command resumes",
            file=sys.stderr,
        )
        return INTERRUPTED


def _make_printable(*streams: TextIO) -> None:
    """Replaces what a console cannot show, as one in cp1252 has no ⁻¹, instead of ending with a traceback."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


@contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """Prints an `InputWarning` as an error would be, and leaves others as they are."""
    shown = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, InputWarning):
            print(f"bayes-rootc: note: {message}", file=sys.stderr)
        else:
            shown(message, category, *place, **more)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = shown


@contextmanager
def _interrupts_heard() -> Iterator[None]:
    """Repeats an interrupt until the command has ended: Python drops one that falls into a callback of its own, as of
    a weak reference.
    """

    def interrupt(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, REPEAT_SECONDS)
        raise KeyboardInterrupt

    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or not hasattr(signal, "setitimer"):
        yield
    elif signal.getsignal(signal.SIGINT) is not signal.default_int_handler:  # ignored, or somebody else's
        yield
    else:
        before = [(number, signal.signal(number, interrupt)) for number in (signal.SIGINT, signal.SIGALRM)]
        report = sys.unraisablehook
        # one that fell into a callback of the garbage collector is no news: it is sent again
        sys.unraisablehook = lambda found: None if found.exc_type is KeyboardInterrupt else report(found)
        try:
            yield
        finally:
            sys.unraisablehook = report
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before:
                signal.signal(number, handler)


def _reason(error: OSError) -> str:
    return next((os.strerror(code) for code in NO_ROOM if os.strerror(code) in str(error)), error.strerror or "")


class _Version(argparse.Action):
    """Prints the version; asks git for the commit only then."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        known = commit()
        print(f"bayes-rootc {__version__}" + (f" (commit {known})" if known else ""))
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bayes-rootc", description="How much root carbon really reaches the soil.")
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version, and the commit if it is known")
    subparsers = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = _command(
        subparsers,
        "run",
        commands.run,
        "everything, end to end: from raw tables to a posterior, I_loss, maps and a report",
        "bayes-rootc run --data my-data --out out",
    )
    _add_settings(run)

    fit = _command(
        subparsers,
        "fit",
        commands.fit,
        "one model fit: its posterior (posterior/NAME.nc) and summary tables",
        "bayes-rootc fit turnover --data my-data --out out --folds 10",
    )
    fit.add_argument("name", choices=("turnover", "drivers", "root-depth", "allocation"), help="which model")
    _add_settings(fit)
    checks = fit.add_argument_group("checks (each takes longer than the fit)")
    checks.add_argument("--folds", type=int, metavar="K", help="K-fold cross-validation by profile or site")
    checks.add_argument("--simulations", type=int, metavar="N", help="simulation-based calibration with N data sets")
    checks.add_argument(
        "--both-histories",
        action="store_true",
        default=None,
        help="turnover: fits steady and IntCal20 histories before 1950, and compares",
    )
    fit.add_argument(
        "--sampler",
        choices=("pymc", "nutpie", "numpyro", "blackjax"),
        help="sampler of drivers, root-depth and allocation (default: numpyro)",
    )

    train = _command(
        subparsers,
        "train",
        commands.train,
        "the learners compared on held-out sites and regions: tables/learners.csv and figures",
        "bayes-rootc train --data my-data --out out",
    )
    _add_settings(train)
    train.add_argument(
        "--folds",
        type=int,
        dest="learner_folds",
        metavar="K",
        help="number of parts that are held out in turn (default: 5, as the paper's 80/20 split)",
    )

    maps = _command(
        subparsers,
        "map",
        commands.make_maps,
        "maps with uncertainty, tile by tile, from the fitted models in an output folder",
        "bayes-rootc map --data my-data --out out --resolution 0.05 --resume\n\n" + MAP_FILES,
    )
    _add_settings(maps)
    where = maps.add_argument_group("which maps (options left out are taken from SETTINGS.toml)")
    where.add_argument("--resolution", type=float, metavar="DEG", help="cell size, degrees (default: 0.5)")
    where.add_argument(
        "--bbox",
        type=float,
        nargs=4,
        metavar=("W", "S", "E", "N"),
        help="region to map (default: the globe); a box with W > E crosses 180°",
    )
    where.add_argument("--like", type=Path, metavar="RASTER.tif", dest="map_like", help="take the grid of this raster")
    where.add_argument(
        "--mode",
        choices=("independent", "members", "coherent"),
        dest="map_mode",
        help="statistics of a cell: of independent draws by formulas, of such draws themselves (members), or of trees, "
        "each of which is one whole map (default: independent)",
    )
    where.add_argument("--zones", type=Path, metavar="FILE", help="polygons or a raster of classes to sum over")
    where.add_argument("--zone-field", metavar="COLUMN", help="column with their names (default: the first of text)")
    where.add_argument(
        "--layers", nargs="+", choices=MAP_LAYERS, dest="map_layers", help="cm (default: all, and 0-200, the profile)"
    )
    where.add_argument(
        "--statistics", nargs="+", choices=list(STATISTIC_NAMES), dest="map_statistics", help="(default: all)"
    )
    where.add_argument(
        "--precision",
        type=float,
        metavar="ERROR",
        dest="map_precision",
        help="relative error to which values are rounded, so that files are smaller; 0: none (default: 0.0005)",
    )
    where.add_argument(
        "--formats", nargs="+", choices=("cog", "netcdf", "zarr"), dest="map_formats", help="(default: cog netcdf)"
    )
    how = maps.add_argument_group("how they are made")
    how.add_argument("--tile", type=int, metavar="CELLS", help="side of a tile; memory grows with it (default: 384)")
    how.add_argument("--workers", type=int, metavar="N", help="tiles made at once (default: 2)")
    how.add_argument(
        "--dask",
        metavar="ADDRESS-or-FILE",
        help="make the tiles on the Dask cluster of this scheduler (tcp://, tls:// or its .json file), which sees the "
        "same folders; or `local`: on N processes here",
    )
    how.add_argument(
        "--resume",
        action="store_true",
        default=None,
        help="refuse to start over if the unfinished tiles belong to other maps (matching tiles are always kept)",
    )
    many = maps.add_argument_group("on many machines, which share the folders").add_mutually_exclusive_group()
    many.add_argument(
        "--part",
        nargs="?",
        const="",
        metavar="I/N",
        help="make only every Nth tile, from the Ith on, and join none (without a value: of a SLURM job array)",
    )
    many.add_argument("--finish", action="store_true", help="join the tiles that all parts have made")
    many.add_argument(
        "--plan",
        action="store_true",
        help="make nothing; say how many cells and tiles, how much memory and time, and what size of files",
    )

    estimate = _command(
        subparsers,
        "estimate",
        commands.estimate,
        "the six estimates of I_loss from the posterior and the forests in an output folder: tables/iloss_*.csv",
        "bayes-rootc estimate --data my-data --out out",
    )
    _add_settings(estimate)

    report = _command(
        subparsers,
        "report",
        commands.report,
        "figures and report.html, from the output folder of a finished run",
        "bayes-rootc report --from out",
    )
    _add_finished(report)

    explore = _command(
        subparsers,
        "explore",
        commands.explore,
        "the maps of a finished run as a page that answers when one clicks on it; works offline and on any web server",
        "bayes-rootc explore --from out\n\nwrites DIR/index.html; maps finer than half a degree also DIR/tiles/",
    )
    _add_finished(explore)
    explore.add_argument("--to", type=Path, metavar="DIR", help="folder to write into (default: explorer in OUT)")

    draw = _command(
        subparsers,
        "draw",
        commands.draw,
        "one finished map as a figure: value, uncertainty, zonal means, and where not to trust it",
        "bayes-rootc draw iloss --layer 0-20 --from out --to loss.png",
    )
    draw.add_argument("flux", choices=("iroot", "ibulk", "iloss"), help="which flux")
    draw.add_argument("--layer", choices=(*LAYER_NAMES, PROFILE_NAME), default=PROFILE_NAME, help="cm (default: 0-200)")
    draw.add_argument("--from", type=Path, dest="out", metavar="OUT", required=True, help="folder with maps/maps.nc")
    draw.add_argument("--to", type=Path, metavar="FILE", required=True, help="PNG, PDF or SVG file to write")

    benchmark = _command(
        subparsers,
        "benchmark",
        commands.benchmark,
        "Earth system models compared with the maps of a run: scores with uncertainty, and why turnover is too fast",
        "bayes-rootc benchmark CESM2/ UKESM1/ --variable turnover --from out\n\n" + BENCHMARK_FILES,
    )
    benchmark.add_argument(
        "models",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="NetCDF files, Zarr stores, or folders of them, as an archive delivers them, of one or more models",
    )
    benchmark.add_argument("--variable", choices=BENCHMARK_VARIABLES, required=True, help="what is compared")
    _add_finished(benchmark)
    benchmark.add_argument(
        "--years",
        type=int,
        nargs=2,
        metavar=("FIRST", "LAST"),
        help="years to average (default: the last 20 whole ones)",
    )
    benchmark.add_argument("--experiment", metavar="NAME", help="needed where there are several, such as historical")
    benchmark.add_argument("--grid", metavar="LABEL", help="needed where there are several, such as gn")
    benchmark.add_argument(
        "--members",
        choices=("mean", "each"),
        default="mean",
        help="of a model: their mean, with its spread, or each as a model (default: mean)",
    )

    compare = _command(
        subparsers,
        "compare",
        commands.compare,
        "a published map compared with the maps of a run: scores under the posterior, and where the two differ",
        "bayes-rootc compare bnpp.tif --with iroot --unit 'g m-2 yr-1' --from out\n\n" + COMPARE_FILES,
    )
    compare.add_argument("map", type=Path, metavar="MAP", help="GeoTIFF or NetCDF (FILE.nc::NAME: one of several)")
    compare.add_argument(
        "--with",
        dest="quantity",
        choices=COMPARE_QUANTITIES,
        required=True,
        help="which of our maps it is held against",
    )
    _add_finished(compare)
    compare.add_argument(
        "--layer",
        default=PROFILE_NAME,
        metavar="TOP-BOTTOM",
        help=f"depth of the map, cm, between borders of our layers (default: {PROFILE_NAME})",
    )
    compare.add_argument("--unit", metavar="UNIT", help="its unit, where the file does not say it")
    compare.add_argument(
        "--uncertainty",
        metavar="MAP-or-RATIO",
        help="its standard deviation: a map of it, or its ratio to the values, such as 0.3 (default: none is known)",
    )

    export = _command(
        subparsers,
        "export",
        commands.export,
        "reference files for model benchmarking, from the maps of a finished run",
        "bayes-rootc export ilamb --from out --to reference",
    )
    export.add_argument("kind", choices=("ilamb", "obs4mips"), help="program or archive that the files are for")
    _add_finished(export)
    export.add_argument("--to", type=Path, metavar="DIR", required=True, help="folder to write into")
    export.add_argument(
        "--resolution",
        type=float,
        metavar="DEG",
        help="cell size, degrees: that of the maps, or coarser (default: 0.5)",
    )
    export.add_argument("--institution", metavar="NAME", default=None, help="who made the maps")
    export.add_argument("--contact", metavar="TEXT", default=None, help="contact: name and address")
    export.add_argument("--code", metavar="URL", default=None, help="where the code that made them is")
    export.add_argument("--license", metavar="TEXT", default=None, help="(default: CC BY 4.0)")

    predict = _command(
        subparsers,
        "predict",
        commands.predict,
        "posterior predictions at new sites or layers, from a finished output folder",
        "bayes-rootc predict turnover --at SITES.csv --from out --data my-data --to predicted.csv\n\n" + SITE_COLUMNS,
    )
    predict.add_argument("name", choices=("turnover", "iroot", "ibulk", "iloss", "root-depth"), help="what to predict")
    predict.add_argument("--at", type=Path, metavar="SITES.csv", required=True, help="new sites; columns below")
    predict.add_argument("--from", type=Path, dest="out", metavar="OUT", required=True, help="output folder of a fit")
    predict.add_argument("--data", type=Path, metavar="DIR", required=True, help="data folder: covariates, bomb curves")
    predict.add_argument("--to", type=Path, metavar="FILE.csv", required=True, help="file to write")
    predict.add_argument(
        "--nearest-km",
        type=float,
        metavar="KM",
        default=100.0,
        help="maximum distance from which a missing covariate is borrowed; use the value of the fit (default: 100)",
    )
    predict.add_argument(
        "--seed",
        type=int,
        metavar="N",
        default=20,
        help="seed of the random draws; the same seed gives the same predictions (default: 20)",
    )

    check = _command(
        subparsers,
        "check",
        commands.check,
        "reads and validates every input; prints what is used, what is dropped and why",
        "bayes-rootc check --data my-data",
    )
    check.add_argument("--data", type=Path, metavar="DIR", required=True, help="data folder")

    template = _command(
        subparsers,
        "template",
        commands.template,
        "an example data folder with plain tables, their units, rasters and a README, to put your own data into",
        "bayes-rootc template my-data",
    )
    template.add_argument("to", type=Path, metavar="DIR", help="folder to make")

    fetch = _command(
        subparsers,
        "fetch",
        commands.fetch,
        "downloads the public inputs into a data folder; checksums verified, resumable",
        "bayes-rootc fetch --to my-data",
    )
    fetch.add_argument(
        "--to", type=Path, metavar="DIR", default=Path("data"), help="data folder to fill (default: data)"
    )
    fetch.add_argument(
        "--source", metavar="URL-or-DIR", help="a mirror laid out as the data folder (default: each publisher)"
    )
    fetch.add_argument(
        "--list", action="store_true", help="only say what it brings: sizes, licences, what is here, what has moved"
    )
    return parser


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("settings", nargs="?", type=Path, metavar="SETTINGS.toml", help="settings file (default: none)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="data folder (default: the simulated demo world)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="output folder (default: out)")
    parser.add_argument(
        "--quick", action="store_true", default=None, help="small and coarse: for trying out, not for results"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="seed of all random numbers (default: 20)")
    parser.add_argument("--preset", choices=("paper",), help="paper: each step as in the paper's Methods; slow")


def _add_finished(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--from", type=Path, dest="out", metavar="OUT", required=True, help="output folder of a run")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the run's data folder, if it has moved")


def _command(subparsers, name, function, text, example):  # type: ignore[no-untyped-def]
    parser = subparsers.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=function)
    return parser
