"""Memory of the process: what is freed is kept for the next array, not given back to the system at once and asked for
again; all of it can be given back; how much GDAL may keep; and how much there was at most.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any, cast

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
"""Numbers of these options in the C library's `malloc.h`."""

KEPT = 2**31 - 1
"""Bytes: no array is as large."""

ARENAS = 2
"""Heaps from which threads take memory."""


def keep_freed_memory() -> None:
    """Lets the C library keep what is freed, where it is glibc; elsewhere it does nothing.

    A gradient of the turnover model needs some 50 MB for a few milliseconds. By default the system gives and takes it
    each time, page by page, which takes as long as all that is computed. What a thread has freed is kept for threads of
    the same arena. By default each thread has its own, so that a map's memory grows by a third from tile to tile; one
    arena for all costs time where code is compiled. For commands: it changes the whole process.
    """
    option = _of_glibc("mallopt")
    for name, value in ((MMAP_THRESHOLD, KEPT), (TRIM_THRESHOLD, KEPT), (ARENA_MAX, ARENAS)):
        option(name, value)


def give_memory_back() -> None:
    """Gives what has been freed until now back to the system, where it is glibc."""
    _of_glibc("malloc_trim")(0)


def _of_glibc(name: str) -> Callable[..., Any]:
    """A function of the C library; elsewhere one that does nothing."""
    try:
        return cast(Callable[..., Any], getattr(ctypes.CDLL(None), name))
    except (AttributeError, OSError, TypeError):  # Windows has no such library
        return lambda *_: None


RASTER_CACHE_MB = 256


def bound_raster_cache() -> None:
    """Lets GDAL keep so much of the rasters that it reads and writes, unless the environment says how much.

    Its own limit, a twentieth of the machine's memory, would be more than all else on a large machine where maps of a
    kilometre are written. What is read of a covariate is given up with its tile. For commands, before a raster is
    opened: it changes the environment.
    """
    os.environ.setdefault("GDAL_CACHEMAX", str(RASTER_CACHE_MB))


def peak_memory_gib() -> float | None:
    """Peak memory of the process; none on a system that does not say it in this way, as Windows."""
    try:
        import resource
    except ModuleNotFoundError:
        return None
    unit = 1 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30, 2)
