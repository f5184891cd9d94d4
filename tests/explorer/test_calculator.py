"""The calculator of the page gives what `invert` gives."""

from __future__ import annotations

import numpy as np
import pytest

from bayes_rootc.data.atmosphere import ATMOSPHERE_ZONES, Atmosphere, zone_of
from bayes_rootc.explorer.evidence import radiocarbon
from bayes_rootc.models.radiocarbon import delta14c, invert

from .node import needs_node, run_node

pytestmark = needs_node
NAMES = ("median", "mean", "p025", "p975")


@pytest.mark.parametrize(("prehistory", "n"), [("steady", 1000), ("intcal20", 100)])
def test_ages_of_random_values_are_those_of_invert(prehistory, n, tmp_path):
    rng = np.random.default_rng(14)
    layers = {
        "delta14c": np.where(rng.random(n) < 0.5, rng.uniform(-50, 250, n), rng.uniform(-900, 250, n)),
        "sigma": rng.uniform(1, 30, n),
        "year": rng.uniform(1900, 2040, n),
        "zone": rng.choice(ATMOSPHERE_ZONES, n),
        "model_sd": 20.0,
    }
    want = invert(**layers, prehistory=prehistory)
    given = [
        {"delta14c": d, "sigma": s, "year": y, "zone": str(z), "modelSd": 20.0, "prehistory": prehistory}
        for d, s, y, z in zip(*(layers[name] for name in ("delta14c", "sigma", "year", "zone")), strict=True)
    ]
    script = """
        return given.layers.map((layer) => {
            const { age, modes, unexplained } = radiocarbon.invert(layer, given.air);
            return { ...age, modes: modes.map((m) => [m.age, m.probability]), unexplained };
        });
    """
    air = radiocarbon(Atmosphere.packaged(), {})
    found = run_node(script, {"air": air, "layers": given}, tmp_path, "radiocarbon")
    for name in NAMES:
        np.testing.assert_allclose([one[name] for one in found], want[f"age_{name}"], rtol=1e-9, err_msg=name)
    assert [len(one["modes"]) for one in found] == np.minimum(want["n_modes"], 3).values.tolist()
    assert sum(len(one["modes"]) > 1 for one in found) > n / 20  # values with two ages are among them
    first = np.array([one["modes"][0] for one in found])
    np.testing.assert_allclose(first, np.c_[1 / want["mode_k"][:, 0], want["mode_probability"][:, 0]], rtol=1e-9)
    assert [one["unexplained"] for one in found] == want["unexplained"].values.tolist()


def test_the_page_integrates_as_the_package_does(tmp_path):
    k, years = np.geomspace(1e-6, 2, 40), [1925.3, 1950.0, 1963.75, 1999.99, 2035.0]
    air = radiocarbon(Atmosphere.packaged(), {})
    script = """
        const curve = (zone) => radiocarbon.drivingCurve(given.air, zone, "intcal20");
        return Object.keys(given.air.bomb).map((zone) =>
            given.years.map((year) => [...radiocarbon.respond(given.k, year, curve(zone), given.air.gamma)]));
    """
    found = np.array(run_node(script, {"air": air, "k": k.tolist(), "years": years}, tmp_path, "radiocarbon"))
    for zone, of_zone in zip(ATMOSPHERE_ZONES, found, strict=True):
        want = [delta14c(k, year, zone, "intcal20") for year in years]
        np.testing.assert_allclose(of_zone, want, atol=1e-8)


def test_places_lie_in_the_zones_of_the_package(tmp_path):
    rng = np.random.default_rng(2)
    lat, lon = rng.uniform(-90, 90, 3000), rng.uniform(-180, 360, 3000)
    script = "return given.map(([lat, lon]) => radiocarbon.zoneOf(lat, lon));"
    assert run_node(script, np.c_[lat, lon].tolist(), tmp_path, "radiocarbon") == zone_of(lat, lon).tolist()


def test_what_cannot_be_computed_is_said(tmp_path):
    layer = {"delta14c": 100, "sigma": 5, "modelSd": 0, "year": 2000, "zone": "NHZone1"}
    wrong = [layer, layer | {"delta14c": None}, layer | {"sigma": -1}, layer | {"year": 1700}, layer | {"year": 2090}]
    script = "return given.wrong.map((layer) => radiocarbon.complaint(layer, given.air));"
    air = radiocarbon(Atmosphere.packaged(), {})
    first, *others = run_node(script, {"wrong": wrong, "air": air}, tmp_path, "radiocarbon")
    assert first == "" and all(others)
