"""Near texts: shingles as plainly defined, candidates, similarities, survivors, giant clusters."""

import random
import time
from typing import Any

import numpy as np
import pyarrow as pa
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_rows import make_id, make_row, make_rows

from schemas.records import Drop
from schemas.tables import from_table
from transforms.select import minhash
from transforms.select.dedup import Dedup
from transforms.select.near import links_here
from transforms.select.near_text import TextMatcher, jaccard
from transforms.select.rounds import settle
from transforms.select.same_text import same_text
from transforms.select.shingles import distinct, plain, shingles, words

WORDS = [f"word{number}" for number in range(400)]


def said(seed: int, length: int = 60) -> list[str]:
    return random.Random(seed).choices(WORDS, k=length)


def sets_of(texts: list[str], size: int) -> list[set[tuple[str, ...]]]:
    found = []
    for text in texts:
        spoken = plain(text).split()
        count = max(min(len(spoken), 1), len(spoken) - size + 1)
        found.append({tuple(spoken[at : at + size]) for at in range(count)})
    return found


TEXT = st.text("ab c'.é日本کا\u200d\u0301Z", max_size=25)


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXT, max_size=6), st.integers(1, 4))
def test_hashed_shingles_stand_for_the_plain_ones(texts: list[str], size: int) -> None:
    found = distinct(shingles(words(pa.array(texts, pa.string())), size))
    plainly = sets_of(texts, size)
    assert found.lengths.tolist() == [len(one) for one in plainly]
    for a in range(len(texts)):
        for b in range(len(texts)):
            mine = set(found.values[found.offsets[a] : found.offsets[a + 1]].tolist())
            other = set(found.values[found.offsets[b] : found.offsets[b + 1]].tolist())
            assert len(mine & other) == len(plainly[a] & plainly[b])


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(max_codepoint=127), max_size=40))
def test_ascii_is_spelled_as_any_other_text(text: str) -> None:
    one, other = words(pa.array([text])), words(pa.array([text, "é"]))
    assert one.lengths[0] == other.lengths[0] == len(same_text(text).split())
    assert one.values.tolist() == other.values[: other.offsets[1]].tolist()


def test_the_order_of_words_counts() -> None:
    found = shingles(words(pa.array(["one two", "two one"])), 2)
    assert found.values[0] != found.values[1]


