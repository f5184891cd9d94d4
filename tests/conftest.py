"""What several test modules share: the demo world, one quick run of the whole system on it, and the real data where
they are present.
"""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from bayes_rootc.cache import MAX_BYTES
from bayes_rootc.demo import DemoWorld, simulate_world
from bayes_rootc.memory import keep_freed_memory
from bayes_rootc.settings import RunSettings
from tests.browser import EXECUTABLE

keep_freed_memory()
COMPILED = "JAX_COMPILATION_CACHE_DIR"


def pytest_configure(config):
    """What one worker has compiled the others, and later runs of the same model, take from a folder.

    JAX locks a folder of limited size only: without, a worker may read what another one is still writing, and warn.
    """
    if COMPILED not in os.environ:
        os.environ[COMPILED] = config.compiled = tempfile.mkdtemp()
        os.environ["JAX_COMPILATION_CACHE_MAX_SIZE"] = str(MAX_BYTES)


def pytest_unconfigure(config):
    """The folder goes with the process that made it."""
    shutil.rmtree(getattr(config, "compiled", ""), ignore_errors=True)


def shared_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> Path:
    """Where workers share what one of them has made."""
    return tmp_path_factory.getbasetemp().parent / name


@pytest.fixture(scope="session")
def made_once(tmp_path_factory, worker_id) -> Callable[[str, Callable[[Path], object]], Path]:
    """Gives a folder that the first worker who asks for it fills; the others wait, and get a copy of their own."""

    def make(name: str, fill: Callable[[Path], object]) -> Path:
        own = tmp_path_factory.mktemp(name)
        if worker_id == "master":
            fill(own)
            return own
        shared = shared_folder(tmp_path_factory, name)
        with FileLock(f"{shared}.lock"):
            if not shared.exists():
                fill(own)
                shutil.copytree(own, shared)
                return own
        shutil.copytree(shared, own, dirs_exist_ok=True)
        return own

    return make


@pytest.fixture(scope="session")
def demo_world(made_once, tmp_path_factory, worker_id) -> DemoWorld:
    """The simulated world at 4°."""

    def fill(folder: Path) -> None:
        world = simulate_world(folder / "world", resolution=4.0, radiocarbon_profiles=120)
        (folder / "world.pickle").write_bytes(pickle.dumps(world))

    made_once("demo", fill)
    # read by all from one place, whose path stands in tables of what was read
    folder = (
        tmp_path_factory.getbasetemp() / "demo0" if worker_id == "master" else shared_folder(tmp_path_factory, "demo")
    )
    return replace(pickle.loads((folder / "world.pickle").read_bytes()), folder=folder / "world")


@pytest.fixture(scope="session")
def quick_settings(demo_world, tmp_path_factory) -> RunSettings:
    """Settings of a small run on the demo world, whose I_bulk is that of the many rates that its layers have."""
    out = tmp_path_factory.mktemp("out")
    return RunSettings.read(data=demo_world.folder, out=out, quick=True, resolution=4.0, pool_spread="inferred")


@pytest.fixture(scope="session")
def quick_run(quick_settings, made_once) -> Path:
    """Output folder of that run."""
    from bayes_rootc.pipeline import run

    made = made_once("quick", lambda folder: run(quick_settings.model_copy(update={"out": folder}), quiet=True))
    shutil.copytree(made, quick_settings.out, dirs_exist_ok=True)
    return quick_settings.out


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Files that take longest come first, so that no worker waits for them at the end. Tests of what is not on this
    machine are left out, and counted as such.
    """
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        for fixture, marker in (("quick_run", "whole_run"), ("real_data", "real_data")):
            if fixture in fixtures:
                item.add_marker(marker)
    items.sort(key=lambda item: not item.get_closest_marker("whole_run") and "notebook" not in item.path.name)
    there = {"real_data": os.environ.get("BAYES_ROOTC_DATA"), "browser": EXECUTABLE}
    absent = [item for item in items if any(item.get_closest_marker(m) and not found for m, found in there.items())]
    if absent:
        config.hook.pytest_deselected(items=absent)
        items[:] = [item for item in items if item not in absent]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real inputs."""
    return Path(os.environ["BAYES_ROOTC_DATA"])
