"""Maps in tiles: whatever the order, the workers, or how often the work was killed, the files are the same."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import rasterio
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_rootc.cli import main
from bayes_rootc.data.covariates import CovariateStack
from bayes_rootc.data.grid import MapGrid
from bayes_rootc.errors import InputError
from bayes_rootc.mapping import tiles
from bayes_rootc.mapping.tiles import MapJob, Place, begin, gather, make_tile, make_tiles
from bayes_rootc.mapping.variables import MAP_LAYERS, STATISTIC_NAMES
from bayes_rootc.mapping.zones import Zones
from tests.mapping.small_map import command

pytestmark = pytest.mark.thorough

KILLS = 4
"""Moments at which the work is killed; `KILLS=20 make test` for more."""


def digest(folder: Path) -> dict[str, str]:
    """Checksum of every map."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.glob("*.*")) if p.is_file()}


def cells_of(folder: Path) -> dict[str, np.ndarray]:
    """Values of some maps."""
    with xr.open_dataset(folder / "maps.nc") as maps:
        return {name: maps[name].values for name in ("iloss_mean", "ibulk_p975", "ibulk_applicability", "biome")}


@pytest.fixture(scope="module")
def finished(job) -> dict[str, str]:
    """Checksums of the maps that one undisturbed command makes."""
    assert main(command(job)) == 0
    return digest(job.out / "maps")


def begin_anew(job: MapJob) -> list[Place]:
    """All tiles of the job, none of which is made yet."""
    shutil.rmtree(job.work, ignore_errors=True)
    return begin(job, resume=False)


def test_what_is_finished_is_complete_and_tidy(job, finished):
    assert len([n for n in finished if n.endswith(".tif")]) == 3 * 8 * 5 + 8 + 3 * 8 + 2 + 1  # the last: biomes
    assert not job.work.exists() and "maps.nc" in finished
    land = CovariateStack(job.covariates).on_grid(job.grid, [])["biome"].values > 0
    maps = cells_of(job.out / "maps")
    shown = np.isfinite(maps["iloss_mean"][7])
    assert shown[~land].sum() == 0 and shown[land].mean() > 0.85
    np.testing.assert_array_equal(np.isfinite(maps["ibulk_applicability"]), shown)
    np.testing.assert_array_equal(maps["biome"] > 0, shown)


def test_chosen_maps_have_the_values_of_all_maps_and_the_others_are_not_written(job, finished, tmp_path):
    whole, out = xr.load_dataset(job.out / "maps" / "maps.nc"), tmp_path / "out"
    shutil.copytree(job.out, out)
    chosen = command(replace(job, out=out), "--layers", "0-200", "0-20", "--statistics", "p975", "mean")
    totals, own = (out / "tables" / "map_totals.csv").read_bytes(), out / "maps" / "of_ones_own.tif"
    own.touch()
    for precision in ("0.0005", "0"):
        assert main([*chosen, "--precision", precision, "--formats", "cog", "netcdf", "zarr"]) == 0
        names = {
            f"{q}_{layer}_{s}.tif"
            for q in ("iroot", "ibulk", "iloss")
            for layer in ("0-20", "0-200")
            for s in ("mean", "p975")
        }
        names |= {f"share_{layer}_p975.tif" for layer in ("0-20", "0-200")} | {"biome.tif"}
        assert {path.name for path in (out / "maps").glob("*.tif")} == names | {own.name}
        assert {path.stem for path in (out / "maps" / "stac").glob("*0-20.json")} == {
            f"{q}_0-20" for q in ("iroot", "ibulk", "iloss", "share")
        }
        with (
            xr.open_dataset(out / "maps" / "maps.nc") as netcdf,
            xr.open_zarr(out / "maps" / "maps.zarr", chunks=None) as zarr,
        ):
            for maps in (netcdf, zarr):
                assert maps["layer"].values.tolist() == ["0-20", "0-200"]
                for name in ("iroot_mean", "ibulk_p975", "iloss_p975", "share_p975", "biome"):
                    want = whole[name] if name == "biome" else whole[name].sel(layer=["0-20", "0-200"])
                    np.testing.assert_allclose(maps[name], want, rtol=0 if precision == "0.0005" else 0.0005)
                assert ("comment" in maps["iroot_mean"].attrs) == (precision != "0")
        with rasterio.open(out / "maps" / "iroot_0-20_mean.tif") as source:
            np.testing.assert_array_equal(source.read(1, masked=True).filled(np.nan), maps["iroot_mean"][0])
        assert (out / "tables" / "map_totals.csv").read_bytes() == totals
        assert pd.read_csv(out / "tables" / "map_ranges.csv").empty  # they are of medians


