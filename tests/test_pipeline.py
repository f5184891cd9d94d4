"""The whole system on the demo world: every file of the contract, and the truth recovered."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from matplotlib.figure import Figure
from scipy.special import expit
from scipy.stats import chi2, norm

from bayes_rootc.cli import main
from bayes_rootc.commit import commit
from bayes_rootc.constants import BIOMES, LAYER_NAMES, LAYERS
from bayes_rootc.data.folder import Inputs, read_inputs
from bayes_rootc.data.grid import MapGrid
from bayes_rootc.demo import DemoParameters, DemoWorld
from bayes_rootc.demo.parameters import DRIVERS
from bayes_rootc.errors import InputError
from bayes_rootc.mapping.blocks import BLOCK_KM
from bayes_rootc.pipeline import fit
from bayes_rootc.schemas import TABLES
from bayes_rootc.settings import RunSettings
from bayes_rootc.steps.bulk_input import BulkInput
from bayes_rootc.steps.regressions import DRIVER_FITS, MIN_RECORDS, infer_driver, infer_root_depth, regression_records
from tests.drawn import painted, title

Z95, Z999 = norm.isf([0.025, 0.0005])
"""Standard errors from the middle to the ends of intervals of 95 % and of 99.9 %."""

savefig = Figure.savefig

BY_A_RUN = [name for name, schema in TABLES.items() if "run" in schema.metadata["by"].split(", ")]


def table(folder, name) -> pd.DataFrame:
    return pd.read_csv(folder / "tables" / f"{name}.csv")


def test_every_file_of_the_contract_is_there(quick_run):
    assert {path.stem for path in (quick_run / "tables").glob("*.csv")} == set(BY_A_RUN)
    for name in BY_A_RUN:
        assert len(table(quick_run, name)) > 0, name
    for flux in ("iroot", "ibulk", "iloss"):
        for layer in (*LAYER_NAMES, "0-200"):
            for statistic in ("mean", "median", "p025", "p975", "uncertainty"):
                with rasterio.open(quick_run / "maps" / f"{flux}_{layer}_{statistic}.tif") as source:
                    assert np.isfinite(source.read(1, masked=True).compressed()).all()
    assert len(list((quick_run / "maps").glob("iloss_probability_*.tif"))) == 8
    assert list((quick_run / "figures").glob("*.png"))
    assert not [p for p in quick_run.rglob(".*") if p.name != ".lock"]  # no temporary file is left


def test_run_json_says_what_made_the_numbers(quick_run, quick_settings):
    record = json.loads((quick_run / "run.json").read_text())
    assert record["seed"] == quick_settings.seed and record["simulated"] is True
    assert "report" in record["seconds"] and record["versions"]["numpy"] == np.__version__
    assert len(record["input_sha256"]) > 40
    assert record["commit"].removesuffix("-dirty") == commit().removesuffix("-dirty")


def test_report_says_on_its_face_that_the_data_are_simulated(quick_run):
    assert "SIMULATED" in (quick_run / "report.html").read_text(encoding="utf-8")


def test_i_root_of_all_six_estimates_is_as_deep_as_roots_are(quick_run):
    """By biome, over the climates of the sites of each estimate, which are not those of the root sites."""
    sites = table(quick_run, "sites").pivot_table(index=["estimate", "biome", "id"], columns="layer", values="iroot")
    top = (sites["0-20"] / sites["0-200"]).groupby(["estimate", "biome"]).agg(["mean", "size"])
    shares = table(quick_run, "root_shares").query("layer == '0-20'").set_index("biome")
    top = top[top["size"] >= 10].reset_index()
    found, there = top["mean"].to_numpy(), shares.loc[top["biome"]]
    assert set(top["estimate"]) == {1, 2, 3, 4, 5, 6}
    ratio = found / there["share_mean"].to_numpy()
    assert (abs(ratio - 1) < 0.25).all(), top.assign(ratio=ratio)
    loss = table(quick_run, "sites").query("estimate == 3").pivot_table(index="id", columns="layer", values="share")
    assert (loss["0-20"] - loss["100-150"]).abs().median() > 0.02


def test_the_ladder_starts_from_what_enters_and_stays(quick_run):
    ladder = table(quick_run, "ladder").set_index("what")
    stays = table(quick_run, "persistence").query("biome == 0 and layer == '0-200' and estimate == 'mean'")
    stays = stays.set_index(["family", "t_years"])
    entering, century = "log-normal rates", "log-normal rates, > 100 yr"
    for rung, years in {entering: 0, century: 100}.items():
        for name in ("share_median", "ibulk_p975", "iroot_mean"):
            assert ladder.loc[rung, name] == pytest.approx(stays.loc[("log-normal", years), name], rel=1e-4)
    assert ladder.loc[f"{century}; exudates", "iroot_median"] / ladder.loc[century, "iroot_median"] > 1.3
    assert ladder.loc[f"{century}; litter", "ibulk_median"] < ladder.loc[century, "ibulk_median"]
    known = ladder.dropna(subset="compared_with")
    change = known["share_median"] - ladder.loc[known["compared_with"], "share_median"].to_numpy()
    np.testing.assert_allclose(known["change"], change, atol=1e-4)
    assert ladder["rung"].tolist() == list(range(1, len(ladder) + 1))


def test_layers_table_has_every_usable_layer_and_covers_the_truth(quick_run, demo_world):
    checks = table(quick_run, "checks")
    used = checks[(checks["what"] == "used") & checks["source"].str.contains("covariates at radiocarbon")][
        "rows"
    ].item()
    layers = table(quick_run, "layers")
    assert len(layers) == used
    merged = layers.merge(demo_world.layers[["id", "k", "i_bulk"]], on="id", validate="one_to_one")
    assert len(merged) == len(layers)
    # profiles share an effect, so count independent trials as profiles
    tolerance = 4 * np.sqrt(0.95 * 0.05 / demo_world.layers["profile"].nunique())
    for quantity, truth in {"k": "k", "ibulk": "i_bulk"}.items():
        covered = (merged[f"{quantity}_p025"] <= merged[truth]) & (merged[truth] <= merged[f"{quantity}_p975"])
        assert covered.mean() == pytest.approx(0.95, abs=tolerance), quantity


def test_turnover_file_is_an_arviz_tree_of_the_contract(quick_run):
    import arviz as az

    with xr.open_datatree(quick_run / "posterior" / "turnover.nc") as tree:
        assert az.summary(tree, var_names=["tau_layer"], ci_prob=0.95, ci_kind="eti").shape[0] == 1
        log_k = tree["posterior"]["log_k"]
        assert log_k.dims == ("chain", "draw", "layer")
        assert log_k.sizes["layer"] == len(table(quick_run, "layers"))
        assert list(log_k["layer"].values) == list(table(quick_run, "layers")["id"])
        groups = {"posterior_predictive", "sample_stats", "prior", "prior_predictive", "log_likelihood", "components"}
        assert groups <= set(tree.children)
    fits = table(quick_run, "diagnostics").set_index("fit")
    assert set(fits.index) == {"turnover", "stocks", "root_depth", "drivers_iroot", "drivers_ibulk", "allocation"}
    assert fits["r_hat_max"].max() < 1.1
    assert fits.loc["turnover", "r_hat_max"] < 1.1 and fits.loc["turnover", "divergences"] <= 6  # 1 % of a quick fit
    assert fits.loc["turnover", "quadrature_error"] < 0.05


def test_harmonised_profiles_have_seven_layers(quick_run):
    profiles = table(quick_run, "ibulk_profiles")
    assert (profiles.groupby("profile").size() == 7).all()
    assert set(profiles["source"]) == {"measured layers"}  # the demo's profiles are sampled to 2 m
    assert (profiles["ibulk_median"] > 0).all()
    learned = profiles.groupby("profile")["learner_median"].agg(["count", "min"])
    assert learned["count"].isin([0, 7]).all() and (learned["count"] == 7).mean() > 0.9  # a few lack a covariate
    assert (learned["min"].dropna() > 0).all()


def as_quick_run(settings: RunSettings, folder: Path) -> list[str]:
    """Arguments by which a command does what the quick run does, into a folder."""
    (folder / "as-run.toml").write_text(f'pool_spread = "{settings.pool_spread}"\n')
    return [str(folder / "as-run.toml"), "--data", str(settings.data), "--out", str(folder), "--quick"]


@pytest.mark.slow
def test_fit_alone_writes_what_a_run_writes_and_its_checks(quick_settings, quick_run, tmp_path):
    common = as_quick_run(quick_settings, tmp_path)
    assert main(["fit", "turnover", *common, "--folds", "2", "--simulations", "2", "--both-histories"]) == 0
    for name in ("turnover_population", "turnover_ages", "turnover_misfit"):
        assert table(tmp_path, name).equals(table(quick_run, name)), name
    for name in ("turnover", "turnover_held_out", "turnover_sbc"):
        assert (tmp_path / "figures" / f"{name}.png").exists()
    layers, held_out = table(tmp_path, "layers"), table(tmp_path, "turnover_held_out")
    assert held_out["id"].tolist() == layers["id"].tolist() and set(held_out["fold"]) == {0, 1}
    scores = table(tmp_path, "turnover_cv").iloc[0]
    assert scores["layers"] == len(layers)
    assert scores["coverage95"] == pytest.approx(0.95, abs=4 * scores["coverage95_se"])
    assert table(tmp_path, "turnover_folds")["fold"].tolist() == [0, 1]
    assert len(table(tmp_path, "turnover_sbc_ranks")) == len(table(tmp_path, "turnover_sbc_fits")) == 2
    assert {"tau_layer", "log_k"} <= set(table(tmp_path, "turnover_sbc")["quantity"])
    histories = table(tmp_path, "turnover_prehistory").set_index(["prehistory", "depth_cm", "quantity"])["median"]
    steady, intcal = (histories[name]["0-200"]["carbon age"] for name in ("steady", "intcal20"))
    assert intcal == pytest.approx(steady, rel=0.3) and intcal != steady


def test_predictions_from_a_run(quick_run, quick_settings, tmp_path, capsys):
    """A layer's own measurement, then none at its depth, then rows that cannot be predicted."""
    layer = table(quick_run, "layers").iloc[0]
    place = f"{layer['lat']},{layer['lon']}"
    rows = [
        f"a,{place},0,20,2005,,",
        f"b,{place},60,80,2005,,",
        f"c,95,{layer['lon']},0,20,2005,,",
        f"d,{place},9,3,2005,,",
        f"e,{layer['lat'] + 0.001},{layer['lon']},80,100,2015,900,4",
    ]
    (tmp_path / "new.csv").write_text("name,lat,lon,top,bottom,year,delta14c,sigma\n" + "\n".join(rows) + "\n")
    to = tmp_path / "predicted.csv"
    common = ["--from", str(quick_run), "--data", str(quick_settings.data), "--to", str(to)]
    assert main(["predict", "turnover", "--at", str(tmp_path / "new.csv"), *common]) == 0
    assert "3 of 5 rows" in capsys.readouterr().out
    found = pd.read_csv(to)
    assert found["name"].tolist() == list("abcde") and found["lat"].tolist()[2] == 95
    assert found["reason"].isna().tolist() == [True, True, False, False, True]
    assert found["unexplained"][[0, 1, 4]].astype(str).tolist() == ["False", "False", "True"]
    assert found.loc[[2, 3], "age_mean"].isna().all()
    good = found[:2]
    assert (good["age_p025"] < good["age_median"]).all() and (good["age_median"] < good["age_p975"]).all()
    assert good["age_median"].is_monotonic_increasing and good["delta14c_median"].is_monotonic_decreasing
    product = np.exp(good["s_median"] ** 2)  # E[k] E[1/k] of log-normal rates
    np.testing.assert_allclose(good["k_median"] * good["age_median"], product, rtol=0.03)
    # a measurement narrows its own layer, and tells the other of the profile which way it lies
    known = {}
    for delta14c in (-60, -400):
        text = "\n".join([rows[0].replace("2005,,", f"2005,{delta14c},4"), rows[1]])
        (tmp_path / "known.csv").write_text(f"name,lat,lon,top,bottom,year,delta14c,sigma\n{text}\n")
        assert main(["predict", "turnover", "--at", str(tmp_path / "known.csv"), *common]) == 0
        known[delta14c] = pd.read_csv(to)
    width = {name: np.log(t["age_p975"] / t["age_p025"]) for name, t in known.items()}
    before = np.log(good["age_p975"] / good["age_p025"])
    assert width[-60][0] < 0.8 * before[0] and width[-60][0] < width[-60][1]
    assert (known[-400]["age_median"] > 1.2 * known[-60]["age_median"]).all()


