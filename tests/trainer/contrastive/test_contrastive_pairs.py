"""Packs cut into pairs: whose states they are, and that nothing else is in them."""

import torch

from tests.trainer.model.made_models import FRAMES, UNITS, decoder, pack, stack
from trainer.contrastive.pairs import pairs

A1, A2, A3 = [(1, 2, 3), (4, 5, 6)], [(0, 0, 7)], [(7, 7, 0), (1, 1, 1), (2, 2, 2)]
ONE = ["document", "speech", *A1, "text", 7, 8, 9, "speech", *A2, "text", 4, "end"]
TWO = ["document", "speech", *A3, "text", 5, 6, "end"]
SHORT = ["document", "speech", (1,), (2,), "text", 7, 8, "speech", (3,), "text", 4]
ASR = torch.tensor([True])


def spans(found, side):
    own = getattr(found, side)
    return list(zip(own.first.tolist(), own.last.tolist(), strict=True))


def test_each_chunk_is_a_pair() -> None:
    found = pairs(pack(FRAMES, 24, ONE, TWO), ASR)
    assert spans(found, "speech") == [(2, 4), (9, 10), (15, 18)]
    assert spans(found, "text") == [(5, 8), (11, 12), (19, 21)]


def test_text_may_lead() -> None:
    held = pack(FRAMES, 20, ["document", "text", 7, 8, "speech", *A1, "text", 9, "speech", *A2])
    found = pairs(held, torch.tensor([False]))
    assert spans(found, "text") == [(2, 4), (8, 9)]
    assert spans(found, "speech") == [(5, 7), (10, 11)]


def test_a_side_without_its_other_is_no_pair() -> None:
    lonely = ["document", "text", 3, 4, "speech", *A1, "text", 7, "speech", *A2, "end"]
    found = pairs(pack(FRAMES, 16, lonely), ASR)
    assert spans(found, "speech") == [(5, 7)]
    assert spans(found, "text") == [(8, 9)]


def test_pairs_do_not_reach_into_the_next_document() -> None:
    found = pairs(pack(FRAMES, 16, ["document", "speech", *A1], ["text", 5, 6, "end"]), ASR)
    assert len(found.text) == 0


def test_rows_are_counted_through() -> None:
    two = stack([pack(FRAMES, 24, ONE), pack(FRAMES, 24, TWO)])
    found = pairs(two, torch.tensor([True, True]))
    assert spans(found, "speech") == [(2, 4), (9, 10), (26, 29)]


def test_each_side_is_read_alone() -> None:
    """The states of a side in a pack are those of the side in a pack of its own."""
    model = decoder(FRAMES)
    found = pairs(pack(FRAMES, 24, ONE, TWO), ASR)
    states = model(found.given)[0]
    alone = model(pack(FRAMES, 4, ["text", 7, 8, 9]))[0]
    assert torch.allclose(states[5:8], alone[1:4], atol=1e-6)
    alone = model(pack(FRAMES, 4, ["speech", *A3]))[0]
    assert torch.allclose(states[15:18], alone[1:4], atol=1e-6)


def test_no_side_sees_another() -> None:
    """A change anywhere else changes no state of a side: markers and both neighbours."""
    model = decoder(UNITS)
    held = pack(UNITS, 20, SHORT)
    cut = pairs(held, ASR)
    before = model(cut.given)[0]
    first, last = spans(cut, "text")[0]
    for at in set(range(20)) - set(range(first - 1, last)):
        ids = cut.given.ids.clone()
        ids[0, at] = (ids[0, at] + 1) % UNITS.size
        after = model(type(held)(**{**vars(cut.given), "ids": ids}))[0]
        assert torch.equal(before[first:last], after[first:last]), at
        changed = not torch.equal(before[at], after[at])
        assert changed


def test_a_shift_moves_both_sides() -> None:
    held = pack(FRAMES, 24, ONE)
    plain, moved = pairs(held, ASR), pairs(held, ASR, shift=5)
    content = held.piece[0] >= 0
    assert torch.equal(moved.given.place[0][content], plain.given.place[0][content] + 5)
    assert plain.given.place[0, 1:4].tolist() == [0, 1, 2]
    assert plain.given.place[0, 4:8].tolist() == [0, 1, 2, 3]
    assert torch.equal(plain.given.piece < 0, held.piece < 0)


def test_an_empty_batch_has_no_pairs() -> None:
    held = pack(FRAMES, 24, ONE)
    arrays = {name: value[:0] for name, value in vars(held).items() if value is not None}
    none = type(held)(**arrays)
    assert len(pairs(none, ASR[:0]).text) == 0
