"""One file over HTTP: whole, with the right checksum, and going on where an earlier try stopped."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import pooch
import requests
from urllib3.exceptions import MaxRetryError

from ..errors import InputError

ATTEMPTS = 4
PAUSE_S = 2.0
TIMEOUT_S = 15.0, 60.0  # to connect, and between two pieces
ASK_TIMEOUT_S = 5.0, 15.0
CHUNK_BYTES = 1 << 15  # also the most that a cut connection loses

Report = Callable[[int, int | None], None]
"""Called with the bytes that are here, and the bytes in all if known."""


def silent(done: int, total: int | None) -> None:
    """Reports nothing."""


def retrieve(url: str, target: Path, checksum: str | None = None, report: Report = silent, *, login: str = "") -> None:
    """Downloads a file; `target` appears when it is whole and its checksum is right.

    Parameters
    ----------
    checksum : str, optional
        SHA-256 in hexadecimal, if known.
    login : str
        What to do by hand, should the server want a login.

    Raises
    ------
    FileNotFoundError
        The server does not have the file (HTTP 404).
    InputError
        Everything else that can go wrong, in one line.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel("WARNING")
    # The address is part of the name, so that one server's bytes are never continued with another's.
    part = target.with_name(f"{target.name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part")
    known_hash = f"sha256:{checksum}" if checksum else None
    try:
        pooch.retrieve(url, known_hash, target.name, target.parent, downloader=ResumingDownloader(part, report))
    except _LoginWanted as error:
        raise InputError(f"the server wants a login ({error}); {login or 'bring the file by hand'}", file=url) from None
    except requests.HTTPError as error:
        if error.response is not None and error.response.status_code == 404:
            raise FileNotFoundError(url) from None
        raise InputError(f"the server refused ({error.args[0]})", file=url) from None
    except requests.RequestException as error:
        raise InputError(f"download failed ({_cause(error, url)}); run again to go on", file=url) from None
    except ValueError as error:  # pooch's word for a wrong checksum
        raise InputError(str(error).split(". ")[0], file=url) from None


class Answer(NamedTuple):
    """What a server says of a file: the status of HTTP, and bytes; None where it says nothing."""

    code: int | None = None
    size: int | None = None


def ask(url: str) -> Answer:
    """Asks a server for the size of a file, without downloading it."""
    try:
        answer = requests.head(
            url, headers={"Accept-Encoding": "identity"}, allow_redirects=True, timeout=ASK_TIMEOUT_S
        )
    except requests.RequestException:
        return Answer()
    length = answer.headers.get("Content-Length")
    return Answer(answer.status_code, int(length) if answer.ok and length else None)


def _cause(error: requests.RequestException, url: str) -> str:
    return f"cannot reach {urlsplit(url).hostname}" if _never_reached(error) else str(error)


def _never_reached(error: requests.RequestException) -> bool:
    """No connection was made: offline, or an unknown host; trying again at once is no use."""
    return bool(error.args) and isinstance(error.args[0], MaxRetryError)


class _LoginWanted(requests.RequestException):
    """The server asks who we are."""


class ResumingDownloader:
    """A downloader for pooch, whose own starts again from the first byte.

    What is in `part` is kept only if the server vouches, by its validator (strong ETag or date), that the file is still
    the same one; else the download starts over.
    """

    def __init__(self, part: Path, report: Report = silent):
        self.part, self.validator, self.report = part, part.with_name(part.name + ".validator"), report

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._get(url)
                break
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                if attempt == ATTEMPTS or _never_reached(error):
                    raise
                time.sleep(PAUSE_S * 2 ** (attempt - 1))
        self.part.replace(output_file)
        self.validator.unlink(missing_ok=True)

    def _get(self, url: str) -> None:
        start = self.part.stat().st_size if self.part.exists() and self.validator.exists() else 0
        headers = {"Accept-Encoding": "identity"}  # else a range would count compressed bytes
        if start:
            headers |= {"Range": f"bytes={start}-", "If-Range": self.validator.read_text(encoding="utf-8")}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
            resumed = self._goes_on(response, start)
            if not resumed:
                start = 0
                self._start_anew(response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))
            length = response.headers.get("Content-Length")
            total = start + int(length) if length else None
            with self.part.open("ab" if resumed else "wb") as out:
                for chunk in response.iter_content(CHUNK_BYTES):
                    out.write(chunk)
                    self.report(out.tell(), total)
        size = self.part.stat().st_size
        if total is not None and size != total:
            raise requests.ConnectionError(f"cut after {size} of {total} bytes")

    def _goes_on(self, response: requests.Response, start: int) -> bool:
        """Whether the answer is the rest of the file, and not the whole of it; raises if it is neither."""
        status = f"HTTP {response.status_code} {response.reason}"
        if response.status_code in (401, 403):
            raise _LoginWanted(status)
        if response.status_code == 429 or response.status_code >= 500:
            raise requests.ConnectionError(status)
        if start and response.status_code in (206, 416):
            if response.status_code == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                return True
            self.part.unlink()
            raise requests.ConnectionError(f"{status} to a request for the rest")
        if not response.ok:
            raise requests.HTTPError(status, response=response)
        if "text/html" in response.headers.get("Content-Type", ""):
            raise _LoginWanted("a web page came instead of data")
        return False

    def _start_anew(self, etag: str, modified: str) -> None:
        self.part.unlink(missing_ok=True)  # never keep bytes of one file with the validator of another
        validator = modified if not etag or etag.startswith("W/") else etag
        if validator:
            self.validator.write_text(validator, encoding="utf-8")
        else:
            self.validator.unlink(missing_ok=True)
