"""Whatever happens, a file is whole or not there, what is finished stays, and the next command resumes."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import rasterio
import xarray as xr

import bayes_rootc
from bayes_rootc.cli import main
from bayes_rootc.demo import simulate_world
from bayes_rootc.files import PARTIAL, owned
from bayes_rootc.steps.engine import RECORD

pytestmark = pytest.mark.whole_run

KILLS = int(os.environ.get("KILLS", "6"))
"""Random moments; `KILLS=200 make test ARGS='-k killed_at_any'` for more; one in twenty is in training, the longest."""

COMMANDS = ("fit", "map", "report", "train")
TIMES = re.compile("seconds|mib")
"""Columns that differ from run to run."""


@pytest.fixture(scope="module")
def finished(quick_run, tmp_path_factory) -> Path:
    """A finished output folder to spoil."""
    return Path(shutil.copytree(quick_run, tmp_path_factory.mktemp("faults") / "out"))


@pytest.fixture(scope="module")
def settings(demo_world, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "settings.toml"
    path.write_text(f'data = "{demo_world.folder}"\nresolution = 4.0\nquick = true\n')
    return path


def command(name: str, settings: Path, out: Path) -> list[str]:
    if name == "report":
        return ["report", "--from", str(out)]
    own = {"fit": ["root-depth"], "map": ["--resume"]}.get(name, [])
    return [name, *own, str(settings), "--out", str(out)]


def forget(out: Path) -> None:
    """Leaves the folder as another version left it: what it holds is made again."""
    (out / RECORD).unlink(missing_ok=True)


def start(words: list[str], *, before: Sequence[str] = ()) -> subprocess.Popen:
    run = [*before, sys.executable, "-m", "bayes_rootc", *words]
    # What measures the suite's coverage writes a file as well: it is not what is tried here.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE")}
    return subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def files(out: Path) -> list[Path]:
    """What a user sees."""
    return [p for p in sorted(out.rglob("*")) if p.is_file() and not any(part.startswith(".") for part in p.parts)]


def assert_whole(out: Path) -> None:
    """Every file can be read to its end."""
    for path in files(out):
        match path.suffix:
            case ".csv":
                assert path.read_bytes() == b"\n" or len(pd.read_csv(path).columns), path
            case ".json":
                json.loads(path.read_text(encoding="utf-8"))
            case ".nc":
                with xr.open_datatree(path, engine="h5netcdf") as tree:
                    tree.load()
            case ".npz":
                with np.load(path, allow_pickle=False) as arrays:
                    assert all(arrays[name].size >= 0 for name in arrays)
            case ".tif":
                with rasterio.open(path) as source:
                    source.read()
            case ".png":
                assert path.read_bytes()[-8:-4] == b"IEND", path
            case ".html":
                assert path.read_text(encoding="utf-8").rstrip().endswith("</html>"), path


def digest(out: Path) -> dict[str, str]:
    """Checksums of all that does not say when or how long."""
    sums = {}
    for path in files(out):
        if path.suffix == ".csv":
            table = pd.read_csv(path) if path.read_bytes().strip() else pd.DataFrame()
            content = table[[c for c in table if not TIMES.search(c)]].to_csv().encode()
        elif path.suffix == ".nc":
            with xr.open_datatree(path, engine="h5netcdf") as tree:
                content = b"".join(
                    np.ascontiguousarray(values.values).tobytes()
                    for node in tree.subtree
                    for _, values in sorted(node.to_dataset().data_vars.items())
                    if values.dtype.kind in "fiub"
                )
        elif path.suffix in (".tif", ".png", ".npz"):
            content = path.read_bytes()
        else:
            continue
        sums[str(path.relative_to(out))] = hashlib.sha256(content).hexdigest()
    return sums


@pytest.mark.slow
def test_killed_at_any_moment_nothing_is_lost(finished, settings, tmp_path):
    """kill -9 over fit, train, map and report; then each once to its end: as if nothing had happened."""
    undisturbed, disturbed = (Path(shutil.copytree(finished, tmp_path / name)) for name in ("quiet", "killed"))
    seconds = {}
    moments = [COMMANDS[3] if number % 20 == 19 else COMMANDS[number % 3] for number in range(KILLS)]
    for name in dict.fromkeys(moments):
        forget(undisturbed)
        begun = time.monotonic()
        assert start(command(name, settings, undisturbed)).wait() == 0
        seconds[name] = time.monotonic() - begun
    rng, died = random.Random(7), 0
    for name in moments:
        forget(disturbed)
        process = start(command(name, settings, disturbed))
        time.sleep(rng.uniform(0, seconds[name]))
        process.kill()
        died += process.wait() == -signal.SIGKILL
        assert_whole(disturbed)
    assert died > KILLS / 2
    for name in dict.fromkeys(moments):
        forget(disturbed)
        assert start(command(name, settings, disturbed)).wait() == 0
    assert digest(disturbed) == digest(undisturbed)
    assert not list(disturbed.rglob(f"{PARTIAL}*"))
    for described in json.loads((disturbed / "tables" / "datapackage.json").read_text())["resources"]:
        content = (disturbed / "tables" / described["path"]).read_bytes()
        assert described["hash"] == "sha256:" + hashlib.sha256(content).hexdigest()


STAGES_BEFORE = {
    "inputs": "turnover",
    "bulk input": "drivers of I_root",
    "drivers of I_root": "drivers of I_bulk",
    "drivers of allocation": "root depth",
    "root depth": "learners",
    "estimates": "maps",
    "summary": "explorer",
    "explorer": "report",
}
"""Stages in which a run is killed, by the one that ends before."""


@pytest.mark.slow
def test_a_run_that_is_killed_in_any_step_resumes(settings, tmp_path):
    """kill -9 during each step; each new run makes only what was lost, and the last ends as one that was left alone."""
    quiet, killed = tmp_path / "quiet", tmp_path / "killed"
    assert start(command("run", settings, quiet)).wait() == 0
    seconds = json.loads((quiet / "run.json").read_text(encoding="utf-8"))["seconds"]
    rng, made = random.Random(11), dict[Path, int]()
    for before, stage in STAGES_BEFORE.items():
        process = start(command("run", settings, killed))
        assert process.stderr is not None
        for line in process.stderr:
            if re.match(rf"\[\d+/\d+\] {before}  ", line) and "%" not in line:
                break
        time.sleep(rng.uniform(0.1, 0.6) * seconds[stage])
        process.kill()
        assert process.wait() == -signal.SIGKILL, stage
        assert_whole(killed)
        there = {p: p.stat().st_mtime_ns for p in killed.glob("posterior/*") if p.name in STEP_FILES}
        assert made.items() <= there.items(), stage  # what was finished is not written again
        made = {p: t for p, t in there.items() if p.name in finished_files(killed)}
    process = start(command("run", settings, killed))
    said = process.communicate()[1]
    assert process.returncode == 0 and len(re.findall(r"s, kept from an earlier run", said)) == 10, said
    assert digest(killed) == digest(quiet)


STEP_FILES = ("turnover.nc", "layers.nc", "drivers_iroot.nc", "drivers_ibulk.nc", "allocation.nc", "root_depth.nc")


def finished_files(out: Path) -> set[str]:
    """Names of the posteriors whose step is on record."""
    record = json.loads((out / RECORD).read_text(encoding="utf-8")) if (out / RECORD).exists() else {}
    return {Path(name).name for step in record.values() for name in step.get("files", ())}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [("fit", 20), ("map", 60), ("report", 40), ("train", 9)])
def test_on_a_full_disk_there_is_one_line_and_what_was_there_stays(finished, settings, name, size):
    before, record = digest(finished), (finished / RECORD).read_bytes()
    if name in ("fit", "map"):
        forget(finished)
    # Files cannot grow beyond so many kB: what a full disk is to a program.
    process = start(command(name, settings, finished), before=["bash", "-c", f'ulimit -f {size}; exec "$0" "$@"'])
    _, err = process.communicate()
    (finished / RECORD).write_bytes(record)
    last = err.strip().splitlines()[-1]
    assert process.returncode == 2 and last.startswith("bayes-rootc: ") and "no room to write" in last, err
    assert "Traceback" not in err
    assert_whole(finished)
    after = digest(finished)
    assert set(before) <= set(after)
    assert not list(finished.rglob(f"{PARTIAL}*"))


def test_a_folder_that_cannot_be_written_is_one_line(settings, capsys):
    assert main(["fit", "root-depth", str(settings), "--out", "/sys/bayes-rootc"]) == 2
    assert "expected a folder that can be written" in capsys.readouterr().err


def test_two_at_once_in_one_folder(finished, settings, capsys):
    with owned(finished):
        for name in COMMANDS:
            assert main(command(name, settings, finished)) == 2
            said = capsys.readouterr().err
            assert "another bayes-rootc is writing into it" in said and str(finished) in said


def test_the_lock_ends_with_its_process_and_what_that_left_is_removed(tmp_path):
    script = f"""
