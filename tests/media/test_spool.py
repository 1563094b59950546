"""Spools give back what was put in and only that, leave nothing behind, and stay out of memory."""

import hashlib
from pathlib import Path

import hypothesis
import numpy as np
import psutil
import pytest
from hypothesis import strategies as st

from schemas.records import AudioRef, Clip, Segment, clip_id, segment_id
from transforms import flac
from transforms.spool import FileSpool, StoredAudio
from transforms.step import AudioRangeError, ScratchFull

RECORDING = hashlib.sha256(b"recording").hexdigest()
TAR = hashlib.sha256(b"tar").hexdigest()
RATE = 16000


def noise(seed: int, frames: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-32768, 32768, frames, np.int16)


class Tar:
    """Members by offset, and how often each was fetched."""

    def __init__(self) -> None:
        self.members: dict[int, bytes] = {}
        self.fetched: list[int] = []

    def add(self, pcm: np.ndarray) -> AudioRef:
        offset = sum(map(len, self.members.values()))
        data = flac.encode(pcm, RATE)
        self.members[offset] = data
        return AudioRef(tar=TAR, offset=offset, size=len(data), start=0, end=len(pcm), rate=RATE)

    def fetch(self, ref: AudioRef) -> bytes:
        self.fetched.append(ref.offset)
        return self.members[ref.offset]


def segment(
    ref: AudioRef | None, start: int, end: int, channel: int = 0, rate: int = RATE
) -> Segment:
    return Segment(
        id=segment_id(RECORDING, channel, start, end, rate), recording=RECORDING, channel=channel,
        start=start / rate, end=end / rate, rate=rate, speech_seconds=0.0, audio=ref,
    )  # fmt: skip


def clip(ref: AudioRef, start: int, end: int) -> Clip:
    task = hashlib.sha256(b"task").hexdigest()
    return Clip(
        id=clip_id(task, 0, start, end, RATE, "spk0"), task=task, recording=RECORDING, channel=0,
        index=0, start=start / RATE, end=end / RATE, rate=RATE, speaker="spk0", audio=ref,
    )  # fmt: skip


@hypothesis.settings(max_examples=30, deadline=None)
@hypothesis.given(
    sizes=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3000)), min_size=1, max_size=8),
    cuts=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_spool_gives_back_any_range(sizes, cuts, tmp_path_factory) -> None:
    whole: dict[int, list[np.ndarray]] = {}
    with FileSpool(tmp_path_factory.mktemp("spool"), RATE, 1 << 20) as spool:
        for seed, (channel, size) in enumerate(sizes):
            block = noise(seed, size)
            spool.append(channel, block)
            whole.setdefault(channel, []).append(block)
        assert list(spool.channels()) == sorted(whole)
        for channel, blocks in whole.items():
            pcm = np.concatenate(blocks)
            start, end = sorted(int(cut * len(pcm)) for cut in cuts)
            assert spool.length(channel) == len(pcm)
            assert np.array_equal(spool.read(channel, start, end), pcm[start:end])


def test_a_spool_holds_its_cap_over_all_channels(tmp_path: Path) -> None:
    with FileSpool(tmp_path, RATE, 400) as spool:
        spool.append(0, noise(0, 100))
        spool.append(1, noise(0, 100))
        with pytest.raises(ScratchFull, match="400 bytes"):
            spool.append(0, noise(0, 1))


@pytest.mark.parametrize("span", [(0, 0, 101), (0, -1, 5), (0, 6, 5), (1, 0, 1)])
def test_a_spool_refuses_what_it_does_not_hold(span: tuple[int, int, int], tmp_path: Path) -> None:
    with FileSpool(tmp_path, RATE, 400) as spool:
        spool.append(0, noise(0, 100))
        with pytest.raises(AudioRangeError):
            spool.read(*span)


