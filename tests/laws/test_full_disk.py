"""A full disk: a clear error that names the place, the need and the room; then the run goes on."""

import contextlib
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.laws import runs
from tests.laws.runs import Ran

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def limit_files(size: int) -> Callable[[], None]:
    """No file of the child, nor of its children, may grow beyond so many bytes."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def complains(said: str, place: str) -> None:
    """One message: what could not be written where, how much it takes, how much there is."""
    assert "Traceback" not in said, said
    assert f"cannot write or read {place}/out/" in said, said
    assert re.search(r"needs [\d.]+ [Mk]B, [\d.]+ [Mk]B free on that disk", said), said
    assert "free space or mend the place, then run the same command again" in said


@pytest.mark.parametrize("size", [20_000, 60_000], ids=["nearly nothing", "no tar of hear"])
def test_files_that_may_not_grow(corpus: Path, undisturbed: Ran, tmp_path: Path, size: int) -> None:
    out = tmp_path / "out"
    arguments = runs.command(corpus, out, "--workers", "1")
    stopped = runs.run_command(arguments, preexec_fn=limit_files(size))
    assert stopped.returncode == 1, stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert "File too large" in stopped.stderr
    assert "to go on, once it is mended: python -m pipeline curate" in stopped.stderr
    done = runs.run_command(arguments)
    assert done.returncode == 0, done.stderr
    assert runs.shard_digests(out) == undisturbed.digests


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a disk of a given size; skips where that is not allowed."""
    mounted: list[Path] = []

    def mount(size: str) -> Path:
        place = tmp_path / "small disk"
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting a small disk takes root")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        with contextlib.suppress(OSError):
            subprocess.run(["umount", "-l", str(place)], check=False)


def grow(place: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(place)], check=True)


@pytest.mark.parametrize("size", ["1m", "2500k", "3500k"])
def test_a_small_disk_that_is_made_larger(
    corpus: Path,
    undisturbed: Ran,
    small_disk: Callable[[str], Path],
    size: str,
) -> None:
    """It fills at hear, or at compose, or while the report is written."""
    place = small_disk(size)
    arguments = runs.command(corpus, place / "out", "--workers", "1")
    stopped = runs.run_command(arguments)
    assert stopped.returncode == 1, (stopped.returncode, stopped.stderr)
    complains(stopped.stderr, str(place))
    grow(place, "64m")
    done = runs.run_command(arguments)
    assert done.returncode == 0, done.stderr
    assert "gather    done before" in done.stderr
    assert runs.shard_digests(place / "out") == undisturbed.digests


def test_a_place_that_may_not_be_written(corpus: Path, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("I am no folder.")
    stopped = runs.run_command(runs.command(corpus, blocked / "out"))
    assert stopped.returncode == 1, stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert str(blocked) in stopped.stderr


def test_scratch_that_is_full(
    corpus: Path, undisturbed: Ran, tmp_path: Path, small_disk: Callable[[str], Path]
) -> None:
    """Decoded samples go to scratch: the message names it, not OUT."""
    place = small_disk("100k")
    out = tmp_path / "out"
    arguments = runs.command(corpus, out, "--workers", "1", "--scratch", str(place))
    stopped = runs.run_command(arguments)
    assert stopped.returncode == 1, stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert str(place) in stopped.stderr and "No space left" in stopped.stderr
    assert not list(place.iterdir())  # it left nothing behind
    grow(place, "64m")
    done = runs.run_command(arguments)
    assert done.returncode == 0, done.stderr
    assert runs.shard_digests(out) == undisturbed.digests