def test_prediction_without_depths_gives_the_seven_layers(quick_run, quick_settings, tmp_path):
    layer = table(quick_run, "layers").iloc[0]
    (tmp_path / "new.csv").write_text(f"lat,lon,year\n{layer['lat']},{layer['lon']},2010.5\n")
    common = ["--from", str(quick_run), "--data", str(quick_settings.data), "--to", str(tmp_path / "out.csv")]
    assert main(["predict", "turnover", "--at", str(tmp_path / "new.csv"), *common]) == 0
    found = pd.read_csv(tmp_path / "out.csv")
    assert [f"{a:g}-{b:g}" for a, b in zip(found["top"], found["bottom"], strict=True)] == list(LAYER_NAMES)
    assert found["age_median"].is_monotonic_increasing


@pytest.mark.filterwarnings("default:column biome")  # which is printed
def test_a_users_columns_come_back_as_they_were(quick_run, quick_settings, tmp_path, capsys):
    """Also those that are called like a covariate or like a column of ours; σ is read by the rule of the fit."""
    layer = table(quick_run, "layers").iloc[0]
    header = "profile,lat,lon,top,bottom,year,delta14c,sigma,plot,biome,age_mean"
    common = ["--from", str(quick_run), "--data", str(quick_settings.data)]

    def predicted(*sigmas: object) -> pd.DataFrame:
        rows = [
            f"{name},{layer['lat']},{layer['lon']},0,20,{year},-60,{sigma},007,x,9"
            for name, year, sigma in zip("abcde", (2005, 2005, 2005, 2005, 2090), sigmas, strict=True)
        ]
        (tmp_path / "new.csv").write_text("\n".join([header, *rows]) + "\n")
        files = ["--at", str(tmp_path / "new.csv"), "--to", str(tmp_path / "out.csv")]
        assert main(["predict", "turnover", *files, *common]) == 0
        return pd.read_csv(tmp_path / "out.csv", dtype={"plot": str})

    found = predicted(5, 0, 990, "", 5)
    assert "note: column biome: no value is one of ours" in capsys.readouterr().err
    assert found["plot"].tolist() == ["007"] * 5 and found["biome"].tolist() == ["x"] * 5
    assert list(found).count("age_mean") == 1 and (found["age_mean"][:4] > 100).all()
    assert found["reason"][4].startswith("year is not in 1800")
    # 0, 990 and none are the default, 5 ‰
    pd.testing.assert_frame_equal(found.drop(columns="sigma"), predicted(5, 5, 5, 5, 5).drop(columns="sigma"))


