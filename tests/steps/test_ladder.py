"""The ladder's lower rungs: stocks as publishers have them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayes_rootc.steps.ladder import uncorrected


def test_stocks_as_they_are_are_measured_or_those_of_the_grid():
    rng = np.random.default_rng(1)
    truth = rng.lognormal(3, 0.3, 80)
    layers = pd.DataFrame({"top": 0.0, "bottom": 20.0, "biome": 3, "stock_measured": truth, "stock_gridded": 2 * truth})
    layers = layers.assign(stock_measured_log_sd=0.1, stock_metre=np.nan)
    layers.loc[40:, "stock_measured"] = np.nan
    found = uncorrected(layers)
    np.testing.assert_allclose(found[:40], truth[:40])
    np.testing.assert_allclose(found[40:], 2 * truth[40:])  # and not half of it, as measured layers ask for
