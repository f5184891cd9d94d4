"""The demo world: the loaders take it and drop what was planted, it is reproducible, and its truth is what it says."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import rasterio
from scipy import stats

from bayes_rootc.constants import BIOMES, LAYER_NAMES, PROFILE_NAME
from bayes_rootc.data.covariates import CovariateStack
from bayes_rootc.data.grid import MapGrid
from bayes_rootc.data.israd import DEFAULT_SIGMA, MAX_SIGMA, read_layers
from bayes_rootc.data.israd_fractions import read_fractions
from bayes_rootc.data.israd_incubations import read_incubations
from bayes_rootc.data.npp import read_npp
from bayes_rootc.data.roots import read_root_profiles
from bayes_rootc.demo import DemoParameters, DemoWorld, is_simulated, simulate_world
from bayes_rootc.demo.rasters import Geography, Months, SphereField, bioclim
from bayes_rootc.errors import InputError
from bayes_rootc.models.radiocarbon import LOG_K_RANGE, LogNormalPrior, delta14c, invert

SMALL = {"resolution": 6.0, "radiocarbon_profiles": 20, "npp_sites": 20, "root_profiles": 20}


@pytest.fixture(scope="module")
def world(demo_world) -> DemoWorld:
    return demo_world


@pytest.fixture(scope="module")
def stack(world) -> CovariateStack:
    return CovariateStack(world.folder / "covariates")


@pytest.fixture(scope="module")
def layers(world) -> pd.DataFrame:
    """Layers as read, with their truth (columns ending in `_true` where both have one)."""
    read, _ = read_layers(world.folder / "israd" / "ISRaD_extra_flat_layer_demo.csv.gz")
    return read.merge(world.layers, on="id", suffixes=("", "_true"), validate="one_to_one")


def assert_planted_rows_alone_are_dropped(check, planted):
    for rule, n in planted.items():
        assert [m for r, m in check.dropped.items() if r.startswith(rule)] == [n], rule
    assert check.read - check.used == sum(planted.values())


def test_loaders_use_every_good_row_and_drop_each_planted_one(world, layers):
    _, israd = read_layers(world.folder / "israd" / "ISRaD_extra_flat_layer_demo.csv.gz")
    sites, _, (peng, srdb) = read_npp(world.folder / "npp")
    roots, root_check = read_root_profiles(world.folder / "roots" / "root_profiles_D50D95.csv")
    assert_planted_rows_alone_are_dropped(israd, world.planted["israd"])
    assert_planted_rows_alone_are_dropped(peng, world.planted["npp_peng2023"])
    assert_planted_rows_alone_are_dropped(srdb, world.planted["srdb-data"])
    assert_planted_rows_alone_are_dropped(root_check, world.planted["root_profiles_D50D95"])
    assert len(layers) == israd.used == len(world.layers)
    np.testing.assert_array_equal(sites[["lat", "lon"]], world.npp_sites[["lat", "lon"]])
    assert roots["id"].tolist() == world.root_profiles["id"].tolist()
    np.testing.assert_allclose(
        roots[["d50", "d95"]], world.root_profiles[["d50", "d95"]], atol=0.006
    )  # written to 0.1 mm


def test_lost_sigmas_are_replaced_and_the_others_read_as_reported(layers):
    np.testing.assert_array_equal(layers["sigma"], layers["sigma_true"])
    assert (layers.loc[~layers["sigma_reported"], "sigma"] == DEFAULT_SIGMA).all()
    assert layers["sigma"].between(0, MAX_SIGMA).all() and not layers["sigma_reported"].all()


def test_layers_are_contiguous_to_the_bottom_and_stay_in_the_years_of_the_curve(world):
    for _, profile in world.layers.groupby("profile"):
        assert 3 <= len(profile) <= 8
        assert profile["top"].iloc[0] == 0 and profile["bottom"].iloc[-1] == 200
        np.testing.assert_array_equal(profile["top"].iloc[1:], profile["bottom"].iloc[:-1])
        assert (profile["bottom"] > profile["top"]).all()
    assert world.layers["year"].between(1965, 2022).all()


def test_the_same_seed_gives_the_same_files_and_another_seed_others(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        simulate_world(tmp_path / name, seed=seed, **SMALL)
    files = [p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()]
    assert len(files) >= 49
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
        if file.name != "manifest.toml":
            assert (tmp_path / "a" / file).read_bytes() != (tmp_path / "c" / file).read_bytes(), file


def test_the_world_is_the_same_at_every_resolution():
    coarse, fine = MapGrid(9.0), MapGrid(3.0)  # every coarse cell has a fine one with the same centre
    geography, again = (Geography(np.random.SeedSequence(20)) for _ in range(2))
    values = []
    for g, grid, middle in ((geography, coarse, slice(None)), (again, fine, slice(1, None, 3))):
        lat, lon = (a[middle, middle].ravel() for a in np.meshgrid(grid.lat, grid.lon, indexing="ij"))
        values.append([g.land(lat, lon), *g.at(lat, lon, topography=True).values()])
    for a, b in zip(*values, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


def test_fields_have_no_seam_at_180_degrees_and_no_artefact_at_the_pole():
    field = SphereField(np.random.default_rng(1), 2.0, 4)

    def at(lat, lon):
        lat, lon = np.radians(np.broadcast_arrays(lat, lon))
        return field(np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1))

    lat = np.linspace(-89, 89, 90)
    np.testing.assert_allclose(at(lat, -180.0), at(lat, 180.0), atol=1e-9)
    assert np.ptp(at(np.full(9, 89.999), np.linspace(-180, 180, 9))) < 1e-3


@pytest.mark.parametrize("seed", [20, 1, 2])
def test_all_nine_biomes_ice_and_ocean_occur(seed, world, tmp_path):
    folder = (
        world.folder
        if seed == world.seed
        else simulate_world(tmp_path / "w", seed=seed, **SMALL | {"resolution": 4.0}).folder
    )
    stack = CovariateStack(folder / "covariates")
    biome = stack.on_grid(MapGrid(2.0), [])["biome"].values
    assert set(np.unique(biome)) == {0, *BIOMES}
    with rasterio.open(folder / "covariates" / "wwf_biome.tif") as source:
        classes = source.read(1)
    assert (classes == 8).any() and 0.25 < (
        classes > 0
    ).mean() < 0.5  # ice; land is 32 % of the sphere, more of its plate carrée


def test_climate_is_complete_on_land_and_consistent(stack):
    grid = MapGrid(4.0)
    climate = stack.on_grid(grid, [f"bio{i}" for i in range(1, 20)], nearest_km=0.0)
    land = climate["biome"].values > 0
    bio = {i: climate[f"bio{i}"].values[land].astype(float) for i in range(1, 20)}
    assert all(np.isfinite(v).all() for v in bio.values())
    np.testing.assert_allclose(bio[7], bio[5] - bio[6], atol=1e-4)
    np.testing.assert_allclose(bio[3], 100 * bio[2] / bio[7], rtol=1e-5)
    for lower, upper in (
        (11, 1),
        (1, 10),
        (6, 11),
        (10, 5),
        (11, 8),
        (8, 10),
        (11, 9),
        (9, 10),
        (14, 13),
        (17, 18),
        (17, 19),
        (18, 16),
        (19, 16),
        (16, 12),
    ):
        assert (bio[lower] <= bio[upper] + 1e-3).all(), (lower, upper)
    assert (3 * bio[14] <= bio[17] + 1e-3).all() and (bio[16] <= 3 * bio[13] + 1e-3).all()
    assert ((bio[1] > -40) & (bio[1] < 35)).all() and ((bio[12] > 0) & (bio[12] < 8000)).all()


def test_bioclim_of_a_wet_winter_and_a_dry_summer():
    july = np.cos(2 * np.pi * (np.arange(12) - 6) / 12)
    months = Months(15 + 10 * july[None], 50 - 40 * july[None], np.array([8.0]))
    got = {k: v[0] for k, v in bioclim(months).items()}
    assert (got["bio1"], got["bio12"]) == (pytest.approx(15), pytest.approx(600))
    assert (got["bio5"], got["bio6"], got["bio7"]) == (pytest.approx(29), pytest.approx(1), pytest.approx(28))
    assert got["bio8"] == pytest.approx(got["bio11"]) and got["bio9"] == pytest.approx(got["bio10"])  # wet when cold
    assert got["bio19"] == pytest.approx(got["bio16"]) and got["bio18"] == pytest.approx(got["bio17"])


def test_rasters_are_those_of_the_real_folder_and_the_soil_sums(stack):
    roles = {role: stack.role(role) for role in ("npp", "stock")}
    assert roles == {"npp": ["npp_satellite"], "stock": ["soc_stock_ncscd"]}
    groups = pd.Series([stack.rasters[f].group for f in stack.features]).value_counts().to_dict()
    assert groups == {"climate": 19, "soil": 13, "topography": 8}
    soil = stack.on_grid(MapGrid(4.0), ["sand", "silt", "clay"])
    total = (soil["sand"] + soil["silt"] + soil["clay"]).values
    np.testing.assert_allclose(total[np.isfinite(total)], 100, rtol=1e-5)
    with rasterio.open(stack.folder / "soc_stock_ncscd.tif") as source:
        rows = np.flatnonzero(np.isfinite(source.read(1, masked=True).astype(float).filled(np.nan)).any(axis=1))
        assert source.xy(rows.max(), 0)[1] > 40  # northern


def test_sites_are_on_land_and_their_drivers_are_what_the_smooth_world_has(stack, world):
    """The truth is read through the loaders: a flipped or shifted raster would show against the functions that made
    it."""
    sites = world.npp_sites
    read, _ = stack.sample(sites["lat"], sites["lon"], ["bio1", "elevation"])
    geography = Geography(np.random.SeedSequence(world.seed).spawn(4)[0])
    smooth = geography.at(sites["lat"].to_numpy(), sites["lon"].to_numpy())
    assert np.corrcoef(read["bio1"], smooth["bio1"])[0, 1] > 0.97
    assert (read["biome"] == sites["biome"]).all()


def test_stock_and_inputs_obey_their_identities(world):
    t = world.layers
    np.testing.assert_allclose(t["i_bulk"], t["stock"] * t["k"])
    # E[k] E[1/k] of log-normal rates; where these reach the slow end of the range, the tail is cut
    within = t["log_k"] > LOG_K_RANGE[0] + 4 * world.parameters.rate_sd
    assert within.mean() > 0.8
    product = (t["age"] * t["k"])[within]
    np.testing.assert_allclose(product, np.exp(world.parameters.rate_sd**2), rtol=2e-3)
    totals = t.groupby("profile", sort=False)["i_bulk"].sum()
    p = world.profiles.set_index("profile")
    np.testing.assert_allclose(p[PROFILE_NAME], totals[p.index])
    np.testing.assert_allclose(p[list(LAYER_NAMES)].sum(axis=1), p[PROFILE_NAME])
    np.testing.assert_allclose(world.root_profiles[list(LAYER_NAMES)].sum(axis=1), 1)


def test_ages_and_inputs_are_those_of_real_soils(world):
    t, depth = world.layers, (world.layers["top"] + world.layers["bottom"]) / 2
    assert 200 < t.loc[depth < 20, "age"].median() < 1000
    assert 2000 < t.loc[depth > 100, "age"].median() < 20_000
    shallow = t[depth < 30].groupby("biome")["age"].median()
    assert shallow[[6, 7]].min() > shallow[[1, 9]].max()
    assert world.profiles[PROFILE_NAME].quantile([0.1, 0.9]).between(0.15, 1.6).all()
    assert world.npp_sites.groupby("biome")["bnpp"].median().between(0.7, 5.5).all()


def test_truth_maps_add_up_and_the_mean_field_is_the_mean_of_the_noise(world):
    grid, p = MapGrid(4.0), world.parameters
    maps = world.truth_maps(grid)
    total, layers = maps.sel(layer=PROFILE_NAME), maps.sel(layer=list(LAYER_NAMES))
    for kind in ("median", "mean"):
        np.testing.assert_allclose(maps[f"iloss_{kind}"], maps[f"iroot_{kind}"] - maps[f"ibulk_{kind}"])
        for quantity in ("iroot", "ibulk", "iloss"):
            np.testing.assert_allclose(
                layers[f"{quantity}_{kind}"].sum("layer", skipna=False), total[f"{quantity}_{kind}"]
            )
    known = np.isfinite(total["iloss_mean"].values)
    assert known.sum() > 0.9 * (CovariateStack(world.folder / "covariates").on_grid(grid, [])["biome"].values > 0).sum()

    rng = np.random.default_rng(0)
    noise = rng.standard_normal((5, 200_000)) * [
        [p.log_k_study_sd],
        [p.log_k_profile_sd],
        [p.log_k_layer_sd],
        [p.log_stock_profile_sd],
        [p.log_stock_layer_sd],
    ]
    factor = np.exp(noise.sum(axis=0))
    ratio = (maps["ibulk_mean"] / maps["ibulk_median"]).values[:, known]
    np.testing.assert_allclose(ratio, factor.mean(), atol=4 * factor.std() / np.sqrt(len(factor)))

    # Root shares: the quadrature against the average of many simulated profiles, biome 1.
    from bayes_rootc.models.root_depth import layer_fractions

    share = layer_fractions(*p.root_depths(np.ones(100_000, int), rng.standard_normal((100_000, 2))))
    assert (np.abs(share.mean(axis=0) - p.mean_root_fractions()[0]) < 4 * share.std(axis=0) / np.sqrt(len(share))).all()
    np.testing.assert_allclose(p.mean_root_fractions().sum(axis=1), 1)


def test_residuals_at_the_true_k_have_the_stated_spread(world, layers):
    """z = (observed − mean of F over the true rates) / √(σ² + σ_model²) are standard normal: mean, variance and shape
    within 4 standard errors."""
    sd = np.hypot(layers["sigma_true"], world.parameters.model_sd)
    z = (layers["delta14c"] - mean_over_rates(layers, world.parameters.rate_sd)) / sd
    n = len(z)
    assert abs(z.mean()) < 4 / np.sqrt(n)
    assert abs(np.sum(z**2) - n) < 4 * np.sqrt(2 * n)
    assert stats.kstest(z, "norm").pvalue > 1e-3


def mean_over_rates(layers: pd.DataFrame, sd: float) -> np.ndarray:
    """Δ14C of layers of log-normal rates, by quadrature over each layer's own rates."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(81)
    k = np.exp(np.clip(layers["log_k"].to_numpy()[:, None] + sd * nodes, *LOG_K_RANGE))
    values = delta14c(k, layers["year"].to_numpy()[:, None], layers["zone"].to_numpy(str)[:, None])
    return values @ weights / weights.sum()


