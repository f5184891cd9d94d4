"""Memory that is freed is kept for the next array, instead of being given back to the system and asked for again."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
"""Numbers of these options in the C library's `malloc.h`."""

KEPT = 2**31 - 1
"""Bytes: no array is as large."""


def keep_freed_memory() -> None:
    """Lets the C library keep what is freed, where it is glibc; elsewhere it does nothing.

    A gradient of the turnover model needs some 50 MB for a few milliseconds. By default the system gives and takes it
    each time, page by page, which takes as long as all that is computed. Threads share one arena, because others are
    given back whatever is said. For commands: it changes the whole process.
    """
    try:
        option = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # not glibc; Windows has no such library
        return
    for name, value in ((MMAP_THRESHOLD, KEPT), (TRIM_THRESHOLD, KEPT), (ARENA_MAX, 1)):
        option(name, value)
