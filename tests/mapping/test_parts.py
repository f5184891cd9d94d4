"""Parts of a map made by several machines: together they are the map of one, whoever was killed, slow or too early."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from bayes_rootc.cli import main
from bayes_rootc.errors import InputError
from bayes_rootc.files import owned, side_by_side
from bayes_rootc.mapping.parts import ARRAY, Part
from bayes_rootc.mapping.tiles import MapJob, begin, make_tile
from tests.mapping.small_map import command

pytestmark = pytest.mark.thorough

FORMATS = ("--formats", "cog", "netcdf", "zarr")

MACHINE = """
import os, signal, sys, time
from bayes_rootc.cli import main
from bayes_rootc.mapping import tiles

write, made = tiles.write_tile, []

def write_tile(*tile):
    write(*tile)
    made.append(tile)
    if sys.argv[1] == "killed" and len(made) == 2:
        os.kill(os.getpid(), signal.SIGKILL)  # the tile is in the store, but not finished
    if sys.argv[1] == "slow":
        time.sleep(2)

tiles.write_tile = write_tile
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def fresh(job, tmp_path) -> MapJob:
    """The job in a folder that has the models and nothing else."""
    for name in ("models", "posterior"):
        shutil.copytree(job.out / name, tmp_path / "out" / name)
    return replace(job, out=tmp_path / "out")


def products(out: Path) -> dict[str, str]:
    """Checksum of every file of the maps and tables, hidden ones too."""
    files = [path for name in ("maps", "tables") for path in (out / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def whole(job) -> dict[str, str]:
    """What one machine makes."""
    assert main(command(job, *FORMATS)) == 0
    return products(job.out)


def machine(state: str, job: MapJob, part: str) -> subprocess.Popen:
    """A machine that makes a part."""
    return subprocess.Popen([sys.executable, "-c", MACHINE, state, *command(job, "--workers", "1", "--part", part)])


@pytest.mark.slow
def test_four_machines_two_of_them_killed_make_the_map_of_one(fresh, whole):
    states = {"1/4": "killed", "2/4": "good", "3/4": "slow", "4/4": "killed"}
    cluster = [machine(state, fresh, part) for part, state in states.items()]
    assert [m.wait() for m in cluster] == [-signal.SIGKILL, 0, 0, -signal.SIGKILL]
    made = {path.name: path.stat().st_mtime_ns for path in (fresh.work / "tiles").glob("[0-9]*.npz")}
    assert len(made) < 15
    again = [machine("good", fresh, part) for part in ("1/4", "4/4", "2/4")]
    assert [m.wait() for m in again] == [0, 0, 0]
    now = {path.name: path.stat().st_mtime_ns for path in (fresh.work / "tiles").glob("[0-9]*.npz")}
    assert len(now) == 15 and made.items() <= now.items()  # what was finished is kept
    assert main(command(fresh, "--finish", *FORMATS)) == 0
    assert products(fresh.out) == whole
    assert not fresh.work.exists()


def test_parts_of_a_job_array_are_joined_when_all_are_there(fresh, whole, capsys, monkeypatch):
    def finish() -> int:
        return main(command(fresh, "--finish", *FORMATS))

    def error() -> str:
        return capsys.readouterr().err.splitlines()[-1]

    assert finish() == 2
    assert error().endswith("15 of 15 tiles are missing: make them with `--part I/N`")
    assert not fresh.work.exists()
    for name, value in {"ID": "0", "COUNT": "4", "MIN": "0"}.items():
        monkeypatch.setenv(ARRAY + name, value)
    assert main(command(fresh, "--part")) == 0
    assert "part 1/4 is finished" in capsys.readouterr().out
    (fresh.work / "maps.zarr" / "iloss_mean" / "c" / "0.killed.partial").touch()
    assert finish() == 2
    assert error() == f"bayes-rootc: {fresh.work}: 11 of 15 tiles are missing: run parts 2-4 of 4 again"
    for part in ("2/4", "4/4", "1/4"):
        assert main(command(fresh, "--part", part)) == 0
    assert finish() == 2
    assert error().endswith("4 of 15 tiles are missing: run part 3 of 4 again")
    for name, value in {"tile": "32", "layers": "0-20", "precision": "0.01", "statistics": "mean"}.items():
        assert main([*command(fresh, "--finish"), f"--{name}", value]) == 2
        assert f"made with other values of {name}" in error()
    assert main(command(fresh, "--part", "3/4")) == 0
    assert finish() == 0
    assert products(fresh.out) == whole


@pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")  # silenced by processes, not in one of many threads
def test_parts_that_begin_at_the_same_moment_share_one_store(fresh):
    """And of two plans one is first; the other is refused, and removes nothing."""
    gate = threading.Barrier(8)

    def start(seed: int) -> bool:
        gate.wait()
        try:
            return len(begin(replace(fresh, seed=seed), resume=True, shared=True)) == 15
        except InputError as error:
            assert "other parts of the map were made with other values of seed" in str(error)
            return False

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(start, [3] * 8)) == [True] * 8
        assert [path.name for path in fresh.work.parent.iterdir()] == [".unfinished"]
        make_tile(fresh, fresh.places()[0])
        assert list(pool.map(start, [4] * 8)) == [False] * 8
        assert len(begin(fresh, resume=True, shared=True)) == 14
        shutil.rmtree(fresh.work)
        first = list(pool.map(start, [3, 4] * 4))
    assert first in ([True, False] * 4, [False, True] * 4)
    assert [path.name for path in fresh.work.parent.iterdir()] == [".unfinished"]


def test_what_killed_processes_left_half_made_or_half_removed_is_cleared_by_a_whole_map(fresh):
    begin(fresh, resume=False)
    (fresh.work / "plan.json").unlink()
    shutil.copytree(fresh.work, fresh.work.with_name(".unfinished-0"))
    with pytest.raises(InputError, match="remains of a map that was being removed"):
        begin(fresh, resume=True, shared=True)
    assert len(begin(fresh, resume=True)) == 15
    assert [path.name for path in fresh.work.parent.iterdir()] == [".unfinished"]


def test_parts_work_side_by_side_and_everything_else_alone(fresh, capsys):
    with side_by_side(fresh.out), side_by_side(fresh.out):
        for more in ((), ("--finish",)):
            assert main(command(fresh, *more)) == 2
            assert "another bayes-rootc is writing into it" in capsys.readouterr().err
        assert main(command(fresh, "--part", "15/15")) == 0
    with owned(fresh.out):
        assert main(command(fresh, "--part", "1/2")) == 2
    assert "another bayes-rootc is writing into it" in capsys.readouterr().err
    assert main([*command(fresh, "--part", "1/2"), "--seed", "4"]) == 2
    assert "made with other values of seed" in capsys.readouterr().err


def test_without_locks_or_models_a_part_is_refused_in_one_line(fresh, capsys, monkeypatch):
    import fcntl

    def flock(*_):
        raise OSError(38, os.strerror(38))

    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", flock)
        assert main(command(fresh, "--part", "1/2")) == 2
    assert "needs a file system with locks" in capsys.readouterr().err
    assert not (fresh.out / ".lock").exists()
    fresh.learners.unlink()
    for more in (("--part", "1/2"), ("--finish",), ("--plan",)):
        assert main(command(fresh, *more)) == 2
        assert "`bayes-rootc train` makes it" in capsys.readouterr().err.splitlines()[-1]
    assert main([*command(fresh, "--part", "1/2"), "--out", str(fresh.out / "none")]) == 2
    assert "no such output folder" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "-1/4", "2", "2/4/8", "settings.toml"])