def test_nothing_is_left_even_by_a_killed_worker(tmp_path: Path) -> None:
    """The files have no names: there is nothing to find in the folder while they are in use."""
    tar = Tar()
    ref = tar.add(noise(1, 5000))
    with FileSpool(tmp_path, RATE, 1 << 20) as spool:
        stored = StoredAudio([segment(ref, 0, 5000)], tar.fetch, tmp_path)
        spool.append(0, noise(0, 1000))
        assert len(stored.read(0, 0, 5000)) == 5000
        assert list(tmp_path.iterdir()) == []
        before = psutil.Process().num_fds()
        stored.close()
    assert psutil.Process().num_fds() == before - 2
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_names_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    def full(descriptor: int, data: memoryview, offset: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with FileSpool(tmp_path, RATE, 1 << 20) as spool, pytest.raises(OSError) as caught:
        spool.append(0, noise(0, 10))
    assert caught.value.errno == errno.ENOSPC
    assert str(tmp_path) in str(caught.value)


@pytest.fixture
def speech(tmp_path: Path):
    """A recording of 60,000 frames of which two stretches are stored, and one of channel 1."""
    pcm, tar = noise(7, 60000), Tar()
    spans = [(1000, 20000), (30000, 50000)]
    segments = [segment(tar.add(pcm[a:b]), a, b) for a, b in spans]
    segments.append(segment(tar.add(pcm[5:105]), 5, 105, channel=1))
    with StoredAudio(segments[::-1], tar.fetch, tmp_path) as stored:
        yield pcm, tar, stored


def test_stored_speech_is_read_by_its_place_in_the_recording(speech) -> None:
    pcm, tar, stored = speech
    assert (stored.rate, list(stored.channels())) == (RATE, [0, 1])
    assert (stored.length(0), stored.length(1)) == (50000, 105)
    assert tar.fetched == []  # not before it is read
    for channel, start, end in [(0, 1000, 20000), (0, 1500, 1501), (0, 30000, 50000), (1, 5, 105)]:
        assert np.array_equal(stored.read(channel, start, end), pcm[start:end])
    for _ in range(3):
        stored.read(0, 4000, 5000)
    assert sorted(tar.fetched) == sorted(tar.members)  # each once
    assert len(stored.read(0, 2000, 2000)) == 0


@pytest.mark.parametrize(
    "span",
    [(0, 999, 1001), (0, 19999, 20001), (0, 0, 10), (0, 20000, 20001), (0, 25000, 26000),
     (0, 15000, 35000), (0, 49999, 50001), (0, 60000, 60001), (0, -5, 5), (0, 9, 8), (2, 0, 1)],
)  # fmt: skip
def test_what_is_not_stored_is_refused(span: tuple[int, int, int], speech) -> None:
    with pytest.raises(AudioRangeError):
        speech[2].read(*span)


def test_neighbouring_and_overlapping_clips_of_one_member(tmp_path: Path) -> None:
    """Clips refer to ranges of a segment's member; a read may cross from one into the next."""
    pcm, tar = noise(8, 40000), Tar()
    ref = tar.add(pcm[10000:30000])
    spans = [(11000, 15000), (15000, 18000), (14000, 16000), (12000, 13000), (17000, 25000)]
    clips = [clip(ref.cut(a - 10000, b - 10000), a, b) for a, b in spans]
    with StoredAudio(clips, tar.fetch, tmp_path) as stored:
        assert np.array_equal(stored.read(0, 11000, 25000), pcm[11000:25000])
        for start, end in spans:
            assert np.array_equal(stored.read(0, start, end), pcm[start:end])
        with pytest.raises(AudioRangeError):
            stored.read(0, 10999, 11001)  # in the member, but of no clip
        assert tar.fetched == [0]


def test_spans_that_do_not_fit_are_a_bug(tmp_path: Path) -> None:
    tar = Tar()
    ref = tar.add(noise(9, 1000))
    for spans in (
        [],
        [segment(None, 0, 1000)],
        [segment(ref, 0, 999)],
        [segment(ref, 0, 1000, rate=24000)],
        [segment(ref, 0, 1000), segment(None, 0, 1000, rate=24000)],
    ):
        with pytest.raises(ValueError):
            StoredAudio(spans, tar.fetch, tmp_path)


def test_a_member_shorter_than_its_ref_is_a_bug(tmp_path: Path) -> None:
    tar = Tar()
    tar.add(noise(9, 900))
    ref = AudioRef(tar=TAR, offset=0, size=1, start=0, end=1000, rate=RATE)
    with (
        StoredAudio([segment(ref, 0, 1000)], tar.fetch, tmp_path) as stored,
        pytest.raises(AudioRangeError, match="holds 900 frames"),
    ):
        stored.read(0, 0, 1000)


def test_an_hour_is_held_on_disk_not_in_memory(tmp_path: Path) -> None:
    """60 members of a minute (115 MB of samples): reading all of them adds less than 20 MB."""
    tar = Tar()
    minute = noise(5, 60 * RATE)
    ref = tar.add(minute)
    refs = [AudioRef(tar=f"{n:064x}", offset=0, size=ref.size, start=0, end=ref.end, rate=RATE)
            for n in range(60)]  # fmt: skip
    spans = [segment(r, n * 60 * RATE, (n + 1) * 60 * RATE) for n, r in enumerate(refs)]
    with StoredAudio(spans, tar.fetch, tmp_path) as stored:
        stored.read(0, 0, 60 * RATE)
        before = psutil.Process().memory_info().rss
        for n in range(60):
            assert np.array_equal(stored.read(0, n * 60 * RATE, (n + 1) * 60 * RATE), minute)
        assert psutil.Process().memory_info().rss - before < 20 << 20
        assert len(tar.fetched) == 60


def test_a_spool_is_laid_anew_from_what_is_read_of_it(tmp_path: Path) -> None:
    pcm = noise(3, 1000)
    with FileSpool(tmp_path, RATE, 1 << 20) as spool:
        spool.append(0, pcm)
        spool.append(1, pcm[:10])
        with spool.relaid() as fresh:
            fresh.append(0, spool.read(0, 500, 1000))
            fresh.append(0, spool.read(0, 0, 100))
            assert spool.length(0) == 1000
        assert spool.channels() == [0]
        assert np.array_equal(spool.read(0, 0, 600), np.concatenate([pcm[500:], pcm[:100]]))
        spool.append(0, pcm[:1])
        assert spool.length(0) == 601


def test_a_spool_stays_as_it_was_where_laying_it_anew_fails(tmp_path: Path) -> None:
    pcm = noise(3, 1000)
    with FileSpool(tmp_path, RATE, 2100) as spool:
        spool.append(0, pcm)
        with pytest.raises(ScratchFull), spool.relaid() as fresh:
            fresh.append(0, pcm)
            fresh.append(0, pcm)
        assert np.array_equal(spool.read(0, 0, 1000), pcm)