def test_co2_and_parts_are_those_of_the_rates(world, layers):
    """Respired carbon is faster, light carbon too: with the stated errors about means over the true rates."""
    p, layer = world.parameters, layers.set_index("id")
    israd = world.folder / "israd"
    incubations, _ = read_incubations(israd / "ISRaD_extra_flat_incubation_demo.csv.gz")
    fractions, _ = read_fractions(israd / "ISRaD_extra_flat_fraction_demo.csv.gz")
    assert len(incubations) == pytest.approx(p.incubated_share * len(layer), rel=0.2)
    assert len(fractions) == pytest.approx(p.parted_share * len(layer), rel=0.25)
    incubated, parted = (layer.loc[t["layer"]].reset_index(drop=True) for t in (incubations, fractions))
    # in a moment, carbon is respired in proportion to its rate: the centre is s² higher
    flux = mean_over_rates(incubated.assign(log_k=incubated["log_k"] + p.rate_sd**2), p.rate_sd)
    z = (incubations["delta14c"] - flux) / np.hypot(incubations["sigma"], p.respired_sd)
    slow = (incubated["log_k"] < np.log(0.02)).to_numpy()  # what is fast is used up in the jar
    assert abs(z[slow].mean()) < 4 / np.sqrt(slow.sum()) and abs(z[slow].std() - 1) < 4 / np.sqrt(2 * slow.sum())
    # parts add up to the bulk
    both = fractions["light_share"] * fractions["light"] + (1 - fractions["light_share"]) * fractions["heavy"]
    gap = both - mean_over_rates(parted, p.rate_sd)
    assert abs(gap.mean()) < 4 * gap.std() / np.sqrt(len(gap)) and gap.std() < p.parts_sd
    assert (fractions["light"] > fractions["heavy"]).mean() > 0.8


