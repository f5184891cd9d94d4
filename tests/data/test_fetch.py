"""Fetching, against a local server and a local folder: nothing here leaves the machine."""

import hashlib
import io
import json
import threading
import zipfile
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from rich.console import Console

from bayes_rootc.data import download
from bayes_rootc.data.fetch import add_to_manifest, fetch, listing
from bayes_rootc.data.manifest import Raster, read_manifest
from bayes_rootc.data.sources import Source, as_is, member
from bayes_rootc.errors import InputError

TABLE = b"Latitude,Longitude,BNPP\n" + b"46.5,7.3,310\n" * 100_000
BIO1 = Raster(name="bio1", path="bio1.tif", role="covariate", group="climate", unit="degC", source="WorldClim")


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


class Server:
    """Files by path, with ranges; `cuts[path]` connections break in the middle, `codes[path]` answers with an error."""

    def __init__(self):
        self.files, self.cuts, self.codes, self.types = {}, Counter(), {}, {}
        self.requests = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path, wanted = self.path.lstrip("/"), self.headers.get("Range")
                server.requests.append((path, wanted))
                content = server.files.get(path)
                if content is None or path in server.codes:
                    self.send_error(server.codes.get(path, 404))
                    return
                etag, start = f'"{sha(content)[:12]}"', 0
                if wanted and self.headers.get("If-Range") == etag:
                    start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                    self.send_response(206)
                    self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
                else:
                    self.send_response(200)
                self.send_header("ETag", etag)
                self.send_header("Content-Type", server.types.get(path, "application/octet-stream"))
                self.send_header("Content-Length", str(len(content) - start))
                self.end_headers()
                if server.cuts[path] > 0:
                    server.cuts[path] -= 1
                    self.wfile.write(content[start : start + (len(content) - start) // 2])
                    self.wfile.flush()
                    self.close_connection = True
                else:
                    self.wfile.write(content[start:])

            def do_HEAD(self):
                path = self.path.lstrip("/")
                server.requests.append((path, "HEAD"))
                missing = path not in server.files or path in server.codes
                self.send_response(server.codes.get(path, 404) if missing else 200)
                self.send_header("Content-Length", str(len(server.files.get(path, b""))))
                self.end_headers()

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def starts(self):
        """First byte asked for, request by request."""
        return [int(wanted[len("bytes=") : -1]) if wanted else 0 for _, wanted in self.requests]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture
def srdb(server):
    server.files["srdb.csv"] = TABLE
    return Source("srdb", "SRDB", "free", {"npp/srdb-data.csv": as_is}, url=f"{server.url}/srdb.csv")


@pytest.fixture
def worldclim(server):
    server.files["bio.zip"] = zipped(**{"wc2.1_10m_bio_1.tif": b"one", "wc2.1_10m_bio_10.tif": b"ten"})
    return Source(
        "worldclim",
        "WorldClim",
        "free",
        {"covariates/bio1.tif": member("wc2.1_10m_bio_1.tif"), "covariates/bio10.tif": member("wc2.1_10m_bio_10.tif")},
        url=f"{server.url}/bio.zip",
        rasters=(BIO1, BIO1.model_copy(update={"name": "bio10", "path": "bio10.tif"})),
    )


def get(to, *sources, **options):
    return fetch(to, sources=sources, console=Console(quiet=True), **options)


def everything_in(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_source_lands_where_the_loader_looks_and_its_checksum_is_kept(tmp_path, srdb):
    (result,) = get(tmp_path, srdb)
    assert result.status == "fetched"
    assert (tmp_path / "npp/srdb-data.csv").read_bytes() == TABLE
    kept = json.loads((tmp_path / "fetched.json").read_text())
    assert kept["files"]["npp/srdb-data.csv"]["sha256"] == kept["downloads"][srdb.url]["sha256"] == sha(TABLE)
    assert everything_in(tmp_path) == ["fetched.json", "npp/srdb-data.csv"]


def test_what_is_there_and_sound_is_not_fetched_again_and_what_is_damaged_is(tmp_path, server, srdb):
    get(tmp_path, srdb)
    asked = len(server.requests)
    assert get(tmp_path, srdb)[0].status == "present"
    assert len(server.requests) == asked
    (tmp_path / "npp/srdb-data.csv").write_bytes(TABLE[:100])
    assert get(tmp_path, srdb)[0].status == "fetched"
    assert (tmp_path / "npp/srdb-data.csv").read_bytes() == TABLE


def test_the_users_own_file_is_left_alone(tmp_path, server, srdb):
    own = tmp_path / "npp/srdb-data.csv"
    own.parent.mkdir()
    own.write_text("my own")
    assert get(tmp_path, srdb)[0].status == "present"
    assert own.read_text() == "my own"
    assert server.requests == []


def test_a_cut_connection_goes_on_where_it_stopped(tmp_path, server, srdb):
    server.cuts["srdb.csv"] = 2
    get(tmp_path, srdb)
    first, *starts = server.starts()
    assert first == 0
    np.testing.assert_allclose(starts, [len(TABLE) / 2, len(TABLE) * 3 / 4], atol=2 * download.CHUNK_BYTES)
    assert (tmp_path / "npp/srdb-data.csv").read_bytes() == TABLE


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(tmp_path, server, srdb, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    server.cuts["srdb.csv"] = 1
    with pytest.raises(InputError, match="run again to go on"):
        get(tmp_path, srdb)
    assert not (tmp_path / "npp/srdb-data.csv").exists()
    get(tmp_path, srdb)
    np.testing.assert_allclose(server.starts(), [0, len(TABLE) / 2], atol=download.CHUNK_BYTES)
    assert (tmp_path / "npp/srdb-data.csv").read_bytes() == TABLE


def test_a_file_that_changed_between_two_tries_is_not_patched_together(tmp_path, server, srdb, monkeypatch):
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    server.cuts["srdb.csv"] = 1
    with pytest.raises(InputError):
        get(tmp_path, srdb)
    server.files["srdb.csv"] = newer = TABLE.replace(b"310", b"450")
    get(tmp_path, srdb)
    assert (tmp_path / "npp/srdb-data.csv").read_bytes() == newer


def test_a_wrong_checksum_is_one_line_and_leaves_nothing(tmp_path, server, srdb):
    pinned = Source("srdb", "SRDB", "free", srdb.files, url=srdb.url, sha256=sha(b"what was promised"))
    with pytest.raises(InputError, match="does not match the known hash") as caught:
        get(tmp_path, pinned)
    assert srdb.url in str(caught.value)
    assert "\n" not in str(caught.value)
    assert everything_in(tmp_path) == []


def test_a_publishers_file_that_is_not_the_one_seen_first_is_noticed(tmp_path, server, srdb):
    get(tmp_path, srdb)
    (tmp_path / "npp/srdb-data.csv").unlink()
    server.files["srdb.csv"] = b"another release"
    with pytest.raises(InputError, match="another one than on"):
        get(tmp_path, srdb)
    assert everything_in(tmp_path) == ["fetched.json"]


@pytest.mark.parametrize(
    ("code", "says"),
    [(404, "no such file any more"), (403, "wants a login"), (410, "HTTP 410"), (503, "HTTP 503")],
)
def test_a_server_that_says_no_is_one_line_and_the_other_sources_come(tmp_path, server, srdb, worldclim, code, says):
    server.codes["srdb.csv"] = code
    with pytest.raises(InputError, match=says) as caught:
        get(tmp_path, srdb, worldclim)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "covariates/bio1.tif").read_bytes() == b"one"
    assert not (tmp_path / "npp/srdb-data.csv").exists()


def test_a_server_that_is_not_there_is_one_line(tmp_path, srdb, server):
    server.http.server_close()
    with pytest.raises(InputError, match=r"cannot reach 127\.0\.0\.1\); run again to go on"):
        get(tmp_path, srdb)


def test_a_login_page_is_not_taken_for_data(tmp_path, server, srdb):
    server.types["srdb.csv"] = "text/html; charset=utf-8"
    with pytest.raises(InputError, match=r"a web page came instead of data\); put .*srdb-data.csv there by hand"):
        get(tmp_path, srdb)


def test_a_source_behind_a_login_says_what_to_do_and_is_taken_once_it_is_there(tmp_path):
    roots = Source("roots", "ORNL", "free", {"roots/root_profiles.csv": as_is}, by_hand="get it from ORNL")
    (result,) = get(tmp_path, roots)
    assert result.status == "by hand"
    assert result.note == f"get it from ORNL; put it at {tmp_path / 'roots/root_profiles.csv'}"
    (tmp_path / "roots").mkdir()
    (tmp_path / "roots/root_profiles.csv").write_text("ID,D50")
    assert get(tmp_path, roots)[0].status == "present"


def test_rasters_enter_the_manifest_and_the_users_entries_stay(tmp_path, worldclim):
    manifest = tmp_path / "covariates/manifest.toml"
    manifest.parent.mkdir()
    own = '# mine\n[[raster]]\nname = "bio1"\npath = "my.tif"\nrole = "covariate"\ngroup = "climate"\nunit = "K"\n'
    manifest.write_text(own)
    get(tmp_path, worldclim)
    assert manifest.read_text().startswith(own)
    assert [(r.name, r.path) for r in read_manifest(manifest).covariates] == [
        ("bio1", "my.tif"),
        ("bio10", "bio10.tif"),
    ]


def test_manifest_entries_come_back_as_they_were_written(tmp_path):
    rasters = [
        BIO1,
        BIO1.model_copy(update={"name": "b", "note": 'a "quoted" ‰ note', "categories": ["tundra", "rock and ice"]}),
    ]
    for raster in rasters:
        add_to_manifest(tmp_path / "manifest.toml", [raster])
    assert read_manifest(tmp_path / "manifest.toml").covariates == tuple(rasters)


def test_a_broken_archive_leaves_the_folder_as_it_was(tmp_path, server, worldclim):
    server.files["bio.zip"] = server.files["bio.zip"].replace(b"ten", b"net")
    with pytest.raises(InputError, match="not a sound zip archive"):
        get(tmp_path, worldclim)
    assert not (tmp_path / "covariates").exists()


def test_only_the_named_sources_are_brought(tmp_path, srdb, worldclim):
    assert [r.name for r in get(tmp_path, srdb, worldclim, only=["worldclim"])] == ["worldclim"]
    with pytest.raises(InputError, match="`soil` is not a source, expected one of: srdb, worldclim"):
        get(tmp_path, srdb, worldclim, only=["soil"])


@pytest.fixture
def copy(tmp_path):
    """A copy of a data folder, with a newer ISRaD than the registry's."""
    folder = tmp_path / "copy"
    content = {
        "israd/ISRaD_extra_flat_layer_v9.csv.gz": b"layers",
        "npp/srdb-data.csv": TABLE,
        "covariates/bio1.tif": b"one",
    }
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    add_to_manifest(folder / "covariates/manifest.toml", [BIO1])
    names = [*content, "covariates/manifest.toml"]
    sums = [f"{sha((folder / name).read_bytes())}  {name}" for name in names]
    (folder / "SHA256SUMS").write_text("\n".join(sums) + "\n")
    return folder


def publish(server, folder):
    server.files |= {f"mirror/{name}": (folder / name).read_bytes() for name in everything_in(folder)}
    return f"{server.url}/mirror/"


@pytest.mark.parametrize("place", ["folder", "url"])
def test_everything_comes_from_a_copy(tmp_path, server, copy, place):
    source = copy if place == "folder" else publish(server, copy)
    to = tmp_path / "data"
    for status in ("fetched", "present"):
        results = {r.name: r.status for r in fetch(to, source, console=Console(quiet=True))}
        assert {n for n, s in results.items() if s == status} == {"israd", "srdb", "covariates"}
        assert {s for n, s in results.items() if n not in ("israd", "srdb", "covariates")} == {"absent"}
    assert sorted(set(everything_in(to)) - {"fetched.json"}) == sorted(set(everything_in(copy)) - {"SHA256SUMS"})
    assert read_manifest(to / "covariates/manifest.toml").covariates == (BIO1,)


@pytest.mark.parametrize("place", ["folder", "url"])
def test_a_copy_that_does_not_keep_its_checksums_is_refused(tmp_path, server, copy, place):
    (copy / "npp/srdb-data.csv").write_bytes(b"damaged on the way")
    source = copy if place == "folder" else publish(server, copy)
    to = tmp_path / "data"
    with pytest.raises(InputError, match=r"srdb-data\.csv"):
        fetch(to, source, console=Console(quiet=True))
    assert not (to / "npp/srdb-data.csv").exists()
    assert (to / "covariates/bio1.tif").exists()


def test_a_copy_cannot_write_outside_the_data_folder(tmp_path, copy):
    (copy / "SHA256SUMS").unlink()
    add_to_manifest(
        copy / "covariates/manifest.toml", [BIO1.model_copy(update={"name": "x", "path": "../../escaped.tif"})]
    )
    with pytest.raises(InputError, match="is outside the folder"):
        fetch(tmp_path / "data", copy, console=Console(quiet=True))


@pytest.mark.parametrize("place", ["nowhere", "empty"])
def test_a_copy_with_nothing_in_it_is_an_error(tmp_path, place):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no such folder|none of the files"):
        fetch(tmp_path / "data", tmp_path / place, console=Console(quiet=True))


LAYERS, FRACTIONS = "israd/ISRaD_extra_flat_layer_*.csv", "israd/ISRaD_extra_flat_fraction_*.csv"


@pytest.fixture
def israd(server):
    """Tables of a release, under names that only the archive knows."""
    tables = {name.split("/")[1]: member(name.split("/")[1]) for name in (LAYERS, FRACTIONS)}

    def release(version: str) -> None:
        names = [name.replace("*", f"v{version}") for name in tables]
        server.files["israd.zip"] = zipped(**{f"database/{name}": version.encode() for name in names})

    release("2.5.5.2023-09-20")
    source = Source(
        "israd",
        "ISRaD",
        "CC BY 4.0",
        {f"israd/{name}": unpack for name, unpack in tables.items()},
        url=f"{server.url}/israd.zip",
        stands_in=f"{LAYERS}*",
        newest=True,
        page="https://israd",
    )
    return source, release


def test_the_newest_release_comes_under_its_own_name(tmp_path, server, israd):
    source, release = israd
    (result,) = get(tmp_path, source)
    names = [name.replace("*", "v2.5.5.2023-09-20") for name in (LAYERS, FRACTIONS)]
    assert result.status == "fetched" and [p.relative_to(tmp_path).as_posix() for p in result.files] == names
    assert get(tmp_path, source)[0].status == "present"
    (tmp_path / names[1]).write_text("damaged")
    assert get(tmp_path, source)[0].status == "fetched"
    assert (tmp_path / names[1]).read_text() == "2.5.5.2023-09-20"
    # A newer one is no error, as it is where the address is that of one file.
    for name in names:
        (tmp_path / name).unlink()
    release("2.6.0.2026-01-31")
    get(tmp_path, source)
    assert (tmp_path / names[0].replace("2.5.5.2023-09-20", "2.6.0.2026-01-31")).exists()


def test_another_release_that_is_there_serves_as_well(tmp_path, server, israd):
    path = tmp_path / "israd" / "ISRaD_extra_flat_layer_v2-2023-02-08.csv.gz"
    path.parent.mkdir()
    path.write_bytes(b"layers")
    (result,) = get(tmp_path, israd[0])
    assert result.status == "present" and result.files == (path,) and server.requests == []


@pytest.mark.parametrize("how", ["404", "410", "a web page", "not an archive"])
def test_what_has_moved_is_said_with_the_address_to_look_at(tmp_path, server, israd, how):
    source, _ = israd
    if how.isdigit():
        server.codes["israd.zip"] = int(how)
    else:
        server.files["israd.zip"] = b"moved"
        server.types["israd.zip"] = "text/html" if how == "a web page" else "application/zip"
    with pytest.raises(InputError, match=r"look at https://israd$") as caught:
        get(tmp_path, source)
    assert str(caught.value).startswith(source.url)


def test_the_list_has_sizes_and_licences_and_downloads_nothing(tmp_path, server, srdb, worldclim, israd):
    get(tmp_path, worldclim)
    server.requests.clear()
    source, _ = israd
    del server.files["israd.zip"]
    roots = Source("roots", "ORNL", "free with a login", {"roots/x.csv": as_is}, by_hand="get it from ORNL")
    text = io.StringIO()
    found = listing(tmp_path, sources=(srdb, worldclim, source, roots), console=Console(file=text, width=200))
    assert [(one.name, one.status, one.megabytes) for one in found] == [
        ("srdb", "", len(TABLE) / 1e6),
        ("worldclim", "here", 6e-6),
        ("israd", "moved", None),
        ("roots", "by hand", None),
    ]
    assert found[2].note == f"{source.url}: HTTP 404; look at https://israd"
    assert sorted(server.requests) == [("israd.zip", "HEAD"), ("srdb.csv", "HEAD")]
    lines = text.getvalue().splitlines()
    assert lines[1].split() == ["srdb", "1.3", "free;", "SRDB"] and lines[-1].strip() == "get it from ORNL"
    server.http.server_close()
    assert listing(tmp_path, sources=(srdb,), console=Console(quiet=True))[0].status == "not reached"
