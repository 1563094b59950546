"""faster-whisper for real, with the small model that is ours: words, times, bits, and refusals."""

import json
import re
import shutil
import socket
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile

from pipeline.__main__ import main
from schemas.records import Transcript, Word
from transforms.annotate.transcribe import Transcribe
from transforms.engines import recognizer, whisper_files, whisper_windows
from transforms.engines.answers import Unanswered
from transforms.engines.device_memory import NoRoomError, twice
from transforms.engines.models import ModelError, file_digest
from transforms.engines.recognizer import Given, violations
from transforms.engines.whisper import FasterWhisper, WhisperSettings, settled

RATE = 16_000


def load(folder: Path, **settings: Any) -> FasterWhisper:
    engine = recognizer.load(f"faster-whisper/{folder}", WhisperSettings(**settings))
    assert isinstance(engine, FasterWhisper)
    return engine


def pcm_of(folder: Path, name: str) -> np.ndarray:
    samples, rate = soundfile.read(folder / "clips" / f"{name}.flac", dtype="int16")
    assert rate == RATE
    return samples


@pytest.fixture(scope="module")
def toy(whisper_toy) -> FasterWhisper:
    return load(whisper_toy)


@pytest.fixture(scope="module")
def clips(whisper_toy) -> dict[str, dict[str, Any]]:
    """The clips by name: samples, text, language and the words' true times."""
    found = {}
    for entry in json.loads((whisper_toy / "clips" / "clips.json").read_text()):
        name = entry["file"].removesuffix(".flac")
        found[name] = {
            "pcm": pcm_of(whisper_toy, name),
            "text": " ".join(sentence["text"] for sentence in entry["sentences"]),
            "language": entry["language"],
            "words": [word for sentence in entry["sentences"] for word in sentence["words"]],
        }
    return found


@pytest.fixture(scope="module")
def recording(clips) -> list[np.ndarray]:
    """Clips as of one English recording: of one sentence, of several, of three windows, silent."""
    talk, slt, rms = (clips[n]["pcm"] for n in ("conversation", "several_slt", "several_rms"))
    return [
        clips["single_slt"]["pcm"],
        talk,
        np.concatenate([slt, talk, rms]),
        np.zeros(2 * RATE, np.int16),
        slt,
        clips["single_rms"]["pcm"],
        rms[: 5 * RATE],
        rms[5 * RATE :],
    ]


ENGLISH = Given(language="en")


def all_of(engine: FasterWhisper, recording: list[np.ndarray]) -> list[Any]:
    return engine.transcribe_all(recording, RATE, [ENGLISH] * len(recording))


@pytest.fixture(scope="module")
def heard(toy, recording) -> list[Any]:
    return all_of(toy, recording)


def direct(toy: FasterWhisper, pcm: np.ndarray, **options: Any) -> tuple[str, list[Any]]:
    """Text and words of a plain call of faster-whisper."""
    segments, _ = toy._model.transcribe(
        pcm.astype(np.float32) / 32768,
        word_timestamps=True,
        condition_on_previous_text=False,
        **{"language": "en", "temperature": 0.0, **options},
    )
    found = list(segments)
    return "".join(s.text for s in found).strip(), [word for s in found for word in s.words]


# -- words, times, languages ----------------------------------------------------------------


def test_every_clip_comes_out_exact_in_its_own_language(toy, clips):
    for name, clip in clips.items():
        answer = toy.transcribe(clip["pcm"], RATE, Given())
        if name == "silence_noise":
            assert answer is None
            continue
        assert (answer.text, answer.language) == (clip["text"], clip["language"])
        assert answer.language_probability > 0.9
        assert " ".join(word.text for word in answer.words) == clip["text"]
        assert (answer.quality, answer.times, answer.temperature) == ("normal", "measured", 0.0)
        assert -0.3 < answer.mean_log_probability < -0.05
        assert 0 <= answer.no_speech_probability < 0.03
        assert all(word.confidence > 0.5 for word in answer.words)


