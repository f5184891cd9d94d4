"""Random streams: every one is a child of the run's seed, named by a path, so that no two are the same."""

from __future__ import annotations

import zlib

import numpy as np


def child_seed(seed: int, *path: int | str) -> int:
    """Seed of the stream at a path below another seed.

    Parameters
    ----------
    seed : int
        Seed of the parent, 0 or greater.
    *path : int or str
        What distinguishes this stream from its siblings: the name of a step, the number of a fold. Adding a stream
        changes none of the others.

    Returns
    -------
    int
        Seed, 0 or greater, below 2³¹.

    Examples
    --------
    >>> child_seed(20, "turnover") == child_seed(20, "turnover"), child_seed(20, 0) == child_seed(20, 1)
    (True, False)
    """
    key = tuple(zlib.crc32(part.encode()) if isinstance(part, str) else part for part in path)
    return int(np.random.SeedSequence(seed, spawn_key=key).generate_state(1)[0] >> 1)
