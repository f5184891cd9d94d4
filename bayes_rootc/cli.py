"""The command line: arguments in, one call, exit code out."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from . import __version__
from .errors import InputError

BAD_INPUT = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; bad input gives one line on stderr and exit code 2."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments) or 0)
    except InputError as error:
        print(f"bayes-rootc: {error}", file=sys.stderr)
        return BAD_INPUT
    except PermissionError as error:
        print(
            f"bayes-rootc: {error.filename}: {error.strerror}; expected a folder that can be written", file=sys.stderr
        )
        return BAD_INPUT
    except KeyboardInterrupt:
        print("bayes-rootc: stopped; tables and files of finished stages are kept", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # `bayes-rootc check | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bayes-rootc", description="How much root carbon really reaches the soil.")
    parser.add_argument("--version", action="version", version=f"bayes-rootc {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = _command(
        commands,
        "run",
        _run,
        "everything, end to end: from raw tables to a posterior, I_loss, maps and a report",
        "bayes-rootc run --data my-data --out out",
    )
    run.add_argument("settings", nargs="?", type=Path, metavar="SETTINGS.toml", help="settings file (default: none)")
    run.add_argument("--data", type=Path, metavar="DIR", help="data folder (default: the simulated demo world)")
    run.add_argument("--out", type=Path, metavar="DIR", help="output folder (default: out)")
    run.add_argument(
        "--quick", action="store_true", default=None, help="small and coarse: for trying out, not for results"
    )
    run.add_argument("--seed", type=int, metavar="N", help="all randomness flows from it (default: 20)")

    check = _command(
        commands,
        "check",
        _check,
        "reads and validates every input; prints what is used, what is dropped and why",
        "bayes-rootc check --data my-data",
    )
    check.add_argument("--data", type=Path, metavar="DIR", required=True, help="data folder")

    fetch = _command(
        commands,
        "fetch",
        _fetch,
        "brings the public inputs into a data folder; checksums verified, resumable",
        "bayes-rootc fetch --to my-data",
    )
    fetch.add_argument(
        "--to", type=Path, metavar="DIR", default=Path("data"), help="data folder to fill (default: data)"
    )
    fetch.add_argument(
        "--source", metavar="URL-or-DIR", help="a mirror laid out as the data folder (default: each publisher)"
    )
    return parser


def _command(commands, name, function, text, example):  # type: ignore[no-untyped-def]
    parser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=function)
    return parser


def _run(arguments: argparse.Namespace) -> None:
    from .settings import RunSettings

    names = ("data", "out", "quick", "seed")
    settings = RunSettings.read(arguments.settings, **{name: getattr(arguments, name) for name in names})
    from .pipeline import run

    print(run(settings))


def _check(arguments: argparse.Namespace) -> None:
    from .data.folder import read_inputs
    from .report.tables import checks_text

    inputs = read_inputs(arguments.data)
    print(checks_text(inputs.checks))
    print(f"\natmosphere: {inputs.atmosphere.source}")
    print(f"covariates: {len(inputs.features)} numeric, and biome")


def _fetch(arguments: argparse.Namespace) -> None:
    from .data.fetch import fetch

    fetch(arguments.to, arguments.source)