def test_fits_of_another_version_are_refused(quick_run, quick_settings, tmp_path, capsys):
    with xr.open_datatree(quick_run / "posterior" / "turnover.nc") as tree:
        older = tree.load()
    older["posterior"] = xr.DataTree(older["posterior"].to_dataset().drop_vars("nu_profile"))
    (tmp_path / "posterior").mkdir()
    older.to_netcdf(tmp_path / "posterior" / "turnover.nc")
    (tmp_path / "new.csv").write_text("lat,lon,year\n10,10,2010\n")
    common = ["--from", str(tmp_path), "--data", str(quick_settings.data)]
    sites = ["predict", "turnover", "--at", str(tmp_path / "new.csv"), *common]
    assert main([*sites, "--to", str(tmp_path / "out.csv")]) == 2
    assert "lacks nu_profile: made by another version" in capsys.readouterr().err
    assert main([*sites, "--to", str(tmp_path)]) == 2
    assert "is a folder; expected a file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lat,lon,top,bottom\n1,2,0,10\n", "the column year is missing"),
        ("lat,lon,top,bottom,year\n1,2,0,deep,2000\n", "row 2, column bottom: expected a number, found `deep`"),
        ("lat,lon,top,year\n1,2,0,2000\n", "expected both top and bottom, or neither"),
        ("lat,lon,top,bottom,year\n", "expected at least one row"),
        ("lat,lon,year,delta14c\n1,2,2000,5\n", "a delta14c needs the top and bottom of its layer"),
        ("lat,lon,year\n1,2,2000,5\n", "rows have more fields than the header has names"),
        ("lat,lon,year\n1,2,2000\n1,2,2000,5\n", "Expected 3 fields in line 3, saw 4"),
    ],
)
def test_sites_that_cannot_be_read_are_one_line(text, says, quick_run, quick_settings, tmp_path, capsys):
    (tmp_path / "new.csv").write_text(text)
    common = ["--from", str(quick_run), "--data", str(quick_settings.data), "--to", str(tmp_path / "out.csv")]
    assert main(["predict", "turnover", "--at", str(tmp_path / "new.csv"), *common]) == 2
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1 and "new.csv" in error
    assert not (tmp_path / "out.csv").exists()


