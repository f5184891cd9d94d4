"""What a light installation can do, and the line that names the extra for all else.

A package is taken away by what Python itself makes of one that cannot be imported: `sys.modules[name] = None`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import bayes_rootc
from bayes_rootc.cli import main
from bayes_rootc.commit import BUILT_FROM, commit
from bayes_rootc.errors import InputError
from bayes_rootc.extras import EXTRA_OF, EXTRAS, MissingPackageError, extras_named, require

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NAMES = {"xgboost_cpu": "xgboost"}
"""Packages that are imported under another name."""

NEEDS_MAPS = {"CovariateStack", "MapGrid", "Results", "RunSettings", "explore", "read_inputs", "run", "simulate_world"}
"""Public names that need an extra; all others do with a light installation."""

LIGHT = f"import sys; sys.modules.update(dict.fromkeys({[*EXTRA_OF]}))"


def python(code: str) -> str:
    """What a program prints to which no package of any extra is there."""
    done = subprocess.run([sys.executable, "-c", f"{LIGHT}\n{code}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("extra", EXTRAS)
def test_extras_are_those_of_the_project(extra):
    stated = [re.match(r"[\w-]+", line)[0] for line in PROJECT["optional-dependencies"][extra]]
    packages = {name.replace("-", "_") for name in stated if name != "bayes-rootc"}
    assert {NAMES.get(name, name) for name in packages} == set(EXTRAS[extra].split())


def test_all_has_every_extra_and_development_has_all():
    extras = PROJECT["optional-dependencies"]
    (of_all,) = extras["all"]
    assert of_all == f"bayes-rootc[{','.join(EXTRAS)}]"
    assert "bayes-rootc[all]" in extras["dev"] and set(extras) == {*EXTRAS, "all", "dev"}


@pytest.mark.thorough
def test_no_extra_is_needed_for_most_public_names():
    assert NEEDS_MAPS < set(bayes_rootc.__all__)
    code = """
import bayes_rootc as rc
for name in rc.__all__:
    try:
        getattr(rc, name)
    except ImportError as error:
        print(name, error, sep=': ')
"""
    refused = dict(line.split(": ", 1) for line in python(code).splitlines())
    assert set(refused) == NEEDS_MAPS
    pattern = r"bayes_rootc\.\w+ needs the package \w+: pip install 'bayes-rootc\[maps\]'"
    assert all(re.fullmatch(pattern, line) for line in refused.values()), refused


def test_importing_the_package_loads_nothing_else():
    before = "before = set(sys.modules)"
    loaded = python(f"{before}\nimport bayes_rootc\nprint(*set(sys.modules) - before)").split()
    loaded = {name.partition(".")[0] for name in loaded} - sys.stdlib_module_names
    assert loaded == {"bayes_rootc", "lazy_loader"}


@pytest.mark.compiled
def test_a_light_installation_fits_predicts_and_saves(tmp_path):
    """Short chains: here it matters that nothing is missing, not that they converge."""
    code = f"""
