"""Production: how much grows at a place, and which part of it below ground; a fitted object."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import skew

from ..constants import BIOMES, G_M2_TO_MG_HA, PROFILE_DEPTH_CM
from ..data.own_tables import Covariates, OwnTable, covariate_groups, flat, row_coordinates
from ..errors import InputError
from ..models import production as mp
from ..models.components import CLIP_SD, Components
from ..models.root_depth import cumulative_share
from ..progress import Progress
from ..seeds import child_seed
from . import checks
from .fitted import Fitted
from .nuts import Nuts
from .regressions import flat_draws
from .root_depth import RootDepth
from .sampling import by_chain, converged, convergence
from .store import COMPONENTS

FLUXES = ("npp", "anpp", "bnpp")

PLACE_DECIMALS = 2
"""Records whose coordinates agree to this many decimals of a degree are of one place."""

DEFAULT_METHOD = "own"

REGION_DEGREES = 15
"""Side of the regions that a cross-validation by region leaves out."""

FEWEST = 10
"""Least number of sites."""

SHORT = 150
"""Draws of each chain of the fits of a cross-validation or calibration."""

COMPONENTS_LENGTH = 3.0
"""Standard deviations of the components that count as one of climate where no covariates are named for it."""

LEAST_CLIMATE = 1e-3
"""Least value of a covariate whose logarithm is taken."""

type By = Literal["site", "study", "region"]


@dataclass(frozen=True)
class Ground:
    """What the model knows of any place: the components of its covariates, and the kernels of the fields.

    Attributes
    ----------
    components : Components
        Principal components of the covariates.
    climate : DataFrame
        `mean` and `sd` of the sites' climate, by covariate, and whether of its logarithm (`log`, 0 or 1); without rows,
        climate is all components.
    kernels : dict of str to Kernel
        By name of `SCALES`.
    """

    components: Components
    climate: pd.DataFrame
    kernels: dict[str, mp.Kernel]

    @classmethod
    def under(
        cls, sites: pd.DataFrame, others: pd.DataFrame, groups: dict[str, list[str]], climate: Sequence[str]
    ) -> Ground:
        """Learns components from sites, and spreads the centres of the kernels over them and over other places."""
        scales = pd.DataFrame(
            {name: _scale(sites[name].to_numpy(float)) for name in climate}, index=["mean", "sd", "log"], dtype=float
        ).T
        scales = scales[scales["sd"] > 0]
        bare = cls(Components.fit(sites, groups), scales, {})
        points = bare.points(pd.concat([sites, others]))
        return replace(bare, kernels={n: mp.Kernel.over(points[n], mp.CENTRES[n], mp.LENGTH[n]) for n in mp.SCALES})

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of centres of each kernel."""
        return tuple(len(kernel.centres) for kernel in self.kernels.values())

    def points(self, table: pd.DataFrame) -> dict[str, NDArray[np.float64]]:
        """Where places lie for each kernel, (n, dimension)."""
        space, names = mp.on_sphere(table["lat"], table["lon"]), list(self.climate.index)
        climate = self.components.scores(table) / COMPONENTS_LENGTH
        if names:
            mean, sd, log = self.climate[["mean", "sd", "log"]].to_numpy().T
            values = table[names].to_numpy(float)
            standard = (np.where(log > 0, np.log(np.maximum(values, LEAST_CLIMATE)), values) - mean) / sd
            climate = np.clip(np.nan_to_num(standard), -CLIP_SD, CLIP_SD)
        return {name: climate if name == "climate" else space for name in mp.SCALES}

    def at(self, table: pd.DataFrame) -> mp.Places:
        """Places with `lat`, `lon`, `biome` and the covariates, as the model sees them."""
        points = self.points(table)
        basis = [kernel.basis(points[name]) for name, kernel in self.kernels.items()]
        X = self.components.scores(table)
        return mp.Places(table["biome"].to_numpy(int), X, np.concatenate(basis, axis=1))


