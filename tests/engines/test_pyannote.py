"""pyannote.audio itself, from end to end, with a tiny pipeline whose right answers are known.

The weights are ours (tiny_pyannote.py): this tests the path, not the accuracy of published models,
which no test here has seen.
"""

import importlib.util
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_diarizer import STRETCHES, Samples, noise
from test_windowed import tone

from schemas.ids import digest_of
from schemas.records import Clip, Drop, Segment, Task, frames, segment_id
from transforms.annotate.diarize import Diarize
from transforms.engines import diarizer, pyannote_pipeline
from transforms.engines.device_memory import NoRoomError
from transforms.engines.diarizer import Options
from transforms.engines.models import ModelError
from transforms.engines.turns import NOBODY
from transforms.step import Scope

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("lightning") is None,
        reason="pyannote.audio is an extra that is not installed",
    ),
]
HERE = Path(__file__).parent
RATE = 16_000


@pytest.fixture(scope="module")
def tiny():
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    import tiny_pyannote

    return tiny_pyannote


@pytest.fixture(scope="module")
def tones(tiny, tmp_path_factory) -> Path:
    return tiny.save_pipeline(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def engine(tones):
    return diarizer.engine(f"pyannote/{tones}")(Options())


def talk(*parts, rate: int = RATE) -> np.ndarray:
    """Sound of (hertz, seconds) or ((hertz, hertz), seconds); hertz 0 is silence."""
    found = []
    for hertz, seconds in parts:
        many = hertz if isinstance(hertz, tuple) else (hertz,)
        found.append(sum(tone(h, round(seconds * rate), rate) for h in many))
    return np.concatenate(found).astype(np.int16)


def rows(turns, rate: int = RATE):
    return [(t.speaker, round(t.start, 1), round(t.end, 1)) for t in turns]


def check_cover(turns, stretches, rate):
    rest = iter(turns)
    for start, end in stretches:
        speaker = None
        while start < end:
            turn = next(rest)
            first, last = frames(turn.start, rate), frames(turn.end, rate)
            assert first == start < last <= end and turn.speaker != speaker
            assert all(first <= a < b <= last for a, b in turn.overlaps)
            start, speaker = last, turn.speaker
    assert next(rest, None) is None
    named = list(dict.fromkeys(t.speaker for t in turns if t.speaker != NOBODY))
    assert named == [f"spk{number}" for number in range(len(named))]


# --- what it hears ---------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_turns_and_overlap_are_found_where_they_are(engine, rate):
    sound = talk(
        (300, 4), (0, 0.4), (3000, 5), ((300, 3000), 2), (1000, 4), (0, 3), (300, 3), rate=rate
    )
    turns = engine.turns(Samples(sound, rate=rate), 0, [(0, len(sound))], rate)
    check_cover(turns, [(0, len(sound))], rate)
    assert [turn.speaker for turn in turns] == ["spk0", "spk1", "spk2", NOBODY, "spk0"]
    ends = [turn.end for turn in turns]
    assert ends == pytest.approx([4.2, 11.4, 15.9, 17.9, 21.4], abs=0.03)
    several = [(a / rate, b / rate) for turn in turns for a, b in turn.overlaps]
    assert max(several, key=lambda pair: pair[1] - pair[0]) == pytest.approx((9.4, 11.4), abs=0.03)
    # where two tones touch, a frame holds both: no more than the 25 ms of one
    assert sum(b - a for a, b in several) == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("case", STRETCHES)
@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_contract(engine, case, rate):
    sound = noise(62, rate=rate)
    sound[rate : 30 * rate] = talk((400, 20), (3400, 9), rate=rate)
    turns = engine.turns(Samples(sound, rate=rate), 0, STRETCHES[case], rate)
    check_cover(turns, STRETCHES[case], rate)


@pytest.mark.parametrize("stretches", [[(5, 5)], [(0, 10), (9, 20)], [(10, 20), (0, 5)]])
def test_bad_stretches_are_a_bug_of_the_caller(engine, stretches):
    with pytest.raises(ValueError, match="stretch"):
        engine.turns(Samples(noise(1)), 0, stretches, RATE)


@pytest.mark.parametrize("seconds", [0.01, 0.3, 1.0, 5.0, 9.99, 10.0, 10.01])
def test_sound_shorter_than_a_window(engine, seconds):
    sound = talk((300, seconds))
    turns = engine.turns(Samples(sound), 0, [(0, len(sound))], RATE)
    check_cover(turns, [(0, len(sound))], RATE)
    if seconds >= 0.3:
        assert rows(turns) == [("spk0", 0.0, round(seconds, 1))]


@pytest.mark.parametrize("loud", [0, 1])
def test_silence_is_nobodys(engine, loud):
    sound = np.random.default_rng(0).integers(-loud, loud + 1, 30 * RATE).astype(np.int16)
    turns = engine.turns(Samples(sound), 0, [(0, 12 * RATE), (13 * RATE, 30 * RATE)], RATE)
    assert rows(turns) == [(NOBODY, 0.0, 12.0), (NOBODY, 13.0, 30.0)]


def test_embeddings_that_are_not_numbers_lose_no_speech(engine):
    """Both always talk at once: no window has a voice by itself to embed."""
    sound = talk(((300, 3000), 12))
    heard = engine._listener.hear(sound.astype(np.float32) / 32768, None)
    assert not np.isfinite(heard.embeddings).all() and len(heard.voices) >= 2
    turns = engine.turns(Samples(sound), 0, [(0, len(sound))], RATE)
    check_cover(turns, [(0, len(sound))], RATE)
    assert NOBODY not in {turn.speaker for turn in turns}


def test_most_speakers_is_a_ceiling(engine, tones):
    sound = talk((300, 6), (1000, 6), (3000, 6), (300, 6))
    place = [(0, len(sound))]
    assert len({t.speaker for t in engine.turns(Samples(sound), 0, place, RATE)}) == 3
    for most in (1, 2):
        few = diarizer.engine(f"pyannote/{tones}")(Options(max_speakers=most))
        turns = few.turns(Samples(sound), 0, place, RATE)
        check_cover(turns, place, RATE)
        assert len({turn.speaker for turn in turns} - {NOBODY}) <= most


ACTS = ((300, 1000, 3000), (400, 1200, 3400), (300, 1000, 3000))  # the first cast comes back


def acts(seconds: float = 48.0) -> tuple[np.ndarray, list[float]]:
    """Three acts in turns of 4 s, and who speaks in each tenth of a second."""
    parts, truth = [], []
    for cast in ACTS:
        for hertz, _ in zip(itertools.cycle(cast), range(round(seconds / 4)), strict=False):
            parts += [(hertz, 3.7), (0, 0.3)]
            truth += [hertz] * 37 + [0] * 3
    return talk(*parts), truth


def agreement(turns, truth) -> float:
    """The share of tenths of a second with a voice whose speaker is the voice's usual one."""
    said = [
        next(t.speaker for t in turns if t.start <= place / 10 + 0.05 < t.end)
        for place in range(len(truth))
    ]
    pairs = [(t, s) for t, s in zip(truth, said, strict=True) if t]
    usual = {}
    for voice in {t for t, _ in pairs}:
        names = [s for t, s in pairs if t == voice]
        usual[voice] = max(sorted(set(names)), key=names.count)
    assert len(set(usual.values())) == len(usual), "two voices have one name"
    return sum(usual[t] == s for t, s in pairs) / len(pairs)


@pytest.mark.parametrize("size", [30.0, 50.0])
def test_speakers_are_linked_across_windows(tones, engine, size):
    sound, truth = acts()
    stretches = [(0, len(sound))]
    whole = engine.turns(Samples(sound), 0, stretches, RATE)
    options = Options(window_seconds=size, window_overlap_seconds=10.0)
    parts = diarizer.engine(f"pyannote/{tones}")(options).turns(Samples(sound), 0, stretches, RATE)
    check_cover(parts, stretches, RATE)
    assert agreement(whole, truth) > 0.9
    assert agreement(parts, truth) > 0.9
    assert len({t.speaker for t in parts}) == len({t.speaker for t in whole}) == 6


def test_published_architecture_and_clustering_run(tiny, tmp_path):
    """PyanNet with random weights, VBx clustering: any answer, but a whole one, twice the same."""
    place = tiny.save_pipeline(tmp_path / "p", tiny.random_pyannet(), "VBxClustering")
    model = diarizer.engine(f"pyannote/{place}")(Options())
    audio, stretches = Samples(noise(26, seed=4)), [(0, 80_000), (100_000, 400_000)]
    first = model.turns(audio, 0, stretches, RATE)
    check_cover(first, stretches, RATE)
    assert model.turns(audio, 0, stretches, RATE) == first


# --- the same bits ---------------------------------------------------------------------------


def test_answers_do_not_depend_on_neighbours_or_on_torchs_state(tones, engine):
    import torch

    one = talk((300, 5), ((300, 3400), 2), (3400, 6), (1000, 4))
    two = noise(14, seed=2)
    jobs = {
        "one": (Samples(one), 0, [(0, len(one))], RATE),
        "two": (Samples(two), 0, [(0, 50_000), (60_000, 200_000)], RATE),
        "part": (Samples(one), 0, [(20_000, 130_000)], RATE),
    }
    expected = {name: engine.turns(*job) for name, job in jobs.items()}
    vectors = engine._listener.hear(one.astype(np.float32) / 32768, None).embeddings
    torch.manual_seed(99)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    for order in (["part", "two", "one"], ["two", "two", "one"]):
        fresh = diarizer.engine(f"pyannote/{tones}")(Options())
        for name in order:
            assert fresh.turns(*jobs[name]) == expected[name]
        again = fresh._listener.hear(one.astype(np.float32) / 32768, None).embeddings
        assert again.tobytes() == vectors.tobytes()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


_RUN = """
import hashlib, json, socket, sys
attempts = []
def refuse(*args, **kwargs):
    attempts.append(repr(args[1:]))
    raise OSError("no network")
socket.socket.connect = socket.socket.connect_ex = refuse
socket.getaddrinfo = socket.create_connection = refuse
import numpy as np
from transforms.engines import diarizer
early = [name for name in ("torch", "pyannote.audio", "lightning") if name in sys.modules]
sound = np.random.default_rng(1).normal(0, 2000, 26 * 16000)
sound[:160000] += 8000 * np.sin(2 * np.pi * 300 * np.arange(160000) / 16000)
class Samples:
    rate = 16000
    def read(self, channel, start, end):
        return sound[start:end].astype(np.int16)
engine = diarizer.engine(sys.argv[1])(diarizer.Options())
turns = engine.turns(Samples(), 0, [(0, 200000), (210000, 400000)], 16000)
vectors = engine._listener.hear((sound / 32768).astype(np.float32), None).embeddings
digest = hashlib.sha256(repr(turns).encode() + vectors.tobytes()).hexdigest()
import time
time.sleep(1.5)  # telemetry is sent in the background, every half second
import os
print(json.dumps([digest, attempts, early, os.environ["PYANNOTE_METRICS_ENABLED"]]))
"""


@pytest.mark.timeout(300)  # two processes import it: half a minute on a loaded machine, each
def test_same_bits_in_any_process_and_not_one_connection(tiny, tmp_path):
    """Telemetry is on in one environment; that changes nothing."""
    place = tiny.save_pipeline(tmp_path / "p", tiny.random_pyannet())
    digests = set()
    for threads, telemetry in (("1", "true"), ("2", None)):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, threads), "PYTHONHASHSEED": threads}
        environment["PYTHONPATH"] = os.pathsep.join([str(HERE), str(HERE.parents[1])])
        environment.pop("HF_HUB_OFFLINE", None)
        environment.pop("PYANNOTE_METRICS_ENABLED", None)
        if telemetry:
            environment["PYANNOTE_METRICS_ENABLED"] = telemetry
        done = subprocess.run(
            [sys.executable, "-c", _RUN, f"pyannote/{place}"],
            env=environment, cwd=HERE.parents[1], capture_output=True, text=True, check=True,
        )  # fmt: skip
        digest, attempts, early, enabled = json.loads(done.stdout)
        assert (attempts, early, enabled) == ([], [], "0")
        digests.add(digest)
    assert len(digests) == 1 and len(digests.pop()) == 64


