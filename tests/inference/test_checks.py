"""Calibration of a conjugate model, stopped on the way and gone on with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bayes_rootc.inference.checks import CALIBRATION_DRAWS, calibrate


def simulate(seed: int) -> tuple[dict[str, float], float]:
    rng = np.random.default_rng(seed)
    truth = float(rng.standard_normal())
    return {"mean": truth}, truth + float(rng.standard_normal())


def infer(seed: int, data: float):
    """Exact: Normal(data/2, 1/√2)."""
    rng = np.random.default_rng([seed, 1])
    draws = data / 2 + np.sqrt(0.5) * rng.standard_normal(CALIBRATION_DRAWS)
    return {"mean": draws}, {"fit": "x", "r_hat_max": 1.0, "verdict": "good"}


def test_an_exact_posterior_has_uniform_ranks():
    ranks, fits = calibrate(simulate, infer, seed=1, simulations=400)
    assert ranks["mean"].mean() == pytest.approx(0.5, abs=4 / np.sqrt(12 * 400))
    assert fits.columns.tolist() == ["simulation", "r_hat_max"] and len(fits) == 400


def test_what_was_stopped_goes_on_where_it_was():
    whole = calibrate(simulate, infer, seed=1, simulations=7)
    kept: list[tuple[pd.DataFrame, pd.DataFrame]] = []

    def stopped(seed: int, data: float):
        if len(kept) == 3:
            raise KeyboardInterrupt
        return infer(seed, data)

    with pytest.raises(KeyboardInterrupt):
        calibrate(simulate, stopped, seed=1, simulations=7, keep=kept.append)
    assert [len(ranks) for ranks, _ in kept] == [1, 2, 3]
    seen = []
    again = calibrate(
        simulate, infer, seed=1, simulations=7, done=kept[-1], progress=lambda done, total: seen.append(done)
    )
    assert seen == [4, 5, 6, 7]
    for one, two in zip(whole, again, strict=True):
        pd.testing.assert_frame_equal(one, two, check_dtype=False)
