"""A hub of models on loopback: what huggingface_hub asks for, and nothing else."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "c0ffee" + "0" * 34
GOOD = "hf_thetokenofsomebodywhohasaccess"


class Hub:
    """Models by id, each the files of a folder; some are given only to those who have access."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.models: dict[str, dict[str, bytes]] = {}
        self.gated: set[str] = set()
        self.asked: list[tuple[str, str | None]] = []  # method and path, token
        self.fails = 0  # status of every answer, where it is not 0

    def add(self, name: str, folder: Path, gated: bool = False) -> None:
        found = (path for path in folder.rglob("*") if path.is_file())
        self.models[name] = {p.relative_to(folder).as_posix(): p.read_bytes() for p in found}
        if gated:
            self.gated.add(name)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._do()

    def do_GET(self) -> None:
        self._do()

    def _do(self) -> None:
        path = self.path.partition("?")[0].strip("/")
        said = self.headers.get("Authorization")
        token = said.removeprefix("Bearer ") if said else None
        self.hub.asked.append((f"{self.command} /{path}", token))
        if self.hub.fails:
            return self._answer(self.hub.fails, b"")
        parts = path.split("/")
        api = parts[:2] == ["api", "models"]
        owner, name, what, revision, *rest = (parts[2:] if api else parts) + [""] * 4
        repo, file = f"{owner}/{name}", "/".join(part for part in rest if part)
        if token not in (None, GOOD) and token.startswith("hf_broken"):
            return self._answer(
                401, b"", **{"X-Error-Message": "Invalid credentials in Authorization header"}
            )
        if repo not in self.hub.models:
            return self._answer(404 if token else 401, b"", **{"X-Error-Code": "RepoNotFound"})
        if what != "tree" and revision not in ("main", COMMIT):
            return self._answer(404, b"", **{"X-Error-Code": "RevisionNotFound"})
        files = self.hub.models[repo]
        if api and what == "revision":
            found: Any = {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": []}
            return self._answer(200, json.dumps(found).encode())
        if api and what == "tree":
            found = [
                {"type": "file", "path": n, "size": len(d), "oid": hashlib.sha1(d).hexdigest()}
                for n, d in sorted(files.items())
            ]
            return self._answer(200, json.dumps(found).encode())
        if repo in self.hub.gated and token != GOOD:
            return self._answer(403 if token else 401, b"", **{"X-Error-Code": "GatedRepo"})
        if file not in files:
            return self._answer(404, b"", **{"X-Error-Code": "EntryNotFound"})
        etag = f'"{hashlib.sha1(files[file]).hexdigest()}"'
        return self._answer(200, files[file], ETag=etag, **{"X-Repo-Commit": COMMIT})

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextlib.contextmanager
def serving() -> Iterator[Hub]:
    """A hub that answers until the end of the block."""
    handler = type("Handler", (_Handler,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub = Hub(f"http://127.0.0.1:{server.server_port}")
    handler.hub = hub  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