import numpy as np, pandas as pd, warnings
import bayes_rootc as rc
warnings.simplefilter("error")
warnings.filterwarnings("ignore", message="PyTensor could not link")
rng = np.random.default_rng(1)
place = {{"lat": rng.uniform(-30, 60, 40), "lon": rng.uniform(0, 90, 40)}}
roots = pd.DataFrame({{"d50": np.exp(rng.normal(2.7, 0.3, 40)), "d95": np.exp(rng.normal(4.3, 0.3, 40)), **place}})
npp = np.exp(rng.normal(6, 0.4, 40))
bnpp = 0.4 * npp * np.exp(0.2 * rng.standard_normal(40))
production = pd.DataFrame({{"npp": npp, "bnpp": bnpp, "warm": rng.standard_normal(40), **place}})
k, year = np.exp(rng.normal(-6, 0.8, 80)), np.full(80, 2005.5)
layers = pd.DataFrame(
    {{"delta14c": rc.delta14c(k, year, "NHZone1") + 15 * rng.standard_normal(80), "year": year, "lat": 48.0}}
    | {{"lon": 9 + 0.01 * (np.arange(80) // 2), "top": np.tile([0, 20], 40), "bottom [m]": np.tile([0.2, 0.4], 40)}}
)
short = {{"chains": 2, "tune": 20, "draws": 20}}
for model, table in (
    (rc.Turnover(pool_spread=0.0, **short), layers),
    (rc.RootDepth(**short), roots),
    (rc.Production(["warm"], **short), production),
):
    name = type(model).__name__
    model.fit(table, until_good=False) if name != "Turnover" else model.fit(table)
    model.save({str(tmp_path)!r} + "/" + name)
    again = type(model).load({str(tmp_path)!r} + "/" + name).predict(table)
    print(name, "diagnostics" in model.check(), all(np.isfinite(v).all() for v in again.values()))
posterior = rc.invert(delta14c=85.0, sigma=4.0, year=2008.5, zone="NHZone1", model_sd=10.0)
print("invert", float(posterior["mode_probability"].sum()))
"""
    lines = [line.split() for line in python(code).splitlines()]
    assert [line[:1] for line in lines] == [["Turnover"], ["RootDepth"], ["Production"], ["invert"]]
    assert all(line[1:] == ["True", "True"] for line in lines[:3])
    assert float(lines[3][1]) == pytest.approx(1.0, abs=0.01)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("command", "extra", "package"),
    [
        ("run --out OUT", "maps", "pydantic"),
        ("check --data OUT", "maps", "rasterio"),
        ("fit turnover --out OUT", "maps", "pydantic"),
        ("draw iloss --from OUT --to OUT/map.png", "maps", "matplotlib"),
        ("benchmark OUT --variable npp --from OUT", "esm", "cftime"),
        ("train --quick --out OUT", "learners", "cubist"),
        ("run --quick --preset paper --out OUT", "learners", "xgboost"),
    ],
)
def test_a_command_names_the_extra_before_it_does_anything(command, extra, package, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    absent = f"import sys; sys.modules[{package!r}] = None"
    code = f"{absent}\nfrom bayes_rootc.cli import main\nraise SystemExit(main(sys.argv[1:]))"
    arguments = [word.replace("OUT", str(out)) for word in command.split()]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    expected = rf"bayes-rootc: .+ needs the package {package}: pip install 'bayes-rootc\[{extra}\]'\n"
    assert done.returncode == 2 and re.fullmatch(expected, done.stderr), done.stderr
    assert [path.name for path in out.rglob("*") if path.is_file() and path.name != ".lock"] == []


def test_a_step_that_needs_an_extra_does_not_stop_a_run_without_it(monkeypatch):
    """The forests predict at sites by default: the paper's learners are not needed."""
    from bayes_rootc.settings import RunSettings
    from bayes_rootc.steps.site_ensemble import SITE_ENSEMBLE

    assert SITE_ENSEMBLE.extra == "learners" and not SITE_ENSEMBLE.wanted(RunSettings())
    assert SITE_ENSEMBLE.wanted(RunSettings(preset="paper"))


def test_a_missing_package_is_bad_input_and_an_import_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingPackageError, match=r"^--dask needs the package distributed: .*\[dask\]'$") as missing:
        require("dask", "--dask")
    assert isinstance(missing.value, InputError) and isinstance(missing.value, ImportError)
    assert missing.value.name == "distributed"


def test_other_missing_modules_stay_what_they_are():
    with pytest.raises(ModuleNotFoundError, match="no_such_module") as missing, extras_named("this"):
        import no_such_module  # noqa: F401
    assert not isinstance(missing.value, InputError)


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_commit_is_that_of_the_clone_or_of_the_build(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").touch()
    assert commit(package) == ""  # no clone
    git(tmp_path, "init", "-q")
    assert commit(package) == ""  # installed in the clone of another project
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert len(commit(package)) >= 10 and head.startswith(commit(package))
    (package / "__init__.py").write_text("changed = True\n")
    assert commit(package).endswith("-dirty")
    (package / BUILT_FROM).write_text("0123456789\n")
    assert commit(package) == "0123456789"


def test_the_version_comes_with_the_commit(capsys, monkeypatch):
    monkeypatch.setattr("bayes_rootc.cli.commit", lambda: "0123456789")
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"bayes-rootc {bayes_rootc.__version__} (commit 0123456789)\n"