def _scale(values: NDArray[np.float64]) -> list[float]:
    """Mean and standard deviation of a covariate, and 1 if they are of its logarithm: where that is less skewed."""
    values = values[np.isfinite(values)]
    if len(values) and values.min() > 0 and abs(skew(np.log(values))) < abs(skew(values)):
        return [float(np.log(values).mean()), float(np.log(values).std()), 1.0]
    return [float(values.mean()), float(values.std()), 0.0] if len(values) else [0.0, 0.0, 0.0]


class Production(Fitted):
    """Production and its belowground share, from records of any part of it and from satellites, in one hierarchical
    model with spatial fields (`models.production`).

    What goes below ground is a part of all that grows: I_root = N · f is never above N.

    Parameters
    ----------
    covariates : sequence of str, or mapping of str to sequence of str
        Names of numeric columns (soil, climate, topography), or such names by group. Each group is rotated to principal
        components.
    climate : sequence of str
        Those of them in which places are compared by climate; a few do best, such as mean temperature, rain, and the
        seasonality of both. By default all components.
    columns : mapping of str, optional
        Names in your tables by the names used here, for those that differ.
    chains, tune, draws : int
        Chains, and warm-up steps and kept draws of each.
    seed : int
        All randomness flows from it.

    Attributes
    ----------
    posterior : DataTree
        The fit in ArviZ's form; `npp`, `f_bnpp` and `iroot` of the sites with records among its variables.
    records, places : DataFrame
        Records of the fit, in the order of their sites, and the sites.

    Examples
    --------
    >>> import bayes_rootc as rc
    >>> rc.Production(["mat"]).fit(pd.DataFrame({"lat": [48.0], "lon": [9.0], "bnpp": [300.0]}))
    Traceback (most recent call last):
    bayes_rootc.errors.InputError: the table has no column for the covariate mat; found lat, lon, bnpp
    """

    _kind = "production"
    _sampled = mp.SAMPLED
    _units = "sites"
    _groups: ClassVar = {"components": COMPONENTS, "kernels": mp.SCALES}

    def __init__(
        self,
        covariates: Covariates = (),
        *,
        climate: Sequence[str] = (),
        columns: Mapping[str, str] | None = None,
        chains: int = 4,
        tune: int = 100,
        draws: int = 200,
        seed: int = 20,
    ):
        self.groups, self.columns, self.seed = covariate_groups(covariates), columns, seed
        if other := [name for name in climate if name not in flat(self.groups)]:
            raise InputError(f"climate: {other[0]} is none of the covariates; expected some of {flat(self.groups)}")
        self.climate = list(climate)
        self.sampling = {"chains": chains, "tune": tune, "draws": draws}
        self.records: pd.DataFrame | None = None
        self.places: pd.DataFrame | None = None
        self._ground: Ground | None = None
        self._data: mp.ProductionData | None = None

    @property
    def ground(self) -> Ground:
        """Components of the covariates, and kernels of the fields.

        Raises
        ------
        InputError
            Nothing has been fitted.
        """
        if self._ground is None:
            raise self._unfitted()
        return self._ground

    def fit(
        self,
        records: pd.DataFrame,
        satellite: pd.DataFrame | None = None,
        roots: RootDepth | None = None,
        *,
        until_good: bool = True,
        progress: Progress | None = None,
    ) -> Self:
        """Fits the model to a table of records.

        Parameters
        ----------
        records : DataFrame
            One row a record: `lat`, `lon`; any of `npp`, `anpp` and `bnpp` (g C m⁻² yr⁻¹); the covariates; optionally
            `biome` (number or name), `method` and `study` (labels), `sampling_depth` (cm down to which roots were
            sampled; empty for all roots). Records of one place (0.01°) and biome are a site.
        satellite : DataFrame, optional
            Production by satellite at any places: `lat`, `lon`, `npp` (g C m⁻² yr⁻¹; 0 where nothing was seen), the
            covariates, and `biome` if the records have it. Its values should lie so far apart that their errors are
            their own, some 500 km.
        roots : RootDepth, optional
            Fitted root depth, for records with a `sampling_depth` of less than 200 cm.
        until_good : bool
            Continue sampling while R-hat or effective sample sizes are not good.
        progress : callable, optional
            Called with the draws done and wanted.

        Returns
        -------
        Production
            The object itself.

        Raises
        ------
        InputError
            A column is missing, a value is impossible, or there are too few sites.
        """
        table = self._records(records, roots)
        first = table.drop_duplicates("site").reset_index(drop=True)
        if len(first) < FEWEST:
            raise InputError(f"{len(first)} sites with a record are too few; expected at least {FEWEST}")
        seen = first.iloc[:0].assign(seen=np.nan)
        if satellite is not None:
            seen = self._places(satellite)
            value = OwnTable(satellite, self.columns).numbers("npp", missing=True).to_numpy() * G_M2_TO_MG_HA
            seen = seen.assign(seen=value)[np.isfinite(value)].reset_index(drop=True)
        self._ground = Ground.under(first, seen, self.groups, self.climate)
        self.methods = sorted(table["method"].unique())
        self.records, self.places = table, first
        self._data = self._arrays(table, first, seen)
        self._sample(until_good, progress)
        return self

    def sites(self, *, draws: int = 1000) -> xr.Dataset:
        """Draws at the sites of the fit, given their own records.

        Parameters
        ----------
        draws : int
            Maximum number of draws.

        Returns
        -------
        Dataset
            `npp`, `iroot` (Mg C ha⁻¹ yr⁻¹) and `f_bnpp` over `draw` and `site`, with the sites' `lat`, `lon` and
            `biome`.

        Raises
        ------
        InputError
            Nothing has been fitted.
        """
        found = flat_draws(self.posterior, ("npp", "f_bnpp"), draws)
        place = self.posterior["constant_data"].to_dataset()
        coords = {name: ("site", place[name].values) for name in ("lat", "lon", "biome")}
        return _fluxes(found["npp"], found["f_bnpp"]).assign_coords(coords)

    def predict(
        self, sites: pd.DataFrame, *, draws: int = 1000, seed: int | None = None, of: Literal["site", "mean"] = "site"
    ) -> xr.Dataset:
        """Draws at new places. Those of one number, at all places, are one whole map: they err together as the fields
        do.

        Parameters
        ----------
        sites : DataFrame
            `lat`, `lon`, the covariates, and `biome` if the fit had it.
        draws : int
            Maximum number of draws.
        seed : int, optional
            Seed of these draws; by default derived from the object's seed.
        of : {"site", "mean"}
            Whether draws are of one new site at each place, or of the mean over the sites of the place, as maps and
            totals need it.

        Returns
        -------
        Dataset
            `npp`, `iroot` (Mg C ha⁻¹ yr⁻¹) and `f_bnpp` over `draw` and `site`, the index of the table.

        Raises
        ------
        InputError
            Nothing has been fitted, a column is missing, or a value is impossible.
        """
        if of not in ("site", "mean"):
            raise InputError(f"of is {of}; expected site or mean")
        p = self.parameters(draws)
        expected = mp.expected_parts(p, self.ground.at(self._places(sites)))
        if of == "mean":
            parts = mp.mean_of_sites(p, expected)
        else:
            stream = child_seed(self.seed, "predict") if seed is None else seed
            parts = mp.new_sites(p, expected, np.random.default_rng(stream))
        anpp, bnpp = np.moveaxis(np.exp(parts), -1, 0)
        return _fluxes(anpp + bnpp, bnpp / (anpp + bnpp)).assign_coords(
            row_coordinates(sites.index, "site", taken=("draw",))
        )

    def held_out(self, folds: int, by: By = "site", *, progress: Progress | None = None) -> pd.DataFrame:
        """Predictions of belowground production, site by site, from fits without the site, its study or its region.

        Parameters
        ----------
        folds : int
            Number of folds; each costs a fit.
        by : {"site", "study", "region"}
            What is left out as a whole: places (0.1°), studies, or squares of 15°.
        progress : callable, optional
            Called with the fits done and wanted.

        Returns
        -------
        DataFrame
            One row a site with belowground production: `lat`, `lon`, `biome`, `fold`, `records`; `observed`, `mean`,
            `p025`, `p975`, `pit`, `crps` of the log of the records' mean (Mg C ha⁻¹ yr⁻¹); and on the natural scale
            `observed_natural`, and `mean_natural`, the mean over the sites of the place, as maps have it, with the
            records' methods and sampled depths.

        Raises
        ------
        InputError
            Nothing has been fitted; or the object was loaded, and the table is needed.
        """
        return self._cross_validate(folds, by, progress)[0]

    def _cross_validate(self, folds: int, by: By, progress: Progress | None) -> tuple[pd.DataFrame, pd.DataFrame]:
        """`held_out`, and the diagnostics of the fits."""
        data, table = self._fitted_to(self._data), self._fitted_to(self.records)
        label, known = left_out(table, by), np.flatnonzero(table["bnpp"].notna())
        together = table.loc[known].assign(label=label).groupby(["site", "label"])
        row, rows = together.ngroup().to_numpy(), together[["lat", "lon", "biome"]].first()
        rows = rows.assign(records=together.size(), observed_natural=together["bnpp"].mean(), mean_natural=np.nan)
        rows = rows.reset_index()

        def predict(number: int, held: NDArray[np.bool_]) -> tuple[NDArray, NDArray, dict[str, object]]:
            fewer = without(data, label.isin(rows["label"][held]).to_numpy())
            tree = self._refit(fewer, seed=child_seed(self.seed, "fold", by, number))
            rng = np.random.default_rng(child_seed(self.seed, "replicates", by, number))
            here, at = known[held[row]], np.cumsum(held)[row[held[row]]] - 1
            new = data._replace(
                sites=mp.Places(*(np.asarray(a)[rows["site"][held]] for a in data.sites)),
                site=at,
                method=data.method[here],
                log_share=data.log_share[here],
            )
            draws = flat_draws(tree, mp.SAMPLED)
            expected = mp.expected_parts(draws, new.sites)
            parts = mp.new_sites(draws, expected, rng)
            reported = np.exp(mp.replicate(draws, new, parts, rng)[..., 1])
            mapped = mp.mean_of_sites(draws, expected)[:, at, 1] + draws["method"][:, new.method, 1] + new.log_share

            def by_site(records: NDArray) -> NDArray:
                return np.stack([np.bincount(at, each) for each in records]) / np.bincount(at)

            mean = by_site(reported)
            rows.loc[held, "mean_natural"] = by_site(np.exp(mapped)).mean(axis=0)
            return np.log(mean), np.log(mean).mean(axis=0), self._diagnose(str(number), tree)

        seed = child_seed(self.seed, "folds", by)
        observed = np.log(rows["observed_natural"].to_numpy())
        scores, fits = checks.cross_validate(
            observed, rows["label"], predict, folds=folds, seed=seed, progress=progress
        )
        return pd.concat([rows.drop(columns=["site", "label"]), scores], axis=1), fits

    @cached_property
    def _nuts(self) -> Nuts:
        how = partial(mp.model, sizes=self.ground.sizes, methods=len(self.methods))
        return Nuts(how, (self._fitted_to(self._data),), tune=self.sampling["tune"], known_spread=True)

    def _sample(self, until_good: bool, progress: Progress | None) -> None:
        """Samples the posterior and keeps it as a tree."""
        import arviz as az

        data = self._fitted_to(self._data)
        places = self._fitted_to(self.places)
        self.__dict__.pop("_nuts", None)

        def enough(samples: dict[str, NDArray]) -> bool:
            return converged(convergence(by_chain({name: samples[name] for name in self._varying})))

        found = self._nuts.run(
            (data,),
            seed=child_seed(self.seed, "chains"),
            chains=self.sampling["chains"],
            draws=self.sampling["draws"],
            enough=enough if until_good else None,
            progress=progress,
        )
        samples = {name: found.samples[name] for name in mp.SAMPLED}
        shape = samples["site_half"].shape
        p = {name: v.reshape(-1, *v.shape[2:]) for name, v in samples.items()}
        rng = np.random.default_rng(child_seed(self.seed, "sites"))
        anpp, bnpp = np.moveaxis(np.exp(mp.measured_sites(p, data, rng).parts), -1, 0)
        of_sites = {"npp": anpp + bnpp, "f_bnpp": bnpp / (anpp + bnpp), "iroot": bnpp}
        by_site = {name: v.reshape(*shape, -1) for name, v in of_sites.items()}
        log_likelihood = mp.likelihoods(p, data).reshape(*shape, -1)
        effects = {n: v.reshape(*shape, 2) for n, v in mp.spreads(p, self.ground.sizes, rng).items()}
        tree = az.from_dict(
            {
                "posterior": samples | effects | by_site,
                "sample_stats": found.stats,
                "log_likelihood": {"sites": log_likelihood},
                "observed_data": {"log_parts": data.parts, "log_total": data.total, "log_satellite": data.seen},
                "constant_data": {n: places[n].to_numpy() for n in ("lat", "lon", "biome")},
            },
            coords={"biome_of": list(BIOMES.values()), "quantity": list(mp.FIELDS), "method_of": self.methods},
            dims={
                "mean": ["quantity"],
                "biome_effect": ["biome_of", "quantity"],
                "method": ["method_of", "part"],
                **{name: ["site"] for name in ("npp", "f_bnpp", "iroot", "lat", "lon")},
            },
        )
        tree["components"] = xr.DataTree(self.ground.components.to_dataset())
        kernels = {n: ((f"{n}_centre", f"{n}_axis"), k.centres) for n, k in self.ground.kernels.items()}
        tree["kernels"] = xr.DataTree(xr.Dataset(kernels))
        self._posterior = tree

    def _records(self, records: pd.DataFrame, roots: RootDepth | None) -> pd.DataFrame:
        """Records under our names, in Mg C ha⁻¹ yr⁻¹, in the order of their sites."""
        own = OwnTable(records, self.columns, complete=True)
        table = self._places(records)
        if not any(own.has(name) for name in FLUXES):
            own.numbers("bnpp")  # says that it is missing
        for name in FLUXES:
            value = own.numbers(name, missing=True) if own.has(name) else pd.Series(np.nan, records.index)
            if (value <= 0).any():
                at = records.index[(value <= 0).to_numpy()][0]
                raise InputError(
                    f"row {at} of the table, column {name}: found {value[at]:g}; expected a number above 0"
                )
            table[name] = value.to_numpy() * G_M2_TO_MG_HA
        table["method"] = own.labels("method").to_numpy() if own.has("method") else DEFAULT_METHOD
        table["study"] = own.labels("study").to_numpy() if own.has("study") else ""
        table["log_share"] = self._log_share(records, own, roots)
        for part, other in (("anpp", "bnpp"), ("bnpp", "anpp")):
            rest = table["npp"] - table[other]
            table[part] = table[part].fillna(rest.where(rest > 0))
        table = table[table[list(FLUXES)].notna().any(axis=1)]
        table["site"] = site_of(table)
        return table.sort_values("site", kind="stable").reset_index(drop=True)

    def _log_share(self, records: pd.DataFrame, own: OwnTable, roots: RootDepth | None) -> NDArray[np.float64]:
        """log of the share of roots within the depth that was sampled."""
        out = np.zeros(len(records))
        if not own.has("sampling_depth"):
            return out
        depth = own.numbers("sampling_depth", missing=True).to_numpy()
        shallow = depth < PROFILE_DEPTH_CM
        if shallow.any():
            if roots is None:
                raise InputError(
                    f"{int(shallow.sum())} records have a sampling_depth above {PROFILE_DEPTH_CM} cm; give a fitted"
                    " RootDepth as roots, or leave the column out"
                )
            found = roots.predict(records[shallow])
            within, whole = (
                cumulative_share(d, found["d50"].values, found["d95"].values)
                for d in (depth[shallow], float(PROFILE_DEPTH_CM))
            )
            out[shallow] = np.log((within / whole).mean(axis=0))
        return out

    def _arrays(self, table: pd.DataFrame, first: pd.DataFrame, seen: pd.DataFrame) -> mp.ProductionData:
        parts = np.log(table[["anpp", "bnpp"]].to_numpy(float))
        alone = np.isnan(parts).all(axis=1)
        value = seen["seen"].to_numpy(float)
        return mp.ProductionData(
            sites=self.ground.at(first),
            site=table["site"].to_numpy(int),
            parts=parts,
            total=np.where(alone, np.log(table["npp"].to_numpy(float)), np.nan),
            method=pd.Categorical(table["method"], self.methods).codes.astype(int),
            log_share=table["log_share"].to_numpy(float),
            seen_at=self.ground.at(seen),
            seen=np.where(value < mp.LEAST_SEEN, np.nan, np.log(np.maximum(value, mp.LEAST_SEEN))),
        )

    def _refit(self, data: mp.ProductionData, *, seed: int) -> xr.DataTree:
        """A short fit to other data of the same shape."""
        found = self._nuts.run((data,), seed=seed, chains=2, draws=SHORT)
        groups = {"posterior": {name: found.samples[name] for name in mp.SAMPLED}, "sample_stats": found.stats}
        return xr.DataTree.from_dict({name: by_chain(group) for name, group in groups.items()})

    def _held_out(self, folds: int, progress: Progress | None) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        scores, fits = self._cross_validate(folds, "site", progress)
        table = checks.score_table(scores, scores.index.to_series(), checks.by_biome(scores["biome"]))
        return scores, table, fits

    def calibrate(
        self,
        simulations: int,
        *,
        done: checks.Ranks | None = None,
        keep: Callable[[checks.Ranks], None] | None = None,
        progress: Progress | None = None,
    ) -> checks.Ranks:
        """Simulation-based calibration on the places and records of the fit: `check(simulations=…)`, which can be
        resumed.

        Parameters
        ----------
        simulations : int
            Worlds that are drawn from the priors; each costs a fit.
        done : tuple of DataFrame, optional
            Result of an earlier call, whose worlds are not repeated.
        keep : callable, optional
            Called after each world with the result until then, to save it.
        progress : callable, optional
            Called with the fits done and wanted.

        Returns
        -------
        ranks : DataFrame
            One row a world: the rank, in 0 … 1, of each truth among its draws.
        fits : DataFrame
            Diagnostics of each fit.

        Raises
        ------
        InputError
            Nothing has been fitted; or the object was loaded, and the table is needed.
        """
        data = self._fitted_to(self._data)

        def simulate(seed: int) -> tuple[dict[str, float], mp.ProductionData]:
            truth = mp.prior_draw(data, self.ground.sizes, len(self.methods), seed)
            return self._ranked(truth), mp.simulated(truth, data, np.random.default_rng(seed))

        def infer(seed: int, world: mp.ProductionData) -> tuple[checks.Draws, dict[str, object]]:
            tree = self._refit(world, seed=seed)
            draws = flat_draws(tree, mp.SAMPLED, checks.CALIBRATION_DRAWS)
            return self._ranked(draws), self._diagnose(str(seed), tree)

        stream = child_seed(self.seed, "calibration")
        return checks.calibrate(
            simulate, infer, seed=stream, simulations=simulations, done=done, keep=keep, progress=progress
        )

    def _ranks(self, simulations: int, progress: Progress | None) -> pd.DataFrame:
        return self.calibrate(simulations, progress=progress)[0]

    def _ranked(self, draws: mp.Draws) -> dict[str, Any]:
        """What is ranked in simulation-based calibration, (draw,)."""
        data = self._fitted_to(self._data)
        parts = np.exp(mp.expected_parts(draws, data.sites))
        named = {f"{part}, mean of the sites": parts[..., i].mean(axis=1) for i, part in enumerate(mp.PARTS)}
        named |= {f"{part}, first site": parts[:, 0, i] for i, part in enumerate(mp.PARTS)}
        for kind in ("site", "record"):
            named |= {f"{kind}_sd {part}": draws[f"{kind}_sd"][:, i] for i, part in enumerate(mp.PARTS)}
            named[f"{kind}_half"] = draws[f"{kind}_half"]
        named |= {name: draws[name] for name in ("satellite_slope", "satellite_lost")} if len(data.seen) else {}
        named |= {
            f"weights of {q}": np.sqrt((draws["weight"][..., j] ** 2).mean(axis=1)) for j, q in enumerate(mp.FIELDS)
        }
        return {name: v if len(v) > 1 else float(v[0]) for name, v in named.items()}

    @property
    def _varying(self) -> tuple[str, ...]:
        constant = {"method": len(self.methods) < 2, "slope": not self.ground.components.names}
        return tuple(name for name in mp.SAMPLED if not constant.get(name))

    def _settings(self) -> dict[str, Any]:
        return super()._settings() | {"climate": self.climate}

    def _more(self) -> dict[str, Any]:
        return {"methods": self.methods, "climate": self.ground.climate.to_dict("index")}

    def _restore(self, more: dict[str, Any]) -> None:
        self.methods = more["methods"]
        centres = self.posterior["kernels"].to_dataset()
        self._ground = Ground(
            Components.from_dataset(self.posterior["components"].to_dataset()),
            pd.DataFrame.from_dict(more["climate"], orient="index", columns=["mean", "sd", "log"]),
            {name: mp.Kernel.of(centres[name].values, mp.LENGTH[name]) for name in mp.SCALES},
        )