@pytest.mark.parametrize(("threshold", "permutations"), [(0.5, 64), (0.7, 64), (0.9, 128)])
def test_bands_reach_what_they_promise(threshold: float, permutations: int) -> None:
    bands, rows = minhash.choose(threshold, permutations)
    assert bands * rows <= permutations
    assert minhash.reached(threshold, bands, rows) >= minhash.RECALL
    assert minhash.reached(threshold, permutations // (rows + 1), rows + 1) < minhash.RECALL


def test_minima_agree_as_often_as_sets_are_alike() -> None:
    rng = np.random.default_rng(0)
    shared, own = 60, 20  # Jaccard 60 / 100
    texts = []
    for number in range(200):
        common = [f"c{number}x{k}" for k in range(shared)]
        for side in range(2):
            mine = common + [f"o{number}s{side}x{k}" for k in range(own)]
            texts.append(" ".join(rng.permutation(mine)))
    minima = minhash.signatures(distinct(shingles(words(pa.array(texts)), 1)), 128)
    assert np.mean(minima[0::2] == minima[1::2]) == pytest.approx(0.6, abs=0.015)


def test_similarity_is_jaccard() -> None:
    texts = ["a b c d", "a b c e", "x y", "a b c d"]
    sets = distinct(shingles(words(pa.array(texts)), 1))
    left = sets.take(np.array([0, 0, 0, 2]))
    right = sets.take(np.array([1, 2, 3, 1]))
    assert jaccard(left, right).tolist() == [3 / 5, 0, 1, 0]


def near(seed: int, changed: int, of: list[str]) -> list[str]:
    chance = random.Random(seed)
    found = list(of)
    for place in chance.sample(range(len(found)), changed):
        found[place] = f"new{chance.randrange(10**6)}"
    return found


def table(texts: list[str], **values: Any) -> pa.Table:
    return make_rows(*(make_row(n, text=text, **values) for n, text in enumerate(texts)))


MINHASH = Dedup(audio=None, text="minhash")


def left(step: Dedup, rows: pa.Table) -> dict[str, Drop]:
    return {drop.id: drop for drop in from_table(settle(step, rows), Drop)}


def test_near_copies_leave_and_others_stay() -> None:
    originals = [said(seed) for seed in range(50)]
    copies = [near(seed, 2, one) for seed, one in enumerate(originals)]
    far = [near(seed, 20, one) for seed, one in enumerate(originals)]
    rows = table([" ".join(one) for one in originals + copies + far])
    drops = left(MINHASH, rows)
    pairs = [{make_id(n), make_id(50 + n)} for n in range(50)]
    assert all(len(pair & set(drops)) == 1 for pair in pairs)
    assert len(drops) == 50
    drop = next(iter(drops.values()))
    assert (drop.step, drop.reason, drop.threshold) == ("dedup", "near_text", 0.7)
    assert drop.score is not None and 0.7 <= drop.score < 1
    (pair,) = [pair for pair in pairs if drop.id in pair]
    assert drop.detail == f"much the same as {(pair - {drop.id}).pop()}"


def test_who_stays_does_not_depend_on_the_order_of_rows() -> None:
    base = said(1)
    given_rows = [
        make_row(n, text=" ".join(near(n, 2, base)), seconds=2.0 + n % 3, snr__snr_db=float(n))
        for n in range(12)
    ]
    results = []
    for seed in range(4):
        random.Random(seed).shuffle(given_rows)
        results.append(left(MINHASH, make_rows(*given_rows)))
    assert results[0] == results[1] == results[2] == results[3]
    longest = {make_id(n) for n in range(12) if n % 3 == 2}
    (stays,) = {make_id(n) for n in range(12)} - set(results[0])
    assert stays == min(longest)
    (best,) = {make_id(n) for n in range(12)} - set(
        left(MINHASH.model_copy(update={"best": "snr.snr_db"}), make_rows(*given_rows))
    )
    assert best == make_id(11)


def test_unknown_numbers_come_last_and_texts_are_no_numbers() -> None:
    base = " ".join(said(3))
    rows = make_rows(
        make_row("a", text=base, snr__snr_db=float("nan")),
        make_row("b", text=base, snr__snr_db=-50.0),
        make_row("c", text=base, snr__snr_db=None),
    )
    step = Dedup(audio=None, text="exact", best="snr.snr_db")
    assert "snr.snr_db" in step.needs()
    assert set(left(step, rows)) == {make_id("a"), make_id("c")}
    with pytest.raises(TypeError, match="not numbers"):
        settle(Dedup(audio=None, best="speaker"), rows)


def test_short_empty_and_missing_texts_are_never_near() -> None:
    rows = table(
        ["", "one two three four five six seven", "one two three four five six seven", "!"]
    )
    assert left(MINHASH, rows) == {}
    assert left(MINHASH, rows.slice(0, 0)) == {}


@pytest.mark.parametrize("unit", ["words", "characters"])
def test_scripts_without_spaces(unit: str) -> None:
    text = "今日は天気がとても良いので公園まで歩いて行きましたそして友達に会いました"
    step = Dedup(audio=None, text="minhash", shingle=unit, similarity=0.6)
    rows = table(
        [text, text.replace("公園", "学校"), "全然違う文章をここに書いておきますから似ていません"]
    )
    assert len(left(step, rows)) == 1


def test_noting_drops_nothing() -> None:
    base = said(5)
    rows = table([" ".join(near(n, 1, base)) for n in range(4)])
    assert left(MINHASH.model_copy(update={"near": "note"}), rows) == {}


def test_a_row_that_its_first_is_not_like_is_paired_anew() -> None:
    """All rows share every key; only some are alike."""
    matcher = TextMatcher(threshold=0.7, unit="words", size=3, permutations=64, min_words=8)
    texts = [" ".join(said(1)), " ".join(said(2)), " ".join(near(0, 1, said(2)))]
    sketch = matcher.sketch(pa.table({"text": texts}), np.arange(3))
    sketch.entries.key[:] = 7
    links = links_here(matcher, sketch)
    assert list(zip(links.low, links.high, strict=True)) == [(1, 2)]


def test_too_few_permutations_are_an_error() -> None:
    with pytest.raises(pydantic.ValidationError, match="raise `permutations`"):
        Dedup(text="minhash", similarity=0.05, permutations=8)


@pytest.mark.slow
def test_a_giant_cluster_of_near_copies_stays_linear() -> None:
    base = said(9)
    seconds = []
    for count in (5_000, 40_000):
        texts = [" ".join([*base[:-1], f"x{n}"]) for n in range(count)]
        matcher = TextMatcher(threshold=0.7, unit="words", size=3, permutations=64, min_words=8)
        begun = time.process_time()
        rows = pa.table({"text": texts})
        links = links_here(matcher, matcher.sketch(rows, np.arange(count, dtype=np.int64)))
        seconds.append(time.process_time() - begun)
        assert count - 1 <= len(links) < 1.01 * count  # stars, not all pairs
    assert seconds[1] < 8 * 2.5 * seconds[0] + 1
