"""How fast files are fetched when nobody asks to be spared: against a bare loop of the same client.

    python benchmarks/fetching.py [--files 5000] [--kilobytes 200] [--repeats 5]

A server on loopback, in a process of its own, gives files of random bytes. The bare loop asks for
them with the client of the fetch phase, so many at once, and each body ends in a file, bounded and
digested. The fetch phase does the same with all that it promises besides: robots.txt and opt-outs
read, hosts paced, bodies stored under their digest, each URL noted in OUT as it ends and committed
with its round. For comparison aiohttp itself, which neither judges, bounds nor digests. They take
turns, after a few files each that import what they need.
Also: how much memory the fetch phase takes while it does so. Prints Markdown.
"""

import argparse
import asyncio
import itertools
import multiprocessing
import os
import pathlib
import random
import resource
import shutil
import statistics
import sys
import tempfile
import time
from multiprocessing.connection import Connection

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import circumstances as on
from pipeline.phases.fetch import FetchJob, FetchPart, Queue, fetch_key
from schemas.store import Store
from transforms.gather.web.addresses import Exceptions
from transforms.gather.web.client import Client
from transforms.gather.web.frontier import Row, new
from transforms.gather.web.settings import Web
from transforms.gather.web.urls import Url, canonical

AT_ONCE = 16
WARM = 64  # files
GOAL = 0.8


def serve(pipe: Connection, size: int) -> None:
    """Give `size` bytes at any path but robots.txt and its like, until killed."""
    from aiohttp import web

    body = b"fLaC" + random.Random(3).randbytes(size - 4)

    async def one(request: web.Request) -> web.Response:
        if not request.path.endswith(".flac"):
            return web.Response(status=404)
        # each its own bytes, or they would be stored once
        number = request.path[1:-5].encode().rjust(16, b"0")
        return web.Response(body=body[:16] + number + body[32:], content_type="audio/flac")

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/{name:.*}", one)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        pipe.send(runner.addresses[0][1])
        await asyncio.Event().wait()

    asyncio.run(run())


async def bare(urls: list[Url], port: int, folder: pathlib.Path) -> None:
    """The client alone: ask, bound, digest, write."""
    numbers = itertools.count()

    async def free(url: Url) -> None:
        """Everything may be asked for."""

    async def work(waiting: "itertools.chain[Url]", client: Client) -> None:
        for url in waiting:
            await client.fetch(url, folder / str(next(numbers)), free)

    allowed = Exceptions.parse((f"127.0.0.1:{port}",))
    async with Client("bench/1", allowed=allowed) as client:
        waiting = itertools.chain(urls)
        await asyncio.gather(*(work(waiting, client) for _ in range(AT_ONCE)))


async def library(urls: list[str], folder: pathlib.Path) -> None:
    """aiohttp alone: ask, read, write."""
    import aiohttp

    numbers = itertools.count()

    async def work(waiting: "itertools.chain[str]", session: aiohttp.ClientSession) -> None:
        for url in waiting:
            async with session.get(url) as response:
                with (folder / str(next(numbers))).open("wb") as file:
                    async for data in response.content.iter_chunked(1 << 16):
                        file.write(data)

    connector = aiohttp.TCPConnector(limit=64)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:
        waiting = itertools.chain(urls)
        await asyncio.gather(*(work(waiting, session) for _ in range(AT_ONCE)))


def fetched(rows: list[Row], port: int, out: pathlib.Path) -> None:
    """The fetch phase: one round over one host's queue."""
    web = Web(
        delay=0.0, patience=0.0, host_concurrency=AT_ONCE, allow=(f"127.0.0.1:{port}",), attempts=1
    )
    queue = Queue(
        group="127.0.0.1",
        hosts=("127.0.0.1",),
        rows=tuple(rows),
    )
    job = FetchJob(
        key=fetch_key(), store=Store(out), run="bench", device="", web=web, max_bytes=None
    )
    job.run_part(FetchPart(id="0" * 32, queues=(queue,), seconds=1.0))


def stored(name: str, folder: pathlib.Path) -> int:
    """How many files a path has left."""
    return sum(1 for _ in folder.glob("fetch/*/bodies/*/*" if name == "fetch phase" else "*"))


def emptied(folder: pathlib.Path) -> None:
    """Give back the disk that files take, and keep the files.

    A file system passes over what was just deleted, one by one, where it looks for a place for a
    new file: ext4 spent a sixth of the time of the next path on it, more or less by chance.
    """
    for path in folder.rglob("*"):
        if path.is_file():
            os.truncate(path, 0)
    os.sync()


def main() -> None:
    parser = argparse.ArgumentParser(description="the fetch phase against a bare loop")
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--kilobytes", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(theirs, options.kilobytes * 1000), daemon=True
    )
    server.start()
    port = ours.recv()
    urls = [f"http://127.0.0.1:{port}/{number}.flac" for number in range(options.files)]
    parsed = [canonical(url) for url in urls]
    rows = [new(url) for url in parsed]  # as planning leaves them
    walls: dict[str, list[float]] = {"bare loop": [], "fetch phase": [], "aiohttp alone": []}
    held = []
    base = pathlib.Path(tempfile.mkdtemp())
    for turn in range(-1, options.repeats):
        order = list(walls) if turn % 2 == 0 else list(walls)[::-1]
        files = options.files if turn >= 0 else WARM
        for name in order:
            folder = pathlib.Path(tempfile.mkdtemp(dir=base))
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            began = time.perf_counter()
            if name == "bare loop":
                asyncio.run(bare(parsed[:files], port, folder))
            elif name == "aiohttp alone":
                asyncio.run(library(urls[:files], folder))
            else:
                fetched(rows[:files], port, folder)
            wall = time.perf_counter() - began
            after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            if (found := stored(name, folder)) != files:
                raise RuntimeError(f"{name}: {found} of {files} files were stored")
            emptied(folder)
            if turn < 0:
                continue
            walls[name].append(wall)
            if name == "fetch phase":
                held.append((after - before) / 1024)
    server.terminate()
    shutil.rmtree(base)
    print(on.circumstances())
    size = options.files * options.kilobytes / 1000
    print(f"\n{options.files} files of {options.kilobytes} kB, {AT_ONCE} at once, "
          f"{options.repeats} turns\n")  # fmt: skip
    print(on.head("path", "wall s", "spread", "MB/s"))
    for name, found in walls.items():
        middle = statistics.median(found)
        spread = f"± {(max(found) - min(found)) / 2:.2f}"
        print(on.row(name, f"{middle:.2f}", spread, f"{size / middle:.0f}"))
    ratios = [a / b for a, b in zip(walls["bare loop"], walls["fetch phase"], strict=True)]
    print(f"\nbare loop / fetch phase: {statistics.median(ratios):.2f} (goal {GOAL}); the peak of "
          f"memory rose by {max(held):.0f} MB in the fetch phase")  # fmt: skip


if __name__ == "__main__":
    main()
