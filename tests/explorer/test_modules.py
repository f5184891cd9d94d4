"""The page's modules under Node's own test runner."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .node import NODE, WEB, needs_node


@needs_node
def test_modules_pass_their_tests():
    assert NODE
    tests = Path(__file__).parent / "modules.test.mjs"
    done = subprocess.run([NODE, "--test", str(tests)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@needs_node
def test_modules_are_sound_by_themselves():
    assert NODE
    for module in sorted(WEB.glob("*.mjs")):
        done = subprocess.run([NODE, "--check", str(module)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
