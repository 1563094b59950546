"""faster-whisper through the whole pipeline: the words of a direct call, whatever else is there."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.recipe import load_recipe
from schemas.records import Clip, Drop, frames
from tests.laws.runs import Ran, cli, curate, rows_of, shard_digests

RATE = 16_000
RECIPE = """
name: toy
seed: 3
streams:
  web:
    - crawl
    - decode: {{rate: {rate}, channels: mix}}
    - segment: {{engine: energy, min_silence_seconds: 0.5, pad_seconds: 0.2, max_seconds: 30}}
    - gate
    - diarize: {{engine: one}}
    - transcribe: {{engines: ["faster-whisper/{model}"], whisper: {{batch_size: {batch}}}}}
    - text_rate
    - filter: {{min_words: 1}}
    - split: {{train: 0.8, valid: 0.1, test: 0.1}}
    - interleave: {{granularity: fine}}
shards:
  hours: 1
"""
TALKS = ("conversation", "several_slt", "single_de")


def run(folder: Path, model: Path, names: tuple[str, ...], rate: int = RATE, **options) -> Ran:
    data = folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copy(model / "clips" / f"{name}.flac", data)
    batch, changes = options.pop("batch", 8), options.pop("changes", ())
    recipe = folder / "toy.yaml"
    recipe.write_text(RECIPE.format(model=model, rate=rate, batch=batch))
    return curate(data, folder / "out", recipe=load_recipe(recipe, changes), **options)


def clips_of(ran: Ran) -> dict[str, Clip]:
    (stream,) = ran.result.streams
    found = rows_of(ran.store, "annotate", stream.outline.annotate_key, "row", Clip)
    return {clip.id: clip for clip in found}


@pytest.fixture(scope="module")
def ran(whisper_toy, tmp_path_factory) -> Ran:
    return run(tmp_path_factory.mktemp("toy"), whisper_toy, (*TALKS, "silence_noise"))


def recording_of(model: Path, name: str) -> str:
    return hashlib.sha256((model / "clips" / f"{name}.flac").read_bytes()).hexdigest()


def said(clips: list[Clip]) -> list[str]:
    return [word.text for clip in sorted(clips, key=lambda c: c.start) for word in clip.words]


def test_the_words_of_a_direct_call_come_out(ran, whisper_toy):
    from faster_whisper import WhisperModel

    model = WhisperModel(str(whisper_toy), device="cpu", cpu_threads=1)
    names = {recording_of(whisper_toy, name): name for name in TALKS}
    clips = clips_of(ran)
    assert len(clips) >= 10
    for clip in clips.values():
        name = names[clip.recording]
        pcm, _ = soundfile.read(whisper_toy / "clips" / f"{name}.flac", dtype="int16")
        part = pcm[frames(clip.start, RATE) : frames(clip.end, RATE)].astype(np.float32) / 32768
        segments, _ = model.transcribe(
            part,
            language=clip.language,
            word_timestamps=True,
            temperature=0.0,
            condition_on_previous_text=False,
        )
        direct = [word for segment in segments for word in segment.words]
        assert [word.text for word in clip.words] == [word.word.strip() for word in direct]
        for ours, theirs in zip(clip.words, direct, strict=True):
            assert abs(ours.start - clip.start - theirs.start) <= 0.02
            assert abs(ours.end - clip.start - theirs.end) <= 0.02
        assert clip.language == ("de" if name == "single_de" else "en")
        assert clip.language_probability > 0.9 and clip.disagreement is None
        (answer,) = clip.transcripts
        assert answer.device == "cpu/int8_float32" and answer.mean_log_probability < 0


def test_words_lie_where_they_were_spoken(ran, whisper_toy):
    truth = {
        entry["file"].removesuffix(".flac"): [
            word for sentence in entry["sentences"] for word in sentence["words"]
        ]
        for entry in json.loads((whisper_toy / "clips" / "clips.json").read_text())
    }
    for name in ("conversation", "several_slt"):
        recording = recording_of(whisper_toy, name)
        own = [clip for clip in clips_of(ran).values() if clip.recording == recording]
        found = [w for clip in sorted(own, key=lambda c: c.start) for w in clip.words]
        errors = [abs(w.start - t[1]) for w, t in zip(found, truth[name], strict=True)]
        assert np.median(errors) <= 0.05


def test_noise_without_speech_leaves_as_no_text(whisper_toy, tmp_path):
    names = ("single_slt", "silence_noise")
    found = run(tmp_path, whisper_toy, names, changes=("segment.engine=whole",))
    (stream,) = found.result.streams
    (drop,) = rows_of(found.store, "annotate", stream.outline.annotate_key, "drop", Drop)
    assert (drop.step, drop.reason, drop.seconds) == ("transcribe", "no_text", 5.0)
    (clip,) = clips_of(found).values()
    assert clip.recording == recording_of(whisper_toy, "single_slt")
    assert clip.text == "Do you want my river today?"


@pytest.mark.slow
def test_two_workers_write_the_same_bytes(ran, whisper_toy, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name in (*TALKS, "silence_noise"):
        shutil.copy(whisper_toy / "clips" / f"{name}.flac", data)
    recipe = tmp_path / "toy.yaml"
    recipe.write_text(RECIPE.format(model=whisper_toy, rate=RATE, batch=8))
    cli(data, tmp_path / "out", "--workers", "2", recipe=recipe)
    assert shard_digests(tmp_path / "out") == ran.digests


@pytest.mark.slow
def test_parts_growth_and_batches_change_no_word(ran, whisper_toy, tmp_path):
    one_part = run(tmp_path / "one", whisper_toy, (*TALKS, "silence_noise"), part_seconds=600.0)
    assert one_part.digests == ran.digests
    alone = clips_of(run(tmp_path / "alone", whisper_toy, ("several_slt",)))
    among = clips_of(ran)
    assert alone and all(among[name] == clip for name, clip in alone.items())
    single = clips_of(run(tmp_path / "single", whisper_toy, ("several_slt",), batch=1))
    assert {n: c.text for n, c in single.items()} == {n: c.text for n, c in alone.items()}


def test_24_khz_audio_is_heard_as_well(ran, whisper_toy, tmp_path):
    high = clips_of(run(tmp_path, whisper_toy, ("several_slt",), rate=24_000))
    recording = recording_of(whisper_toy, "several_slt")
    low = [clip for clip in clips_of(ran).values() if clip.recording == recording]
    assert all(clip.rate == 24_000 for clip in high.values())
    assert said(list(high.values())) == said(low)