def test_inversion_with_the_true_prior_covers_the_true_k_as_often_as_it_says(tmp_path):
    """Given the covariates, log k is Normal(log_k_expected, total noise) exactly, so 95 % intervals hold it in 95 % of
    layers.

    The layers of a profile share its noise, and profiles that of their study: at worst they are all covered or missed
    together, so the number of independent trials is taken as that of studies.
    """
    p = replace(DemoParameters(), rate_sd=0.0)
    world = simulate_world(tmp_path, **SMALL | {"radiocarbon_profiles": 150}, parameters=p)
    read, _ = read_layers(tmp_path / "israd" / "ISRaD_extra_flat_layer_demo.csv.gz")
    layers = read.merge(world.layers, on="id", suffixes=("", "_true"), validate="one_to_one")
    noise = np.hypot(p.log_k_study_sd, np.hypot(p.log_k_profile_sd, p.log_k_layer_sd))
    prior = LogNormalPrior(np.exp(-layers["log_k_expected"]), noise)
    got = invert(layers["delta14c"], layers["sigma"], layers["year"], layers["zone"], prior, model_sd=p.model_sd)
    covered = (got["k_p025"].values < layers["k"]) & (layers["k"] < got["k_p975"].values)
    assert abs(covered.mean() - 0.95) < 3 * np.sqrt(0.95 * 0.05 / layers["study"].nunique())


