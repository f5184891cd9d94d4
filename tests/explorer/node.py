"""The page's modules, run by Node: a script gets data and modules, and what it gives comes back."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

WEB = Path(__file__).parents[2] / "bayes_rootc" / "explorer" / "web"
NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="needs node, which is not on this machine")


def run_node(script: str, given: Any, folder: Path, *modules: str) -> Any:
    """Value that the body of a script returns; it has what was `given`, and the exports of modules by their names."""
    imports = "\n".join(f"import * as {name} from {json.dumps((WEB / f'{name}.mjs').as_uri())};" for name in modules)
    path = folder / "script.mjs"
    path.write_text(
        'import { readFileSync, writeFileSync } from "node:fs";\n'
        f"{imports}\n"
        'const given = JSON.parse(readFileSync(process.argv[2], "utf8"));\n'
        f"const found = await (async () => {{ {script} }})();\n"
        "writeFileSync(process.argv[3], JSON.stringify(found));\n",
        encoding="utf-8",
    )
    (folder / "given.json").write_text(json.dumps(given), encoding="utf-8")
    assert NODE
    command = [NODE, str(path), str(folder / "given.json"), str(folder / "found.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "found.json").read_text(encoding="utf-8"))
