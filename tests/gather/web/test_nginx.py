"""A second real server: nginx, where it is installed. Ranges, gzip and conditional requests."""

import asyncio
import gzip
import hashlib
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from transforms.gather.web.addresses import Exceptions
from transforms.gather.web.client import Answer, Client, Known, Limits
from transforms.gather.web.failures import FetchError
from transforms.gather.web.urls import Url, canonical

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

SOUND = b"fLaC" + b"".join(hashlib.sha256(bytes([n % 251, n // 251])).digest() for n in range(9000))
TEXT = b"<rss><channel>" + b"<item>of many words</item>" * 5000 + b"</channel></rss>"
CONFIG = """\
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log stderr crit;
events {{ worker_connections 64; }}
http {{
  access_log {folder}/access.log;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  types {{ application/xml xml; audio/flac flac; }}
  gzip on; gzip_types application/xml; gzip_min_length 100;
  server {{ listen 127.0.0.1:{port}; root {folder}/www; }}
}}
"""


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


@pytest.fixture
def nginx(tmp_path: Path) -> Iterator[int]:
    """The port of a server of two files."""
    assert NGINX is not None
    port = _free()
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "a.flac").write_bytes(SOUND)
    (tmp_path / "www" / "feed.xml").write_bytes(TEXT)
    config = tmp_path / "nginx.conf"
    config.write_text(CONFIG.format(folder=tmp_path, port=port))
    server = subprocess.Popen([NGINX, "-c", str(config), "-p", str(tmp_path)])
    try:
        for _ in range(200):
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, "nginx did not start"
            time.sleep(0.02)
        yield port
    finally:
        server.terminate()
        server.wait(10)


class Cutting:
    """Hands connections on to a port, and cuts the first ones after so many bytes of answer."""

    def __init__(self, port: int, after: int, cuts: int) -> None:
        self._to, self._after, self.left = port, after, cuts
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                one, _ = self._socket.accept()
            except OSError:
                return
            with one, socket.create_connection(("127.0.0.1", self._to)) as there:
                there.sendall(one.recv(65_536))
                there.settimeout(1)
                room = self._after if self.left > 0 else 1 << 30
                self.left -= 1
                try:
                    while room > 0 and (data := there.recv(min(room, 16_384))):
                        one.sendall(data)
                        room -= len(data)
                except OSError:
                    pass

    def close(self) -> None:
        self._socket.close()


def fetch(port: int, path: str, body: Path, known: Known | None = None) -> Answer:
    async def free(url: Url) -> None:
        """Everything may be asked for."""

    async def work() -> Answer:
        limits = Limits(connect=2.0, total=20.0, stall=3.0)
        allowed = Exceptions.parse((f"127.0.0.1:{port}",))
        async with Client("testbot/1", allowed=allowed, limits=limits) as client:
            url = canonical(f"http://127.0.0.1:{port}{path}")
            return await client.fetch(url, body, free, known=known)

    return asyncio.run(work())


def statuses(folder: Path) -> list[tuple[str, int]]:
    """Path and status of every request, as nginx noted them."""
    lines = (folder / "access.log").read_text().splitlines()
    parts = [line.split('"') for line in lines]
    return [(one[1].split()[1], int(one[2].split()[0])) for one in parts]


def test_a_file_comes_as_it_is(nginx: int, tmp_path: Path) -> None:
    answer = fetch(nginx, "/a.flac", tmp_path / "body")
    assert (tmp_path / "body").read_bytes() == SOUND
    assert (answer.status, answer.bytes, answer.received) == (200, len(SOUND), len(SOUND))
    assert answer.sha256 == hashlib.sha256(SOUND).hexdigest()
    with pytest.raises(FetchError, match="gone"):
        fetch(nginx, "/lost.flac", tmp_path / "body")


def test_a_body_that_is_cut_is_resumed_by_range(nginx: int, tmp_path: Path) -> None:
    cutting = Cutting(nginx, 100_000, cuts=2)
    try:
        answer = fetch(cutting.port, "/a.flac", tmp_path / "body")
    finally:
        cutting.close()
    assert (tmp_path / "body").read_bytes() == SOUND
    assert answer.sha256 == hashlib.sha256(SOUND).hexdigest()
    assert answer.received == len(SOUND)  # nothing came twice
    time.sleep(0.1)
    assert statuses(tmp_path) == [("/a.flac", 200), ("/a.flac", 206), ("/a.flac", 206)]


def test_a_file_that_changes_while_it_is_cut_is_not_joined(nginx: int, tmp_path: Path) -> None:
    other = SOUND[:4] + SOUND[4:][::-1]
    # nginx makes an ETag of size and whole seconds: the two must differ in one
    os.utime(tmp_path / "www" / "a.flac", (1_600_000_000, 1_600_000_000))
    cutting = Cutting(nginx, 100_000, cuts=1)
    changed = threading.Event()

    def change() -> None:
        while cutting.left > 0:
            time.sleep(0.001)
        (tmp_path / "new").write_bytes(other)
        (tmp_path / "new").rename(tmp_path / "www" / "a.flac")
        changed.set()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        fetch(cutting.port, "/a.flac", tmp_path / "body")
        found = (tmp_path / "body").read_bytes()
        assert found in (SOUND, other)
    except FetchError as error:
        assert error.code == "incomplete"
    finally:
        thread.join()
        cutting.close()
    assert changed.is_set()


def test_gzip_on_the_wire_is_unpacked(nginx: int, tmp_path: Path) -> None:
    answer = fetch(nginx, "/feed.xml", tmp_path / "body")
    assert (tmp_path / "body").read_bytes() == TEXT
    assert answer.header("content-encoding") == "gzip"
    assert answer.bytes == len(TEXT)
    assert answer.received < 3 * len(gzip.compress(TEXT))


def test_what_has_not_changed_is_not_sent_again(nginx: int, tmp_path: Path) -> None:
    first = fetch(nginx, "/a.flac", tmp_path / "body")
    etag, modified = first.header("etag"), first.header("last-modified")
    assert etag and modified
    for known in (
        Known(etag=etag),
        Known(last_modified=modified),
        Known(etag=etag, last_modified=modified),
    ):
        again = fetch(nginx, "/a.flac", tmp_path / "body", known)
        assert again.unchanged and again.status == 304 and again.received == 0
    (tmp_path / "www" / "a.flac").write_bytes(SOUND + b"more")
    again = fetch(nginx, "/a.flac", tmp_path / "body", Known(etag=etag))
    assert not again.unchanged and again.bytes == len(SOUND) + 4
