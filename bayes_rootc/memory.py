"""Memory of the process: what is freed is kept for the next array, instead of being given back to the system and asked
for again; and how much there was at most.
"""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Numbers of these options in the C library's `malloc.h`."""

KEPT = 2**31 - 1
"""Bytes: no array is as large."""


def keep_freed_memory() -> None:
    """Lets the C library keep what is freed, where it is glibc; elsewhere it does nothing.

    A gradient of the turnover model needs some 50 MB for a few milliseconds. By default the system gives and takes it
    each time, page by page, which takes as long as all that is computed. One arena for all threads would make sure of
    it, but costs more where code is compiled than it saves. For commands: it changes the whole process.
    """
    try:
        option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc; Windows has no such library
        return
    for name in (MMAP_THRESHOLD, TRIM_THRESHOLD):
        option(name, KEPT)


def peak_memory_gib() -> float | None:
    """Peak memory of the process; none on a system that does not say it in this way, as Windows."""
    try:
        import resource
    except ModuleNotFoundError:
        return None
    unit = 1 if sys.platform == "darwin" else 2**10
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30, 2)
