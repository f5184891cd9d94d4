"""Effects of unknown spread against quadrature by SciPy, and against draws made the other way round."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest, norm

from bayes_rootc.models.spread import REACH, UnknownSpread, draw_spread

PRIOR = float(np.log(0.3)), 0.6


@pytest.mark.parametrize(
    ("level", "size"), [(0.0, 1), (0.0, 3), *((level, size) for level in (0.02, 0.3, 4.0) for size in (1, 3, 9, 40))]
)
def test_the_density_is_that_of_quadrature(size, level):
    effects = level * np.linspace(-1.5, 1, size)

    def joint(log_s: float) -> float:
        return norm.pdf(log_s, *PRIOR) * np.prod(norm.pdf(effects / 0.3, scale=np.exp(log_s) / 0.3))

    ends = PRIOR[0] + PRIOR[1] * np.array([-REACH, REACH])
    expected = quad(joint, *ends, points=np.linspace(*ends, 33)[1:-1], limit=500, epsabs=0)[0]
    with jax.enable_x64(True):
        found = UnknownSpread(*PRIOR, size).log_prob(jnp.asarray(effects))
    assert float(found) == pytest.approx(
        np.log(expected) - size * np.log(0.3), abs=1e-5
    )  # at 0, the end of the grid counts


def test_spreads_drawn_given_effects_are_those_that_made_them():
    """Spread from its prior, effects from the spread, spread from the effects: the last is distributed as the first."""
    rng = np.random.default_rng(1)
    spread = np.exp(rng.normal(*PRIOR, 4000))
    effects = spread[:, None] * rng.standard_normal((4000, 5))
    again = draw_spread(effects, PRIOR, rng)
    assert kstest((np.log(again) - PRIOR[0]) / PRIOR[1], "norm").pvalue > 0.001
    close = np.corrcoef(np.log(spread), np.log(again))[0, 1]
    assert 0.4 < close < 0.9  # five effects tell much of their spread, not all


def test_prior_draws_of_effects_have_the_spread_of_the_prior():
    effects = np.asarray(UnknownSpread(*PRIOR, 7, (2,)).sample(jax.random.key(3), (2000,)))
    assert effects.shape == (2000, 2, 7)
    again = np.log(draw_spread(effects.astype(float), PRIOR, np.random.default_rng(2)))
    for each in again.T:
        assert kstest((each - PRIOR[0]) / PRIOR[1], "norm").pvalue > 0.001
    assert abs(np.corrcoef(again.T)[0, 1]) < 4 / np.sqrt(2000)  # each set has a spread of its own
