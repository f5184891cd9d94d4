"""What the page unpacks is what was packed, to the stated error."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_rootc.explorer.codec import MOST, Scale, deflated, deflated_json, pack

from .node import needs_node, run_node


@given(st.floats(-1e4, 1e4), st.sampled_from([0.01, 0.02, 0.04]), st.sampled_from([0.001, 0.1]))
def test_a_value_is_off_by_half_a_step_at_most(value, step, floor):
    scale = Scale(floor, step)
    found = scale.values(scale.steps(np.array([value])))[0]
    assert abs(found - value) <= scale.error(value) * (1 + 1e-9)
    assert abs(found - value) <= 0.51 * step * 1.02 * (abs(value) + floor)


@given(st.floats(0, 1))
def test_even_steps_are_off_by_half_of_one(value):
    scale = Scale(0.0, 0.005)
    assert abs(scale.values(scale.steps(np.array([value])))[0] - value) <= 0.0025 + 1e-12


def test_zero_stays_zero_and_the_missing_take_no_step():
    assert Scale(0.001, 0.01).steps(np.array([0.0, -0.0, np.nan, np.inf])).tolist() == [0, 0, 0, 0]


@needs_node
def test_the_page_unpacks_what_was_packed(tmp_path):
    rng = np.random.default_rng(8)
    layers, cells = 5, 1003
    base, steps = (rng.integers(-MOST, MOST, (layers, cells)).astype(np.int16) for _ in range(2))
    steps[1] = steps[0]
    known = rng.random((layers, cells)) < 0.9
    known[2] = True
    full = np.ones_like(known)
    packed = {
        "base": deflated(pack(base, full)),
        "alone": deflated(pack(steps, known)),
        "against": deflated(pack(steps, known, base)),
        "table": deflated_json({"name": "Δ14C “<b>”", "values": [1.5, None]}),
        "cells": cells,
    }
    script = """
        const plain = (layers) => layers.map(({ steps, known }) => [[...steps], known && [...known]]);
        const read = async (name, reference) =>
            codec.unpacked(await codec.inflated(given[name]), given.cells, reference);
        const base = await read("base");
        return { base: plain(base), alone: plain(await read("alone")), against: plain(await read("against", base)),
                 table: await codec.inflatedJson(given.table) };
    """
    found = run_node(script, packed, tmp_path, "codec")
    assert [layer[0] for layer in found["base"]] == base.tolist()
    for name in ("alone", "against"):
        assert [layer[0] for layer in found[name]] == steps.tolist()
        gaps = [layer[1] for layer in found[name]]
        assert gaps[2] is None and [gaps[i] for i in (0, 1, 3, 4)] == known[[0, 1, 3, 4]].astype(int).tolist()
    assert found["table"] == {"name": "Δ14C “<b>”", "values": [1.5, None]}


@needs_node
def test_the_page_turns_steps_into_the_same_values(tmp_path):
    steps = np.arange(-1200, 1201, 7, dtype=np.int16)
    scales = [Scale(0.001, 0.01), Scale(0.1, 0.04), Scale(0.0, 0.005)]
    given = {"steps": steps.tolist(), "scales": [vars(s) for s in scales]}
    script = "return given.scales.map((scale) => given.steps.map((n) => codec.valueOf(n, scale)));"
    for scale, found in zip(scales, run_node(script, given, tmp_path, "codec"), strict=True):
        np.testing.assert_allclose(np.array(found, float), scale.values(steps), rtol=1e-12)


def test_neighbours_that_are_alike_take_little_room():
    rng = np.random.default_rng(1)
    smooth = (300 + np.cumsum(rng.integers(-1, 2, (8, 20_000)), axis=1)).astype(np.int16)
    size = len(base64.b64decode(deflated(pack(smooth, np.ones(smooth.shape, bool)))))
    assert size < 0.45 * smooth.size  # bytes a value, of 2


def test_not_a_number_is_no_json():
    with pytest.raises(ValueError):
        deflated_json([float("nan")])