def test_words_begin_where_they_were_spoken(toy, clips):
    errors = []
    for name in ("conversation", "several_slt", "several_rms"):
        answer = toy.transcribe(clips[name]["pcm"], RATE, ENGLISH)
        for word, (text, start, _) in zip(answer.words, clips[name]["words"], strict=True):
            assert re.sub(r"\W", "", word.text.lower()) == text
            errors.append(abs(word.start - start))
    assert np.median(errors) <= 0.03
    assert np.quantile(errors, 0.95) <= 0.15


def test_a_clip_of_several_windows_keeps_its_words(heard, clips):
    wanted = " ".join(clips[n]["text"] for n in ("several_slt", "conversation", "several_rms"))
    long = heard[2]
    assert len(long.words) == len(wanted.split())
    differing = sum(a.text != b for a, b in zip(long.words, wanted.split(), strict=True))
    assert differing <= 2  # the model's own weak spot: a slot word now and then
    assert long.words[-1].start > 50


def test_the_contract_is_kept(heard, recording):
    for answer, pcm in zip(heard, recording, strict=True):
        assert answer is None or violations(answer, len(pcm) / RATE) == []
    assert [answer is None for answer in heard] == [i == 3 for i in range(8)]
    assert heard[0].device == "cpu/int8_float32"


# -- batched or not, and what else is there ---------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 8, pytest.param(3, marks=pytest.mark.slow)])
def test_batches_say_what_a_direct_call_says(whisper_toy, toy, recording, batch_size):
    answers = all_of(load(whisper_toy, batch_size=batch_size), recording)
    for answer, pcm in zip(answers, recording, strict=True):
        text, words = direct(toy, pcm)
        assert (answer.text if answer else "") == text
        for ours, theirs in zip(answer.words if answer else (), words, strict=True):
            assert ours.text == theirs.word.strip()
            assert abs(ours.start - theirs.start) <= 0.02
            assert abs(ours.end - theirs.end) <= 0.02


