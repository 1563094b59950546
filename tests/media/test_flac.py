"""FLAC members come back exactly, in ranges, and are the same bytes each time."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.media import made_media as media
from transforms import flac


def pcm_of(seed: int, frames: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-32768, 32768, frames, np.int16)


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(
    seed=st.integers(0, 99), frames=st.integers(1, 30000), rate=st.sampled_from([16000, 24000]),
    cuts=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)  # fmt: skip
def test_every_range_of_every_signal_comes_back(seed, frames, rate, cuts) -> None:
    pcm = pcm_of(seed, frames)
    data = flac.encode(pcm, rate)
    start, end = sorted(int(cut * frames) for cut in cuts)
    assert np.array_equal(flac.decode(data), pcm)
    assert np.array_equal(flac.decode(data, start, end), pcm[start:end])
    assert np.array_equal(flac.decode(data, start), pcm[start:])
    assert flac.member_frames(data) == frames
    assert flac.encode(pcm, rate) == data


def test_extremes_silence_and_more_than_a_block() -> None:
    for pcm in (
        np.array([-32768, 32767] * 10, np.int16),
        np.zeros(flac.BLOCK * 2 + 5, np.int16),
        pcm_of(1, flac.BLOCK + 1),
    ):
        data = flac.encode(pcm, 16000)
        assert np.array_equal(flac.decode(data), pcm)
        assert [len(block) for block in flac.blocks(data)][:-1] == [flac.BLOCK] * (
            (len(pcm) - 1) // flac.BLOCK
        )


def test_bytes_depend_on_the_samples_alone() -> None:
    """A strided view holds the same samples as a copy."""
    pcm = pcm_of(2, 5000)
    apart = np.stack([pcm, pcm], axis=1)[:, 0]
    assert not apart.flags.c_contiguous
    assert flac.encode(apart, 16000) == flac.encode(pcm, 16000)


@pytest.mark.parametrize(
    "pcm",
    [np.zeros(0, np.int16), np.zeros((2, 5), np.int16), np.zeros(5, np.float32)],
)
def test_what_is_not_mono_pcm16_is_refused(pcm: np.ndarray) -> None:
    with pytest.raises(ValueError, match="needs int16"):
        flac.encode(pcm, 16000)


@pytest.mark.parametrize("span", [(-1, 5), (5, 4), (0, 101), (101, None)])
def test_ranges_outside_are_refused(span: tuple[int, int | None]) -> None:
    data = flac.encode(pcm_of(3, 100), 16000)
    with pytest.raises(ValueError, match="are not inside"):
        flac.decode(data, *span)


def test_what_is_no_member_is_refused() -> None:
    data = flac.encode(pcm_of(4, 20000), 16000)
    with pytest.raises(ValueError):
        flac.decode(data[: len(data) // 2])
    for other in (b"", b"not flac", media.small("wav-s16"), media.small("flac")):  # the last stereo
        with pytest.raises(ValueError):
            flac.decode(other)
