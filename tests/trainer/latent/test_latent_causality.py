"""No logit of a latent model depends on what it predicts or what follows, no piece on another.

What follows a position is changed in every way that cuts anew: other tokens, other lengths, text in
place of speech and the other way round. Hidden states before it, from which logits are made, may
not move.
"""

import dataclasses

import pytest
import torch

from tests.trainer.latent.made_patches import FRAMES, UNITS, pack_of
from trainer.latent.model import decoder_of
from trainer.latent.patching import cut
from trainer.latent.settings import LatentSettings, PatchSettings
from trainer.model import Decoder
from trainer.model_settings import ModelSettings
from trainer.pack import Batch, Pack, Vocabulary
from trainer.tensors import inputs

#      0123456789...: markers at 0, 1, 15, 20; a chunk of 13 (ragged), text, two chunks in a row
ROW = "dSswsswsssswssTttttSswsscsse"
SMALL = LatentSettings(size=4, width=24, heads=2, window=3, decoder_depth=2)


def model_of(words: Vocabulary, **changes: object) -> Decoder:
    latent = SMALL.model_copy(update=changes)
    settings = ModelSettings(depth=2, width=32, heads=2, initial_std=0.3, latent=latent)
    return decoder_of(settings, words, seed=3).eval()


@torch.no_grad()
def states(model: Decoder, *packs: Pack, settings: PatchSettings | None = None) -> torch.Tensor:
    """Hidden states [packs, length, width]; cut by settings, else by the model itself."""
    if settings is not None:
        packs = tuple(dataclasses.replace(one, patch=cut(one, settings)) for one in packs)
    return model(inputs(Batch(step=0, packs=packs)))


def after(at: int, rest: str, words: Vocabulary) -> Pack:
    """The same as ROW before `at`, and other tokens from there on, of the kinds of `rest`."""
    before, other = pack_of(ROW, words), pack_of(ROW[:at] + rest, words, seed=9)
    same = {
        name: array.copy()
        for name in ("ids", "codes")
        if (array := getattr(other, name)) is not None
    }
    for name, array in same.items():
        array[:at] = getattr(before, name)[:at]
    return dataclasses.replace(other, **same)


@pytest.mark.parametrize("words", [UNITS, FRAMES], ids=["units", "frames"])
@pytest.mark.parametrize("how", ["static", "aligned"])
def test_logits_do_not_see_what_they_predict(words: Vocabulary, how: str) -> None:
    model = model_of(words)
    settings = PatchSettings(size=4, cut=how)  # type: ignore[arg-type]
    whole = states(model, pack_of(ROW, words), settings=settings)[0]
    # every position: the first, middle and last of each patch, and both kinds of switch
    for at in range(2, len(ROW)):
        left = len(ROW) - at
        for rest in (ROW[at:], "s" * left, "w" * left, "c" * left, "T" + "t" * (left - 1), "e"):
            found = states(model, after(at, rest, words), settings=settings)[0]
            torch.testing.assert_close(found[:at], whole[:at], atol=2e-5, rtol=0)


@pytest.mark.parametrize("words", [UNITS, FRAMES], ids=["units", "frames"])
def test_every_token_matters_to_what_follows(words: Vocabulary) -> None:
    """The window is 3, so what lies further back comes through patches alone."""
    model = model_of(words)
    whole = states(model, pack_of(ROW, words))[0]
    for at in (2, 5, 9, 15, 17, 21):
        other = pack_of(ROW, words)
        ids, codes = other.ids.copy(), other.codes.copy()
        ids[at] = ids[at] + 1 if words.codebooks == 1 or other.modality[at] == 0 else ids[at]
        codes[at] = (codes[at] + (other.modality[at] == 1)) % 8
        moved = states(model, dataclasses.replace(other, ids=ids, codes=codes))[0] - whole
        assert moved[at].abs().max() > 1e-3
        assert moved[-1].abs().max() > 1e-4
        assert moved[:at].abs().max() < 2e-5


def test_a_whole_patch_is_heard_at_its_last_position_and_a_ragged_one_is_not() -> None:
    """Between whole and ragged lies what follows: the same speech, told apart by it alone."""
    model = model_of(UNITS, window=1)
    row = "dSsssssssse"  # 8 in two patches
    base = states(model, pack_of(row, UNITS))[0]
    pack = pack_of(row, UNITS)
    ids = pack.ids.copy()
    ids[6] = UNITS.speech_first + (ids[6] - UNITS.speech_first + 1) % UNITS.levels
    moved = (states(model, dataclasses.replace(pack, ids=ids))[0] - base).abs().amax(-1)
    # position 6 begins the second patch: with a window of 1 positions 7, 8 hear nothing of it,
    # 9 ends the patch and does
    assert moved[6] > 1e-3 and moved[7] < 1e-6 and moved[8] < 1e-6 and moved[9] > 1e-4


@pytest.mark.parametrize("words", [UNITS, FRAMES], ids=["units", "frames"])
@pytest.mark.parametrize("how", ["static", "aligned"])
def test_pieces_are_read_as_if_they_were_alone(words: Vocabulary, how: str) -> None:
    """Document masks hold in the patch encoder, the global transformer and the patch decoder."""
    model = model_of(words, window=64)
    rows = ["dSswsswsse", ROW, "dTttSsssse"]
    settings = PatchSettings(size=4, cut=how)  # type: ignore[arg-type]
    together = pack_of("".join(rows) + "....", words)
    found = states(model, together, settings=settings)[0]
    at = 0
    for row in rows:
        part = slice(at, at + len(row))
        own = {
            name: getattr(together, name)[part]
            for name in ("ids", "codes", "modality", "place", "borders")
        }
        alone = dataclasses.replace(
            together, piece=together.piece[part] * 0, documents=("one",), **own
        )
        expected = states(model, alone, settings=settings)[0]
        torch.testing.assert_close(found[part], expected, atol=2e-5, rtol=0)
        at += len(row)


def test_packs_side_by_side_are_read_as_if_they_were_alone() -> None:
    model = model_of(UNITS)
    packs = [pack_of(row, UNITS, number=n) for n, row in enumerate([ROW, "dTtttte", "dSsssss"])]
    found = states(model, *packs)
    for row, pack in zip(found, packs, strict=True):
        expected = states(model, pack)[0]
        torch.testing.assert_close(row[: len(expected)], expected, atol=2e-5, rtol=0)


def test_without_speech_it_is_the_plain_decoder() -> None:
    plain = Decoder(ModelSettings(depth=2, width=32, heads=2, initial_std=0.3), UNITS, seed=3)
    pack = pack_of("dTtttttttedTtte", UNITS)
    assert torch.equal(states(model_of(UNITS), pack), states(plain.eval(), pack))


def test_speech_before_any_marker_is_no_division_by_nothing() -> None:
    bare = pack_of("sssssss", UNITS)
    bare = dataclasses.replace(bare, piece=bare.piece * 0, documents=("one",))
    found = states(model_of(UNITS), bare)
    assert torch.isfinite(found).all()
