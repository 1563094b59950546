"""One contract for every synthesizer, and what each promises beyond it."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_synthesizers as tiny

from transforms.engines import synthesizer
from transforms.engines.generator import EndpointSettings
from transforms.engines.models import ModelError
from transforms.engines.synth_espeak import PLAIN
from transforms.engines.synthesizer import (
    Manner,
    Sound,
    Synthesizer,
    SynthSettings,
    Unspoken,
    violations,
)

SENTENCE = "The harbour was quiet before the first boats came in."
NORMAL = Manner()
flite_only = pytest.mark.skipif(shutil.which("flite") is None, reason="flite is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[tiny.SpeechServer]:
    found = tiny.SpeechServer()
    yield found
    found.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory, server) -> dict[str, tuple[str, SynthSettings]]:
    """The name and the settings of an engine of each family."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("piper", "kokoro", "melo")}
    melo = tiny.melo(folders["melo"])
    sys.path.insert(0, str(melo / "package"))
    plain = SynthSettings()
    spoken = SynthSettings(
        voices={"alloy": "en-us", "nova": "en-gb"},
        endpoint=EndpointSettings(base_url=server.url, tries=2, longest_wait=0.0),
    )
    return {
        "espeak-ng": ("espeak-ng", plain),
        "flite": ("flite", plain),
        "piper": (f"piper/{tiny.piper(folders['piper'])}", plain),
        "kokoro": (f"kokoro/{tiny.kokoro(folders['kokoro'])}", plain),
        "melo": (f"melo/{melo}", plain),
        "endpoint": ("endpoint/hum-1", spoken),
    }


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=flite_only) if name == "flite" else name
        for name in synthesizer.ENGINES
    ],
)
def engine(request, made) -> Iterator[Synthesizer]:
    found = synthesizer.load(*made[request.param])
    yield found
    found.close()


def voice_of(engine: Synthesizer) -> str:
    return next(voice.name for voice in engine.voices() if voice.language == "en" and voice.usual)


def read(engine: Synthesizer, texts: list[str], seed: int = 1, voice: str = "") -> list:
    with engine.begin(seed) as reading:
        return [reading.say(text, voice or voice_of(engine), NORMAL) for text in texts]


def heard(answers: list) -> list[bytes]:
    assert all(isinstance(answer, Sound) for answer in answers), answers
    return [answer.pcm.tobytes() for answer in answers]


def test_voices_are_listed_without_loading(engine, made):
    name, settings = made[engine.name.partition("/")[0]]
    family, variant = synthesizer.parse(name)
    assert family.listed(variant, settings) == engine.voices()
    assert engine.name == name
    names = [voice.name for voice in engine.voices()]
    assert names == sorted(set(names))
    assert engine.languages() == tuple(sorted({v.language for v in engine.voices()}))
    assert "en" in engine.languages()


def test_a_sentence_is_a_sound_of_some_seconds(engine):
    (answer,) = read(engine, [SENTENCE])
    assert isinstance(answer, Sound)
    assert violations(answer, SENTENCE) == []
    assert answer.rate == engine.rate
    assert 1.5 < len(answer.pcm) / answer.rate < 8
    assert np.abs(answer.pcm).max() > 1000
    assert bool(answer.marks) == engine.gives_times


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "...",
        "\U0001f600\U0001f600",
        "\u202e\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd",
        "<speak>&amp;</speak> [[h@'loU]]",
        "a\x00b",
        "e\u0301" * 30,
    ],
)
def test_odd_texts_are_answered(engine, text):
    (answer,) = read(engine, [text])
    assert violations(answer, text) == []


def test_a_voice_that_is_not_there(engine):
    with engine.begin(1) as reading, pytest.raises(KeyError):
        reading.say(SENTENCE, "nobody", NORMAL)
    assert heard(read(engine, [SENTENCE]))[0]


def test_faster_is_shorter(engine):
    with engine.begin(1) as reading:
        slow, fast = (
            reading.say(SENTENCE, voice_of(engine), Manner(speed=speed)) for speed in (0.8, 1.25)
        )
    assert len(fast.pcm) < 0.8 * len(slow.pcm)


def test_a_reading_is_the_same_again_and_after_others(engine):
    if not engine.deterministic:
        pytest.skip(f"{engine.name} does not promise it")
    texts = [SENTENCE, "Nobody had expected it.", SENTENCE]
    first = heard(read(engine, texts))
    read(engine, ["Something else was said."], seed=2)
    assert heard(read(engine, texts)) == first


