"""Tokens through the whole pipeline: what a run stores is what each chunk's FLAC gives, alone."""

import dataclasses
import itertools
import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from pipeline import layout
from pipeline.curate import Options
from pipeline.forecast import forecast
from pipeline.phases.form import form_of
from pipeline.recipe import ShardSettings, load_recipe
from schemas.manifest import Manifest, read_manifest
from schemas.shard_reader import Sample, read_shard
from schemas.shard_validate import validate
from tests.laws import made_corpus
from tests.laws.runs import RECIPE, Ran, curate
from transforms import flac
from transforms.engines.dmel import DMel
from transforms.engines.kmeans import LogMelFeatures, write_centres
from transforms.engines.models import ModelError
from transforms.engines.tokenizer import chunk_samples, encode_document, load

TOKENS = "shards.tokens=[dmel, dmel/20x4]"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_corpus.write_corpus(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("run") / "out"


@pytest.fixture(scope="module")
def plain(corpus: Path, out: Path) -> Ran:
    return curate(corpus, out)


@pytest.fixture(scope="module")
def both(corpus: Path, out: Path, plain: Ran) -> Ran:
    return curate(corpus, out, [TOKENS])


@pytest.fixture(scope="module")
def alone(corpus: Path, out: Path, both: Ran) -> Ran:
    return curate(corpus, out, ["shards.tokens=[dmel/20x4]", "shards.audio=none"])


def folder(ran: Ran) -> Path:
    return Path(ran.store.url) / layout.composition_folder(ran.result.compose_key)


def manifest_of(ran: Ran) -> Manifest:
    return read_manifest(lambda name: (folder(ran) / name).read_bytes())


def samples_of(ran: Ran) -> dict[str, Sample]:
    found = {}
    for entry in manifest_of(ran).shards:
        with (folder(ran) / entry.name).open("rb") as stream:
            found |= {sample.document.id: sample for sample in read_shard(stream, entry.name)}
    return found


def test_every_chunk_is_tokenized_by_itself(both: Ran) -> None:
    assert validate(folder(both)) == []
    samples = samples_of(both)
    assert len(samples) > 5
    for sample in samples.values():
        pcm = flac.decode(sample.flac or b"")
        for name, tokenizer in (("dmel", DMel()), ("dmel-20x4", DMel("20x4"))):
            parts = [
                tokenizer.encode(chunk, sample.document.rate)
                for chunk in chunk_samples(sample.document, pcm)
            ]
            assert np.array_equal(sample.tokens[name], np.concatenate(parts))
    assert max(len(sample.document.chunks) for sample in samples.values()) > 2


def test_changing_one_chunk_leaves_the_tokens_of_the_others(both: Ran) -> None:
    sample = max(samples_of(both).values(), key=lambda s: len(s.document.chunks))
    document, pcm = sample.document, flac.decode(sample.flac or b"").copy()
    tokenizer = load("dmel/20x4")
    rate = document.rate
    borders = [round(chunk.start * rate) for chunk in document.chunks] + [len(pcm)]
    counts = [tokenizer.grid.positions(b - a, rate) for a, b in itertools.pairwise(borders)]
    first = np.cumsum([0, *counts])
    before = sample.tokens["dmel-20x4"]
    pcm[borders[1] : borders[2]] = pcm[borders[1] : borders[2]][::-1] // 2
    after = encode_document(tokenizer, document, pcm)
    same = (before == after).all(axis=1)
    assert same[: first[1]].all() and same[first[2] :].all()
    assert not same[first[1] : first[2]].any()


def test_tokens_cost_only_the_shards(plain: Ran, both: Ran) -> None:
    assert set(both.phases()) == {"compose"}
    assert both.result.compose_key != plain.result.compose_key


def test_the_other_members_are_the_same_with_and_without(plain: Ran, both: Ran) -> None:
    with_tokens = samples_of(both)
    for key, sample in samples_of(plain).items():
        assert with_tokens[key].flac == sample.flac
        assert with_tokens[key].document == sample.document
        assert not sample.tokens
    assert b"tokenizers" not in (folder(plain) / "manifest.json").read_bytes()


def test_a_run_without_tokens_finds_its_shards_again(corpus: Path, plain: Ran, both: Ran) -> None:
    again = curate(corpus, Path(plain.store.url))
    assert again.phases() == {}
    assert again.digests == plain.digests


def test_sets_of_tokens_alone(both: Ran, alone: Ran) -> None:
    assert validate(folder(alone)) == []
    manifest = manifest_of(alone)
    assert {entry.audio for entry in manifest.shards} == {"none"}
    assert [one.name for one in manifest.tokenizers] == ["dmel-20x4"]
    assert sum(e.seconds for e in manifest.shards) == pytest.approx(
        sum(e.seconds for e in manifest_of(both).shards)
    )
    with_audio = samples_of(both)
    for key, sample in samples_of(alone).items():
        assert sample.flac is None
        assert sample.document == with_audio[key].document
        assert np.array_equal(sample.tokens["dmel-20x4"], with_audio[key].tokens["dmel-20x4"])


def test_the_card_names_the_members_that_are_there(both: Ran, alone: Ran) -> None:
    card = (folder(alone) / "README.md").read_text()
    assert '"dmel-20x4.npy"' in card and "flac" not in card.split("Each sample")[1].split("tar")[0]
    card = (folder(both) / "README.md").read_text()
    assert "`<key>.dmel.npy`" in card and "`<key>.flac`" in card


def test_the_same_tokens_from_nothing(corpus: Path, both: Ran, tmp_path: Path) -> None:
    fresh = curate(corpus, tmp_path / "out", [TOKENS], part_seconds=9.0)
    assert fresh.digests == both.digests


def test_what_a_plan_shows_is_what_a_run_takes(corpus: Path, both: Ran) -> None:
    recipe = load_recipe(RECIPE, [TOKENS])
    options = Options(data=str(corpus), out=both.store.url, part_seconds=20.0)
    plan = forecast(recipe, options)
    (compose,) = [p for s in plan.streams for p in s.phases if p.phase == "compose"]
    assert compose.key == both.result.compose_key
    assert compose.cached_items == compose.items > 0
    assert ("shards", "dmel, dmel/20x4", "") in {
        (model.step, model.engine, model.missing) for model in plan.models
    }


def test_a_missing_tokenizer_is_told_before_any_work(corpus: Path, tmp_path: Path) -> None:
    name = tmp_path / "none.safetensors"
    overrides = [f"shards.tokens=[kmeans/{name}]"]
    with pytest.raises(ModelError, match="there is no such file"):
        curate(corpus, tmp_path / "out", overrides)
    assert not (tmp_path / "out" / "hear").exists()
    plan = forecast(load_recipe(RECIPE, overrides), Options(data=str(corpus), out=str(tmp_path)))
    assert any("there is no such file" in model.missing for model in plan.models)


def test_other_centres_are_another_form(tmp_path: Path) -> None:
    path = tmp_path / "u.safetensors"
    settings = ShardSettings(tokens=(f"kmeans/{path}",))
    centres = np.random.default_rng(0).normal(size=(4, 80)).astype(np.float32)
    write_centres(path, centres, LogMelFeatures(), "", {})
    load.cache_clear()
    first = form_of(settings)
    path.unlink()
    write_centres(path, centres + 1, LogMelFeatures(), "", {})
    load.cache_clear()
    second = form_of(settings)
    assert first.key("cpu") != second.key("cpu")
    with pytest.raises(ModelError, match="changed since the run was planned"):
        first.load()
    assert form_of(ShardSettings()).key("cpu") == []
    assert json.dumps(second.key("cpu"))


def test_one_tokenizer_by_two_names_is_refused() -> None:
    with pytest.raises(ModelError, match="the same tokenizer"):
        form_of(ShardSettings(tokens=("dmel", "dmel/25x1")))


def test_the_form_travels_to_workers() -> None:
    form = form_of(ShardSettings(tokens=("dmel",)))
    again = pickle.loads(pickle.dumps(form))
    assert again == form and again.entries() == form.entries()
    assert dataclasses.replace(form, audio="none").key("cpu") != form.key("cpu")