@pytest.fixture
def padded(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make plain calls of faster-whisper pad to so many frames (0: whole seconds of their own)."""
    import faster_whisper.transcribe as plain

    pad = plain.pad_or_trim

    def to(frames: int) -> None:
        monkeypatch.setattr(
            plain,
            "pad_or_trim",
            lambda array: pad(array, frames or -(-array.shape[-1] // 100) * 100),
        )

    return to


def assert_same(answer: Transcript | None, said: tuple[str, list[Any]]) -> None:
    text, words = said
    assert (answer.text if answer else "") == text
    for ours, theirs in zip(answer.words if answer else (), words, strict=True):
        assert ours.text == theirs.word.strip()
        assert abs(ours.start - theirs.start) <= 0.02
        assert abs(ours.end - theirs.end) <= 0.02


def test_padded_to_its_own_length_a_clip_is_that_of_a_direct_call(
    whisper_toy, toy, recording, clips, padded
):
    answers = all_of(load(whisper_toy, batch_size=1, padding="longest"), recording)
    padded(0)
    for answer, pcm in zip(answers, recording, strict=True):
        assert_same(answer, direct(toy, pcm))
    assert answers[1].text == clips["conversation"]["text"]


def test_padded_to_the_longest_of_its_batch_a_clip_is_that_of_a_direct_call(
    whisper_toy, toy, recording, padded
):
    some = [recording[i] for i in (0, 4, 5, 1)]  # 2.6, 17.1, 3.4 and 24.3 s: one window each
    answers = all_of(load(whisper_toy, batch_size=3, padding="longest"), some)
    for answer, pcm, frames in zip(answers, some, (1800, 1800, 1800, 2500), strict=True):
        padded(frames)
        assert_same(answer, direct(toy, pcm))


def test_padding_is_what_the_model_gets(whisper_toy, recording, monkeypatch):
    shapes: list[tuple[int, ...]] = []
    for padding, wanted in (("full", 3000), ("longest", 1800)):
        engine = load(whisper_toy, padding=padding)
        encode = engine._model.encode
        monkeypatch.setattr(
            engine._model, "encode", lambda w, e=encode: (shapes.append(w.shape), e(w))[1]
        )
        all_of(engine, [recording[0], recording[4]])
        assert [shape[2] for shape in shapes] == [wanted]
        monkeypatch.undo()
        shapes.clear()


def test_padding_does_not_see_other_recordings(whisper_toy, recording):
    engine = load(whisper_toy, padding="longest", compute_type="float32")
    some = [recording[i] for i in (0, 3, 5, 6)]
    before = all_of(engine, some)
    all_of(engine, recording[1:3])
    assert all_of(engine, some) == before


def test_shorter_windows_are_those_of_a_direct_call(whisper_toy, clips):
    """At 10 s a sentence is cut in two, and both halves become words that nobody said."""
    pcm = clips["several_slt"]["pcm"]
    answer = load(whisper_toy, chunk_seconds=10).transcribe(pcm, RATE, ENGLISH)
    apart = load(whisper_toy)
    apart._model = apart._copy()  # a chunk length stays with the model that was asked for it
    assert answer.text == direct(apart, pcm, chunk_length=10)[0]


@pytest.mark.parametrize("compute_type", ["int8", "float32"])
def test_other_recordings_change_no_bit(whisper_toy, recording, clips, compute_type):
    engine = load(whisper_toy, compute_type=compute_type)
    some = [recording[i] for i in (0, 3, 5, 6)]
    before = all_of(engine, some)
    engine.transcribe_all([clips["single_de"]["pcm"]], RATE, [Given()])
    all_of(engine, recording[:2])
    assert all_of(engine, some) == before
    assert engine.device == f"cpu/{'int8_float32' if compute_type == 'int8' else 'float32'}"


def test_clips_are_read_when_they_are_needed(toy, recording):
    class Reads(list):
        read: ClassVar[list[int]] = []

        def __getitem__(self, place):
            self.read.append(place)
            return super().__getitem__(place)

    tape = Reads(recording[:1] * 20)
    seen = []
    hear = whisper_windows._batch

    def watched(model, tokenizer, clips, rules, sampler):
        seen.append((len(clips), len(tape.read)))
        return hear(model, tokenizer, clips, rules, sampler)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(whisper_windows, "_batch", watched)
        toy.transcribe_all(tape, RATE, [ENGLISH] * 20)
    assert seen == [(8, 8), (8, 16), (4, 20)]


def test_two_engines_share_one_model(whisper_toy, toy):
    assert load(whisper_toy, beam_size=1)._model is toy._model


# -- language -----------------------------------------------------------------------------------


def test_a_recording_has_one_language_from_its_first_seconds(whisper_toy, clips):
    german, english = clips["single_de"]["pcm"], clips["several_slt"]["pcm"]
    first = load(whisper_toy, language_seconds=3)
    answers = first.transcribe_all([german, english], RATE, [Given()] * 2)
    assert [a.language for a in answers] == ["de", "de"]
    assert answers[0].language_probability == answers[1].language_probability > 0.9
    answers = first.transcribe_all([english, german], RATE, [Given()] * 2)
    assert [a.language for a in answers] == ["en", "en"]
    whole = load(whisper_toy, language_seconds=60)
    both = whole.transcribe_all(
        [german, english, clips["conversation"]["pcm"]], RATE, [Given()] * 3
    )
    assert both[0].language == "en"


def test_a_language_that_is_given_is_not_looked_for(toy, clips):
    answer = toy.transcribe(clips["single_de"]["pcm"], RATE, Given(language="de"))
    assert (answer.text, answer.language) == (clips["single_de"]["text"], "de")
    assert answer.language_probability is None


def test_a_language_the_model_lacks_is_not_guessed_at(toy, clips):
    assert [toy.speaks(code) for code in (None, "en", "de", "fr", "xx")] == [1, 1, 1, 0, 0]
    assert toy.transcribe(clips["single_slt"]["pcm"], RATE, Given(language="fr")) is None


# -- silence, scraps, rates -----------------------------------------------------------------------


@pytest.mark.parametrize("samples", [0, 1, 80, 160, 400, 1600])
def test_scraps_have_no_words(toy, samples):
    assert toy.transcribe(np.zeros(samples, np.int16), RATE, ENGLISH) is None


@pytest.mark.parametrize("level", [0, 3, 300, 3000])
def test_silence_and_noise_have_no_words(toy, level):
    noise = np.random.default_rng(level).normal(0, level, 4 * RATE).astype(np.int16)
    assert toy.transcribe(noise, RATE, ENGLISH) is None
    assert toy.transcribe(noise, RATE, Given()) is None


def test_full_scale_noise_gives_nothing_that_is_not_finite(toy):
    wild = np.random.default_rng(5).choice([-32768, 32767], 3 * RATE).astype(np.int16)
    answer = toy.transcribe(wild, RATE, ENGLISH)
    assert answer is None or violations(answer, 3.0) == []


def test_another_rate_is_refused(toy):
    with pytest.raises(ValueError, match="needs 16000 Hz, was given 24000"):
        toy.transcribe(np.zeros(100, np.int16), 24_000, ENGLISH)


def word(text: str, start: float, end: float) -> Word:
    return Word(text=text, start=start, end=end, confidence=0.5)


@pytest.mark.parametrize(
    ("words", "times"),
    [
        ([("a", 0.0, 0.5), ("b", 0.5, 1.0)], "measured"),
        ([("a", 0.0, 0.5), ("b", 0.5, 1.02)], "measured"),  # beyond the end by rounding
        ([("a", 0.52, 0.6), ("b", 0.5, 0.8)], "measured"),  # out of order by rounding
        ([("a", 0.0, 0.5), ("b", 0.5, 1.03)], "estimated"),
        ([("a", 0.6, 0.7), ("b", 0.5, 0.8)], "estimated"),
        ([("a", 1.2, 1.3), ("b", 1.3, 1.4)], "estimated"),
        ([], "estimated"),
    ],
)
def test_times_are_mended_within_rounding_and_else_not_believed(words, times):
    made, origin = settled([word(*w) for w in words], "a b", 1.0)
    assert origin == times
    answer = Transcript(engine="x", text="a b", words=made, times=origin)
    assert violations(answer, 1.0) == []
    assert [w.text for w in made] == ["a", "b"]
    assert all(w.confidence == (0.5 if times == "measured" else None) for w in made)


# -- the ladder -----------------------------------------------------------------------------------


def test_the_ladder_is_the_same_in_every_run(whisper_toy, clips):
    one = clips["single_slt"]["pcm"]
    hard = [one, np.concatenate([one, one, one])]
    engine = load(whisper_toy, temperatures=[0.0, 0.2, 0.4, 0.8], min_log_probability=-0.13)
    first = all_of(engine, hard)
    assert {answer.temperature for answer in first} - {0.0}
    all_of(engine, hard[1:])
    assert all_of(engine, hard) == first
    plain = all_of(load(whisper_toy, min_log_probability=-0.13), hard)
    assert {answer.temperature for answer in plain} == {0.0}


# -- a full device --------------------------------------------------------------------------


def full(*_: Any) -> Any:
    raise RuntimeError("CUDA failed with error out of memory")


def test_the_same_batch_is_tried_again_on_a_freed_device(toy, recording, heard, monkeypatch):
    sizes: list[int] = []
    encode = toy._model.encode

    def once(features):
        sizes.append(len(features))
        return full() if len(sizes) == 1 else encode(features)

    monkeypatch.setattr(toy._model, "encode", once)
    assert all_of(toy, recording) == heard
    assert sizes[:2] == [8, 8]


def test_clips_without_room_are_given_up_and_the_rest_goes_on(whisper_toy, recording, monkeypatch):
    engine = load(whisper_toy, batch_size=2)
    wanted = all_of(engine, recording)
    sizes: list[int] = []
    encode = engine._model.encode

    def never_the_second_batch(features):
        sizes.append(len(features))
        return full() if len(sizes) in (2, 3) else encode(features)

    monkeypatch.setattr(engine._model, "encode", never_the_second_batch)
    answers = all_of(engine, recording)
    failed = [i for i, answer in enumerate(answers) if isinstance(answer, Unanswered)]
    assert len(failed) == 2 and sizes[1] == sizes[2] == 2
    assert {answers[i].reason for i in failed} == {"oom"}
    for i in set(range(8)) - set(failed):  # in other company: the last bits may differ
        assert (answers[i] and answers[i].text) == (wanted[i] and wanted[i].text)


def test_no_room_for_the_language_fails_the_recording(toy, recording, monkeypatch):
    monkeypatch.setattr(toy._model, "encode", full)
    answers = toy.transcribe_all(recording[:2], RATE, [Given()] * 2)
    assert [answer.reason for answer in answers] == ["oom", "oom"]


def test_other_errors_are_not_tried_again():
    calls: list[str] = []

    def broken() -> None:
        calls.append("work")
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        twice(broken, lambda: calls.append("free"))
    assert calls == ["work"]
    with pytest.raises(NoRoomError, match="out of memory"):
        twice(full, lambda: calls.append("free"))
    assert calls == ["work", "free"]


# -- models that are missing or broken ----------------------------------------------------------


@pytest.fixture
def copy(whisper_toy, tmp_path) -> Path:
    folder = tmp_path / "model"
    shutil.copytree(whisper_toy, folder, ignore=shutil.ignore_patterns("clips", "*.py", "*.md"))
    return folder


def refusal(folder: Path | str) -> str:
    with pytest.raises(ModelError) as caught:
        recognizer.fingerprint(f"faster-whisper/{folder}")
    return str(caught.value)


@pytest.mark.parametrize("name", ["tokenizer.json", "model.bin", "config.json", "vocabulary.json"])
def test_a_folder_without_a_file_is_refused(copy, name):
    (copy / name).unlink()
    said = refusal(copy)
    assert f"lacks {name}" in said and "hf download" in said and str(copy) in said
    with pytest.raises(ModelError, match="lacks"):
        load(copy)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", b"{", "is no JSON"),
        ("tokenizer.json", b"\xff\xfe", "is no JSON"),
        ("config.json", b"[]", "holds no dict"),
        ("vocabulary.json", b"{}", "holds no list"),
        ("model.bin", b"", "holds no Whisper model"),
        ("model.bin", b"version https://git-lfs.github.com/spec/v1\n", "holds no Whisper model"),
        ("model.bin", b"\x06\0\0\0\x0c\0WhisperSpec\0\x03\0\0\0", "breaks off"),
    ],
)
def test_a_broken_file_is_refused_before_work(copy, name, content, message):
    (copy / name).write_bytes(content)
    assert message in refusal(copy)


@pytest.mark.parametrize("share", [0.001, 0.5, 0.99])
def test_half_a_download_is_refused_before_work(copy, share):
    whole = (copy / "model.bin").read_bytes()
    (copy / "model.bin").write_bytes(whole[: round(share * len(whole))])
    assert "breaks off" in refusal(copy)


def test_what_only_loading_shows_is_told_by_loading(copy):
    (copy / "tokenizer.json").write_text('{"version": "1.0"}')
    with pytest.raises(ModelError, match="does not load"):
        load(copy)


def test_a_preprocessor_of_another_model_is_refused(copy):
    (copy / "preprocessor_config.json").write_text('{"feature_size": 128}')
    with pytest.raises(ModelError, match=r"needs 80 mel bands, .* says 128"):
        load(copy)


def test_a_missing_model_is_named_with_the_way_to_get_it(monkeypatch):
    def never(*_: Any) -> None:
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", never)
    monkeypatch.setattr(socket, "getaddrinfo", never)
    said = refusal("no-such-people/no-such-model@v1")
    assert "no-such-people/no-such-model at revision v1 is not on this machine" in said
    assert "`hf download no-such-people/no-such-model --revision v1`" in said
    assert "faster-whisper/./models/no-such-model in the recipe" in said
    assert "`hf download Systran/faster-whisper-large-v3`" in whisper_files.how_to_get("large-v3")
    assert "there is no folder" in refusal("./nowhere")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("faster-whisper", "needs a model"),
        ("faster-whisper/", "needs a model"),
        ("faster-whisper/large-v33", "did you mean 'large-v3'"),
        ("faster-whisper/a b", "has no size 'a b'"),
        ("fast-whisper/tiny", "did you mean 'faster-whisper'"),
    ],
)
def test_wrong_names_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        recognizer.parse(name)


def test_a_run_without_its_model_ends_before_it_begins(tmp_path, capsys, root, whisper_toy):
    recipe = (root / "recipes" / "offline.yaml").read_text()
    text = recipe.replace("[given, pocketsphinx]", "[given, faster-whisper/nobody/nothing]")
    (tmp_path / "mine.yaml").write_text(text)
    data = str(whisper_toy / "clips")
    out = tmp_path / "out"
    command = ["curate", "--data", data, "--out", str(out)]
    assert main([*command, "--recipe", str(tmp_path / "mine.yaml")]) == 2
    assert "hf download nobody/nothing" in capsys.readouterr().err
    assert not list(out.glob("hear*")) and not list(out.glob("gather*"))


# -- identity and device --------------------------------------------------------------------------


def test_the_fingerprint_is_of_the_files(whisper_toy, copy):
    one = recognizer.fingerprint(f"faster-whisper/{whisper_toy}")
    same = recognizer.fingerprint(f"faster-whisper/{copy}")
    assert one == same and one["device"] == "cpu" and len(one["model"]) == 64
    assert {"faster-whisper", "ctranslate2", "tokenizers"} < set(one)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "suppress_ids": [7]}))
    assert recognizer.fingerprint(f"faster-whisper/{copy}")["model"] != one["model"]


def test_weights_of_another_hash_are_refused(whisper_toy):
    name = f"faster-whisper/{whisper_toy}"
    found = FasterWhisper.weights_digest(str(whisper_toy))
    step = Transcribe(engines=[name], sha256={name: found})
    assert set(step.fingerprint()) == {name}
    with pytest.raises(ModelError, match=rf"sha256 {found}, the recipe wants {'ab' * 32}"):
        Transcribe(engines=[name], sha256={name: "ab" * 32}).fingerprint()


def test_a_file_is_digested_once_and_again_when_it_changes(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    first = file_digest(path)
    assert file_digest(path) == first
    path.write_bytes(b"longer")
    assert file_digest(path) != first


def test_a_device_that_is_not_there_is_refused(whisper_toy):
    import ctranslate2

    if ctranslate2.get_cuda_device_count():
        pytest.skip("there is a GPU")
    with pytest.raises(ModelError, match="no GPU here; write auto or cpu"):
        recognizer.fingerprint(f"faster-whisper/{whisper_toy}", WhisperSettings(device="cuda"))
    with pytest.raises(ModelError, match=r"cannot run on cpu; it can: .*int8"):
        load(whisper_toy, compute_type="float16")


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperatures": [0.5, 0.2]},
        {"temperatures": []},
        {"temperatures": [0.0, 1.2]},
        {"batch_size": 0},
        {"chunk_seconds": 31},
        {"device": "gpu"},
        {"vad_filter": True},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="validation error"):
        WhisperSettings(**wrong)
