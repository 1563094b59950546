"""Given text through the whole pipeline: aligned, cut into sentences, composed by words."""

import csv
from pathlib import Path

import pytest

from pipeline.recipe import load_recipe
from schemas.shard_reader import read_shard
from tests.engines import tone_model
from tests.laws import runs

RECIPE = """
name: tones
seed: 3
streams:
  web:
    - crawl
    - decode: {{rate: 16000, channels: mix}}
    - segment: {{engine: energy, max_seconds: 30, cut_seconds: 5}}
    - diarize: {{engine: one}}
    - transcribe: {{engines: [given]}}
    - align: {{model: {model}}}
    - sentences: {{min_seconds: 0.5}}
    - interleave: {{policy: {{word_spans: {{mean_words: 2.0}}}}, materialize: true}}
"""
TEXT = "Abc face bad cab. Hgf edd bee abc. Cab bad face."


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    import soundfile

    folder = tmp_path_factory.mktemp("tones")
    pcm, _ = tone_model.say(TEXT.lower().replace(".", ""), {4: 0.05, 8: 0.05})
    soundfile.write(folder / "one.wav", pcm, tone_model.RATE, subtype="PCM_16")
    with open(folder / "table.csv", "w", newline="") as file:
        csv.writer(file).writerows([["audio", "text", "licence"], ["one.wav", TEXT, "CC0-1.0"]])
    return folder / "table.csv"


def run(data: Path, out: Path, model: str) -> runs.Ran:
    recipe = out.with_suffix(".yaml")
    recipe.write_text(RECIPE.format(model=model))
    return runs.curate(data, out, recipe=load_recipe(recipe))


def reasons(ran: runs.Ran, step: str) -> dict[str, int]:
    (row,) = (row for row in ran.funnel if row.step == step)
    return {drop.reason: drop.items for drop in row.drops}


@pytest.mark.slow
def test_aligned_words_can_be_interleaved_and_estimated_ones_are_refused(data, tmp_path):
    ran = run(data, tmp_path / "aligned", str(tone_model.write(tmp_path / "model")))
    (row,) = (row for row in ran.funnel if row.step == "sentences")
    assert (row.items_in, row.items_out, row.drops) == (1, 3, ())
    assert row.seconds_in == row.seconds_out
    assert reasons(ran, "interleave") == {}
    (tar,) = (tmp_path / "aligned").rglob("*/train/*.tar")
    with tar.open("rb") as stream:
        (sample,) = read_shard(stream, tar.name)
    assert {chunk.modality for chunk in sample.document.chunks} == {"speech", "text"}
    refused = run(data, tmp_path / "plain", "null")
    (row,) = (row for row in refused.funnel if row.step == "sentences")
    assert (row.items_in, row.items_out) == (1, 1)
    assert reasons(refused, "interleave") == {"times_not_measured": 1}