def test_fingerprints_are_stable_and_load_nothing(engine, made):
    name, settings = made[engine.name.partition("/")[0]]
    found = synthesizer.fingerprint(name, settings)
    assert found == synthesizer.fingerprint(name, settings)
    assert found and all(isinstance(value, str) for value in found.values())


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'espeak-ng'"):
        synthesizer.parse("espeak")
    for name in ("espeak-ng/en", "flite/slt", "piper/voice", "kokoro", "melo", "endpoint"):
        with pytest.raises(ValueError, match=name.partition("/")[0]):
            synthesizer.parse(name)


@pytest.mark.parametrize(
    "name", ["piper/no/such.onnx", "kokoro/no/such", "melo/no/such", "endpoint/x"]
)
def test_what_is_missing_is_said_before_work(name):
    with pytest.raises(ModelError):
        synthesizer.fingerprint(name, SynthSettings())


# espeak-ng


@pytest.fixture(scope="module")
def espeak() -> Iterator[Synthesizer]:
    found = synthesizer.load("espeak-ng")
    yield found
    found.close()


def test_espeak_speaks_a_hundred_languages_with_every_dictionary(espeak):
    assert len(espeak.languages()) > 100
    assert {"en", "de", "fr", "zh", "ar", "ru", "ja"} <= set(espeak.languages())
    assert not {"fo", "kaa", "xex"} & set(espeak.languages())  # their dictionaries are missing
    assert len({v.accent for v in espeak.voices() if v.language == "en" and v.usual}) >= 5


_DIGESTS = """
import hashlib, sys
from transforms.engines import synthesizer
engine = synthesizer.load("espeak-ng")
for style in sys.argv[1:]:
    with engine.begin(7) as reading:
        answer = reading.say("Some boats came in.", "en-us" + style, synthesizer.Manner())
    print(style, hashlib.sha256(answer.pcm.tobytes()).hexdigest())
engine.close()
"""


def test_every_usual_variant_is_stable_in_another_process_and_second(root):
    """Those with breath (f2, f3, f5, whisper) draw noise from the clock, unless they are seeded."""
    styles = [f"+{style}" if style else "" for style in (*PLAIN, "whisper", "Alicia")]
    found = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", _DIGESTS, *styles],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        found.append(done.stdout)
        time.sleep(1.1)  # the library's own seed counts seconds
    assert found[0] == found[1]
    assert len(set(found[0].split()[1::2])) >= len(styles) - 2


def test_breath_follows_the_seed(espeak):
    one, two, again = (heard(read(espeak, [SENTENCE], seed, "en-us+f3")) for seed in (1, 2, 1))
    assert one == again
    assert one != two


def test_words_have_their_times(espeak):
    (answer,) = read(espeak, [SENTENCE])
    said = [SENTENCE[mark.place :].split()[0] for mark in answer.marks]
    assert said[:4] == ["The", "harbour", "was", "quiet"]
    lengths = [mark.end - mark.start for mark in answer.marks]
    assert all(0.02 < length < 1.0 for length in lengths)


def test_a_fork_that_is_killed_costs_one_utterance(espeak):
    first = heard(read(espeak, [SENTENCE]))[0]
    with espeak.begin(1) as reading:
        reading.say(SENTENCE, "en-us", NORMAL)
        children = Path(f"/proc/{espeak.process.pid}/task/{espeak.process.pid}/children")
        os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
        lost = reading.say(SENTENCE, "en-us", NORMAL)
        after = reading.say(SENTENCE, voice_of(espeak), NORMAL)
    assert isinstance(lost, Unspoken)
    assert lost.reason == "crashed"
    assert after.pcm.tobytes() == first
    assert heard(read(espeak, [SENTENCE]))[0] == first


def test_a_process_that_is_killed_between_documents_costs_nothing(espeak):
    first = heard(read(espeak, [SENTENCE]))
    starts = espeak.process.starts
    os.kill(espeak.process.pid, signal.SIGKILL)
    time.sleep(0.1)
    lost = read(espeak, [SENTENCE, SENTENCE])
    assert isinstance(lost[0], Unspoken) or heard(lost[:1]) == first
    assert heard(read(espeak, [SENTENCE])) == first
    assert espeak.process.starts > starts


def test_too_much_sound_is_cut_off_and_said():
    engine = synthesizer.load("espeak-ng", SynthSettings(max_seconds=5.0))
    long, after = read(engine, ["word " * 400, SENTENCE])
    engine.close()
    assert isinstance(long, Unspoken)
    assert long.reason == "too_long"
    assert isinstance(after, Sound)


