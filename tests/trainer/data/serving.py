"""A small HTTP server for shards: answers ranges, or refuses, stalls, drips, breaks off, lies."""

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class _Handler(http.server.BaseHTTPRequestHandler):
    root: Path
    mood: dict[str, Any]
    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        path = self.root / self.path.partition("?")[0].lstrip("/")
        wanted = self.headers.get("Range")
        self.asked.append((self.path, wanted))
        if self.mood.get("fails", 0) > 0:
            self.mood["fails"] -= 1
            self.send_error(503)
            return
        if not path.is_file():
            self.send_error(404)
            return
        if self.mood.get("stall") and path.suffix == self.mood["stall"]:
            time.sleep(1.5)
        data = path.read_bytes()
        whole = len(data)
        if wanted is not None and self.mood.get("ranges", True):
            first, last = (int(part) for part in wanted.removeprefix("bytes=").split("-"))
            data = data[first : last + 1]
            if not data:
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{first + len(data) - 1}/{whole}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Last-Modified", "Sat, 21 Nov 2026 00:00:00 GMT")
        self.send_header("ETag", '"0"')
        self.end_headers()
        if self.mood.get("breaks", 0) > 0 and path.suffix == ".tar":
            self.mood["breaks"] -= 1
            data = data[: len(data) // 2]
        with contextlib.suppress(OSError):  # the client may have given up
            if self.mood.get("drips") == path.suffix:
                for place in range(len(data)):
                    self.wfile.write(data[place : place + 1])
                    time.sleep(0.02)
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def serving(root: Path, **mood: Any) -> Iterator[tuple[str, list[tuple[str, str | None]]]]:
    """Serve a folder: its address, and the list of what is asked."""
    asked: list[tuple[str, str | None]] = []
    handler = type("Handler", (_Handler,), {"root": root, "mood": mood, "asked": asked})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
