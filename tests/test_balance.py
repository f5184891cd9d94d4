"""The balance: what each part takes or adds, and that it stays possible."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta, lognorm

from bayes_rootc.balance import DISSOLVED, EXUDATES, PARTS, ROOTS_SHARE, balanced

DRAWS = 20_000
ROOT, BULK = np.full((7, DRAWS), 0.5), np.full((7, DRAWS), 0.1)


def with_parts(*parts, bulk=BULK):
    return balanced(ROOT, bulk, parts, np.random.default_rng(3))


def test_litter_is_taken_off_the_topsoil_alone():
    root, bulk = with_parts("litter")
    np.testing.assert_array_equal(root, ROOT)
    np.testing.assert_array_equal(bulk[1:], BULK[1:])
    share = bulk[0] / BULK[0]
    sd = beta(*ROOTS_SHARE).std()
    assert share.mean() == pytest.approx(beta(*ROOTS_SHARE).mean(), abs=4 * sd / np.sqrt(DRAWS))


def test_exudates_are_added_to_what_roots_bring():
    root, bulk = with_parts("exudates")
    np.testing.assert_array_equal(bulk, BULK)
    np.testing.assert_allclose(root / ROOT, np.broadcast_to(root[:1] / ROOT[:1], root.shape))  # at all depths alike
    found = np.quantile(root[0] / ROOT[0] - 1, [0.025, 0.5, 0.975])
    np.testing.assert_allclose(
        found, lognorm(EXUDATES[1], scale=np.exp(EXUDATES[0])).ppf([0.025, 0.5, 0.975]), rtol=0.02
    )


def test_dissolved_carbon_is_taken_off_below_and_never_more_than_is_there():
    _, bulk = with_parts("dissolved")
    np.testing.assert_array_equal(bulk[0], BULK[0])
    taken = (BULK - bulk).sum(axis=0)
    assert np.median(taken) == pytest.approx(np.exp(DISSOLVED[0]), rel=0.02)
    _, little = with_parts("dissolved", bulk=BULK / 10)
    assert (little >= 0).all() and (little[1:].sum(axis=0) == 0).any()


def test_parts_are_drawn_alike_whatever_other_parts_are_taken():
    root, bulk = with_parts(*PARTS)
    np.testing.assert_array_equal(root, with_parts("exudates")[0])
    np.testing.assert_array_equal(bulk[0], with_parts("litter")[1][0])
    np.testing.assert_array_equal(bulk[1:], with_parts("dissolved")[1][1:])
