"""Print the path of a Python that can carry bayes-rootc: 3.12 or newer, with a working venv.

Runs on any Python from 3.6 on and uses the standard library only. `PYTHON` in the environment is an order; without it
the versions that we test come first. A candidate counts only after it has answered: a pyenv shim exists for versions
that it cannot start, and Debian ships `venv` without the `ensurepip` that it needs.
"""

import glob
import os
import pwd
import shutil
import subprocess
import sys

OLDEST = (3, 12)
MINORS = (13, 12, 14, 15, 16)  # the tested ones, then newer
REMEDY = "install 3.13 (Debian: python3.13 and python3.13-venv; or pyenv, uv), or say make PYTHON=/path/to/python"

# Printed by the candidate itself. The base executable, so that a virtual environment that is about to be replaced
# never becomes its own parent. Free-threaded builds are refused: part of the locked packages has no wheel for them.
PROBE = """
import ctypes, ensurepip, ssl, sys, sysconfig, venv
assert not sysconfig.get_config_var("Py_GIL_DISABLED")
print(sys.version_info[0], sys.version_info[1], getattr(sys, "_base_executable", None) or sys.executable)
"""


def probe(command):
    """Return ((major, minor), path) as the interpreter reports it, or None if it does not run or lacks a part."""
    try:
        answer = subprocess.run(
            [command, "-c", PROBE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=30, check=True
        )
        major, minor, path = answer.stdout.decode().strip().split(" ", 2)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return (int(major), int(minor)), path


def folders(minor):
    """Where version managers keep Python 3.`minor`, whether or not their shims work (with an empty HOME they don't)."""
    version = "3.{}".format(minor)
    homes = {os.path.expanduser("~"), pwd.getpwuid(os.getuid()).pw_dir}
    managers = [os.environ.get("PYENV_ROOT", "")] + [os.path.join(home, ".pyenv") for home in homes]
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        if os.path.basename(folder.rstrip("/")) == "shims":
            managers.append(os.path.dirname(folder.rstrip("/")))
    for manager in managers:
        if manager:
            yield os.path.join(manager, "versions", version + "*")
            yield os.path.join(manager, "installs", "python", version + "*")  # asdf, mise
    for home in homes:
        yield os.path.join(home, ".local", "share", "uv", "python", "cpython-" + version + "*")
        for name in ("miniforge3", "mambaforge", "miniconda3", "anaconda3"):
            yield os.path.join(home, name)
            yield os.path.join(home, name, "envs", "*")
    yield from ("/opt/homebrew", "/usr/local")


def candidates():
    """Commands to try, best first."""
    for minor in MINORS:
        if sys.version_info[:2] == (3, minor):
            yield sys.executable
        name = "python3.{}".format(minor)
        yield shutil.which(name)
        for folder in folders(minor):
            for path in sorted(glob.glob(os.path.join(folder, "bin", name)), reverse=True):
                yield path
    yield shutil.which("python3")


def main():
    wanted = os.environ.get("PYTHON")
    for command in [wanted] if wanted else candidates():
        found = probe(command) if command else None
        if found and found[0] >= OLDEST:
            print(found[1])
            return 0
    what = "PYTHON={} is not a".format(wanted) if wanted else "found no"
    print("{} working Python >= 3.12 with venv: {}".format(what, REMEDY), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
