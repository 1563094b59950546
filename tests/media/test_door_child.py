"""The child is confined, and its death, hanging or hunger never costs more than the one file."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.media import made_media as media
from transforms.door import Door, Limits, MediaError
from transforms.spool import FileSpool
from transforms.step import Pcm16, ScratchFull


class Meddler:
    """A sink that keeps what it gets, and does something to the child at given blocks."""

    def __init__(self, door: Door, at: dict[int, int]) -> None:
        self.door = door
        self.at = at  # block number, counted over attempts -> signal for the child
        self.blocks = 0
        self.got: list[Pcm16] = []

    def append(self, channel: int, frames: Pcm16) -> None:
        self.blocks += 1
        self.got.append(frames.copy())
        if self.blocks in self.at:
            assert self.door.pid is not None
            os.kill(self.door.pid, self.at[self.blocks])


@pytest.fixture
def long_file(tmp_path: Path) -> Path:
    """Ten minutes: far more than the pipe holds, so that the child is at work while we meddle."""
    path = tmp_path / "long.wav"
    noise = np.random.default_rng(3).integers(-9000, 9000, 600 * 16000, np.int16)
    path.write_bytes(media.wav(noise.tobytes(), rate=16000))
    return path


@pytest.fixture
def whole(long_file: Path, tmp_path: Path) -> Pcm16:
    return np.frombuffer(long_file.read_bytes()[44:], np.int16)


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL, signal.SIGXCPU])
def test_a_child_lost_once_costs_nothing(how: int, long_file: Path, whole: Pcm16) -> None:
    with Door() as door:
        meddler = Meddler(door, {3: how})
        decoded = door.decode(long_file, 16000, "mix", meddler)
        assert door.restarts == 1
        assert decoded.length == len(whole)
        assert np.array_equal(np.concatenate(meddler.got), whole)  # nothing twice, nothing lost


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (signal.SIGSEGV, "crash"),
        (signal.SIGBUS, "crash"),
        (signal.SIGXCPU, "timeout"),
        (signal.SIGKILL, "memory"),
    ],
)
def test_a_child_lost_twice_is_a_code(
    how: int, code: str, long_file: Path, whole: Pcm16, tmp_path: Path
) -> None:
    with Door() as door:
        meddler = Meddler(door, {2: how, 60: how})
        with pytest.raises(MediaError) as caught:
            door.decode(long_file, 16000, "mix", meddler)
        assert caught.value.code == code
        assert door.restarts == 2
        with FileSpool(tmp_path, 16000, 1 << 30) as spool:  # and the next file is well
            assert door.decode(long_file, 16000, "mix", spool).length == len(whole)


def test_a_hanging_child_is_stopped_in_time(long_file: Path) -> None:
    limits = Limits(timeout_seconds=0.5, timeout_per_hour=0.0, timeout_per_gigabyte=0.0)
    with Door(limits) as door:
        meddler = Meddler(door, {2: signal.SIGSTOP, 60: signal.SIGSTOP})
        begun = time.monotonic()
        with pytest.raises(MediaError) as caught:
            door.decode(long_file, 16000, "mix", meddler)
        assert caught.value.code == "timeout"
        assert time.monotonic() - begun < 20
        assert door.restarts == 2


def test_a_slow_disk_is_not_held_against_the_file(tmp_path: Path) -> None:
    path = tmp_path / "media"
    path.write_bytes(media.wav(b"\1\0" * 16000 * 30, rate=16000))

    class Slow:
        def append(self, channel: int, frames: Pcm16) -> None:
            time.sleep(0.2)

    with Door(Limits(timeout_seconds=0.5, timeout_per_hour=0, timeout_per_gigabyte=0)) as door:
        assert door.decode(path, 16000, "mix", Slow()).seconds == 30


def test_hunger_for_memory_is_a_code(tmp_path: Path) -> None:
    """An MP4 whose table of times states 2^28 entries: FFmpeg asks for 2 GB at once."""
    data = bytearray(media.small("m4a"))
    place = data.index(b"stts") + 8
    data[place : place + 4] = (2**28).to_bytes(4, "big")
    path = tmp_path / "hungry.m4a"
    path.write_bytes(data)
    with Door() as door:
        with pytest.raises(MediaError) as caught:
            door.probe(path)
        assert caught.value.code == "memory"
        assert door.restarts == 2  # once in the running child, once in a fresh one


def test_the_child_can_open_nothing(tmp_path: Path) -> None:
    os.environ["A_SECRET_OF_THE_PARENT"] = "1"
    try:
        with Door() as door:
            child = Path(f"/proc/{door.pid}")
            limits = dict(
                (line[:26].strip(), line[26:].split()[:2])
                for line in (child / "limits").read_text().splitlines()[1:]
            )
            environment = (child / "environ").read_bytes()
            descriptors = sorted(int(entry.name) for entry in (child / "fd").iterdir())
            assert descriptors == [0, 1, 2]
            assert limits["Max open files"] == ["4", "4"]  # those and the file it is handed
            assert limits["Max file size"] == ["0", "0"]
            assert limits["Max core file size"] == ["0", "0"]
            assert limits["Max address space"] == [str(1024 << 20)] * 2
            assert b"A_SECRET" not in environment
            assert os.getpgid(door.pid or 0) == door.pid  # Ctrl-C does not reach it
    finally:
        del os.environ["A_SECRET_OF_THE_PARENT"]


def test_the_child_dies_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import os, signal; from transforms.door import Door\n"
        "door = Door(); door.start(); print(door.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).resolve().parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=root, timeout=60
    )
    assert ended.returncode == -signal.SIGKILL
    child = int(ended.stdout)
    for _ in range(50):
        if not psutil.pid_exists(child) or psutil.Process(child).status() == "zombie":
            return
        time.sleep(0.1)
    pytest.fail(f"child {child} outlived its parent")


def test_the_thread_that_asks_first_may_end(tmp_path: Path) -> None:
    """A child is bound to the life of the thread that started it: that must not be a caller's."""
    import threading

    path = tmp_path / "media"
    path.write_bytes(media.small("flac"))
    door = Door()
    starter = threading.Thread(target=door.start)
    starter.start()
    starter.join()
    time.sleep(0.2)
    with door, FileSpool(tmp_path, 16000, 1 << 30) as spool:
        assert door.decode(path, 16000, "mix", spool).length == 32000
        assert door.restarts == 0


