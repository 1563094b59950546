"""What an arm read: counts from plans are those of the packs that are trained on."""

import itertools

import numpy as np
import pytest

from tests.trainer.data.made_sets import ByteText, Energy
from trainer.ablation.counting import counted, steps_of
from trainer.data import DataSettings, SetSettings, open_data
from trainer.pack import MARKER, PADDING, SPEECH, TEXT

POLICIES = [
    {"kind": "deterministic"},
    {"kind": "stochastic", "p": 0.5},
    {"kind": "word_spans", "eta": 0.4, "mean_words": 2.0},
    {"kind": "asr"},
    {"kind": "text_only"},
]


def opened(talk_set, policy, **more):
    run = DataSettings(
        sets={"talk": SetSettings(shards=str(talk_set), policy=policy, **more)},
        length=200,
        packs=4,
        seed=5,
        on_long_chunk="drop",
        last="keep",
    )
    return open_data(run, ByteText(), Energy())


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy["kind"])
def test_plans_are_counted_as_packs_are_filled(talk_set, policy):
    data = opened(talk_set, policy)
    steps = 5
    found = counted(data, steps)
    packs = [pack for given in data.batches(steps=steps) for pack in given.batch.packs]
    kinds = np.sum([np.bincount(pack.modality, minlength=4) for pack in packs], axis=0)
    names = {"text_positions": TEXT, "speech_positions": SPEECH, "markers": MARKER}
    assert {name: found[name] for name in names} == {n: kinds[k] for n, k in names.items()}
    assert found["padding"] == kinds[PADDING] and found["steps"] == steps
    assert found["hours_heard"] == pytest.approx(sum(pack.seconds for pack in packs) / 3600)
    assert found["words_read"] == sum(pack.words for pack in packs)
    assert found["documents"] == len({one for pack in packs for one in pack.documents})
    assert found["pieces"] == sum(len(pack.documents) for pack in packs)
    assert (found["speech_to_text"], found["text_to_speech"]) == _switches(packs)
    assert found["unique_hours_heard"] <= found["hours_heard"] + 1e-12


def _switches(packs):
    """Counted from the arrays: runs of content in a piece whose side changes."""
    counts = {(SPEECH, TEXT): 0, (TEXT, SPEECH): 0}
    for pack in packs:
        for piece in range(pack.piece.max(initial=-1) + 1):
            own = pack.modality[(pack.piece == piece) & (pack.modality < MARKER)]
            for before, after in itertools.pairwise(own):
                if before != after:
                    counts[int(before), int(after)] += 1
    return counts[SPEECH, TEXT], counts[TEXT, SPEECH]


def test_words_heard_and_read_are_all_words_once(talk_set):
    """Dealt out word by word, too, each word is on one side."""
    whole = counted(opened(talk_set, {"kind": "text_only"}, epochs=1), 100)
    assert whole["words_heard"] == 0
    for policy in POLICIES[:3]:
        found = counted(opened(talk_set, policy, epochs=1), 100)
        assert found["words_heard"] > 0
        assert found["words_heard"] + found["words_read"] == whole["words_read"]
    both = counted(opened(talk_set, {"kind": "asr"}, epochs=1), 100)
    assert both["words_heard"] == both["words_read"] == whole["words_read"]


def test_repeats_are_heard_again_and_are_not_unique(talk_set):
    once = counted(opened(talk_set, {"kind": "deterministic"}, epochs=1), 1000)
    twice = counted(opened(talk_set, {"kind": "deterministic"}, epochs=2), 1000)
    assert twice["passes"]["talk"] == pytest.approx(2.0)
    assert twice["hours_heard"] > 1.8 * once["hours_heard"]
    assert twice["unique_hours_heard"] < 1.3 * once["unique_hours_heard"]


def test_steps_until_the_data_end(talk_set):
    data = opened(talk_set, {"kind": "deterministic"}, epochs=1)
    assert steps_of(data) == sum(1 for _ in data.batches())
