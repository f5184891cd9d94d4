"""bayes-rootc: how much root carbon really reaches the soil.

The public names, by module; each loads its module (and JAX or PyMC with it) when first used.
"""

from typing import Any

import lazy_loader

from .extras import extras_named

__version__ = "0.2.0"

_load, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "errors": ["InputError"],
        "settings": ["RunSettings"],
        "pipeline": ["run"],
        "data.atmosphere": ["Atmosphere", "zone_of"],
        "data.covariates": ["CovariateStack"],
        "demo": ["simulate_world"],
        "data.folder": ["read_inputs"],
        "data.grid": ["MapGrid"],
        "draws": ["loss", "summary"],
        "explorer.show": ["explore"],
        "inference.drivers": ["Drivers"],
        "inference.production": ["Production"],
        "inference.root_depth": ["RootDepth"],
        "inference.stocks": ["Stocks"],
        "inference.turnover": ["Turnover"],
        "mapping.flux_forest": ["FluxForest"],
        "mapping.learners": ["PosteriorForest"],
        "models.radiocarbon": ["LogNormalPrior", "delta14c", "invert"],
        "models.root_depth": ["layer_fractions"],
        "report.results": ["Results"],
    },
)


def __getattr__(name: str) -> Any:
    with extras_named(f"bayes_rootc.{name}"):
        return _load(name)
