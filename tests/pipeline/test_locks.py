import dataclasses
import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline import layout, locks
from pipeline.locks import Holder, PhaseBusyError, held_by, phase_lock, process_birth
from schemas.store import Store, StoreError

FOLDER = layout.locks_folder("hear", "k")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "out")


def hold(store: Store, **changes: Any) -> None:
    """A lock as somebody else took it."""
    me = {
        "run": "other",
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "born": process_birth(os.getpid()),
        "since": "2026-01-01T00:00:00Z",
    }
    holder = Holder(**{**me, **changes})
    store.put_if_absent(f"{FOLDER}/000001.json", json.dumps(dataclasses.asdict(holder)).encode())


def test_a_lock_is_held_and_released(store: Store) -> None:
    assert held_by(store, "hear", "k") is None
    with phase_lock(store, "hear", "k", "run 1"):
        holder = held_by(store, "hear", "k")
        assert holder is not None and (holder.run, holder.pid) == ("run 1", os.getpid())
        assert held_by(store, "hear", "other key") is None
    assert held_by(store, "hear", "k") is None
    with phase_lock(store, "hear", "k", "run 2"):
        pass
    assert store.size(f"{FOLDER}/000002.released") == 0


def test_it_is_released_when_the_work_fails(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), phase_lock(store, "hear", "k", "run"):
        raise ZeroDivisionError
    assert held_by(store, "hear", "k") is None


def test_a_second_taker_is_told_who_holds_it(store: Store) -> None:
    hold(store)
    with pytest.raises(PhaseBusyError) as caught, phase_lock(store, "hear", "k", "mine"):
        raise AssertionError("it was taken twice")
    said = str(caught.value)
    for word in ("hear", "run other", f"process {os.getpid()}", "2026-01-01", store.url):
        assert word in said


def test_a_dead_holder_is_not_waited_for(store: Store) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    hold(store, pid=dead.pid)
    with phase_lock(store, "hear", "k", "mine"):
        holder = held_by(store, "hear", "k")
        assert holder is not None and holder.run == "mine"


def test_a_number_that_was_given_to_another_process_is_not_the_holder(store: Store) -> None:
    hold(store, born="1")
    assert held_by(store, "hear", "k") is None


def test_a_zombie_holds_nothing() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    until = time.monotonic() + 20
    while process_birth(child.pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert process_birth(child.pid) == ""
    child.wait()


def test_another_host_is_judged_by_its_heartbeat(store: Store) -> None:
    hold(store, host="elsewhere", pid=1, born="x")
    assert held_by(store, "hear", "k") is not None  # it has just begun
    local = store.local(f"{FOLDER}/000001.json")
    assert local is not None
    old = time.time() - locks.STALE_SECONDS - 5
    os.utime(local, (old, old))
    assert held_by(store, "hear", "k") is None
    store.replace(f"{FOLDER}/000001.heartbeat", b"")
    assert held_by(store, "hear", "k") is not None


@pytest.mark.parametrize("failing", [0, 3])
def test_a_holder_beats(store: Store, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    """On after a place that did not answer, too."""
    replace, left = Store.replace, [failing]

    def replaced(self: Store, name: str, data: bytes) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise StoreError("no answer")
        replace(self, name, data)

    monkeypatch.setattr(Store, "replace", replaced)
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.02)
    with phase_lock(store, "hear", "k", "mine"):
        until = time.monotonic() + 10
        while store.size(f"{FOLDER}/000001.heartbeat") is None and time.monotonic() < until:
            time.sleep(0.01)
        assert store.size(f"{FOLDER}/000001.heartbeat") == 0


def test_of_several_takers_of_a_stale_lock_one_wins(store: Store) -> None:
    hold(store, born="1")
    start, done = threading.Barrier(6), threading.Barrier(6)
    answers: list[str] = []

    def take(number: int) -> None:
        start.wait(30)
        try:
            with phase_lock(Store(store.url), "hear", "k", f"run {number}"):
                answers.append("mine")
                done.wait(30)  # hold it until everybody has tried
        except PhaseBusyError:
            answers.append("busy")
            done.wait(30)

    takers = [threading.Thread(target=take, args=(n,), daemon=True) for n in range(6)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join(30)
    assert sorted(answers) == ["busy"] * 5 + ["mine"]
