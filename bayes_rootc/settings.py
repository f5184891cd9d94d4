"""Settings of a run: one TOML file, or none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import numpy as np
import pydantic

from .data.atmosphere import Prehistory
from .data.grid import MIN_CELL, WORLD, MapGrid
from .data.tables import reason_of, shown
from .data.toml import first_error, read_toml
from .errors import InputError
from .mapping.variables import MAP_LAYERS, STATISTIC_NAMES, MapMode
from .seeds import child_seed


def _possible(path: Path) -> Path:
    """Refuses what cannot be the name of a file; whether the file exists is another question."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, ValueError) as error:
        raise ValueError(f"`{shown(path)}` is not a path ({reason_of(error)})") from None
    return path


type LayerName = Literal["0-20", "20-40", "40-60", "60-80", "80-100", "100-150", "150-200", "0-200"]
type StatisticName = Literal["mean", "median", "p025", "p975", "uncertainty", "probability", "applicability"]
type FamilyName = Literal["log-normal", "two pools"]
Place = Annotated[Path, pydantic.AfterValidator(_possible)]


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "covariates": "paper",
        "atmosphere": "hemispheres",
        "prehistory": "steady",
        "turnover_prior": "point",
        "pool_spread": 0.0,
        "rates": (),
        "prior_median_age": 400.0,
        "prior_log_sd": 2.0,
        "model_sd": 20.0,
        "gridded_stocks": "soil_map",
        "iroot_depth": "paper",
        "iroot_model": "forest",
        "correct_means": False,
        "site_predictions": "ensemble",
        "members": 500,
        "validation_splits": 10,
        "tau_bootstraps": 500,
        "map_mode": "members",
        "map_quantities": (),
        "map_layers": MAP_LAYERS,
        "map_statistics": tuple(STATISTIC_NAMES),
        "map_precision": 0.0,
        "nearest_km": 100.0,
        "learner_folds": 5,
    },
}
"""Settings by which a published method is repeated: all that it depends on, so that no later default changes it."""

QUICK_AT_MOST = {
    "members": 60,
    "tau_bootstraps": 3,
    "validation_splits": 3,
    "tune": 200,
    "sampler_draws": 200,
    "turnover_tune": 100,
    "turnover_draws": 150,
}
"""Most that a quick run takes, whatever else is asked."""

QUICK_RESOLUTION = 2.0
"""Finest cell of a quick run, degrees."""