def test_names_of_no_layer_or_statistic_are_refused_with_the_list(job, capsys):
    for option, name, every in (("--layers", "0-30", MAP_LAYERS), ("--statistics", "mode", STATISTIC_NAMES)):
        with pytest.raises(SystemExit, match="2"):
            main([*command(job), option, name])
        said = capsys.readouterr().err
        assert name in said and all(one in said for one in every)
    for text in ('map_layers = ["0-30"]', 'map_statistics = ["mode"]', "map_layers = []", "map_precision = 0.5"):
        (job.out / "bad.toml").write_text(text)
        assert main(["map", str(job.out / "bad.toml")]) == 2
        assert f"setting {text.partition(' ')[0]}" in capsys.readouterr().err
    assert main([*command(job), "--statistics", "applicability"]) == 2
    assert "setting map_statistics: expected at least one more" in capsys.readouterr().err


@pytest.mark.slow
def test_one_or_three_workers_and_any_order_make_the_same_bytes(job, finished):
    assert main(command(job, "--workers", "3")) == 0
    assert digest(job.out / "maps") == finished
    places = begin_anew(job)
    make_tiles(job, random.Random(1).sample(places, len(places)), workers=1)
    backwards, cells, _ = gather(job)
    begin_anew(job)
    make_tiles(job, places, workers=2)
    forwards, again, _ = gather(job)
    assert cells == again
    np.testing.assert_array_equal(backwards.ibulk, forwards.ibulk)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_local_dask_cluster_makes_the_same_bytes(job, finished, workers):
    assert main(command(job, "--dask", "local", "--workers", str(workers))) == 0
    assert digest(job.out / "maps") == finished