def test_a_sound_longer_than_the_window_comes_whole():
    """Piece by piece through memory that holds three minutes."""
    text = "A boat is here. " * 190
    engine = synthesizer.load("espeak-ng", SynthSettings(max_seconds=1_000))
    (long, after), whole = read(engine, [text, SENTENCE]), heard(read(engine, [SENTENCE]))
    engine.close()
    assert 2 * len(long.pcm) > 8 << 20
    seconds = len(long.pcm) / long.rate
    assert violations(long, text) == [] and len(long.marks) == 4 * 190
    peaks = np.abs(long.pcm[: int(seconds) * long.rate].reshape(-1, long.rate)).max(axis=1)
    assert peaks.min() > 1_000  # speech in every second of it
    assert len(after.pcm) == pytest.approx(len(whole[0]) / 2, rel=0.02)


def test_a_call_that_takes_too_long_is_ended_and_said():
    """By its processor time: a busy machine does not change what is dropped."""
    engine = synthesizer.load("espeak-ng", SynthSettings(timeout_seconds=0.01, max_seconds=50_000))
    long, after = read(engine, ["word " * 60_000, SENTENCE])
    engine.close()
    assert isinstance(long, Unspoken)
    assert long.reason == "timeout"
    assert isinstance(after, Sound)


def test_no_process_outlives_its_engine():
    engine = synthesizer.load("espeak-ng")
    read(engine, [SENTENCE])
    pid = engine.process.pid
    engine.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_process_ends_with_its_worker(root):
    code = (
        "import os, sys; from transforms.engines import synthesizer;"
        "e = synthesizer.load('espeak-ng'); print(e.process.pid, flush=True); os._exit(9)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60
    )
    pid = int(done.stdout)
    for _ in range(50):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text():
            return
        time.sleep(0.1)
    raise AssertionError("the process outlived its worker")


# networks


def test_piper_has_a_voice_per_speaker(tmp_path):
    path = tiny.piper(tmp_path, speakers=3)
    engine = synthesizer.load(f"piper/{path}")
    assert [voice.name for voice in engine.voices()] == [f"en_US-hum-low#p{n}" for n in range(3)]
    assert {voice.accent for voice in engine.voices()} == {"en-us"}
    first, second = (heard(read(engine, [SENTENCE], voice=f"en_US-hum-low#p{n}")) for n in (0, 2))
    engine.close()
    assert first != second


def test_piper_with_noise_promises_nothing(tmp_path):
    path = tiny.piper(tmp_path)
    engine = synthesizer.load(f"piper/{path}", SynthSettings(noise=0.5))
    engine.close()
    assert engine.deterministic is False


def test_kokoro_reads_both_exports(tmp_path):
    """The older takes tokens and a fraction of speed, the newer input_ids and whole numbers."""
    from onnx import TensorProto

    sounds = []
    for name, speed in (("tokens", TensorProto.FLOAT), ("input_ids", TensorProto.INT32)):
        folder = tmp_path / name
        folder.mkdir()
        engine = synthesizer.load(f"kokoro/{tiny.kokoro(folder, name, speed)}")
        assert [voice.name for voice in engine.voices()] == ["af_one", "am_two", "bf_three"]
        sounds.append(heard(read(engine, [SENTENCE])))
        engine.close()
    assert sounds[0] == sounds[1]


def test_a_long_text_goes_to_kokoro_in_parts(made):
    engine = synthesizer.load(*made["kokoro"])
    (short,), (long,) = read(engine, [SENTENCE]), read(engine, [SENTENCE * 20])
    engine.close()
    assert 15 < len(long.pcm) / len(short.pcm) < 25


def test_a_model_of_another_family_is_refused(tmp_path):
    path = tiny.piper(tmp_path)
    folder = tiny.kokoro(tmp_path)
    shutil.copy(path, folder / "kokoro.onnx")
    path.unlink()
    with pytest.raises(ModelError, match="has no input tokens"):
        synthesizer.load(f"kokoro/{folder}")
    (folder / "kokoro.onnx").write_bytes(b"no model")
    with pytest.raises(ModelError, match="cannot be opened"):
        synthesizer.load(f"kokoro/{folder}")


def test_melo_without_its_package_says_so(tmp_path, monkeypatch):
    folder = tiny.melo(tmp_path)
    kept = [path for path in sys.path if not path.endswith("/package")]
    monkeypatch.setattr(sys, "path", kept)
    for name in [name for name in sys.modules if name.split(".")[0] == "melo"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ModelError, match="needs MeloTTS"):
        synthesizer.fingerprint(f"melo/{folder}", SynthSettings())
