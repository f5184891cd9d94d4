"""What is public stays: a change here is a change for users, and belongs into the changelog."""

from __future__ import annotations

import inspect
import subprocess
import sys
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

import bayes_rootc

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[1]

PAPER_FIGURES = "1 2 3 4 5 ed1 ed2 ed3 ed4 ed5 ed6 ed7 ed8 ed9 s5".split()
OTHER_FIGURES = (
    "age_maps calibration held_out held_out_profiles histories ladder persistence predictive production_maps "
    "reliability respired root_shares t100_maps turnover".split()
)
PUBLIC = {
    "bayes_rootc": {
        "Atmosphere": "curves before source",
        "CovariateStack": "folder manifest",
        "Drivers": "response covariates columns sampler chains tune draws seed",
        "FluxForest": "trees scale min_samples_leaf max_features splits seed n_jobs",
        "InputError": "message file row column",
        "LogNormalPrior": "median_age log_sd",
        "MapGrid": "resolution bbox",
        "PosteriorForest": "n_estimators min_samples_leaf max_features random_state n_jobs",
        "Production": "covariates climate columns chains tune draws seed",
        "Results": "out data",
        "RootDepth": "covariates columns sampler chains tune draws seed",
        "RunSettings": "",
        "Stocks": "gridded columns stones chains tune draws seed",
        "Turnover": "covariates columns prehistory error pool_spread family levels chains tune draws seed atmosphere",
        "delta14c": "k year zone prehistory atmosphere",
        "explore": "out to data show",
        "invert": "delta14c sigma year zone prior prehistory model_sd atmosphere grid_size density",
        "layer_fractions": "d50 d95",
        "loss": "iroot ibulk dim",
        "read_inputs": "folder nearest_km manifest production",
        "run": "settings quiet",
        "simulate_world": "folder seed resolution radiocarbon_profiles npp_sites root_profiles parameters",
        "summary": "draws dim",
        "zone_of": "latitude longitude",
    },
    "bayes_rootc.mapping.forest": {"CompiledForest": "forest layer_columns layers"},
    "bayes_rootc.esm.compare": {"compare": "paths variable results choice seed progress"},
    "bayes_rootc.esm.archive": {"Choice": "years experiment grid members"},
    "bayes_rootc.esm.published": {
        "Published": "path quantity layer unit uncertainty",
        "hold_against": "published out data progress",
    },
    "bayes_rootc.esm.export": {
        "export": "kind out to resolution data who progress",
        "Maker": "institution contact code license",
    },
    "bayes_rootc.report.figures": {f"figure_{name}": "results" for name in (*PAPER_FIGURES, *OTHER_FIGURES)}
    | {"figure_modes": "results show"},
}


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names_and_parameters_are_those_that_are_listed(module):
    found = import_module(module)
    if module == "bayes_rootc":
        assert set(found.__all__) == set(PUBLIC[module])
    if module == "bayes_rootc.report.figures":
        assert {name for name in dir(found) if name.startswith("figure_")} == set(PUBLIC[module])
    for name, parameters in PUBLIC[module].items():
        signature = inspect.signature(getattr(found, name)).parameters
        names = [] if name == "RunSettings" else [p for p in signature if p != "self"]  # its fields have defaults
        assert " ".join(names) == parameters, name


MODULES_OF_NUMPYRO = [
    f"{path.relative_to(ROOT).with_suffix('')}".replace("/", ".")
    for path in sorted((ROOT / "bayes_rootc").rglob("*.py"))
    if "numpyro" in path.read_text(encoding="utf-8")
]


def test_after_arviz_the_parts_of_numpyro_are_there():
    """ArviZ leaves a lazy NumPyro behind: its parts, imported before it, would be torn from it."""
    assert len(MODULES_OF_NUMPYRO) > 4
    script = """
import os, sys
import arviz, pymc
from importlib import import_module

def torn(module):
    import_module(module)
    from bayes_rootc.inference.sampling import Sampling, sample
    if module.endswith("sampling"):  # which is where all are used
        with pymc.Model() as model:
            pymc.Normal("x")
        sample(model, Sampling(chains=1, tune=5, draws=5), seed=1)
    from numpyro.infer import MCMC, NUTS
    parts = [name.rpartition(".") for name in sys.modules if name.startswith("numpyro.")]
    return len(parts) <= 20 or any(not hasattr(sys.modules[whole], part) for whole, _, part in parts)

for module in sys.argv[1:]:  # each in a process that has imported the others' packages, but none of ours
    if not (child := os.fork()):
        os._exit(torn(module))
    assert os.waitpid(child, 0)[1] == 0, module
"""
    done = subprocess.run([sys.executable, "-c", script, *MODULES_OF_NUMPYRO], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_setting_has_a_default():
    bayes_rootc.RunSettings()


def test_importing_the_package_is_quick_and_loads_nothing_heavy():
    script = "import sys, bayes_rootc; print([m for m in ('jax', 'pymc', 'pandas', 'sklearn') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "[]"


@pytest.mark.slow
def test_the_wheel_is_whole_and_installs_without_a_network(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "wheel", *offline, "-w", str(tmp_path), str(ROOT)], check=True, cwd=tmp_path)
    (wheel,) = tmp_path.glob("bayes_rootc-*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    package = {str(p.relative_to(ROOT)) for p in (ROOT / "bayes_rootc").rglob("*.py")}
    package |= {"bayes_rootc/py.typed", "bayes_rootc/report/report.html"}
    package |= {str(p.relative_to(ROOT)) for p in (ROOT / "bayes_rootc" / "data").glob("*.csv")}
    package |= {str(p.relative_to(ROOT)) for p in (ROOT / "bayes_rootc" / "explorer" / "web").iterdir()}
    assert package <= inside and not any(name.startswith(("tests/", "docs/")) for name in inside)
    subprocess.run([*pip, "install", *offline[:2], "--target", str(tmp_path / "site"), str(wheel)], check=True)
    script = "import bayes_rootc; print(bayes_rootc.__file__, float(bayes_rootc.delta14c(0.01, 2000.5, 'NHZone1')))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "site"), "PATH": "/usr/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(str(tmp_path))