class RunSettings(pydantic.BaseModel):
    """What a run does; every field has a default, so that an empty file is a valid one.

    Relative paths are counted from the folder in which the command is given.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    data: Place | None = None
    """Data folder; none: the simulated demo world."""
    out: Place = Path("out")
    """Output folder."""
    seed: int = pydantic.Field(20, ge=0)
    """All randomness flows from it."""
    quick: bool = False
    """Small and coarse: for trying out, not for results. Caps the number of members, draws and hold-out splits, and the
    resolution, whatever else is asked."""

    preset: Literal["paper"] | None = None
    """`paper`: each step as in the Methods of Wang, Xiao et al., on the data at hand. It gives values to other
    settings; any of them that you give yourself overrides it."""

    covariates: Literal["folder", "paper"] = "folder"
    """Covariates of the folder's manifest, or the paper's 54, made from the public files; where these files are not in
    the folder, those of its manifest."""
    atmosphere: Literal["zones", "hemispheres"] = "zones"
    """Curves of five zones, or the mean of those of each hemisphere."""
    prehistory: Prehistory = "intcal20"
    """State of the radiocarbon in 1950: what the history of the atmosphere made of it, or, as in the paper, steady in
    the air of 1950, which makes carbon too young."""
    turnover_prior: Literal["hierarchical", "weak", "point"] = "hierarchical"
    """How k of each layer is estimated: from all layers together (depth, biome, place, profile); from the layer alone,
    under the weak prior below; or, as in the paper, as the slowest k that gives the measured value, without error."""
    turnover_error: Literal["student", "normal"] = "student"
    """Hierarchical: distribution of the errors of Δ14C: Student's t, which is robust against outliers, or Normal."""
    pool_spread: Annotated[float, pydantic.Field(ge=0, le=3)] | Literal["inferred"] = 0.0
    """Hierarchical, for I_bulk of tables and maps: standard deviation of log k within a layer; 0 is the paper's one
    homogeneous pool, "inferred" estimates it from the data, which do not tell how much carbon enters in all."""
    family: FamilyName = "log-normal"
    """Hierarchical: how rates within a layer are distributed, where their spread is inferred: log-normal, or two
    pools."""
    rates: tuple[FamilyName, ...] = ("log-normal",)
    """Hierarchical, for ages, transit times and the input that stays: families of rates within a layer that are fitted
    beside `pool_spread`, each of which costs a fit. Their spread is inferred, above all from the CO₂ that layers
    respire and from their light and heavy carbon (ISRaD's incubations and fractions, where they are in the folder). Of
    two families, `turnover_families.csv` says how much each is worth."""
    levels: tuple[Literal["site", "study"], ...] | None = None
    """Hierarchical: what profiles have in common with others, from the lowest level up: log k also differs between
    sites, and between studies. By default both where the spread of rates is inferred, and neither where it is given: of
    one pool a whole study may be of the younger of two ages, and I_bulk is then not known within a factor of ten."""
    turnover_tune: int = pydantic.Field(100, ge=100)
    turnover_draws: int = pydantic.Field(500, ge=100)
    """Warm-up and kept draws of each chain of the hierarchical fit; while these are too few, 100 more are made, at most
    16 times."""
    prior_median_age: float = pydantic.Field(400.0, gt=0)
    """Weak prior: median carbon age, yr."""
    prior_log_sd: float = pydantic.Field(2.0, gt=0)
    """Weak prior: standard deviation of log k."""
    model_sd: float = pydantic.Field(20.0, ge=0)
    """Weak prior: how far a one-pool model may be from a real layer, ‰ (the hierarchical fit learns it)."""

    gridded_stocks: Literal["model", "soil_map"] = "model"
    """Stock of a layer where none was measured: predicted from all gridded stocks, depth and biome by the model that
    measured stocks are fitted with; or of the soil map's layers at the site as it is, as in the paper. Where the
    covariates have no such map, or fewer than 30 stocks are measured, it is that of the gridded profile or metre at the
    site, less its median bias against measured layers."""

    members: int = pydantic.Field(500, ge=20)
    """Posterior draws, trees of a forest, and members of totals: draw m goes into tree m and into member m."""
    validation_splits: int = pydantic.Field(10, ge=2)
    """Hold-out splits that calibrate the forests' spread (20 % of the sites, or of the spatial blocks, each)."""
    tau_bootstraps: int = pydantic.Field(0, ge=0)
    """Bootstraps of profiles that calibrate the forests' spread in place of hold-out splits, as in the paper, each of
    which costs a forest; 0: none."""
    correct_means: bool = True
    """Whether the forests' fluxes are multiplied by factors of biome and depth with which their means are right in
    held-out regions, on the natural scale; the paper's are not."""
    site_predictions: Literal["forests", "ensemble"] = "forests"
    """What predicts at the sites of the six estimates: the forests of the maps, or the paper's ensemble of the three
    best of five learners, without an error."""
    iroot_depth: Literal["roots", "paper"] = "roots"
    """How I_root is divided among layers at sites of production and of radiocarbon: as roots are, after the fit of root
    depth; or, as in the paper, as I_bulk is, which is circular: every layer of a site then loses the same share."""
    iroot_model: Literal["forest", "field"] = "forest"
    """What makes I_root: a forest of what was measured below ground, as in the paper; or the fields of one model of all
    production (`inputs.production`), whose members are whole maps, and in which I_root is a part of NPP everywhere.
    It costs a fit."""
    block_km: float | None = pydantic.Field(None, gt=0)
    """Side of the blocks of spatial validation; none: the range of the variogram of residuals, from 100 to 1,500 km."""
    chains: int = pydantic.Field(4, ge=2)
    tune: int = pydantic.Field(200, ge=100)
    sampler_draws: int = pydantic.Field(400, ge=100)
    """Chains of every fit; warm-up and kept draws of each chain of the regressions. The same number of draws is added,
    at most four times, while R-hat or effective sample sizes are not good."""
    sampler: Literal["pymc", "nutpie", "numpyro", "blackjax"] = "numpyro"
    """Sampler of the regressions; `docs/engineering.md` has the speed of each."""

    resolution: float = pydantic.Field(0.5, ge=MIN_CELL, le=30)
    """Cell of the maps, degrees."""
    bbox: tuple[float, float, float, float] = WORLD
    """Part that is mapped: west, south, east, north; across 180° if west is greater than east."""
    map_like: Place | None = None
    """A raster whose grid the maps take, instead of resolution and bbox."""
    map_mode: MapMode = "independent"
    """Statistics of a cell: those of independent draws, by formulas; those of `members` such draws, as in the paper,
    which takes fifty times as long; or those of the trees of the forests (coherent), so that a member is one whole
    map."""
    map_formats: tuple[Literal["cog", "netcdf", "zarr"], ...] = pydantic.Field(("cog", "netcdf"), min_length=1)
    """Formats of the maps: `cog`, a GeoTIFF for each map; `netcdf`, one file with all; `zarr`, one store with all."""
    map_quantities: tuple[Literal["age", "transit_time", "ibulk_t100"], ...] = ("age", "transit_time", "ibulk_t100")
    """Maps besides the fluxes: mean age of the carbon, its mean transit time, and input that stays longer than 100
    years; each costs a tenth of the time that fluxes take."""
    map_layers: tuple[LayerName, ...] = pydantic.Field(get_args(LayerName.__value__), min_length=1)
    """Layers that are mapped, cm; `0-200` is the whole profile. Tables of totals have all of them anyway."""
    map_statistics: tuple[StatisticName, ...] = pydantic.Field(get_args(StatisticName.__value__), min_length=1)
    """Statistics that are mapped, of each quantity that has them; `uncertainty` is half the 95 % interval over the
    absolute mean."""
    map_precision: float = pydantic.Field(0.0005, ge=0, le=0.1)
    """Largest relative error to which values of maps are rounded, so that files are smaller; 0: as computed. The
    default, 0.05 %, is far below how uncertain a cell is, and stands in each file."""
    license: str = pydantic.Field("CC-BY-4.0", min_length=1)
    """Licence under which you give the maps away, as SPDX calls it; it stands in every file of them."""
    zones: Place | None = None
    zone_field: str | None = None
    """Polygons (GeoJSON, Shapefile, GeoPackage) or a raster of classes for which totals are wanted, and the column, of
    any type, that names the polygons. A cell counts by its share in each."""
    tile: int = pydantic.Field(384, ge=16, le=4096)
    """Side of the tiles that maps are made in, cells; memory is 1 GB and, for each worker, 2 kB a cell of a tile."""
    workers: int = pydantic.Field(2, ge=1)
    """Tiles that are made at once."""
    nearest_km: float = pydantic.Field(100.0, ge=0)
    """Maximum distance (km) from which a missing covariate is borrowed, for a site or a cell of a map."""
    resume: bool = False
    """Maps: whether unfinished tiles of other settings, models, data or code are an error; by default they are made
    again."""
    dask: str | None = None
    """Maps: address of a Dask scheduler that makes the tiles (`tcp://…`, or `tls://…` with the certificates of Dask's
    own configuration); or the file that it writes for its clients (`….json`); or `local`: processes on this machine."""

    folds: int = pydantic.Field(0, ge=0)
    """Folds of a cross-validation of the fits, each of which costs a fit; 0: none."""
    folds_by: Literal["profile", "study"] = "profile"
    """Turnover: what is held out as a whole. Profiles of one study are alike, so a new study is harder to predict."""
    simulations: int = pydantic.Field(0, ge=0)
    """Worlds of a simulation-based calibration of the fits, each of which costs a fit; 0: none."""
    both_histories: bool = False
    """Whether turnover is also fitted with the other state in 1950 (`prehistory`), and compared."""
    learner_folds: int = pydantic.Field(5, ge=2)
    """Parts held out in turn where all learners are compared; five hold out a fifth each, as the paper does once."""

    @classmethod
    def read(cls, path: Path | None = None, **overrides: Any) -> Self:
        """Settings from a TOML file (or none), with the command line's choices over them.

        Raises
        ------
        InputError
            Not readable, not TOML, an unknown key, a value of the wrong type or out of range.
        """
        values = read_toml(Path(path)) if path is not None else {}
        values |= {key: value for key, value in overrides.items() if value is not None}
        try:
            settings = cls(**values)
        except pydantic.ValidationError as error:
            key, message = first_error(error)
            if error.errors()[0]["type"] == "extra_forbidden":
                message = f"unknown setting, expected one of: {', '.join(cls.model_fields)}"
            raise InputError(f"setting {key}: {message}", file=path) from None
        settings._refuse_places(path)
        return settings

    def _refuse_places(self, file: Path | None) -> None:
        """Refuses a box, or folders, that no run could use: at once, not when the run comes to them."""
        try:
            MapGrid(self.resolution, self.bbox)
        except InputError as error:
            raise InputError(f"setting bbox: {error.message}", file=file) from None
        if self.map_like:
            MapGrid.like(self.map_like)
        there = next(path for path in (self.out, *self.out.parents) if path.exists())
        if not there.is_dir():
            raise InputError(f"setting out: {there} is a file; expected a folder", file=file)
        if self.data and self.data.resolve() == self.out.resolve():
            raise InputError(f"setting out: {self.out} is the data folder; expected another", file=file)

    @pydantic.field_validator("map_layers", "map_statistics")
    @classmethod
    def _in_order(cls, names: tuple[str, ...], info: pydantic.ValidationInfo) -> tuple[str, ...]:
        """Each name once, in the order of all, so that maps do not depend on the order in which they are named."""
        every = MAP_LAYERS if info.field_name == "map_layers" else STATISTIC_NAMES
        if names == ("applicability",):
            raise ValueError("expected at least one more: applicability says where other maps may be trusted")
        return tuple(name for name in every if name in names)

    @pydantic.field_validator("folds")
    @classmethod
    def _more_than_one_fold(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("expected 0 (none), or at least 2")
        return folds

    @pydantic.model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        preset = values.get("preset") if isinstance(values, dict) else None
        return {**PRESETS[preset], **values} if isinstance(preset, str) and preset in PRESETS else values

    @pydantic.model_validator(mode="after")
    def _reduce_if_quick(self) -> Self:
        """Fewer members and splits, coarser maps. Done here, so that every way to make settings gives the same."""
        if self.quick:
            values = {name: min(getattr(self, name), most) for name, most in QUICK_AT_MOST.items()}
            values["resolution"] = max(self.resolution, QUICK_RESOLUTION)
            for name, value in values.items():
                object.__setattr__(self, name, value)  # frozen for everybody else
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with some values changed, which are validated, and reduced if it is quick.

        Raises
        ------
        pydantic.ValidationError
            A changed value is of the wrong type or out of range.
        """
        return type(self)(**(self.model_dump(exclude_unset=True) | dict(update or {})))


def step_seed(settings: RunSettings, step: str) -> int:
    """A seed of its own for each step, from the run's one seed: adding a step changes no other."""
    return child_seed(settings.seed, step)


def step_rng(settings: RunSettings, step: str) -> np.random.Generator:
    """A generator with that seed."""
    return np.random.default_rng(step_seed(settings, step))
