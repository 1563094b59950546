"""The pool that engines ask for workers."""

import os
import socket
import time
from collections.abc import Iterator

import grpc
import psutil
import pytest
from apache_beam.portability.api import beam_fn_api_pb2 as api
from apache_beam.portability.api import beam_fn_api_pb2_grpc as services

from pipeline.device import DeviceClassError, pins, require_pinned
from pipeline.runners.pool import STARTS, local_pool


@pytest.fixture
def pool() -> Iterator[tuple[services.BeamFnExternalWorkerPoolStub, int]]:
    with local_pool() as (address, process), grpc.insecure_channel(address) as channel:
        yield services.BeamFnExternalWorkerPoolStub(channel), process


@pytest.fixture
def deaf() -> Iterator[str]:
    """The address of an engine that takes connections and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def _start(stub: services.BeamFnExternalWorkerPoolStub, name: str, engine: str) -> None:
    request = api.StartWorkerRequest(worker_id=name)
    request.control_endpoint.url = engine
    assert not stub.StartWorker(request).error


def _workers(pool: int) -> list[psutil.Process]:
    return psutil.Process(pool).children()


def _until(wanted: int, pool: int, seconds: float = 10.0) -> list[psutil.Process]:
    until = time.monotonic() + seconds
    while len(found := _workers(pool)) != wanted and time.monotonic() < until:
        time.sleep(0.02)
    assert len(found) == wanted
    return found


def test_a_worker_is_a_pinned_process_and_ends_when_it_is_told(
    pool: tuple[services.BeamFnExternalWorkerPoolStub, int], deaf: str
) -> None:
    stub, process = pool
    _start(stub, "one", deaf)
    (worker,) = _until(1, process)
    assert pins().items() <= worker.environ().items()
    stub.StopWorker(api.StopWorkerRequest(worker_id="one"))
    _until(0, process)


def test_a_worker_that_dies_on_its_way_is_started_again_but_not_for_ever(
    pool: tuple[services.BeamFnExternalWorkerPoolStub, int], deaf: str
) -> None:
    stub, process = pool
    _start(stub, "one", deaf)
    seen = set()
    for _ in range(STARTS):
        (worker,) = _until(1, process)
        while worker.pid in seen:
            (worker,) = _until(1, process)
        seen.add(worker.pid)
        worker.kill()
        worker.wait()
    time.sleep(0.3)
    assert not _workers(process) and len(seen) == STARTS


def test_workers_end_with_their_pool(deaf: str) -> None:
    with local_pool() as (address, process), grpc.insecure_channel(address) as channel:
        _start(services.BeamFnExternalWorkerPoolStub(channel), "one", deaf)
        (worker,) = _until(1, process)
        os.kill(process, 9)
        worker.wait(10)


def test_a_process_without_pins_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    require_pinned()
    name = min(pins())
    monkeypatch.setenv(name, "other")
    with pytest.raises(DeviceClassError, match=f"started without {name}"):
        require_pinned()