def test_measured_stock_is_the_true_one_with_its_stated_error(world, layers):
    error = np.log(layers["stock_measured"] / layers["stock"]).dropna()
    sd, n = world.parameters.log_stock_measured_sd, len(error)
    assert n > 0.7 * len(layers)
    assert abs(error.mean()) < 4 * sd / np.sqrt(n)
    assert abs(error.std() / sd - 1) < 4 / np.sqrt(2 * n)
    assert layers["stock_gridded"].notna().all()


def test_production_is_read_with_its_stated_error(world):
    sites, _, _ = read_npp(world.folder / "npp")
    z = np.log(sites["bnpp"] / world.npp_sites["bnpp"]) / (
        world.parameters.log_npp_measured_sd / np.sqrt(sites["records"])
    )
    n = len(z)
    # Records are averaged, not their logarithms: a mean of lognormals is above the median by up to half the variance,
    # 0.075 sd.
    assert -4 / np.sqrt(n) < z.mean() < 0.075 * np.sqrt(3) + 4 / np.sqrt(n)
    assert abs(z.std() - 1) < 4 / np.sqrt(2 * n) + 0.03
    assert (sites["f_bnpp"].dropna().between(0.02, 0.98)).all()


def test_the_folder_says_that_it_is_simulated_and_real_data_are_not_overwritten(world, tmp_path):
    assert is_simulated(world.folder) and not is_simulated(tmp_path)
    text = (world.folder / "SIMULATED.txt").read_text(encoding="utf-8")
    assert "simulated" in text and "seed = 20" in text and "log_k_profile_sd = 0.4" in text
    (tmp_path / "notes.txt").write_text("field data")
    with pytest.raises(InputError, match="not simulated"):
        simulate_world(tmp_path, **SMALL)
