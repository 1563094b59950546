"""Nothing about a recording depends on what else is in DATA, in its part or in its process.

With the engines of the default recipe: silero, resemblyzer's encoder, pocketsphinx, all measures.
Compared bit for bit; a batch that mixed recordings, or a model that remembered the one before,
would show in the last digits of a score.
"""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import commits
from pipeline.commits import Ledger, ledger
from pipeline.phases.measure import clips_of
from pipeline.recipe import from_canonical, load_recipe
from schemas.store import Store
from tests.laws import made_corpus, runs
from tests.laws.made_corpus import Row
from transforms import flac
from transforms.engines import vad, voice

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

OFFLINE = runs.ROOT / "recipes" / "offline.yaml"
SAMPLES = runs.ROOT / "samples"
TALK = Row(audio="podcast.mp3", text=made_corpus.words(5, 150), licence="CC0-1.0")
FEW = [TALK, Row(audio="clips/bread.flac")]  # no text: pocketsphinx listens
MORE = [
    Row(audio="clips/river.flac", text="a river", speaker="Sally"),
    Row(audio="clips/oven.flac"),
    Row(audio="monologue.opus", text=made_corpus.words(6, 90)),
    Row(audio="music.webm", text="nobody sings"),
    Row(audio="broken.flac"),
]


def data(folder: Path, table: Sequence[Row]) -> Path:
    for row in table:
        (folder / row.audio).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(SAMPLES / row.audio, folder / row.audio)
    return made_corpus.write_table(folder / "table.csv", table)


def answers(out: Path) -> dict[str, Any]:
    """What is known of each task of the newest run: its clips and their scores."""
    store = Store(out)
    pointer = json.loads((out / "runs" / "offline.json").read_text(encoding="utf-8"))
    keys = pointer["streams"]["web"]
    annotated: Ledger = ledger(store, "annotate", keys["annotate"])
    measures = [
        step for step in from_canonical(pointer["recipe"]).streams["web"] if step.phase == "measure"
    ]
    found: dict[str, Any] = {}
    for task, name in annotated.done.items():
        clips = clips_of(store, name).get(task, ())
        found[task] = {"clips": [dataclasses.replace(clip, audio=None) for clip in clips]}
        for measure, key in zip(measures, keys["measure"], strict=True):
            rows = commits.column(store, ledger(store, "measure", key).done[task], "row")
            by_id = {row["id"]: row for row in rows.to_pylist()}
            found[task][measure.name()] = [by_id[clip.id] for clip in clips]
    return found


def test_rows_and_scores_of_the_real_engines(tmp_path: Path) -> None:
    recipe = load_recipe(OFFLINE)
    few, all_of_them = data(tmp_path / "few", FEW), data(tmp_path / "all", [*MORE, *FEW])
    runs.curate(few, tmp_path / "alone", recipe=recipe)
    runs.curate(all_of_them, tmp_path / "one part", recipe=recipe, part_seconds=5000.0)
    runs.cli(all_of_them, tmp_path / "two workers", "--workers", "2", recipe=OFFLINE, part="5s")
    alone = answers(tmp_path / "alone")
    assert len(alone) == 2
    clips = [clip for task in alone.values() for clip in task["clips"]]
    assert {clip.quality for clip in clips} == {"given", "smoke"}
    assert len({clip.speaker for clip in clips if clip.quality == "given"}) == 2  # a podcast of two
    assert any(row["snr_db"] for task in alone.values() for row in task["snr"])
    for place in ("one part", "two workers"):
        there = answers(tmp_path / place)
        assert len(there) == len(FEW) + len(MORE) - 1  # the broken one has nothing to annotate
        for task, expected in alone.items():
            assert there[task] == expected, place
    assert runs.shard_digests(tmp_path / "one part") == runs.shard_digests(tmp_path / "two workers")


@pytest.fixture(scope="module")
def sounds() -> list[np.ndarray]:
    return [
        flac.decode((SAMPLES / "clips" / f"{name}.flac").read_bytes())
        for name in ("bread", "river", "oven")
    ]


def test_speech_curves_do_not_remember_the_recording_before(sounds: list[np.ndarray]) -> None:
    fresh = [vad.Silero().probabilities([sound]) for sound in sounds]
    used = vad.Silero()
    for order in ((0, 1, 2), (2, 1, 0), (1, 1)):
        for place in order:
            np.testing.assert_array_equal(used.probabilities([sounds[place]]), fresh[place])


def test_embeddings_do_not_change_with_what_else_is_embedded(sounds: list[np.ndarray]) -> None:
    encoder = voice.load_encoder()
    windows = [
        voice.mel_windows(voice.mel_spectrogram(sound.astype(np.float32) / 32768))
        for sound in sounds
    ]
    alone = [encoder.embed(found) for found in windows]
    assert all(len(found) > 1 for found in alone)
    for order in ((2, 0, 1), (1, 2, 0)):
        for place in order:
            np.testing.assert_array_equal(encoder.embed(windows[place]), alone[place])
    voice._encoder.cache_clear()
    again = voice.load_encoder()
    for place, found in enumerate(windows):
        np.testing.assert_array_equal(again.embed(found), alone[place])
