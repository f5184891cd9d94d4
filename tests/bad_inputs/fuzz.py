"""Random changes of bytes in good tables and settings: `python -m tests.bad_inputs.fuzz [SECONDS] [SEED]`.

Ends with exit code 1 where a loader did anything but read the file or refuse it in one line; the seed gives the same
files again.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

from .loaders import TABLES, TOML

MOST_CHANGES = 6
PIECES = (b"", b"\0", b"\n", b"\r", b'"', b"'", b",", b";", b"=", b"[", b"]", b"{", b"#", b".", b"-", b"e", b"\xff")
PIECES += (b"nan", b"inf", b"-999", b"1e308", b"9" * 400, b"\xef\xbb\xbf", b"\xfe\xff", "½".encode(), b"[" * 3000)


def changed(content: bytes, dice: random.Random) -> bytes:
    """A content with some bytes put in, taken out, put elsewhere or repeated."""
    for _ in range(dice.randint(1, MOST_CHANGES)):
        start = dice.randrange(len(content) + 1)
        end = min(start + dice.choice((0, 1, 1, 3, 12, 200)), len(content))
        part = content[start:end]
        new = dice.choice(
            (dice.choice(PIECES), dice.randbytes(len(part)), part * 2, bytes(b ^ 1 << dice.randrange(8) for b in part))
        )
        content = content[:start] + new + content[end:]
        if dice.random() < 0.1:
            content = content[: dice.randrange(len(content) + 1)]
    return content


def main(seconds: float = 60.0, seed: int | None = None) -> int:
    """Prints the seed, every fault with its file, and how many files were read and refused. Returns the faults."""
    seed = random.randrange(2**32) if seed is None else seed
    print(f"seed {seed}")
    dice, until = random.Random(seed), time.monotonic() + seconds
    counts, faults = {"read": 0, "refused": 0}, set()
    loaders = TABLES | TOML
    with tempfile.TemporaryDirectory() as name:
        folders = {key: Path(name) / key for key in loaders}
        for folder in folders.values():
            folder.mkdir()
        while time.monotonic() < until:
            key = dice.choice(list(loaders))
            content = changed(loaders[key].good.encode(), dice)
            try:
                refused = loaders[key].refusal(folders[key], content)
                counts["refused" if refused else "read"] += 1
            except Exception as error:  # what it is there to find
                place = traceback.extract_tb(error.__traceback__)[-1]
                fault = key, type(error).__name__, place.filename, place.lineno
                if fault not in faults:
                    print(f"{key}: {content!r}\n{traceback.format_exc()}", flush=True)
                faults.add(fault)
    print(f"{counts['read']} files read, {counts['refused']} refused, {len(faults)} faults")
    return len(faults)


if __name__ == "__main__":
    sys.exit(bool(main(*map(float, sys.argv[1:2]), *map(int, sys.argv[2:3]))))
