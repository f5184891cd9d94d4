"""Downloads the public inputs into a data folder: from their publishers, or from a copy of the folder.

A file gets its name only when it is complete and its checksum is right. An interrupted download resumes where it
stopped, in this call or in a later one (`.fetch/*.part`). Checksums of all downloads are kept in `fetched.json`.
"""

from __future__ import annotations

import datetime
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import quote

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from ..errors import InputError
from ..files import sha256, write_json, write_text
from .download import Report, ask, retrieve, silent
from .manifest import Attribute, Manifest, Raster, Terrain, Units, read_manifest
from .sources import SOURCES, Source, member_name
from .tables import reason_of

WORKPLACE, RECORD, CHECKSUMS, MANIFEST = ".fetch", "fetched.json", "SHA256SUMS", "covariates/manifest.toml"


_Task = Callable[[Report], "Fetched"]


@dataclass(frozen=True)
class Fetched:
    """Outcome for one source.

    Attributes
    ----------
    status : {"fetched", "present", "by hand", "absent"}
        `fetched` now; `present` before; `by hand`: the user has to download it, see `note`; `absent` from the copy.
    """

    name: str
    status: Literal["fetched", "present", "by hand", "absent"]
    files: tuple[Path, ...] = ()
    note: str = ""


def fetch(
    to: str | Path,
    source: str | Path | None = None,
    *,
    only: Iterable[str] | None = None,
    sources: tuple[Source, ...] = SOURCES,
    console: Console | None = None,
) -> list[Fetched]:
    """Downloads the public inputs into a data folder; files that are there and sound are left alone.

    Parameters
    ----------
    to : str or Path
        The data folder; it is made if it does not exist.
    source : str or Path, optional
        Folder or URL that holds a copy of a data folder, with an optional `SHA256SUMS` (as `sha256sum` writes it);
        without it, the publishers.
    only : iterable of str, optional
        Names of sources; by default all.
    console : Console, optional
        Where progress is shown, a line for each source.

    Returns
    -------
    list of Fetched
        One record for each source, in order. Sources that a program cannot download are `by hand`, with what to do.
        From a copy, all rasters are one record, `covariates`.

    Raises
    ------
    InputError
        A name is unknown, a checksum does not match, a download failed (the other sources are downloaded all the
        same), or a copy holds none of the files.
    """
    to, console = Path(to), console or Console()
    chosen = _choose(sources, only)
    if to.exists() and not to.is_dir():
        raise InputError("is a file; expected a folder", file=to)
    work = to / WORKPLACE
    work.mkdir(parents=True, exist_ok=True)
    record = _Record(to)
    if source is None:
        tasks: dict[str, _Task] = {s.name: partial(_from_publisher, s, to, record) for s in chosen}
    else:
        copy = _Copy(source, work, chosen, whole=only is None)
        tables = [s for s in chosen if not all(name.startswith("covariates/") for name in s.files)]
        tasks = {s.name: partial(copy.bring, s, to, record) for s in tables}
        tasks |= {"covariates": partial(copy.bring_rasters, to, record)} if copy.rasters else {}
    done, failures = [], []
    for name, task in tasks.items():
        try:
            with _progress(console, name) as report:
                done.append(task(report))
            _say(console, done[-1], to)
        except InputError as error:
            failures.append(str(error))
            console.print(f"  {name}: failed: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
    if failures:
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise InputError(failures[0] + more)
    if source is not None and not any(result.files for result in done):
        raise InputError("holds none of the files of a data folder", file=source)
    with suppress(OSError):  # not empty: an interrupted download of another source is kept there
        work.rmdir()
    return done


def _choose(sources: tuple[Source, ...], only: Iterable[str] | None) -> list[Source]:
    if only is None:
        return list(sources)
    chosen: list[Source] = []
    for name in only:
        found = [s for s in sources if s.name == name or s.name.startswith(f"{name}-")]
        if not found:
            raise InputError(f"`{name}` is not a source, expected one of: {', '.join(s.name for s in sources)}")
        chosen += [s for s in found if s not in chosen]
    return chosen


def _from_publisher(source: Source, to: Path, record: _Record, report: Report) -> Fetched:
    if present := _present(source, to, record):
        return Fetched(source.name, "present", present)
    paths = tuple(to / name for name in source.files)
    if not source.url:
        return Fetched(source.name, "by hand", note=f"{source.by_hand}; put it at {' '.join(map(str, paths))}")
    if to.exists() and not to.is_dir():
        raise InputError("is a file; expected a folder", file=to)
    work = to / WORKPLACE
    download = work / f"{source.name}.download"
    moved = f"; look at {source.page}" if source.page else ""
    try:
        retrieve(source.url, download, source.sha256, report, login=source.by_hand or f"put {paths[0]} there by hand")
    except FileNotFoundError:
        raise InputError(f"the publisher has no such file any more (HTTP 404){moved}", file=source.url) from None
    except InputError as error:
        refused = error.message.startswith("the server")
        raise InputError(error.message + (moved if refused else ""), file=source.url) from None
    if not source.newest:
        record.note_download(source.url, download)
    # Everything is made before anything takes its name: a broken archive leaves the folder as it was.
    try:
        named = {_name_of(name, download): unpack for name, unpack in source.files.items()}
        made = {name: work / f"{source.name}-{i}{PurePosixPath(name).suffix}" for i, name in enumerate(named)}
        for name, unpack in named.items():
            unpack(download, made[name])
    except InputError as error:
        download.unlink()
        raise InputError(f"{error.message}{moved}", file=source.url, column=error.column) from None
    # The manifest first: files without a record count as the user's own, and would never get their entries.
    add_to_manifest(to / MANIFEST, source.rasters)
    for name, path in made.items():
        record.put(path, name, source.url)
    download.unlink()
    files = tuple(to / name for name in made)
    return Fetched(source.name, "fetched", files, note=f"{source.publisher}; {source.licence}")


def _name_of(name: str, download: Path) -> str:
    """The path of a file, whose name may be a pattern that a member of the archive fits."""
    path = PurePosixPath(name)
    return str(path.with_name(member_name(download, path.name))) if "*" in path.name else name


def _present(source: Source, to: Path, record: _Record) -> tuple[Path, ...]:
    """Files of a source, if all are there and sound; or those of another version."""
    found = [sorted(to.glob(name)) if "*" in name else [to / name] for name in source.files]
    if all(paths and all(record.is_sound(_below(path, to)) for path in paths) for paths in found):
        return tuple(path for paths in found for path in paths)
    if any(path.exists() and not record.is_sound(_below(path, to)) for path in chain(*found)):
        return ()  # damaged files are downloaded again
    return tuple(sorted(to.glob(source.stands_in))) if source.stands_in else ()


def _below(path: Path, to: Path) -> str:
    return path.relative_to(to).as_posix()


@dataclass(frozen=True)
class Listed:
    """What `fetch` would download of one source.

    Attributes
    ----------
    status : str
        `here` in the data folder, and sound; `by hand`; `moved`; `not reached`; empty: `fetch` downloads it.
    megabytes : float, optional
        Size of the download, as the server states it, or of the files that are here; None if unknown.
    note : str
        What to do by hand, or where to look if it has moved.
    """

    name: str
    publisher: str
    licence: str
    status: str = ""
    megabytes: float | None = None
    note: str = ""


def listing(to: str | Path, *, sources: tuple[Source, ...] = SOURCES, console: Console | None = None) -> list[Listed]:
    """What `fetch` would download, with size and licence; servers are asked, nothing is downloaded.

    Parameters
    ----------
    to : str or Path
        The data folder; servers are not asked about files that it has already.
    console : Console, optional
        Where the table is printed.
    """
    to = Path(to)
    record = _Record(to)
    with ThreadPoolExecutor(max_workers=8) as pool:
        found = list(pool.map(lambda source: _listed(source, to, record), sources))
    console = console or Console()
    wide = max(len(one.name) for one in found)
    lines = [f"{'source':<{wide}}        MB  {'':<11}  licence; publisher"]
    for one in found:
        size = "" if one.megabytes is None else f"{one.megabytes:,.1f}"
        lines.append(f"{one.name:<{wide}}  {size:>8}  {one.status:<11}  {one.licence}; {one.publisher}")
        lines += [f"{'':{wide}}  {one.note}"] * bool(one.note)
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
    return found


def _listed(source: Source, to: Path, record: _Record) -> Listed:
    about = source.name, source.publisher, source.licence
    if here := _present(source, to, record):
        return Listed(*about, "here", sum(path.stat().st_size for path in here) / 1e6)
    if not source.url:
        return Listed(*about, "by hand", note=source.by_hand)
    answer = ask(source.url)
    if answer.code in (404, 410):
        return Listed(*about, "moved", note=f"{source.url}: HTTP {answer.code}; look at {source.page}")
    return Listed(*about, "" if answer.code else "not reached", answer.size / 1e6 if answer.size else None)


class _Copy:
    """A copy of a data folder, on disk or behind a URL; `whole`: all its rasters, not only the sources' own."""

    def __init__(self, place: str | Path, work: Path, sources: list[Source], *, whole: bool):
        self.place, self.work = place, work
        self.remote = "://" in str(place)
        if not self.remote and not Path(place).is_dir():
            raise InputError("no such folder", file=place)
        self.sums = self._read_sums()
        own = {name for source in sources for name in source.files}
        manifest = self._read_manifest()
        self.rasters = [
            r for r in manifest.covariates if isinstance(r, Raster) and (whole or f"covariates/{r.path}" in own)
        ]
        self.units = list(manifest.units.values()) if whole else []
        self.derived = [r for r in manifest.covariates if isinstance(r, Attribute | Terrain) and whole]

    def bring(self, source: Source, to: Path, record: _Record, report: Report) -> Fetched:
        """Downloads the tables of a source; its rasters come with `bring_rasters`."""
        names = [n for n in self._names(source) if not n.startswith("covariates/")]
        results = [self._bring(name, to, record, report) for name in names]
        files = tuple(to / name for name, status in zip(names, results, strict=True) if status != "absent")
        status: Any = "absent" if not files else "fetched" if "fetched" in results else "present"
        return Fetched(source.name, status, files)

    def bring_rasters(self, to: Path, record: _Record, report: Report) -> Fetched:
        paths = [*(r.path for r in self.rasters), *(path for u in self.units for path in (u.path, u.table))]
        results = {path: self._bring(f"covariates/{path}", to, record, report) for path in dict.fromkeys(paths)}
        there = [path for path, result in results.items() if result != "absent"]
        units = [u for u in self.units if u.path in there and u.table in there]
        rasters = [r for r in self.rasters if r.path in there]
        made_from = {raster.name for raster in rasters} | {of.name for of in units}
        derived = [d for d in self.derived if (d.units if isinstance(d, Attribute) else d.elevation) in made_from]
        add_to_manifest(to / MANIFEST, [*rasters, *units, *derived])
        status: Any = "absent" if not there else "fetched" if "fetched" in results.values() else "present"
        return Fetched("covariates", status, tuple(to / "covariates" / path for path in there))

    def _bring(self, name: str, to: Path, record: _Record, report: Report) -> str:
        if record.is_sound(name, self.sums.get(name)):
            return "present"
        work = self.work / name.replace("/", "-")
        if self._get(name, work, report, self.sums.get(name)) is None:
            return "absent"
        record.put(work, name, str(self.place))
        return "fetched"

    def _names(self, source: Source) -> list[str]:
        """Names under which the copy can hold the source: files of another version are found only in a listing."""
        # A release may be compressed in a copy.
        patterns = [source.stands_in] * bool(source.stands_in) + [f"{name}*" for name in source.files if "*" in name]
        if not patterns:
            return list(source.files)
        if self.remote:
            there = [n for n in self.sums if n.count("/") == 1]
            found = {n for pattern in patterns for n in there if PurePosixPath(n).match(pattern)}
        else:
            paths = (path for pattern in patterns for path in Path(self.place).glob(pattern))
            found = {path.relative_to(self.place).as_posix() for path in paths}
        return sorted(found) or [name for name in source.files if "*" not in name]

    def _get(self, name: str, target: Path, report: Report, checksum: str | None = None) -> Path | None:
        """Downloads one file of the copy to `target`; None if the copy has no such file."""
        target.unlink(missing_ok=True)  # of an earlier call that was interrupted
        if self.remote:
            try:
                retrieve(f"{str(self.place).rstrip('/')}/{quote(name)}", target, checksum, report)
            except FileNotFoundError:
                return None
            return target
        file = Path(self.place) / name
        if not file.is_file():
            return None
        shutil.copyfile(file, target)
        if checksum is not None and (got := sha256(target)) != checksum:
            target.unlink()
            raise InputError(f"its SHA-256 is {got}, expected {checksum}", file=file)
        return target

    def _read_sums(self) -> dict[str, str]:
        file = self._get(CHECKSUMS, self.work / CHECKSUMS, silent)
        sums = {}
        for row, line in enumerate(file.read_text(encoding="utf-8").splitlines() if file else [], start=1):
            checksum, _, name = line.strip().partition(" ")
            name = name.strip().removeprefix("*").removeprefix("./")
            if line.strip() and (len(checksum) != 64 or not name):
                raise InputError("expected `<SHA-256>  <path>`", file=f"{self.place}/{CHECKSUMS}", row=row)
            sums[name] = checksum.lower()
        if file:
            file.unlink()
        return sums

    def _read_manifest(self) -> Manifest:
        file = self._get(MANIFEST, self.work / "manifest.toml", silent, self.sums.get(MANIFEST))
        if not file:
            return Manifest(covariates=(), units={})
        try:
            return read_manifest(file)
        except InputError as error:
            raise InputError(error.message, file=f"{self.place}/{MANIFEST}", column=error.column) from None
        finally:
            file.unlink()


class _Record:
    """`fetched.json`: checksum, origin and day of every download."""

    def __init__(self, to: Path):
        self.to, self.path = to, to / RECORD
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8")) if self.path.exists() else {}
            self.files: dict[str, dict[str, Any]] = dict(kept.get("files", {}))
            self.downloads: dict[str, dict[str, Any]] = dict(kept.get("downloads", {}))
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise InputError(f"not readable ({reason_of(error)}); delete it to start over", file=self.path) from None

    def is_sound(self, name: str, checksum: str | None = None) -> bool:
        """Whether the file is there and has its checksum; without a known checksum it is the user's, and trusted."""
        path = self.to / name
        known = checksum or self.files.get(name, {}).get("sha256")
        return path.is_file() and (known is None or sha256(path) == known)

    def put(self, path: Path, name: str, origin: str) -> None:
        """Gives a finished file its name in the data folder."""
        target = self.to / name
        target.parent.mkdir(parents=True, exist_ok=True)
        self.files[name] = {**_identity(path), "from": origin}
        path.replace(target)
        self._write()

    def note_download(self, url: str, path: Path) -> None:
        """Keeps the checksum seen first; a publisher's file that changed under the same address is an error."""
        seen, known = _identity(path), self.downloads.setdefault(url, _identity(path))
        if seen["sha256"] != known["sha256"]:
            path.unlink()
            raise InputError(
                f"the publisher's file is another one than on {known['date']} (SHA-256 {seen['sha256']},"
                f" then {known['sha256']}); to accept it, delete its entry in {self.path}",
                file=url,
            )
        self._write()

    def _write(self) -> None:
        write_json(self.path, {"files": self.files, "downloads": self.downloads})


def _identity(path: Path) -> dict[str, Any]:
    return {"sha256": sha256(path), "bytes": path.stat().st_size, "date": datetime.date.today().isoformat()}


def add_to_manifest(path: Path, entries: Iterable[Raster | Attribute | Terrain | Units]) -> None:
    """Appends entries to a covariate manifest; entries whose names are there already are left as they are."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    manifest = read_manifest(path) if text else Manifest(covariates=(), units={})
    units, covariates = set(manifest.units), {entry.name for entry in manifest.covariates}
    new = [e for e in entries if e.name not in (units if isinstance(e, Units) else covariates)]
    if new:
        blocks = (f"[[{type(e).__name__.lower()}]]\n{_toml(e.model_dump(exclude_defaults=True))}" for e in new)
        write_text(path, "\n\n".join(filter(None, [text.rstrip("\n"), *blocks])) + "\n")


def _toml(values: dict[str, Any]) -> str:
    """Keys and values of an entry. A JSON string or list is a TOML one; a table of strings is not."""

    def one(value: Any) -> str:
        if isinstance(value, dict):
            return "{ " + ", ".join(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in value.items()) + " }"
        return json.dumps(value)

    return "\n".join(f"{key} = {one(value)}" for key, value in values.items())


@contextmanager
def _progress(console: Console, name: str) -> Iterator[Report]:
    columns = (TextColumn("  {task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(name, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _say(console: Console, result: Fetched, to: Path) -> None:
    names = [str(f.relative_to(to)) for f in result.files]
    brought = ", ".join(names) if len(names) <= 2 else f"{names[0]} … {names[-1]} ({len(names)} files)"
    style = "yellow" if result.status == "by hand" else None
    text = (
        f"  {result.name}: {result.status}"
        + (f": {brought}" if brought else "")
        + (f" ({result.note})" if result.note else "")
    )
    console.print(text, style=style, highlight=False, markup=False, soft_wrap=True)