def test_the_weak_prior_runs_and_says_that_it_predicts_nothing(quick_settings, tmp_path, capsys):
    fit("turnover", quick_settings.model_copy(update={"turnover_prior": "weak", "out": tmp_path}), quiet=True)
    layers = table(tmp_path, "layers")
    assert "log_marginal" in layers and (layers["n_modes"] > 1).mean() > 0.05
    (tmp_path / "new.csv").write_text("lat,lon,year\n10,10,2010\n")
    common = ["--from", str(tmp_path), "--data", str(quick_settings.data), "--to", str(tmp_path / "out.csv")]
    assert main(["predict", "turnover", "--at", str(tmp_path / "new.csv"), *common]) == 2
    assert "holds no hierarchical fit" in capsys.readouterr().err
    (tmp_path / "weak.toml").write_text('turnover_prior = "weak"\n')
    assert main(["fit", "turnover", str(tmp_path / "weak.toml"), "--both-histories"]) == 2
    assert "--both-histories: a check of the hierarchical fit" in capsys.readouterr().err


def test_totals_of_the_map_hold_the_truth(quick_run, demo_world, quick_settings):
    grid = MapGrid(quick_settings.resolution)
    truth = demo_world.truth_maps(grid).sel(layer="0-200")
    with xr.open_dataset(quick_run / "maps" / "maps.nc") as maps:
        mapped = np.isfinite(maps["iloss_mean"].sel(layer="0-200").values) & np.isfinite(truth["iloss_mean"].values)
        r = np.corrcoef(maps["iroot_median"].sel(layer="0-200").values[mapped], truth["iroot_median"].values[mapped])[
            0, 1
        ]
    assert r > 0.8
    totals = table(quick_run, "map_totals").set_index(["biome", "layer"]).loc[(0, "0-200")]
    for flux in ("iroot", "ibulk", "iloss"):
        want = np.average(truth[f"{flux}_mean"].values[mapped], weights=grid.area_ha[mapped])
        assert totals[f"{flux}_mg_ha_p025"] < want < totals[f"{flux}_mg_ha_p975"], flux


