"""Packs of the data become tensors, position for position."""

import numpy as np
import pytest
import torch

from tests.trainer.data.made_sets import Energy, speech_documents, text_documents, write_set
from tests.trainer.data.reading import opened, settings_of
from trainer.model import Decoder, ModelSettings
from trainer.objectives import KINDS, losses
from trainer.pack import SPEECH, Batch, targets
from trainer.tensors import inputs, set_indices
from trainer.tokens import vocabulary


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    talk = write_set(tmp_path_factory.mktemp("talk"), speech_documents("talk", 30, seed=1))
    page = write_set(tmp_path_factory.mktemp("page"), text_documents("page", 30, seed=2))
    return next(iter(opened(settings_of(talk=talk, page=page), codebooks=3).batches(steps=1))).batch


def test_tensors_hold_what_the_packs_hold(batch: Batch) -> None:
    found = inputs(batch)
    assert (found.packs, found.length) == (4, 256)
    for name in ("ids", "codes", "modality", "piece", "place"):
        tensor = getattr(found, name)
        assert tensor.dtype == torch.int64
        assert np.array_equal(tensor.numpy(), batch.stacked(name).astype(np.int64)), name
    assert found.codes[found.modality == SPEECH].max() > 40  # uint16 did not wrap


def test_packs_know_their_sets(batch: Batch) -> None:
    found = set_indices(batch, ("page", "talk"))
    assert [("page", "talk")[n] for n in found.tolist()] == [p.set_name for p in batch.packs]
    with pytest.raises(ValueError, match=r"packs of unknown sets \['talk'\]"):
        set_indices(batch, ("page",))
    with pytest.raises(ValueError, match="a batch without packs"):
        inputs(Batch(step=3, packs=()))


def test_the_losses_of_a_batch_count_the_targets_of_its_packs(batch: Batch) -> None:
    data_vocabulary = vocabulary(256, Energy(3))
    model = Decoder(ModelSettings(depth=1, width=32, heads=2), data_vocabulary, 0)
    given = inputs(batch)
    names = ("page", "talk")
    found = losses(model, model(given), given, set_indices(batch, names), set_count=2)
    for place, name in enumerate(names):
        wanted = sum(int(targets(pack).sum()) for pack in batch.packs if pack.set_name == name)
        assert int(found.numbers[place].sum()) == wanted
    assert int(found.numbers[0, KINDS.index("speech")]) == 0
    assert int(found.numbers[1, KINDS.index("speech")]) > 50
    mean = (found.total / found.number).item()
    assert 3 < mean < np.log(data_vocabulary.size) + 0.3
