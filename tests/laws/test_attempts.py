"""Two attempts at one part whose bytes differ, interleaved at every write.

A zombie and its successor may run on different machines of one class and still lay their tars out
differently. Whoever commits first wins; what counts is that no row of the winner points into the
loser's tar, wherever the two were stopped and went on.
"""

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import commits, device, layout, weave
from pipeline.parts import Member, Part, part_id
from pipeline.phases.annotate import fetch_from
from pipeline.phases.hear import HearJob
from pipeline.recipe import load_recipe
from pipeline.work import Work, close_part, open_part, run_step
from schemas.ids import bytes_digest
from schemas.records import Recording, Segment, frames
from schemas.store import Store
from tests.laws import made_corpus, runs
from transforms import flac


class Gated(Store):
    """A store that waits before each write until it is told to go on."""

    def __init__(self, url: str):
        super().__init__(url)
        self.arrived, self.go = threading.Semaphore(0), threading.Semaphore(0)
        self.wrote: list[tuple[str, bool]] = []

    def put_if_absent(self, name: str, data: bytes | Path) -> bool:
        return self._gated(super().put_if_absent, name, data)

    def take(self, name: str, path: Path | str) -> bool:
        return self._gated(super().take, name, path)

    def _gated(self, write: Callable[[str, Any], bool], name: str, data: Any) -> bool:
        self.arrived.release()
        assert self.go.acquire(timeout=30)
        won = write(name, data)
        self.wrote.append((name, won))
        return won


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, np.ndarray]]:
    """Recordings of one part: id -> (file, samples)."""
    folder = tmp_path_factory.mktemp("sounds")
    found = {}
    for seed in (1, 2, 3):
        pcm = made_corpus.voice(seed, 4.0 + seed)
        path = folder / f"{seed}.wav"
        made_corpus.write_file(path, made_corpus.wav(pcm))
        found[bytes_digest(path.read_bytes())] = (path, pcm)
    return found


def part_of(sounds: dict[str, tuple[Path, np.ndarray]]) -> Part:
    members = tuple(
        Member(
            root=Recording(id=name, uri=path.name, size=path.stat().st_size, seconds=5.0),
            seconds=5.0,
            path=str(path),
        )
        for name, (path, _) in sounds.items()
    )
    return Part(id=part_id(sounds), members=members)


def job_in(store: Store, run: str) -> HearJob:
    recipe = load_recipe(runs.RECIPE)
    return HearJob(
        key="0" * 32,
        store=store,
        run=run,
        device=device.device_class(),
        seed=1,
        steps=recipe.steps("web", "hear"),
    )


def worked(job: HearJob, part: Part) -> Work:
    work = open_part(job, part)
    for step in job.steps:
        run_step(job, step, weave.model_of(step), work)
    return work


class Attempt:
    """One attempt, ready to commit: its writes happen one by one, when `write` is called."""

    def __init__(self, url: Path, part: Part, run: str):
        self.store = Gated(str(url))
        self.job = job_in(self.store, run)
        self.work = worked(self.job, part)
        self.result: bool | None = None
        self.thread = threading.Thread(target=self._commit, daemon=True)

    def start(self) -> None:
        """Encode, up to the first write."""
        self.thread.start()
        assert self.store.arrived.acquire(timeout=30)

    def write(self) -> None:
        """Make the next write, and go on up to the one after or to the end."""
        self.store.go.release()
        while self.thread.is_alive() and not self.store.arrived.acquire(timeout=0.01):
            pass

    def _commit(self) -> None:
        self.result = self.job.commit(self.work)

    def close(self) -> None:
        close_part(self.work)


def pairs(
    url: Path, sounds: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Attempt, Attempt]]:
    """Two attempts at one part; the second lays its members out backwards, and harder packed."""
    part = part_of(sounds)
    backwards = Part(id=part.id, members=part.members[::-1])
    first, second = Attempt(url, part, "first"), Attempt(url, backwards, "second")
    first.start()
    monkeypatch.setattr(flac, "COMPRESSION", 1.0)
    second.start()
    monkeypatch.undo()
    yield first, second
    for attempt in (first, second):
        attempt.store.go.release(4)
        attempt.thread.join(30)
        attempt.close()
    weave.close_models()


ORDERS = sorted(set(itertools.permutations("aabb")))


@pytest.mark.parametrize("order", ORDERS, ids="".join)
@pytest.mark.parametrize("stop", [1, 2, 3, 4])
def test_every_reference_resolves_to_its_own_attempt(
    tmp_path: Path,
    sounds: dict[str, tuple[Path, np.ndarray]],
    monkeypatch: pytest.MonkeyPatch,
    order: tuple[str, ...],
    stop: int,
) -> None:
    """`stop`: after so many writes both attempts are dead."""
    for first, second in pairs(tmp_path / "out", sounds, monkeypatch):
        for who in order[:stop]:
            (first if who == "a" else second).write()
        store = Store(tmp_path / "out")
        names = [entry.name for entry in store.list(layout.commits_folder("hear", "0" * 32))]
        twice = [who for who in "ab" if order[:stop].count(who) == 2]
        assert len(names) == min(len(twice), 1)
        if not names:
            continue
        segments = commits.records(store, names[0], "row", Segment)
        about = commits.about(store, names[0])
        done = [who for place, who in enumerate(order[:stop]) if who in order[:place]]
        assert about["run"] == {"a": "first", "b": "second"}[done[0]]  # the first to commit
        assert {segment.recording for segment in segments} == set(sounds)
        own = first if about["run"] == "first" else second
        own_tar = next(name for name, _ in own.store.wrote if name.endswith(".tar"))
        for segment in segments:
            assert segment.audio is not None
            assert layout.tar_name("0" * 32, segment.audio.tar) == own_tar
            assert segment.audio.tar == about["tar"]
            stored = flac.decode(fetch_from(store, "0" * 32, segment.audio))
            a, b = frames(segment.start, 16000), frames(segment.end, 16000)
            np.testing.assert_array_equal(stored, sounds[segment.recording][1][a:b])


def test_the_two_attempts_do_differ(
    tmp_path: Path,
    sounds: dict[str, tuple[Path, np.ndarray]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The test above would prove nothing if both wrote the same tar; and the first one wins."""
    for first, second in pairs(tmp_path / "out", sounds, monkeypatch):
        for attempt in (first, second, second, first):
            attempt.write()
        tars = {name for a in (first, second) for name, _ in a.store.wrote if name.endswith("tar")}
        assert len(tars) == 2
        assert (first.result, second.result) == (False, True)
