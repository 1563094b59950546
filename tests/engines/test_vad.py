"""One contract for every VAD engine, and what each promises beyond it."""

import subprocess
import sys

import numpy as np
import pytest

from transforms.engines import vad

SENTENCES = (
    "The harbour was quiet before the first boats came in.",
    "Nobody had expected the bridge to open so early.",
)


def silence(seconds: float, rate: int = vad.RATE) -> np.ndarray:
    return np.zeros(round(seconds * rate), np.int16)


@pytest.fixture(scope="module", params=vad.ENGINES)
def engine(request) -> vad.Vad:
    return vad.engine(request.param)()


@pytest.fixture(scope="module")
def talk(speak) -> np.ndarray:
    """Silence, speech, silence, speech, silence; with a faint noise under all of it."""
    noise = np.random.default_rng(1)
    parts = [silence(1.5), speak(SENTENCES[0]), silence(1.5), speak(SENTENCES[1]), silence(1.5)]
    joined = np.concatenate(parts)
    return (joined + noise.normal(0, 4, len(joined))).astype(np.int16)


def speech_mask(speak) -> np.ndarray:
    """Per frame: True inside a sentence, judged by its samples' place."""
    lengths = [len(speak(s)) for s in SENTENCES]
    edge = round(1.5 * vad.RATE)
    mask = np.zeros(3 * edge + sum(lengths), bool)
    mask[edge : edge + lengths[0]] = True
    mask[2 * edge + lengths[0] : -edge] = True
    return mask[vad.FRAME // 2 :: vad.FRAME]


def test_one_probability_per_frame(engine, talk):
    for length in (1, 511, 512, 513, 512 * 512, 512 * 512 + 1, len(talk)):
        curve = engine.probabilities([np.resize(talk, length)])
        assert curve.shape == (-(-length // vad.FRAME),)
        assert curve.dtype == np.float32
        assert np.isfinite(curve).all() and curve.min() >= 0 and curve.max() <= 1


def test_nothing_gives_nothing(engine):
    assert engine.probabilities([]).shape == (0,)
    assert engine.probabilities([silence(0)]).shape == (0,)


@pytest.mark.parametrize("size", [1000, 512, 16_000, 512 * 512 * 2])
def test_blocks_do_not_change_the_answer(engine, talk, size):
    long = np.tile(talk, 4)
    whole = engine.probabilities([long])
    cut = engine.probabilities(long[i : i + size] for i in range(0, len(long), size))
    assert np.array_equal(whole, cut)


def test_no_memory_of_the_recording_before(engine, talk, speak):
    other = speak(SENTENCES[1])
    first = engine.probabilities([other])
    loud = np.random.default_rng(2).integers(-32768, 32767, vad.RATE * 3).astype(np.int16)
    engine.probabilities([loud])
    engine.probabilities([talk])
    assert np.array_equal(engine.probabilities([other]), first)
    assert np.array_equal(type(engine)().probabilities([other]), first)


@pytest.mark.parametrize("name", ["silero", "energy"])
def test_silence_is_not_speech(name):
    detector = vad.engine(name)()
    assert detector.probabilities([silence(3)]).max() < 0.5
    assert detector.probabilities([silence(1 / vad.RATE)]).max() < 0.5


@pytest.mark.parametrize("name", ["silero", "energy"])
def test_speech_is_found_where_it_is(name, talk, speak):
    curve = vad.engine(name)().probabilities([talk])
    mask = speech_mask(speak)[: len(curve)]
    found = curve[: len(mask)] >= 0.5
    assert np.mean(found[mask]) > 0.75, "misses too much of two sentences"
    assert np.mean(found[~mask]) < 0.10, "hears speech in the pauses"


def test_silero_is_not_fooled_by_noise_and_hum():
    detector = vad.engine("silero")()
    noise = np.random.default_rng(3).normal(0, 3000, vad.RATE * 5).astype(np.int16)
    hum = (8000 * np.sin(2 * np.pi * 100 * np.arange(vad.RATE * 5) / vad.RATE)).astype(np.int16)
    assert np.mean(detector.probabilities([noise]) >= 0.5) < 0.02
    assert np.mean(detector.probabilities([hum]) >= 0.5) < 0.02


def test_whole_keeps_everything_and_ranks_quiet_frames_lower(talk, speak):
    curve = vad.engine("whole")().probabilities([talk])
    mask = speech_mask(speak)[: len(curve)]
    assert curve.min() >= 0.99
    assert curve[: len(mask)][mask].mean() > curve[: len(mask)][~mask].mean()


def test_silero_needs_no_torch():
    code = (
        "import sys; import numpy as np; from transforms.engines import vad;"
        "e = vad.engine('silero')(); e.probabilities([np.zeros(2000, np.int16)]);"
        "e.fingerprint();"
        "sys.exit(any(m in sys.modules for m in ('torch', 'silero_vad')))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


@pytest.mark.slow
def test_silero_equals_its_package(talk):
    """The package's own model, frame by frame: equal to float rounding, so are all borders."""
    import torch

    threads = torch.get_num_threads()
    try:
        import silero_vad

        model = silero_vad.load_silero_vad()
        model.reset_states()
        rows = np.pad(talk, (0, -len(talk) % vad.FRAME)).reshape(-1, vad.FRAME) / 32768
        with torch.no_grad():
            theirs = [model(torch.tensor(row, dtype=torch.float32), 16000).item() for row in rows]
    finally:
        torch.set_num_threads(threads)
    ours = vad.engine("silero")().probabilities([talk])
    assert np.abs(ours - np.array(theirs)).max() < 1e-4
    assert np.array_equal(ours >= 0.5, np.array(theirs) >= 0.5)
    assert (ours >= 0.5).sum() > 60


def test_resampling_streams_and_keeps_count():
    source = np.random.default_rng(4).normal(0, 2000, 24_000 * 20 + 7).astype(np.int16)
    whole = np.concatenate(list(vad.at_rate([source], 24_000)))
    cut = np.concatenate(
        list(vad.at_rate((source[i : i + 999] for i in range(0, len(source), 999)), 24_000))
    )
    assert len(whole) == -(-len(source) * 2 // 3)
    assert np.array_equal(whole, cut)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 767, 768, 769])
def test_resampling_short_inputs_rounds_up(length):
    out = np.concatenate([*vad.at_rate([np.ones(length, np.int16)], 24_000), silence(0)])
    assert len(out) == -(-length * 2 // 3)


def test_resampling_filters_what_would_alias():
    """11 kHz would fold to 5 kHz at 16 kHz if samples were only skipped."""
    time = np.arange(24_000 * 2) / 24_000
    tone = (8000 * np.sin(2 * np.pi * 11_000 * time)).astype(np.int16)
    low = (8000 * np.sin(2 * np.pi * 1_000 * time)).astype(np.int16)
    folded = np.concatenate(list(vad.at_rate([tone], 24_000)))[4000:-4000]
    kept = np.concatenate(list(vad.at_rate([low], 24_000)))[4000:-4000]
    assert np.abs(folded).max() < 8
    assert 7900 < np.abs(kept).max() < 8100


def test_answers_at_24_khz_agree_with_16(speak):
    detector = vad.engine("silero")()
    at16 = detector.probabilities([speak(SENTENCES[0])])
    at24 = detector.probabilities(vad.at_rate([speak(SENTENCES[0], rate=24_000)], 24_000))
    count = min(len(at16), len(at24))
    assert np.mean((at16[:count] >= 0.5) == (at24[:count] >= 0.5)) > 0.95


def test_regroup_gives_equal_blocks():
    samples = np.arange(1000, dtype=np.int16)
    blocks = list(vad.regroup((samples[i : i + 7] for i in range(0, 1000, 7)), 64))
    assert [len(b) for b in blocks] == [64] * 15 + [40]
    assert np.array_equal(np.concatenate(blocks), samples)
    assert list(vad.regroup([], 64)) == []


def test_unknown_engine_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'silero'"):
        vad.engine("silerro")
