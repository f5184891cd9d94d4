"""Where compiled code is kept between runs: half of the time of a first small run goes into compiling."""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from pathlib import Path

import platformdirs

VARIABLE = "BAYES_ROOTC_CACHE"
"""Environment variable: another folder for the cache, or `off`."""

MAX_BYTES = 256 * 2**20
"""Size of JAX's part of the cache, beyond which what was not used for longest goes. Numba's stays below 20 MB."""

MIN_COMPILE_SECONDS = 0.2
"""Functions that compile faster are not kept."""


def cache_folder() -> Path | None:
    """Folder of the compiled code, made if need be; None if it is switched off or cannot be written.

    Code compiled for one processor may not run on another, so each kind of processor has a folder of its own: home
    folders are shared in clusters.
    """
    place = os.environ.get(VARIABLE, "")
    if place.lower() == "off":
        return None
    root = Path(place) if place else Path(platformdirs.user_cache_dir("bayes-rootc"))
    folder = root / hashlib.sha256(_processor().encode()).hexdigest()[:12]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        return None
    return folder


def keep_compiled_code() -> None:
    """Lets JAX and Numba keep what they compile in `cache_folder`: to be called before they are imported.

    For commands: it changes the environment of the process, which a library call must not. What the environment says
    already stays as it is.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ and "NUMBA_CACHE_DIR" in os.environ:
        return
    folder = cache_folder()
    if folder is None:
        return
    for name, value in {
        "NUMBA_CACHE_DIR": folder / "numba",
        "JAX_COMPILATION_CACHE_DIR": folder / "jax",
        "JAX_COMPILATION_CACHE_MAX_SIZE": MAX_BYTES,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": MIN_COMPILE_SECONDS,
    }.items():
        os.environ.setdefault(name, str(value))


def _processor() -> str:
    """What distinguishes this processor from others for which code was compiled."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        known = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        known = platform.processor()
    return f"{platform.machine()} {known}"