class Full:
    """The pipeline on a device that has no room for the first `times` runs."""

    def __init__(self, pipeline, times: int, error: Exception) -> None:
        self.pipeline, self.times, self.error = pipeline, times, error

    def __call__(self, *args, **kwargs):
        if self.times:
            self.times -= 1
            raise self.error
        return self.pipeline(*args, **kwargs)


@pytest.mark.parametrize(
    "error", [MemoryError("batch_size"), RuntimeError("CUDA out of memory. Tried to allocate")]
)
def test_a_full_device_is_asked_again_once(engine, monkeypatch, error):
    sound = talk((300, 5), (3000, 5))
    job = (Samples(sound), 0, [(0, len(sound))], RATE)
    expected = engine.turns(*job)
    pipeline = engine._listener._pipeline
    monkeypatch.setattr(engine._listener, "_pipeline", Full(pipeline, 1, error))
    assert engine.turns(*job) == expected
    monkeypatch.setattr(engine._listener, "_pipeline", Full(pipeline, 2, error))
    with pytest.raises(NoRoomError):
        engine.turns(*job)


# --- models that break -----------------------------------------------------------------------


def test_a_pipeline_is_loaded_once_whatever_steps_use_it(tones, tiny, tmp_path):
    first = pyannote_pipeline.load(str(tones), "cpu")
    assert pyannote_pipeline.load(str(tones), "auto") is first
    other = tiny.save_pipeline(tmp_path / "p", clustering="VBxClustering")
    assert pyannote_pipeline.load(str(other), "cpu") is not first


