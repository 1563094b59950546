"""The fingerprint: what it is of sound, what it withstands, how it is written."""

import numpy as np
import numpy.typing as npt
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.engines.fingerprinter import fingerprint
from transforms.engines.print_code import BITS, Print, PrintError, from_codes, to_code
from transforms.measure.fingerprint import Fingerprint
from transforms.select.near_audio import copies

RATE = 16_000


def murmur(seed: int, seconds: float, rate: int = RATE) -> npt.NDArray[np.int16]:
    """Sound with formants that wander, as in speech, and pauses: made, never the same twice."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    time = np.arange(count) / rate
    knots = np.arange(0, seconds + 0.5, 0.12)
    total = np.zeros(count)
    for low, high in ((90, 180), (300, 800), (900, 1800), (2000, 3200)):
        pitch = np.interp(time, knots, rng.uniform(low, high, len(knots)))
        level = np.interp(time, knots, rng.uniform(0, 1, len(knots)) ** 2)
        phase = 2 * np.pi * np.cumsum(pitch) / rate
        total += level * (np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.3 * rng.normal(size=count))
    return (total / np.abs(total).max() * 20_000).astype(np.int16)


def changed(sound: npt.NDArray[np.int16], how: str) -> npt.NDArray[np.int16]:
    floats = sound.astype(np.float64)
    if how == "gain":
        floats = floats * 10 ** (-12 / 20)
    elif how == "offset":
        floats = floats[3 * RATE :]
    elif how in ("fast", "slow"):
        floats = soxr.resample(floats, RATE * (1.02 if how == "fast" else 0.98), RATE)
    elif how == "band":
        floats = soxr.resample(soxr.resample(floats, RATE, 8000), 8000, RATE)
    elif how == "noise":
        power = np.mean(floats**2) / 10**1.5
        floats = floats + np.random.default_rng(0).normal(0, np.sqrt(power), len(floats))
    else:
        floats = floats + 0.4
    return np.rint(floats).clip(-32768, 32767).astype(np.int16)


def print_of(sound: npt.NDArray[np.int16], rate: int = RATE) -> Print:
    found = fingerprint(sound, rate)
    assert found is not None
    return found


@pytest.mark.parametrize("how", ["gain", "offset", "fast", "slow", "band", "noise", "rounding"])
def test_a_changed_copy_is_found_and_nothing_else(how: str) -> None:
    originals = [murmur(seed, 10) for seed in range(6)]
    shared = copies(
        [print_of(changed(one, how)) for one in originals], [print_of(one) for one in originals]
    )
    assert shared.low.tolist() == shared.high.tolist() == list(range(6))
    assert shared.of_low.min() > 0.8
    assert shared.of_high.min() > (0.55 if how == "offset" else 0.8)
    assert shared.high_start.max() < (3.5 if how == "offset" else 1.0)


def test_other_sounds_have_nothing_in_common() -> None:
    some = [print_of(murmur(seed, 8)) for seed in range(40)]
    others = [print_of(murmur(seed, 8)) for seed in range(100, 140)]
    assert not len(copies(some, others).low)


def test_another_rate_of_the_same_sound() -> None:
    sound = murmur(3, 8)
    high = soxr.resample(sound.astype(np.float64), RATE, 24_000).astype(np.int16)
    shared = copies([print_of(high, 24_000)], [print_of(sound)])
    assert shared.of_low.tolist() > [0.9]


def test_a_piece_inside_is_covered_and_told_where() -> None:
    jingle, speech = murmur(1, 4), murmur(2, 20)
    inside = np.concatenate([speech[: 8 * RATE], jingle, speech[8 * RATE :]])
    shared = copies([print_of(jingle)], [print_of(inside)])
    assert shared.of_low[0] > 0.8 and shared.of_high[0] < 0.3
    assert shared.high_start[0] - shared.low_start[0] == pytest.approx(8.0, abs=0.15)


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(5 * RATE, np.int16),
        np.full(5 * RATE, 1000, np.int16),
        np.zeros(0, np.int16),
        murmur(1, 0.5),
    ],
    ids=["silence", "offset", "nothing", "short"],
)
def test_what_has_no_fingerprint(sound: npt.NDArray[np.int16]) -> None:
    found = fingerprint(sound, RATE)
    assert found is None or len(found.keys) <= 4


def test_a_rate_below_the_bands_has_none() -> None:
    assert fingerprint(murmur(1, 5), 4000) is None


def test_size_and_bits() -> None:
    found = print_of(murmur(1, 60))
    assert 250_000 < len(to_code(found)) * 60 < 500_000  # bytes of text per hour
    assert found.words.max() < 1 << BITS and found.keys.max() < 1 << (2 * BITS)
    assert found.weak.max() < 2 * BITS
    assert np.all(np.diff(found.frames.astype(int)) >= 0)


def test_chunks_of_work_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = murmur(4, 12)
    before = to_code(print_of(sound))
    monkeypatch.setattr("transforms.engines.fingerprinter._FRAMES_AT_ONCE", 7)
    assert to_code(print_of(sound)) == before


ARRAYS = st.integers(0, 30)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(ARRAYS, ARRAYS, st.integers(0, 2**32 - 1)), max_size=5))
def test_columns_of_codes_come_back(shapes: list[tuple[int, int, int]]) -> None:
    prints = []
    for words, marks, seed in shapes:
        rng = np.random.default_rng(seed)
        prints.append(
            Print(
                rng.integers(0, 1 << 16, words).astype(np.uint16),
                rng.integers(0, 1 << 32, marks).astype(np.uint32),
                rng.integers(0, 1 << 16, marks).astype(np.uint16),
                rng.integers(0, 256, marks).astype(np.uint8),
            )
        )
    back = from_codes([to_code(one) for one in prints])
    assert len(back) == len(prints)
    for one, other in zip(prints, back, strict=True):
        for name in ("words", "keys", "frames", "weak"):
            assert np.array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize("code", ["AAA", "AAAA", "!!!!", to_code(print_of(murmur(1, 3)))[:-4]])
def test_what_is_no_fingerprint_is_told(code: str) -> None:
    with pytest.raises(PrintError):
        from_codes([code])


def test_the_measure_has_a_version_in_its_key() -> None:
    step = Fingerprint()
    assert step.columns == {"code": str} and step.needs_audio
    assert step.fingerprint() == {"version": 1}
