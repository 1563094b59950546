"""Where patches begin: the paper's example, ragged ends, borders, policies over training."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.latent.made_patches import pack_of
from trainer.latent.patching import (
    BEGINS,
    UNIT,
    WHOLE,
    aligned_share,
    cut,
    patches_of,
    unit_flags,
    which_aligned,
)
from trainer.latent.settings import PatchSettings
from trainer.pack import SPEECH

ROWS = st.lists(st.sampled_from(["t" * 3, "s" * 5, "c" + "s" * 6, "wsws", "T", "S"]), max_size=12)


def spelt(flags: np.ndarray) -> str:
    """`(` where a patch begins, `)` where it is known to be whole, `x` where both, `-` else."""
    return "".join("-()x"[flag] for flag in flags.tolist())


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("dSsssssssssTtte", "--(--)(--)(----"),  # 9 of 4: the last one is ragged
        ("dSsssse", "--(--)-"),
        ("dSscsssse", "--((--)(-"),  # a chunk's border is a patch's
        ("dSsssdSsse...", "--(----(-----"),  # so is a piece's
        ("dTttte", "------"),
    ],
)
def test_static_patches_hold_four_positions_of_a_stretch(row: str, expected: str) -> None:
    assert spelt(cut(pack_of(row), PatchSettings(size=4))) == expected


def test_words_and_silences_as_in_the_paper() -> None:
    flags = unit_flags([(2, 5), (6, 8)], 8)  # words at [2, 4] and [6, 7], ends inclusive there
    assert np.flatnonzero(flags == UNIT).tolist() == [0, 2, 5, 6]
    row = "dS" + "".join("w" if flag else "s" for flag in flags.tolist()) + "e"
    assert spelt(cut(pack_of(row), PatchSettings(cut="aligned"))) == "--(-(--((--"


def test_an_aligned_patch_is_never_known_to_be_whole() -> None:
    flags = cut(pack_of("dSwsswsswse"), PatchSettings(cut="aligned", size=3))
    assert not (flags & WHOLE).any()
    assert spelt(flags) == "--(--(--(--"


def test_a_stretch_without_timed_words_is_cut_statically() -> None:
    row = "dScswsTtSsssssse"
    row = row.replace("c", "s", 1)
    assert spelt(cut(pack_of(row), PatchSettings(cut="aligned", size=4))) == "--(-(----(--)(--"


@pytest.mark.parametrize(
    ("words", "count", "expected"),
    [
        ([], 5, []),
        ([(0, 5)], 5, [0]),
        ([(0, 3), (2, 4)], 6, [0, 3, 4]),  # overlap: the second is cut short
        ([(1, 1), (2, 9)], 4, [0, 2]),  # an empty word is none, a long one ends with its chunk
        ([(4, 4)], 5, []),
    ],
)
def test_words_of_odd_times(words: list[tuple[int, int]], count: int, expected: list[int]) -> None:
    assert np.flatnonzero(unit_flags(words, count)).tolist() == expected


@given(ROWS, st.integers(1, 7), st.sampled_from(["static", "aligned"]), st.data())
def test_every_position_of_speech_is_in_one_patch_of_one_stretch(
    parts: list[str], size: int, how: str, data: st.DataObject
) -> None:
    row = "dS" + "".join(parts) + "e"
    pack = pack_of(row)
    flags = cut(pack, PatchSettings(size=size, cut=how))  # type: ignore[arg-type]
    spoken = pack.modality == SPEECH
    assert not flags[~spoken].any()
    begins = flags & BEGINS > 0
    patch = np.where(spoken, np.cumsum(begins), 0)
    for number in range(1, int(begins.sum()) + 1):
        own = np.flatnonzero(patch == number)
        assert (np.diff(own) == 1).all()
        assert "c" not in row[own[0] + 1 : own[-1] + 1]
        if how == "static":
            assert len(own) <= size
            assert bool(flags[own[-1]] & WHOLE) == (len(own) == size)
    if how == "static":
        # the sum over stretches is what planning counts
        runs = "".join(" s" if k == "c" else "s" if k in "sw" else " " for k in row).split()
        assert int(begins.sum()) == sum(patches_of(len(run), size) for run in runs)
    # what follows changes nothing before it: neither where patches begin nor which are whole
    at = data.draw(st.integers(2, len(row) - 1))
    other = cut(pack_of(row[:at] + "T" + "t" * (len(row) - at - 1)), PatchSettings(size=size))
    same = cut(pack_of(row), PatchSettings(size=size))
    assert np.array_equal(other[:at], same[:at])


def test_curriculum_goes_from_aligned_to_static_in_thirds() -> None:
    settings = PatchSettings(cut="curriculum")
    shares = [aligned_share(settings, step, 90) for step in (0, 29, 30, 45, 59, 60, 89)]
    assert shares == pytest.approx([1, 1, 1, 0.5, 1 / 30, 0, 0])
    assert [aligned_share(PatchSettings(cut="curriculum", begin=0.5, end=0.5), s, 4) for s in
            (1, 2)] == [1.0, 0.0]  # fmt: skip


def test_mixed_draws_each_piece_by_seed_and_pack() -> None:
    packs = [pack_of("dSwwwwe" * 3, number=number) for number in range(200)]
    settings = PatchSettings(cut="mixed", size=4)
    drawn = [which_aligned(pack, settings, 7, 0, 1).tolist() for pack in packs]
    assert drawn == [which_aligned(pack, settings, 7, 5, 9).tolist() for pack in packs]
    assert 0.44 < np.mean(drawn) < 0.56
    mixed = [row for row in drawn if len(set(row)) == 2]
    assert mixed  # pieces of one pack are drawn apart
    at = drawn.index(mixed[0])
    pieces = [spelt(part) for part in np.split(cut(packs[at], settings, 7), 3)]
    assert pieces == ["--((((-" if one else "--(--)-" for one in mixed[0]]


def test_a_pack_without_borders_cannot_be_cut_by_words() -> None:
    bare = dataclasses.replace(pack_of("dSsswe", number=3), borders=None)
    assert spelt(cut(bare, PatchSettings(size=2))) == "--()(-"
    with pytest.raises(ValueError, match="pack 3: no borders"):
        cut(bare, PatchSettings(cut="aligned"))
