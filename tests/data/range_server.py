"""A server of a folder's files that sends parts of them, as stores of objects do: prints its port, and at the end of
its input how many bytes of content it has sent.

In a process of its own: GDAL waits for some of its answers without letting Python's other threads run.
"""

from __future__ import annotations

import re
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER, sent = Path(), 0


class Handler(BaseHTTPRequestHandler):
    """Answers `/name` and `/bucket/name`, as Amazon's and Google's servers are asked."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_HEAD(self) -> None:
        """How large a file is."""
        self.answer(with_content=False)

    def do_GET(self) -> None:
        """A file or the part that is asked for."""
        self.answer(with_content=True)

    def answer(self, *, with_content: bool) -> None:
        """Sends what a client asks for; 404 where there is no such file."""
        global sent
        path = FOLDER / self.path.partition("?")[0].lstrip("/").removeprefix("bucket/")
        content, size = (path.read_bytes(), path.stat().st_size) if path.is_file() else (b"", 0)
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked and size:
            first, last = int(asked[1]), min(int(asked[2] or size - 1), size - 1)
            content = content[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        else:
            self.send_response(200 if path.is_file() else 404)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_content:
            self.wfile.write(content)
            sent += len(content)


if __name__ == "__main__":
    FOLDER = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()
    print(sent, flush=True)