def test_closing_ends_the_child_and_the_door_opens_again() -> None:
    door = Door()
    door.start()
    first = door.pid
    door.close()
    door.close()
    assert door.pid is None and not psutil.pid_exists(first or 0)
    door.start()
    assert door.pid not in (None, first)
    door.close()


def test_what_the_sink_raises_comes_through_and_the_door_stays_usable(
    long_file: Path, whole: Pcm16, tmp_path: Path
) -> None:
    with Door() as door:
        with FileSpool(tmp_path, 16000, 1_000_000) as small, pytest.raises(ScratchFull):
            door.decode(long_file, 16000, "mix", small)
        with FileSpool(tmp_path, 16000, 1 << 30) as large:
            assert door.decode(long_file, 16000, "mix", large).length == len(whole)
        assert door.restarts == 0


def test_memory_does_not_grow_with_duration(tmp_path: Path) -> None:
    """One hour against one minute: 115 MB of samples pass, the child grows by less than 8 MB."""
    peaks = []
    for minutes in (1, 60):
        path = tmp_path / "media"
        second = np.random.default_rng(1).integers(0, 255, 8000, np.uint8).tobytes()
        path.write_bytes(media.wav(second * 60 * minutes, rate=8000, bits=8))
        with Door() as door, FileSpool(tmp_path, 16000, 1 << 30) as spool:
            assert door.decode(path, 16000, "mix", spool).seconds == 60 * minutes
            status = Path(f"/proc/{door.pid}/status").read_text()
            peaks.append(int(status.split("VmHWM:")[1].split()[0]))
    assert peaks[1] - peaks[0] < 8 << 10
