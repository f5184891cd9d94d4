"""`make coverage`: which share of the lines of each part of the package the tests run; a table for people."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path


def main() -> None:
    """Sums the files of `coverage json` (the one argument) by folder; below, the files that the tests run least."""
    files = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["files"]
    parts: dict[str, list[dict[str, int]]] = defaultdict(list)
    for name, found in files.items():
        folders = Path(name).parts[1:-1]
        parts[folders[0] if folders else "commands and pipeline"].append(found["summary"])
    everything = [summary for summaries in parts.values() for summary in summaries]
    for part, summaries in (*sorted(parts.items()), ("all", everything)):
        lines, run = (sum(s[key] for s in summaries) for key in ("num_statements", "covered_lines"))
        print(f"{part:22} {len(summaries):3} files {lines:6,} statements {run / max(lines, 1):7.1%}")
    print("\nleast")
    for name, found in sorted(files.items(), key=lambda item: item[1]["summary"]["percent_covered"])[:8]:
        print(f"{found['summary']['percent_covered']:5.1f} %  {name}")


if __name__ == "__main__":
    main()