def test_what_is_no_part_is_refused(text):
    with pytest.raises(InputError, match=f"--part {text}: expected I/N, such as 2/16"):
        Part.read(text, {})


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, r"or the variables of a SLURM job array; SLURM_ARRAY_TASK_ID, SLURM_ARRAY_TASK_COUNT are not set"),
        ({"ID": "1"}, "SLURM_ARRAY_TASK_COUNT is not set to a number"),
        ({"ID": "1", "COUNT": "four"}, "SLURM_ARRAY_TASK_COUNT is not set to a number"),
        (
            {"ID": "7", "COUNT": "3", "MIN": "1"},
            "ID 7 is not among 3 numbers from 1 on; expected an array without gaps",
        ),
        ({"ID": "4", "COUNT": "4", "MIN": "0"}, "ID 4 is not among 4 numbers from 0 on"),
    ],
)
def test_an_array_that_is_none_is_refused(given, says):
    with pytest.raises(InputError, match=says):
        Part.read("", {ARRAY + name: value for name, value in given.items()})


@pytest.mark.parametrize("first", [0, 1])
def test_the_tasks_of_an_array_make_every_tile_once(job, first):
    tasks = [{"ID": str(i + first), "COUNT": "4", "MIN": str(first)} for i in range(4)]
    parts = [Part.read("", {ARRAY + name: value for name, value in task.items()}) for task in tasks]
    assert [str(part) for part in parts] == ["1/4", "2/4", "3/4", "4/4"]
    places = job.places()
    assert parts[1].of_places(places) == [places[i] for i in (1, 5, 9, 13)]
    assert sorted(place for part in parts for place in part.of_places(places)) == sorted(places)
