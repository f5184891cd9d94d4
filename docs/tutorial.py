"""From data to posterior to ArviZ plots to a map, on the simulated world: `python docs/tutorial.py [FOLDER]`.

With your own data, give `RunSettings` the folder that `bayes-rootc fetch --to FOLDER` filled, and leave out `quick`.
"""

import sys
from pathlib import Path

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import xarray as xr

from bayes_rootc import delta14c, invert
from bayes_rootc.data.covariates import CovariateStack
from bayes_rootc.demo import simulate_world
from bayes_rootc.mapping.draw import Basemap, Scale, draw_map
from bayes_rootc.pipeline import run
from bayes_rootc.report.results import Results
from bayes_rootc.settings import RunSettings

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "tutorial")
folder.mkdir(parents=True, exist_ok=True)

# 1. One measurement, two ages: a Δ14C of 85 ‰ in 2008 occurs on both sides of the bomb peak.
one = invert(delta14c=85.0, sigma=4.0, year=2008.5, zone="NHZone1", model_sd=10.0)
for k, probability in zip(one["mode_k"].values.ravel(), one["mode_probability"].values.ravel(), strict=True):
    if np.isfinite(k):
        print(f"{1 / k:7.0f} yr, probability {probability:.2f}: {float(delta14c(k, 2008.5, 'NHZone1')):.0f} ‰ in 2008")

# 2. Data: a world whose truth is known, in the form of the public data.
world = simulate_world(folder / "world", resolution=4.0)

# 3. The whole run: posterior, regressions, forests, estimates, maps, report. `quick` is for trying out.
report = run(RunSettings(data=world.folder, out=folder / "out", resolution=4.0, quick=True))
print("report:", report)

# 4. The posterior is an ArviZ tree: hyperparameters, log k of every layer, predictive, log likelihood.
tree = xr.open_datatree(folder / "out" / "posterior" / "turnover.nc")
print(az.summary(tree, var_names=["tau_profile", "tau_layer", "model_sd"], ci_prob=0.95, ci_kind="eti"))
az.plot_dist(tree, var_names=["tau_profile", "tau_layer"])
plt.savefig(folder / "spreads.png", dpi=150)

# 5. Tables are data frames: by what factor turnover is overestimated if all root carbon counts as soil input.
results = Results(folder / "out")
print(results.table("turnover_factor").set_index("name")[["factor_median", "factor_p025", "factor_p975"]].round(1))

# 6. A map with its coastline, in an equal-area projection.
loss = results.maps["iloss_mean"].sel(layer="0-200")
figure, ax = plt.subplots(figsize=(7, 3.6))
scale = Scale.of(loss.values, "PuOr_r", centred=True)
land = Basemap.of(CovariateStack(world.folder / "covariates"))
mesh = draw_map(ax, loss.values, loss["lat"].values, loss["lon"].values, scale, land)
figure.colorbar(mesh, label="I_loss, 0-200 cm (Mg C ha⁻¹ yr⁻¹)")
figure.savefig(folder / "loss.png", dpi=150)