def _fluxes(npp: NDArray[np.float64], f_bnpp: NDArray[np.float64]) -> xr.Dataset:
    """`npp`, `f_bnpp` and their product."""
    flux = {"units": "Mg ha-1 yr-1"}
    return xr.Dataset(
        {
            "npp": (("draw", "site"), npp, flux),
            "f_bnpp": (("draw", "site"), f_bnpp, {"units": "1"}),
            "iroot": (("draw", "site"), npp * f_bnpp, flux),
        }
    )


def site_of(table: pd.DataFrame) -> pd.Series:
    """Number of each record's site: records of one place and biome are of one."""
    where = [table["lat"].round(PLACE_DECIMALS), table["lon"].round(PLACE_DECIMALS), table["biome"]]
    return table.groupby(where).ngroup()


def left_out(table: pd.DataFrame, by: By) -> pd.Series:
    """Labels of what is left out together."""
    place = table["lat"].round(1).astype(str) + "/" + table["lon"].round(1).astype(str)
    if by == "site":
        return place
    if by == "study":
        return table["study"].where(table["study"] != "", place)
    square = np.floor(table[["lat", "lon"]] / REGION_DEGREES).astype(int).astype(str)
    return square["lat"] + "/" + square["lon"]


def without(data: mp.ProductionData, held: NDArray[np.bool_]) -> mp.ProductionData:
    """Data without some records, of the same shape."""
    parts, total = np.array(data.parts), np.array(data.total)
    parts[held], total[held] = np.nan, np.nan
    return data._replace(parts=parts, total=total)
