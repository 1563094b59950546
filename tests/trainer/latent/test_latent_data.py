"""Packs for patches: borders from words' times, room in patches, and the paper's arithmetic."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from schemas.ids import digest_of
from schemas.records import Chunk, Word
from tests.trainer.data.made_sets import (
    GRID,
    RATE,
    speech_documents,
    text_documents,
    write_set,
)
from tests.trainer.data.reading import opened, packs_of, settings_of
from tests.trainer.latent.made_stream import At25Hz, Spelt, stream
from trainer.data import DataSettings, open_data
from trainer.latent.accounting import planned
from trainer.latent.patching import BEGINS, STRETCH, UNIT, cut
from trainer.latent.settings import PatchSettings
from trainer.latent.units import unit_borders
from trainer.pack import SPEECH, Pack

STEPS = 12


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    documents = speech_documents("talk", 40, seed=3, chunks=(1, 8))
    return write_set(tmp_path_factory.mktemp("talk"), documents)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("page"), text_documents("page", 40, seed=4))


def with_patches(talk: Path, page: Path, policy: Any, **patches: Any) -> DataSettings:
    about = {"shards": talk, "policy": policy}
    return settings_of(talk=about, page=page, patches=PatchSettings(**patches))


POLICIES = ["deterministic", {"stochastic": {"p": 0.7}}, {"lst_spans": {}}, "asr", "speech_only"]


@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize("how", ["static", "aligned"])
def test_counted_in_positions_a_pack_is_what_it_was(
    policy: Any, how: str, talk: Path, page: Path
) -> None:
    """`data` control: the same packs, token by token, whether patches are cut or not."""
    given = with_patches(talk, page, policy, cut=how)
    plain = packs_of(opened(given.model_copy(update={"patches": None})), steps=STEPS)
    packs = packs_of(opened(given), steps=STEPS)
    for one, other in zip(plain, packs, strict=True):
        assert one.borders is None and other.borders is not None
        for name in ("ids", "codes", "modality", "piece", "place"):
            assert np.array_equal(getattr(one, name), getattr(other, name))
        assert not other.borders[other.modality != SPEECH].any()
        # a stretch begins wherever speech does
        spoken = other.modality == SPEECH
        first = spoken & ~np.append(False, spoken[:-1])
        assert (other.borders[first] & STRETCH).all()


@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize("granularity", ["fine", "coarse"])
def test_counted_in_patches_a_pack_holds_so_many_global_positions(
    policy: Any, granularity: str, talk: Path, page: Path
) -> None:
    """`units` control: static patches, text, markers and padding fill `length` exactly."""
    coarse = {"granularity": granularity, "coarse_max_gap": 1.0, "coarse_max_chunk": 4.0}
    about = {"shards": talk, "policy": policy, **coarse}
    patches = PatchSettings(size=4, count="patches")
    given = settings_of(talk=about, page=page, patches=patches, length=128)
    lengths = set()
    for pack in packs_of(opened(given), steps=STEPS):
        static = int((cut(pack, patches) & BEGINS > 0).sum())
        assert int((pack.modality != SPEECH).sum()) + static == 128
        lengths.add(len(pack.ids))
    assert max(lengths) > 200  # positions of speech stand four in the place of one


def test_workers_ship_borders_and_packs_of_any_length(talk: Path, page: Path) -> None:
    given = with_patches(talk, page, "deterministic", cut="aligned", count="patches")
    alone = packs_of(opened(given), steps=6)
    shipped = packs_of(opened(given), steps=6, workers=2)
    for one, other in zip(alone, shipped, strict=True):
        assert one.borders is not None and other.borders is not None
        assert np.array_equal(one.borders, other.borders)
        assert np.array_equal(one.ids, other.ids)
        assert one.documents == other.documents


def test_permuted_audio_takes_its_borders_along(talk: Path, page: Path) -> None:
    given = with_patches(talk, page, "deterministic", cut="aligned")
    packs = packs_of(opened(given), steps=4)
    other = packs_of(opened(given.model_copy(update={"permute_audio": True})), steps=4)

    def told(row: list[Pack]) -> list[tuple[int, int]]:
        pairs = [
            (int(unit), int(flag))
            for pack in row
            if pack.borders is not None
            for unit, flag, kind in zip(pack.ids, pack.borders, pack.modality, strict=True)
            if kind == SPEECH
        ]
        return sorted(pairs)

    assert told(packs) == told(other)
    assert any(not np.array_equal(a.ids, b.ids) for a, b in zip(packs, other, strict=True))


def test_units_lie_where_the_words_are() -> None:
    """40 positions a second: words at 0.1 to 0.25 s and 0.3 to 0.5 s of a chunk from 1 to 1.6 s."""
    said = [("one", 1.1, 1.25), ("two", 1.3, 1.5)]
    chunk = Chunk(
        clip=digest_of("clip", 1),
        start=1.0,
        end=1.6,
        text="one two",
        speaker="one",
        words=tuple(Word(text=t, start=a, end=b) for t, a, b in said),
        times="measured",
    )
    count = GRID.positions(round(0.6 * RATE), RATE)
    assert count == 24
    (apart,) = unit_borders([chunk], RATE, [count], GRID.border, merged=False)
    assert np.flatnonzero(np.frombuffer(apart, np.uint8)).tolist() == [0, 4, 10, 12, 20]
    (merged,) = unit_borders([chunk], RATE, [count], GRID.border, merged=True)
    assert np.flatnonzero(np.frombuffer(merged, np.uint8)).tolist() == [0, 11]
    bare = Chunk(clip=digest_of("clip", 2), start=0.0, end=0.3, text="no times", speaker="one")
    assert unit_borders([bare], RATE, [12], GRID.border, merged=False) == (bytes(12),)


def test_parts_of_chunks_keep_the_borders_of_their_words(talk: Path, page: Path) -> None:
    """Words of made speech touch, and a part holds whole words: each begins a patch."""
    given = with_patches(talk, page, {"lst_spans": {"least": 1, "most": 2}}, cut="aligned")
    units = 0
    for pack in packs_of(opened(given), steps=STEPS):
        assert pack.borders is not None
        flags = cut(pack, PatchSettings(cut="aligned"))
        unit = pack.borders & UNIT > 0
        assert (flags[unit] & BEGINS).all()
        units += int(unit.sum())
    assert units > 100


def test_length_ratios_of_the_paper(tmp_path: Path) -> None:
    """Section A.10 of arXiv 2510.06195 on a made stream of 25 Hz: 0.35 s and 1.3 text tokens a
    word, one word of speech to two of text; two thirds of all tokens text alone."""
    folders = {
        name: write_set(tmp_path / name, [stream(name, n, 180) for n in range(count)], 64)
        for name, count in (("talk", 40), ("page", 90))
    }
    given = settings_of(
        talk={"shards": folders["talk"], "policy": {"lst_spans": {"ratio": 0.5}}},
        page={"shards": folders["page"], "policy": "text_only"},
        share={"talk": 1.0, "page": 2.0},
        patches=PatchSettings(size=4),
        length=3200,
        packs=3,
        block_packs=16,
    )
    data = open_data(given, Spelt(), At25Hz())
    speech = text = patches = alone = 0
    for given_batch in data.batches(steps=16):
        for pack in given_batch.batch.packs:
            spoken = int((pack.modality == SPEECH).sum())
            written = int((pack.modality == 0).sum())
            if pack.set_name == "page":
                alone += written
                continue
            speech, text = speech + spoken, text + written
            patches += int((cut(pack, PatchSettings(size=4)) & BEGINS > 0).sum())
    assert speech / (speech + text) == pytest.approx(0.77, rel=0.02)
    assert text / (speech + text) == pytest.approx(0.23, rel=0.02)
    # two thirds text alone, as the shares of positions have it but for markers
    inside = speech + text
    assert alone / inside == pytest.approx(2.0, rel=0.15)
    shorter = (patches + text + 2 * inside) / (3 * inside)
    assert shorter == pytest.approx(0.807, rel=0.02)
    assert patches > speech / 4  # ragged ends are counted
    # what is planned before a run is what is then read
    mean = planned(data, 16)
    assert mean.speech * 16 == speech and mean.patches * 16 == patches
    assert mean.positions == 3 * 3200