@pytest.fixture
def tls(tmp_path) -> dict[str, str]:
    """Settings of Dask with a certificate that vouches for itself."""
    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    make = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=scheduler".split()
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    found = {"distributed.comm.tls.ca-file": certificate}
    return found | {
        f"distributed.comm.tls.{role}.{name}": path
        for role in ("client", "scheduler", "worker")
        for name, path in (("key", key), ("cert", certificate))
    }


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes certificates")
def test_a_scheduler_is_found_by_its_file_and_by_certificates(job, finished, tls, tmp_path):
    import dask
    from dask.distributed import Client, LocalCluster
    from distributed.security import Security

    file, how = tmp_path / "scheduler.json", {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(**how) as cluster, Client(cluster) as client:
        client.write_scheduler_file(str(file))
        assert main(command(job, "--dask", str(file))) == 0
    assert digest(job.out / "maps") == finished
    with dask.config.set(tls), LocalCluster(**how, protocol="tls://", security=Security()) as cluster:
        assert cluster.scheduler_address.startswith("tls://")
        assert main(command(job, "--dask", cluster.scheduler_address)) == 0
        with dask.config.set({name: None for name in tls}):
            assert main(command(job, "--dask", cluster.scheduler_address)) == 2
    assert digest(job.out / "maps") == finished


def test_a_file_without_a_scheduler_is_one_line(job, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(tiles, "SCHEDULER_SECONDS", 0.2)
    file = tmp_path / "scheduler.json"
    for text, says in ((None, "no such scheduler file"), ("{}", "holds no address"), ("[", "holds no address")):
        if text:
            file.write_text(text)
        assert main(command(job, "--dask", str(file))) == 2
        assert f"{file}: {says}" in capsys.readouterr().err


def test_the_side_of_a_tile_does_not_matter(job, finished):
    before = cells_of(job.out / "maps")
    assert main([*command(job), "--tile", "64"]) == 0
    for name, values in cells_of(job.out / "maps").items():
        same = np.isclose(values, before[name], rtol=1e-4, equal_nan=True)
        assert same.mean() > 0.999, name  # two cells of a raster may be equally near a hole


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_where_it_was(job, finished):
    """Nothing is lost, no tile is made twice, and the files are those of an undisturbed run."""
    run = [sys.executable, "-m", "bayes_rootc", *command(job, "--workers", "2")]
    rng, tiles = random.Random(5), job.work / "tiles"
    known: dict[str, int] = {}
    start = time.monotonic()
    for _ in range(int(os.environ.get("KILLS", KILLS))):
        process = subprocess.Popen(run, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while not (job.work / "plan.json").exists() and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0.0, 3.0))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if not tiles.exists():  # it was quicker
            break
        made = {p.name: p.stat().st_mtime_ns for p in tiles.glob("*.npz") if not p.name.startswith(".")}
        assert known.items() <= made.items()
        known = made
    assert subprocess.run([*run, "--resume"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode == 0
    assert digest(job.out / "maps") == finished and time.monotonic() > start


def test_a_finished_tile_is_not_made_again(job):
    places = begin_anew(job)
    make_tile(job, places[0])
    stamp = job.done(places[0]).stat().st_mtime_ns
    make_tile(job, places[0])
    assert job.done(places[0]).stat().st_mtime_ns == stamp
    assert begin(job, resume=True) == begin(job, resume=False) == places[1:]


def test_tiles_of_other_settings_are_not_kept(job, capsys):
    places = begin_anew(job)
    make_tile(job, places[0])
    with pytest.raises(InputError, match="made with other values of seed; run without --resume to start over"):
        begin(replace(job, seed=4), resume=True)
    assert main([*command(job), "--resume", "--tile", "32"]) == 2
    assert "tile" in capsys.readouterr().err
    assert begin(job, resume=True) == places[1:]  # what was there still is
    assert begin(replace(job, seed=4), resume=False) == places


def test_without_models_it_says_what_to_do(job, tmp_path, capsys):
    with pytest.raises(InputError, match="bayes-rootc train"):
        begin(replace(job, out=tmp_path), resume=False)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "learners.npz").write_bytes(job.learners.read_bytes())
    with pytest.raises(InputError, match="fit root-depth"):
        begin(replace(job, out=tmp_path), resume=False)
    assert main([*command(job), "--zones", str(tmp_path / "none.shp")]) == 2
    assert "none.shp: not found" in capsys.readouterr().err
    assert main([*command(job), "--dask", "tcp://127.0.0.1:9"]) == 2
    assert "no scheduler answers" in capsys.readouterr().err


def test_a_box_of_sea_is_one_line(job, capsys):
    assert main([*command(job), "--bbox", "-179", "-89", "-170", "-80"]) == 2
    assert "no land cell" in capsys.readouterr().err


def square(west: float, south: float, east: float, north: float, name: str) -> dict:
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "properties": {"code": 1, "name": name},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }


def test_totals_of_polygons_and_of_a_mask_add_up(job, tmp_path):
    path = tmp_path / "halves.geojson"
    halves = [square(-180, 0, 180, 90, "north"), square(-180, -90, 180, 0, "south")]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": halves}))
    assert main([*command(job), "--zones", str(path), "--formats", "zarr"]) == 0
    tables = [
        np.genfromtxt(
            job.out / "tables" / f"map_totals{n}.csv", delimiter=",", names=True, dtype=None, encoding="utf-8"
        )
        for n in ("", "_zones")
    ]
    world = tables[0][(tables[0]["biome"] == 0) & (tables[0]["layer"] == "0-200")]
    zones = tables[1][tables[1]["layer"] == "0-200"]
    assert zones["zone"].tolist() == ["north", "south"]
    assert zones["ibulk_pg_mean"].sum() == pytest.approx(world["ibulk_pg_mean"][0], rel=1e-5)
    assert (job.out / "maps" / "maps.zarr").is_dir()
    mask = tmp_path / "mask.tif"
    with rasterio.open(
        mask, "w", driver="GTiff", width=90, height=45, count=1, dtype="uint8", crs="EPSG:4326",
        transform=job.grid.transform, nodata=0,
    ) as target:  # fmt: skip
        target.write(np.repeat([7] * 23 + [0] * 22, 90).reshape(45, 90).astype(np.uint8), 1)
    zones = Zones(mask)
    assert zones.names == ["7"]
    shares = zones.shares(job.grid)
    assert shares.cell.tolist() == list(range(23 * 90)) and (shares.share == 1).all()


def test_a_map_across_180_degrees_has_the_cells_of_the_globe(job, finished):
    """And zones that are smaller than a cell have totals."""
    whole = cells_of(job.out / "maps")
    path = job.out / "small.geojson"
    cell = np.argwhere(whole["biome"][5:30, :10] > 0)[0].tolist()
    south, west = 90 - 4 * (cell[0] + 6), -180 + 4 * cell[1]
    zone = square(west + 1, south + 1, west + 2, south + 2, "a quarter of a quarter")
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [zone]}))
    box = ["--bbox", "140", "-30", "-140", "70", "--zones", str(path)]
    assert main([*command(job), *box]) == 0
    across = cells_of(job.out / "maps")
    for name, values in whole.items():
        want = np.roll(values[..., 5:30, :], 10, axis=-1)[..., :20]
        same = (across[name] == want) | (np.isnan(want) & np.isnan(across[name]))
        # A hole between two cells that are equally far takes the value of either.
        assert np.mean(~same) < (0.005 if name != "biome" else 1e-9), name
    totals = pd.read_csv(job.out / "tables" / "map_totals_zones.csv")
    area = job.grid.area_ha[cell[0] + 5, cell[1]] / 16 / 1e6
    assert totals["zone"].unique().tolist() == ["a quarter of a quarter"]
    np.testing.assert_allclose(totals["area_mha"], area, rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 45), cols=st.integers(1, 90), tile=st.integers(16, 40), resolution=st.sampled_from([0.05, 1, 2])
)
def test_tiles_cover_the_map_exactly(rows, cols, tile, resolution):
    grid = MapGrid(resolution, (-20, 10 - rows * resolution, -20 + cols * resolution, 10))
    job = MapJob(Path(), Path(), grid, tile, 20, 1, 0.0)
    seen = np.zeros(grid.shape, int)
    for row, col in job.places():
        part = grid.part(row, col, tile)
        seen[row : row + part.shape[0], col : col + part.shape[1]] += 1
        np.testing.assert_allclose(part.lat, grid.lat[row : row + part.shape[0]])
        np.testing.assert_allclose(part.lon, grid.lon[col : col + part.shape[1]])
    assert (seen == 1).all()