def test_weights_that_are_not_numbers_are_refused(tiny, tmp_path):
    import torch

    for part in ("segmentation", "embedding"):
        place = tiny.save_pipeline(tmp_path / part)
        model = tiny.ToneSegmentation() if part == "segmentation" else tiny.ToneEmbedding()
        with torch.no_grad():
            model.filters[3, 0, 7] = float("nan")
        kind = tiny.SEGMENTATION if part == "segmentation" else tiny.EMBEDDING
        tiny.save_checkpoint(model, kind, place / part)
        with pytest.raises(ModelError, match=f"{part} model.*not finite.*filters"):
            diarizer.engine(f"pyannote/{place}")(Options())


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("config.yaml", "threshold: 0.7", "no_such_threshold: 0.7"),
        ("config.yaml", "{pyannote.audio: 4.0.0}", "{pyannote.audio: 9.0.0}"),
        ("config.yaml", "segmentation_batch_size", "no_such_setting"),
        ("plda/plda.npz", None, b"not numbers"),
    ],
)
def test_what_the_library_refuses_is_told_with_its_reason(tiny, tmp_path, file, old, new):
    place = tiny.save_pipeline(tmp_path / "p")
    path = place / file
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode()) if old else new)
    with pytest.raises(
        ModelError, match=r"pyannote\.audio cannot load the pipeline .*(Error|Version): "
    ):
        diarizer.engine(f"pyannote/{place}")(Options())


