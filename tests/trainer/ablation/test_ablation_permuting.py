"""Audio permuted across items: nothing lost, text untouched, the link broken."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.data.made_sets import ByteText, Energy
from trainer.data import DataSettings, SetSettings, open_data
from trainer.pack import MARKER, SPEECH, TEXT, Pack, check
from trainer.permuting import permuted


def pack_of(number: int, runs: list[tuple[int, int]], codebooks: int = 2) -> Pack:
    """`runs`: modality and length. Each frame says its pack and its place."""
    modality = np.concatenate([np.full(n, kind, np.int8) for kind, n in runs] or [np.zeros(0)])
    count = len(modality)
    spoken = modality == SPEECH
    place = np.arange(count)
    codes = np.stack([np.full(count, number + 1), place], axis=1).astype(np.uint16)
    codes[~spoken] = 0
    return Pack(
        set_name="made",
        number=number,
        ids=np.where(spoken, 500, place).astype(np.int32),
        codes=codes[:, :codebooks],
        modality=modality.astype(np.int8),
        piece=np.zeros(count, np.int32),
        place=place.astype(np.int32),
        documents=("d",),
        chunks=((0, 1),),
        seconds=1.0,
        words=1,
        withheld=0,
    )


RUNS = st.lists(st.tuples(st.sampled_from([SPEECH, TEXT, MARKER]), st.integers(1, 6)), max_size=8)


@settings(max_examples=150)
@given(st.lists(RUNS, max_size=4), st.integers(0, 5), st.integers(0, 5))
def test_frames_are_moved_never_made_or_lost_and_text_stays(layout, seed, step):
    packs = [pack_of(number, runs) for number, runs in enumerate(layout)]
    found = permuted(packs, seed, step)
    assert found == [] or len(found) == len(packs)

    def frames(of):
        return sorted(tuple(row) for p in of for row in p.codes[p.modality == SPEECH].tolist())

    assert frames(found) == frames(packs)
    for before, after in zip(packs, found, strict=True):
        other = before.modality != SPEECH
        assert np.array_equal(before.modality, after.modality)
        assert np.array_equal(before.ids[other], after.ids[other])
        assert not after.codes[other].any()
    again = permuted(packs, seed, step)
    assert all(np.array_equal(a.codes, b.codes) for a, b in zip(found, again, strict=True))


def test_runs_move_between_packs_and_differ_from_step_to_step():
    packs = [pack_of(n, [(MARKER, 1), (SPEECH, 4), (TEXT, 2)] * 5) for n in range(8)]
    first, second = permuted(packs, 1, 0), permuted(packs, 1, 1)
    moved = [np.mean(p.codes[p.modality == SPEECH][:, 0] != p.number + 1) for p in first]
    assert np.mean(moved) > 0.6
    assert any(not np.array_equal(a.codes, b.codes) for a, b in zip(first, second, strict=True))
    # whole runs are moved: four frames in a row still follow one another
    one = first[0].codes[first[0].modality == SPEECH][:4, 1]
    assert np.array_equal(np.diff(one.astype(int)), [1, 1, 1])


def test_data_can_be_read_with_their_audio_permuted(talk_set):
    speech, text = Energy(2), ByteText()

    def batches(**changes):
        run = DataSettings(
            sets={"talk": SetSettings(shards=str(talk_set), policy={"kind": "deterministic"})},
            length=256,
            packs=4,
            seed=3,
            on_long_chunk="drop",
            **changes,
        )
        data = open_data(run, text, speech)
        found = [given.batch for given in data.batches(steps=3)]
        for batch in found:
            for pack in batch.packs:
                check(pack, data.vocabulary, 256)
        return found

    plain, mixed = batches(), batches(permute_audio=True)
    for a, b in zip(plain, mixed, strict=True):
        assert np.array_equal(a.stacked("modality"), b.stacked("modality"))
        texts = a.stacked("modality") == TEXT
        assert np.array_equal(a.stacked("ids")[texts], b.stacked("ids")[texts])
        assert not np.array_equal(a.stacked("codes"), b.stacked("codes"))


def test_ranks_cannot_share_a_permuted_step(talk_set):
    run = DataSettings(
        sets={"talk": SetSettings(shards=str(talk_set))}, packs=4, permute_audio=True
    )
    with pytest.raises(ValueError, match="needs one rank"):
        open_data(run, ByteText(), Energy(), rank=0, ranks=2)