def expected_share_below_ground(p: DemoParameters, covariates: dict[str, np.ndarray]) -> np.ndarray:
    """Expectation of f_BNPP over the sites that could lie at a place."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(21)
    return expit(p.logit_f_bnpp(covariates)[:, None] + p.logit_f_sd * nodes) @ (weights / weights.sum())


def truth_at(world: DemoWorld, sites: pd.DataFrame) -> pd.DataFrame:
    """Expected `iroot`, `ibulk` (0-200 cm) and `f_bnpp` at places with these covariates: the equations of the world."""
    p, covariates = world.parameters, {name: sites[name].to_numpy() for name in (*DRIVERS, "biome")}
    noise = p.log_k_profile_sd**2 + p.log_k_layer_sd**2 + p.log_stock_profile_sd**2 + p.log_stock_layer_sd**2
    median = sum(p.stock(covariates, a, b) * np.exp(p.log_k(covariates, (a + b) / 2)) for a, b in LAYERS)
    return pd.DataFrame(
        {
            "iroot": p.median_bnpp(covariates) * np.exp(p.log_bnpp_sd**2 / 2),
            "ibulk": median * np.exp(noise / 2),
            "f_bnpp": expected_share_below_ground(p, covariates),
        },
        index=sites["id"],
    )


def true_means(world: DemoWorld, inputs: Inputs, sites: pd.DataFrame) -> pd.DataFrame:
    """What each estimate is of, by estimate and biome (0: all): means over its own sites, and `measured_sd`, the
    relative error that measurement leaves in a mean of observed I_root.

    Where an estimate takes what was observed at its sites, the truth is that of these sites; where it predicts, the
    expectation at places like them. Estimates 2, 4 and 6 take satellite production as it is, of whose error their
    posterior knows nothing (the demo's is 15 %, alike over whole regions): the truth of these is of that production.
    """
    p, rows = world.parameters, []
    profiles = inputs.layers.drop_duplicates("profile_index").assign(id=lambda t: t["profile"])
    for (number, kind), here in sites[sites["layer"] == "0-200"].groupby(["estimate", "sites"]):
        every = {"NPP": inputs.npp, "Δ14C": profiles, "roots": inputs.roots}[kind].set_index("id", drop=False)
        at = every.loc[here["id"]]
        truth, measured = truth_at(world, at), np.zeros(len(at))
        if kind == "NPP":
            known = at.merge(world.npp_sites, on=["lat", "lon"], suffixes=("", "_true"), validate="one_to_one")
            truth[["iroot", "f_bnpp"]] = known[["bnpp_true", "f_bnpp_true"]].to_numpy()
            truth["iroot"] *= np.exp(p.log_npp_measured_sd**2 / 2)  # the mean of measurements, which err on a log scale
            one = p.log_npp_measured_sd * (1 if number % 2 else np.sqrt(2) * (1 - truth["f_bnpp"]))
            measured = one / np.sqrt(known["records"].to_numpy())
        if kind == "Δ14C":
            truth["ibulk"] = world.profiles.set_index("profile").loc[at["id"], "0-200"].to_numpy()
        if number % 2 == 0:
            truth["iroot"] = at["satellite_npp"] * truth["f_bnpp"]
        for biome in (0, *BIOMES):
            inside = (at["biome"] == biome).to_numpy() | (biome == 0)
            mean, error = truth[inside].mean(), np.hypot.reduce(truth["iroot"] * measured * inside)
            row = {"estimate": number, "biome": biome, "n": inside.sum(), **mean[["iroot", "ibulk"]]}
            row["measured_sd"] = error / truth["iroot"][inside].sum()
            rows.append(row | {"share": 1 - mean["ibulk"] / mean["iroot"]})
    return pd.DataFrame(rows).set_index(["estimate", "biome"])


def standard_scores(found: pd.DataFrame, truth: pd.Series, quantity: str = "") -> pd.Series:
    """How many standard errors the posterior median is above the truth."""
    median, low, high = (found[f"{quantity}{key}"] for key in ("median", "p025", "p975"))
    return (median - truth) / ((high - low) / (2 * Z95))


def assert_scores_are_of_normal_errors(scores: pd.Series) -> None:
    """The sum of their squares is one of χ², but for one time in a thousand: nearer than that to the truth, the
    intervals would be too wide.
    """
    low, high = chi2.ppf([0.0005, 0.9995], len(scores))
    assert low < (scores**2).sum() < high, scores


def test_estimates_share_the_truth_within_their_posterior(quick_run, quick_settings, demo_world):
    estimates = table(quick_run, "iloss_estimates")
    profile = estimates[estimates["layer"] == "0-200"].set_index(["estimate", "biome"])
    truth = true_means(demo_world, read_inputs(quick_settings.data), table(quick_run, "sites"))
    assert sorted(truth.index.unique("estimate")) == [1, 2, 3, 4, 5, 6]
    pd.testing.assert_series_equal(profile["n"], truth["n"], check_dtype=False)
    for flux in ("iroot", "ibulk", "iloss"):
        layers = estimates[estimates["layer"] != "0-200"].groupby(["estimate", "biome"])[f"{flux}_mean"].sum()
        np.testing.assert_allclose(layers, profile[f"{flux}_mean"], rtol=1e-4)  # tables have six digits
    # observed I_root has no posterior: it is off by what the measurements are
    for number in (1, 2):
        apart = profile.loc[number, "iroot_mean"] / truth.loc[number, "iroot"] - 1
        assert (abs(apart) < 4 * truth.loc[number, "measured_sd"]).all(), apart
    # A measured stock is drawn about its measurement: means of I_bulk are above the truth by up to exp(0.2²), 4 %.
    for quantity in ("iroot", "ibulk", "share"):
        scores = standard_scores(profile, truth[quantity], f"{quantity}_")
        for number in range(3 if quantity == "iroot" else 1, 7):
            assert abs(scores.loc[number, 0]) < Z999, (quantity, number)
            assert_scores_are_of_normal_errors(scores.loc[number].drop(0))


def test_regressions_recover_allocation_and_find_depth(quick_run, quick_settings, demo_world):
    drivers = table(quick_run, "drivers_ibulk").set_index(["coefficient", "biome"])
    assert drivers.loc[("layer bottom", "all"), "p975"] < 0  # less carbon arrives per cm further down
    assert table(quick_run, "drivers_ibulk_summary").iloc[0]["p025"] > 0.3
    found = table(quick_run, "allocation_biome").set_index("biome")
    sites = read_inputs(quick_settings.data).npp.dropna(subset="f_bnpp")
    truth = truth_at(demo_world, sites)["f_bnpp"]
    by_biome = truth.groupby(sites["biome"].to_numpy()).mean()
    by_biome.index = by_biome.index.map(BIOMES)
    scores = standard_scores(found, by_biome)
    assert_scores_are_of_normal_errors(scores[list(BIOMES.values())])
    assert abs(standard_scores(found.loc["all"], truth.mean())) < Z999
    # The mean of the very sites is nearer: of the 0.3 by which the logits of sites differ the fit has seen all but what
    # measurement blurs, 0.21 a record and about two records a site: less than half a standard error.
    these = sites.merge(demo_world.npp_sites, on=["lat", "lon"], suffixes=("", "_true"), validate="one_to_one")
    for biome, mean in these.groupby("biome")["f_bnpp_true"].mean().items():
        assert found.loc[BIOMES[biome], "p025"] < mean < found.loc[BIOMES[biome], "p975"], biome
    for name in ("drivers_iroot", "drivers_ibulk", "allocation", "root_depth"):
        with xr.open_datatree(quick_run / "posterior" / f"{name}.nc", engine="h5netcdf") as tree:
            assert {"posterior", "prior", "posterior_predictive", "log_likelihood", "components"} <= set(tree.children)
    compared = table(quick_run, "paper_comparison")["quantity"]
    assert compared.str.startswith("R² of the drivers").sum() == 2


@pytest.mark.slow
def test_a_regression_alone_writes_what_a_run_writes_and_its_checks(quick_run, quick_settings, tmp_path):
    """In a folder of its own: neither needs the turnover of layers."""
    out = tmp_path / "out"
    (out / "tables").mkdir(parents=True)
    (out / "tables" / "allocation_cv.csv").write_text("of another fit\n")
    common = ["--data", str(quick_settings.data), "--out", str(out), "--quick"]
    assert main(["fit", "allocation", *common]) == 0
    assert not (out / "tables" / "allocation_cv.csv").exists()
    assert main(["fit", "root-depth", *common, "--folds", "2", "--simulations", "2"]) == 0
    for name in ("allocation", "allocation_biome", "root_depth", "root_shares"):
        assert table(out, name).equals(table(quick_run, name)), name
    assert not (out / "posterior" / "turnover.nc").exists()
    scores = table(out, "root_depth_cv").set_index("class")["coverage95"]
    assert {"all", "D50", "D95"} <= set(scores.index) and scores["all"] > 0.8
    assert len(table(out, "root_depth_sbc_ranks")) == 2
    assert table(out, "root_depth_held_out")["unit"].notna().all()
    figures = {"drivers", "allocation_forest", "allocation_ridge", "root_depth_forest", "root_depth_ridge"}
    assert figures <= {path.stem for path in (out / "figures").glob("*.png")}


@pytest.mark.slow
def test_learners_are_compared_in_the_folder_of_a_run(quick_run, quick_settings, tmp_path, capsys):
    shutil.copytree(quick_run, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "figures")
    common = as_quick_run(quick_settings, tmp_path)
    assert main(["train", *common, "--folds", "1"]) == 2
    assert main(["train", *common, "--folds", "2"]) == 0
    assert len(re.findall("kept from an earlier run", capsys.readouterr().err)) == 3  # turnover, stocks, forests
    scores = table(tmp_path, "learners")
    assert (scores.groupby(["target", "split"]).size() == 10).all() and len(scores) == 60
    ours = scores[scores["learner"] == "map forest"].reset_index(drop=True)
    same = ["target", "split", "r2", "rmse", "crps", "coverage95"]
    pd.testing.assert_frame_equal(ours[same], table(quick_run, "learners")[same])
    assert (tmp_path / "models" / "learners.npz").read_bytes() == (quick_run / "models" / "learners.npz").read_bytes()
    ibulk = scores[(scores["target"] == "ibulk") & (scores["split"] == "site")]
    assert (ibulk["r2"] > 0.3).all() and ibulk["coverage95"].between(0.85, 1).all()
    held_out, classes = table(tmp_path, "learners_held_out"), table(tmp_path, "learners_by_class")
    assert (held_out.groupby(["target", "split", "learner"])["id"].nunique() > 50).all()
    assert {"0-10", BIOMES[1]} <= set(classes["class"])
    tau, blocks = table(tmp_path, "learners_tau"), table(tmp_path, "variograms")
    assert (tau["p025"] <= tau["tau95"]).all() and (tau["tau95"] <= tau["p975"]).all()
    assert blocks["block_km"].between(*BLOCK_KM).all() and (blocks.groupby("target").size() > 4).all()
    assert set(table(tmp_path, "learners_importance")["feature"]) > {"top", "bottom", "biome_1"}
    figures = {f"learners_{name}" for name in ("iroot", "ibulk", "f_bnpp", "reliability", "importance", "blocks")}
    assert {path.stem for path in (tmp_path / "figures").glob("*.png")} == figures


@pytest.mark.parametrize(("flux", "layer", "name"), [("iloss", "0-200", "a.png"), ("ibulk", "20-40", "b.pdf")])
def test_a_map_is_drawn(quick_run, tmp_path, flux, layer, name, monkeypatch):
    """The flux and layer that were asked for, in the format of the name, and across it that the data are simulated."""
    saved = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: saved.append(self) or savefig(self, *a, **k))
    path = tmp_path / name
    assert main(["draw", flux, "--from", str(quick_run), "--layer", layer, "--to", str(path)]) == 0
    assert path.read_bytes()[:4] == {".png": b"\x89PNG", ".pdf": b"%PDF"}[path.suffix]
    (figure,) = saved
    with xr.open_dataset(quick_run / "maps" / "maps.nc") as maps:
        np.testing.assert_allclose(painted(figure.axes[0]), maps[f"{flux}_mean"].sel(layer=layer), rtol=1e-6)
    assert title(figure.axes[0]) == f"Mean of {layer.replace('-', '–')} cm"
    assert [text.get_text() for text in figure.texts] == ["SIMULATED"]


def test_fluxes_of_a_new_site_add_up(quick_run, quick_settings, tmp_path, capsys):
    layer = table(quick_run, "layers").iloc[0]
    (tmp_path / "new.csv").write_text(f"name,lat,lon\na,{layer['lat']},{layer['lon']}\nb,95,0\n")
    common = ["--data", str(quick_settings.data), "--to", str(tmp_path / "out.csv")]
    found = {}
    for flux in ("iroot", "ibulk", "iloss"):
        sites = ["predict", flux, "--at", str(tmp_path / "new.csv"), "--from", str(quick_run)]
        assert main([*sites, *common]) == 0
        assert "8 of 16 rows" in capsys.readouterr().out
        rows = pd.read_csv(tmp_path / "out.csv")
        assert (
            rows["name"].tolist() == ["a"] * 8 + ["b"] * 8
            and rows["reason"].notna().tolist() == [False] * 8 + [True] * 8
        )
        found[flux] = rows[:8]
        assert (rows[f"{flux}_p025"] < rows[f"{flux}_median"])[:8].all()
        np.testing.assert_allclose(rows[f"{flux}_mean"][:7].sum(), rows[f"{flux}_mean"][7], rtol=1e-4)
    loss = found["iroot"]["iroot_mean"] - found["ibulk"]["ibulk_mean"]
    np.testing.assert_allclose(found["iloss"]["iloss_mean"], loss, rtol=1e-3, atol=1e-6)
    # one layer of the reader's own
    (tmp_path / "new.csv").write_text(f"lat,lon,top,bottom\n{layer['lat']},{layer['lon']},0,20\n")
    assert main(["predict", "ibulk", "--at", str(tmp_path / "new.csv"), "--from", str(quick_run), *common]) == 0
    one = pd.read_csv(tmp_path / "out.csv")
    assert one["ibulk_mean"][0] == found["ibulk"]["ibulk_mean"][0]
    elsewhere = ["predict", "iroot", "--at", str(tmp_path / "new.csv"), "--from", str(tmp_path), *common]
    capsys.readouterr()
    assert main(elsewhere) == 2
    assert "bayes-rootc train" in capsys.readouterr().err


def test_root_depth_of_a_new_site(quick_run, quick_settings, tmp_path, capsys):
    place = table(quick_run, "layers").iloc[0]
    (tmp_path / "new.csv").write_text(f"name,lat,lon\na,95,0\nb,{place['lat']},{place['lon']}\nc,2,\n")
    common = ["--from", str(quick_run), "--data", str(quick_settings.data), "--to", str(tmp_path / "out.csv")]
    assert main(["predict", "root-depth", "--at", str(tmp_path / "new.csv"), *common]) == 0
    assert "1 of 3 rows" in capsys.readouterr().out
    found = pd.read_csv(tmp_path / "out.csv")
    assert found["reason"].notna().tolist() == [True, False, True]
    row = found.iloc[1]
    assert sum(row[f"share_{layer}_mean"] for layer in LAYER_NAMES) == pytest.approx(1, abs=1e-4)
    assert 1 < row["d50_p025"] < row["d50_median"] < row["d50_p975"] < 200
    assert row["d95_median"] > row["d50_median"]
    elsewhere = ["--from", str(tmp_path), *common[2:]]
    assert main(["predict", "root-depth", "--at", str(tmp_path / "new.csv"), *elsewhere]) == 2
    assert "run `bayes-rootc fit root-depth`" in capsys.readouterr().err


@pytest.fixture
def equal(demo_world):
    """The inputs of the demo world, if all sites produced the same and all roots were as deep."""
    inputs = read_inputs(demo_world.folder)
    inputs.npp_records = inputs.npp_records.assign(bnpp=3.0, f_bnpp=0.4)
    inputs.roots = inputs.roots.assign(d50=20.0, d95=80.0)
    return inputs


def test_regressions_of_what_does_not_vary_are_left_out(equal, quick_settings, tmp_path):
    layers = len(equal.layers)
    bulk = BulkInput(xr.Dataset({"density": (("layer", "draw"), np.full((layers, 20), np.nan))}), pd.DataFrame(), [])
    earlier = [tmp_path / "tables" / "drivers_iroot.csv", tmp_path / "posterior" / "allocation.nc"]
    for path in earlier:
        path.parent.mkdir()
        path.write_text("of an earlier run")
    assert len(equal.npp_records) >= MIN_RECORDS
    settings = quick_settings.model_copy(update={"out": tmp_path})
    for name in DRIVER_FITS:
        needed = {"bulk_input": bulk} if name == "drivers_ibulk" else {}
        infer_driver(name, inputs=equal, settings=settings, **needed)
    assert not any(path.exists() for path in earlier)


def test_a_fit_of_what_does_not_vary_is_one_line(equal, quick_settings, tmp_path):
    settings = quick_settings.model_copy(update={"out": tmp_path})
    with pytest.raises(InputError, match=r"roots: D50 is the same in all \d+ root profiles; expected profiles that"):
        infer_root_depth(equal, settings)
    with pytest.raises(InputError, match=r"the response of drivers_iroot is the same in all \d+ records; expected"):
        regression_records("drivers_iroot", equal)
