"""What each command does with its arguments. Modules that it needs are loaded when it is called, as they take long."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import InputError

if TYPE_CHECKING:
    from .settings import RunSettings

OPTIONS = tuple(
    "data out quick seed preset sampler folds simulations both_histories learner_folds resolution bbox map_like "
    "map_mode zones zone_field map_layers map_statistics map_precision map_formats tile workers dask resume".split()
)
"""Settings that a command may have as options."""


@contextmanager
def _owned(out: Path, *, finished: bool = False) -> Iterator[None]:
    """Lets one command at a time write into the output folder, and describes its tables afterwards; with `finished`,
    the folder must exist and its tables stay as they are.
    """
    from .files import owned  # loads pandas, which takes longer than to say what the commands are
    from .report.datapackage import describe_tables, tables_as_written

    if finished and not out.is_dir():
        raise InputError("no such output folder", file=out)
    with owned(out):
        if finished:
            with tables_as_written(out / "tables"):
                yield
        else:
            yield
            describe_tables(out / "tables")


def run(arguments: argparse.Namespace) -> None:
    settings = _settings(arguments)
    from .pipeline import run

    with _owned(settings.out):
        report = run(settings)
    tables = settings.out / "tables"
    first = {
        report: "figures and tables of the whole run, with what they mean",
        settings.out / "explorer" / "index.html": "the maps, interactive",
        tables / "iloss_estimates.csv": "how much root carbon is lost, by six estimates",
        tables / "checks.csv": "what was used of each source, what was left out, and why",
    }
    width = max(len(str(path)) for path in first)
    print("Look first at", *(f"  {path!s:{width}}  {what}" for path, what in first.items()), sep="\n")


def fit(arguments: argparse.Namespace) -> None:
    settings = _settings(arguments)
    asked = [name for name in ("folds", "simulations", "both_histories") if getattr(settings, name)]
    option = f"--{asked[0].replace('_', '-')}" if asked else ""
    if settings.both_histories and arguments.name != "turnover":
        raise InputError(f"--both-histories: not a check of {arguments.name}")
    if asked and arguments.name == "turnover" and settings.turnover_prior != "hierarchical":
        raise InputError(
            f'{option}: a check of the hierarchical fit, which turnover_prior = "{settings.turnover_prior}" leaves out'
        )
    from .pipeline import fit

    with _owned(settings.out):
        print(fit(arguments.name, settings))


def train(arguments: argparse.Namespace) -> None:
    settings = _settings(arguments)
    from .pipeline import train

    with _owned(settings.out):
        print(train(settings))


def make_maps(arguments: argparse.Namespace) -> None:
    settings = _settings(arguments)
    from rich.console import Console

    from .files import side_by_side
    from .mapping.parts import Part
    from .pipeline import make_map_part, make_maps, plan_maps

    if arguments.plan:
        Console(highlight=False).print(plan_maps(settings))
    elif arguments.part is not None:
        part = Part.read(arguments.part, os.environ)
        with side_by_side(settings.out):
            make_map_part(settings, part)
        print(f"part {part} is finished; when all are, `bayes-rootc map --finish` joins them")
    else:
        with _owned(settings.out):
            print(make_maps(settings, joining=arguments.finish))


def estimate(arguments: argparse.Namespace) -> None:
    settings = _settings(arguments)
    from .pipeline import estimate

    with _owned(settings.out):
        print(estimate(settings))


def report(arguments: argparse.Namespace) -> None:
    from .report.html import write_report

    with _owned(arguments.out, finished=True):
        print(write_report(arguments.out, arguments.data))


def explore(arguments: argparse.Namespace) -> None:
    from .explorer.show import make
    from .report.results import Results

    with _owned(arguments.out, finished=True):
        print(make(Results.read(arguments.out, data=arguments.data), arguments.to))


def benchmark(arguments: argparse.Namespace) -> None:
    from .esm.archive import Choice
    from .esm.benchmark import benchmark

    years = tuple(arguments.years) if arguments.years else None
    if years and years[0] > years[1]:
        raise InputError(f"--years {years[0]} {years[1]}: expected the first before the last")
    choice = Choice(years, arguments.experiment, arguments.grid, arguments.members)
    with _owned(arguments.out, finished=True):
        path, remarks = benchmark(
            arguments.models, arguments.variable, arguments.out, data=arguments.data, choice=choice
        )
    for remark in remarks:
        print(remark, file=sys.stderr)
    print(path)


def compare(arguments: argparse.Namespace) -> None:
    from .esm.published import Published, hold_against

    given: Path | float | None = arguments.uncertainty
    if given is not None:
        try:
            given = float(arguments.uncertainty)
        except ValueError:
            given = Path(arguments.uncertainty)
    published = Published(arguments.map, arguments.quantity, arguments.layer, arguments.unit, given)
    with _owned(arguments.out, finished=True):
        path, row = hold_against(published, arguments.out, data=arguments.data)
    ours = f"{row['map_median']:.3g} ({row['map_p025']:.3g} to {row['map_p975']:.3g})"
    found = f"published {row['model_median']:.3g}, ours {ours} {row['unit']}"
    beyond = f"they differ beyond both uncertainties on {100 * row['differs']:.0f} % of the land"
    print(f"{found}; correlation {row['correlation_median']:.2f}; {beyond}")
    print(path)


def export(arguments: argparse.Namespace) -> None:
    from .esm.export import Maker, export

    given = {name: getattr(arguments, name) for name in ("institution", "contact", "code", "license")}
    who = Maker(**{name: text for name, text in given.items() if text})
    for path in export(arguments.kind, arguments.out, arguments.to, arguments.resolution, data=arguments.data, who=who):
        print(path)


def draw(arguments: argparse.Namespace) -> None:
    from .report.figures_maps import figure_one_map
    from .report.results import Results
    from .report.style import save

    if arguments.to.suffix not in (".png", ".pdf", ".svg"):
        raise InputError("expected a name that ends in .png, .pdf or .svg", file=arguments.to)
    maps = Results(arguments.out).maps
    axes = figure_one_map(maps, arguments.flux, arguments.layer)
    save(axes, arguments.to, simulated="SIMULATED" in maps.attrs.get("title", ""))
    print(arguments.to)


def predict(arguments: argparse.Namespace) -> None:
    from .data.atmosphere import Atmosphere
    from .data.covariates import covariates_for
    from .files import write_csv
    from .inference.predict import (
        COLUMNS,
        MAX_DRAWS,
        RATE_COLUMNS,
        ROOT_COLUMNS,
        NewPlaces,
        predict_root_depth,
        predict_turnover,
        read_sites,
    )
    from .inference.store import read_fit, read_root_depth, turnover_file
    from .mapping.model_file import read_learners
    from .mapping.predict import FLUXES, flux_columns, predict_flux

    if arguments.to.is_dir():
        raise InputError("is a folder; expected a file to write", file=arguments.to)
    if not arguments.nearest_km >= 0:
        raise InputError(f"--nearest-km {arguments.nearest_km:g}: expected 0 or more")
    if arguments.seed < 0:
        raise InputError(f"--seed {arguments.seed}: expected 0 or more")
    what, posterior = arguments.name, arguments.out / "posterior"
    sites = read_sites(arguments.at, layers=what != "root-depth", year=what == "turnover", total=what in FLUXES)
    if not arguments.data.is_dir():
        raise InputError("no such data folder", file=arguments.data)
    folder = arguments.data / "covariates"
    if what == "turnover":
        fit, air = read_fit(turnover_file(arguments.out)), Atmosphere.read(arguments.data / "atmosphere")
        places = NewPlaces(sites, covariates_for(folder, fit.components.covariates), arguments.nearest_km)
        table, added = predict_turnover(fit, places, air, seed=arguments.seed), (*COLUMNS, *RATE_COLUMNS)
    elif what == "root-depth":
        draws, components = read_root_depth(posterior / "root_depth.nc", MAX_DRAWS)
        places = NewPlaces(sites, covariates_for(folder, components.covariates), arguments.nearest_km)
        table, added = predict_root_depth(draws, components, places, seed=arguments.seed), ROOT_COLUMNS
    else:
        learners = read_learners(arguments.out / "models" / "learners.npz")
        roots = None if what == "ibulk" else read_root_depth(posterior / "root_depth.nc", MAX_DRAWS)
        places = NewPlaces(sites, covariates_for(folder, learners.features), arguments.nearest_km)
        table, added = predict_flux(what, learners, roots, places, seed=arguments.seed), flux_columns(what)
    write_csv(arguments.to, table, shorten=[c for c in added if c in table and c not in ("unexplained", "reason")])
    print(f"{arguments.to}: {(table['reason'] == '').sum()} of {len(table)} rows predicted")


def _settings(arguments: argparse.Namespace) -> RunSettings:
    from .settings import RunSettings

    return RunSettings.read(arguments.settings, **{name: getattr(arguments, name, None) for name in OPTIONS})


def check(arguments: argparse.Namespace) -> None:
    from .data.folder import read_inputs
    from .models.radiocarbon import unexplained
    from .report.tables import checks_text

    inputs = read_inputs(arguments.data)
    layers = inputs.layers
    flags = unexplained(
        layers["delta14c"],
        layers["sigma"],
        layers["year"],
        layers["zone"].to_numpy(str),
        atmosphere=inputs.atmosphere,
    )
    if flags.any():
        first = ", ".join(layers.loc[flags, "id"].head(3))
        inputs.checks[0].doubts[f"Δ14C that no rate of turnover explains (3 σ), first {first}"] = int(flags.sum())
    print(checks_text(inputs.checks))
    print(f"\natmosphere: {inputs.atmosphere.source}")
    print(f"covariates: {len(inputs.features)} numeric, and biome")
    for group, names in inputs.groups.items():
        print(f"  {group}: {', '.join(names)}")


def fetch(arguments: argparse.Namespace) -> None:
    from .data.fetch import fetch, listing

    if arguments.list:
        listing(arguments.to)
    else:
        fetch(arguments.to, arguments.source)


def template(arguments: argparse.Namespace) -> None:
    from .demo.template import write_template

    for path in write_template(arguments.to):
        print(path)