def test_a_pipeline_without_its_thresholds_is_refused(tiny, tmp_path):
    place = tiny.save_pipeline(tmp_path / "p")
    config = place / "config.yaml"
    for left in (
        config.read_text().partition("\nparams:")[0],
        config.read_text().replace(", threshold: 0.7", ""),
    ):
        config.write_text(left)
        with pytest.raises(ModelError, match="params"):
            diarizer.engine(f"pyannote/{place}")(Options())


def test_a_checkpoint_of_an_unknown_architecture(tiny, tmp_path):
    import torch

    place = tiny.save_pipeline(tmp_path / "p")
    file = place / "embedding" / "pytorch_model.bin"
    checkpoint = torch.load(file, weights_only=False)
    checkpoint["pyannote.audio"]["architecture"]["module"] = "no_such_module"
    torch.save(checkpoint, file)
    with pytest.raises(ModelError, match=r"cannot load the pipeline.*no_such_module"):
        diarizer.engine(f"pyannote/{place}")(Options())


# --- through the step ------------------------------------------------------------------------


@pytest.mark.parametrize("overlap", ["keep", "drop"])
def test_the_step_keeps_every_frame_in_a_clip_or_a_drop(tones, overlap):
    sound = talk((300, 5), ((300, 3000), 3), (3000, 5), (0, 6), (1000, 4))
    recording = "ab" * 32
    segment = Segment(
        id=segment_id(recording, 0, 0, len(sound), RATE),
        recording=recording,
        channel=0,
        start=0.0,
        end=len(sound) / RATE,
        rate=RATE,
        speech_seconds=0.0,
    )
    step = Diarize(engine=f"pyannote/{tones}", overlap=overlap)
    task = Task(id=digest_of("a task"), recording=recording)
    scope = Scope(root=task, seed=1, audio=Samples(sound))
    results = sorted(step([segment], step.load(), scope), key=lambda r: r.start)
    assert [frames(r.start, RATE) for r in results] == [0] + [
        frames(r.end, RATE) for r in results[:-1]
    ]
    assert results[-1].end == segment.end
    drops = [r for r in results if isinstance(r, Drop)]
    clips = [r for r in results if isinstance(r, Clip)]
    assert {r.reason for r in drops} == {"no_speaker"} | (
        {"overlap"} if overlap == "drop" else set()
    )
    lost = sum(r.seconds for r in drops if r.reason == "overlap")
    marked = sum(clip.overlap_seconds for clip in clips)
    assert lost + marked == pytest.approx(3.0, abs=0.1)
    assert (lost > 2.9) == (overlap == "drop")
    assert dict.fromkeys(clip.speaker for clip in clips) == dict.fromkeys(["spk0", "spk1", "spk2"])
