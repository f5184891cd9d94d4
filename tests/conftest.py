"""What several test modules share: the demo world, one quick run of the whole system on it, and the real data where
they are present.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from bayes_rootc.demo import DemoWorld, simulate_world
from bayes_rootc.inference.sampling import offer_devices
from bayes_rootc.settings import RunSettings
from tests.browser import EXECUTABLE

offer_devices(RunSettings().chains)  # before any test starts JAX
COMPILED = "JAX_COMPILATION_CACHE_DIR"


def pytest_configure(config):
    """What one worker has compiled the others, and later runs of the same model, take from a folder."""
    if COMPILED not in os.environ:
        os.environ[COMPILED] = config.compiled = tempfile.mkdtemp()


def pytest_unconfigure(config):
    """The folder goes with the process that made it."""
    shutil.rmtree(getattr(config, "compiled", ""), ignore_errors=True)


@pytest.fixture(scope="session")
def demo_world(tmp_path_factory) -> DemoWorld:
    """The simulated world at 4°."""
    return simulate_world(tmp_path_factory.mktemp("world"), resolution=4.0)


@pytest.fixture(scope="session")
def quick_settings(demo_world, tmp_path_factory) -> RunSettings:
    """Settings of a small run on the demo world."""
    return RunSettings.read(data=demo_world.folder, out=tmp_path_factory.mktemp("out"), quick=True, resolution=4.0)


@pytest.fixture(scope="session")
def quick_run(quick_settings) -> Path:
    """Output folder of that run."""
    from bayes_rootc.pipeline import run

    run(quick_settings, quiet=True)
    return quick_settings.out


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """The file that takes longest comes first, so that no worker waits for it at the end. Tests of what is not on this
    machine are left out, and counted as such.
    """
    items.sort(key=lambda item: "quick_run" not in getattr(item, "fixturenames", ()))
    there = {"real_data": os.environ.get("BAYES_ROOTC_DATA"), "browser": EXECUTABLE}
    absent = [item for item in items if any(item.get_closest_marker(m) and not found for m, found in there.items())]
    if absent:
        config.hook.pytest_deselected(items=absent)
        items[:] = [item for item in items if item not in absent]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the real inputs."""
    return Path(os.environ["BAYES_ROOTC_DATA"])