import time
from pathlib import Path
from bayes_rootc.files import atomic_path, owned
out = Path({str(tmp_path)!r})
with owned(out), atomic_path(out / "tables" / "a.csv") as temporary:
    temporary.write_text("half")
    print("there", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline().strip() == "there"
    process.kill()
    process.wait()
    assert list(tmp_path.rglob(f"{PARTIAL}*"))
    with owned(tmp_path):
        assert not list(tmp_path.rglob(f"{PARTIAL}*"))


def test_interrupted_it_stops_cleanly_and_says_what_is_kept(finished, settings):
    # What runs in the background of a shell is begun with the signal ignored, and so are its children.
    heeding = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    )
    process = start(command("train", settings, finished), before=[sys.executable, "-c", heeding])
    assert process.stderr
    while "inputs" not in (line := process.stderr.readline()):
        assert line, "it ended before"
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode == 130 and err.strip().splitlines()[-1].startswith("bayes-rootc: stopped"), err
    assert "Traceback" not in err
    assert_whole(finished)
    assert not list(finished.rglob(f"{PARTIAL}*"))


def test_an_interrupt_that_nobody_heard_is_said_again():
    """As one that falls into a callback of the garbage collector; afterwards all is as it was."""
    script = """
import os, signal, time
from bayes_rootc import cli, commands
cli.REPEAT_SECONDS = 0.2
signal.signal(signal.SIGINT, signal.default_int_handler)
class Collected:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
def command(_):
    thing = Collected()
    del thing  # what is raised there nobody hears
    print("swallowed", flush=True)
    time.sleep(60)
commands.report = command
code = cli.main(["report", "--from", "x"])
left = signal.getitimer(signal.ITIMER_REAL)[0], signal.getsignal(signal.SIGINT) is signal.default_int_handler
print(code, *left)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=50)
    assert done.stdout.split() == ["swallowed", "130", "0.0", "True"]
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_dask_worker_that_dies_is_replaced(finished, settings):
    before = digest(finished / "maps")
    process = start(["map", str(settings), "--out", str(finished), "--dask", "local", "--workers", "2", "--tile", "16"])
    tiles, killed = finished / "maps" / ".unfinished" / "tiles", 0
    while process.poll() is None and not killed:
        time.sleep(0.02)
        if not list(tiles.glob("[0-9]*.npz")):
            continue
        children = psutil.Process(process.pid).children(recursive=True)
        workers = [c for c in children if "spawn_main" in " ".join(c.cmdline())]
        if workers:
            workers[-1].kill()
            killed += 1
    _, err = process.communicate()
    assert process.returncode == 0 and killed, err
    after = digest(finished / "maps")
    assert set(after) == set(before)
    assert start(["map", str(settings), "--out", str(finished), "--tile", "16"]).wait() == 0
    assert digest(finished / "maps") == after


@pytest.mark.slow
def test_one_processor_or_two_give_the_same_numbers(tmp_path):
    """A whole run: every table, posterior, map and figure; and what commands find again in its folder."""
    data, settings = tmp_path / "data", tmp_path / "settings.toml"
    simulate_world(data, resolution=6.0, radiocarbon_profiles=60, npp_sites=80, root_profiles=60)
    settings.write_text(f'data = "{data}"\nresolution = 6.0\nquick = true\n')
    cores = sorted(os.sched_getaffinity(0))
    sums = []
    for some in (cores[:1], cores[:2]):
        out = tmp_path / str(len(some))
        words = ["run", str(settings), "--out", str(out)]
        on = f"import os, sys; os.sched_setaffinity(0, {some}); os.execv(sys.argv[1], sys.argv[1:])"
        assert start(words, before=[sys.executable, "-c", on]).wait() == 0
        sums.append(digest(out))
    assert sums[0] == sums[1] and len(sums[0]) > 100
    for name in ("map", "estimate"):
        assert start([name, str(settings), "--out", str(out)]).wait() == 0
    assert digest(out) == sums[1]


def test_the_clock_decides_nothing():
    """A clock that is set while we work changes no result: the date is written down, and no sample is of the future."""
    allowed = {"record.py", "fetch.py", "export.py", "israd.py"}
    package = Path(bayes_rootc.__file__).parent
    users = {
        path.name
        for path in package.rglob("*.py")
        if re.search(r"time\.time\(|datetime\.now|date\.today|utcnow", path.read_text(encoding="utf-8"))
    }
    assert users <= allowed


def test_nothing_of_a_user_is_unpickled_or_evaluated():
    package = Path(bayes_rootc.__file__).parent
    forbidden = re.compile(
        r"pickle\.loads?\(|\b(eval|exec)\(|allow_pickle=True|yaml\.load|shell=True|os\.system|joblib\.load"
    )
    found = [p.name for p in package.rglob("*.py") if forbidden.search(p.read_text(encoding="utf-8"))]
    assert found == []
