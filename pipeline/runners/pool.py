"""A pool of workers for engines that ask for them by an address (Beam's EXTERNAL environment).

`python -m pipeline.runners.pool --port 50000` runs on every machine of a cluster, started by hand,
by systemd or as the entry point of a container. An engine asks it for a worker, it starts a process
of its own for each, pinned to the device class. Beam's own pool would start `python` by PATH,
unpinned, with a pipe for its output that nobody reads. A worker that dies before it has reached its
engine is started again here: engines wait for it, Prism for ever.

It answers whoever reaches its port and runs what the job says, so it listens on this machine only
unless it is told otherwise: `--host` belongs to a network of the cluster's own.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pipeline.runners.harness import pinned

GRACE_SECONDS = 5.0  # for a worker that is told to end
STARTS = 3  # of one worker, until it has reached its engine
ROOT = Path(__file__).resolve().parents[2]


class Pool:
    """The servicer: what `StartWorker` and `StopWorker` mean."""

    def __init__(self) -> None:
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._changing = threading.Lock()

    def StartWorker(self, request: Any, context: Any) -> Any:
        from apache_beam.portability.api import beam_fn_api_pb2 as api

        name, control = request.worker_id, request.control_endpoint.url
        try:
            started = self._start(name, control)
        except OSError as error:
            return api.StartWorkerResponse(error=f"cannot start a worker: {error}")
        threading.Thread(target=self._watch, args=(name, control, started), daemon=True).start()
        return api.StartWorkerResponse()

    def _start(self, name: str, control: str) -> "tuple[subprocess.Popen[bytes], int]":
        """Start a worker. Returns it, and the end of a pipe that says when it has reached its
        engine."""
        ready, theirs = os.pipe()
        command = [sys.executable, "-m", "pipeline.runners.harness"]
        command += [control, name, str(os.getpid()), str(theirs)]
        try:
            process = subprocess.Popen(
                command, env=pinned(), cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs]
            )
        except OSError:
            os.close(ready)
            raise
        finally:
            os.close(theirs)
        with self._changing:
            self._workers[name] = process
        return process, ready

    def _watch(
        self, name: str, control: str, started: "tuple[subprocess.Popen[bytes], int]"
    ) -> None:
        """See a worker to its end: the kernel kills it with the thread that started it."""
        for starts in range(STARTS):
            process, ready = started
            with os.fdopen(ready, "rb") as pipe:
                reached = bool(pipe.read(1))  # empty: it ended
            process.wait()
            if reached:
                return
            with self._changing:
                wanted = name in self._workers and starts + 1 < STARTS
            if not wanted:
                return
            try:
                started = self._start(name, control)
            except OSError as error:
                print(f"cannot start worker {name} again: {error}", file=sys.stderr, flush=True)
                return

    def StopWorker(self, request: Any, context: Any) -> Any:
        from apache_beam.portability.api import beam_fn_api_pb2 as api

        with self._changing:
            process = self._workers.pop(request.worker_id, None)
        if process is not None:
            _end(process)
        return api.StopWorkerResponse()

    def close(self) -> None:
        for process in self._workers.values():
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.runners.pool")
    parser.add_argument("--port", type=int, default=50000, help="0: any that is free")
    parser.add_argument("--host", default="localhost", help="address to listen on (%(default)s)")
    parser.add_argument("--parent", type=int, help="end when this process does")
    chosen = parser.parse_args(arguments)
    from pipeline import worker

    if chosen.parent is not None:
        worker.die_with_parent(chosen.parent)
    worker.call_process("loom pool")
    import grpc
    from apache_beam.portability.api import beam_fn_api_pb2_grpc as services

    pool = Pool()
    options = [("grpc.so_reuseport", 0), ("grpc.http2.max_ping_strikes", 0)]
    server = grpc.server(ThreadPoolExecutor(8, "pool"), options=options)
    services.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    port = server.add_insecure_port(f"{chosen.host}:{chosen.port}")
    server.start()
    print(f"{chosen.host}:{port}", flush=True)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
    pool.close()
    server.stop(0)


@contextlib.contextmanager
def local_pool() -> Iterator[tuple[str, int]]:
    """A pool on this machine that ends with this block or process: its address and process id."""
    command = [sys.executable, "-m", "pipeline.runners.pool", "--port", "0"]
    command += ["--parent", str(os.getpid())]
    process = subprocess.Popen(
        command, env=pinned(), cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline().decode().strip()
        if not address:
            raise OSError(f"the pool of workers ended with code {process.wait()}: see above")
        yield address, process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            _end(process)
        process.stdout.close()


if __name__ == "__main__":
    main(sys.argv[1:])
