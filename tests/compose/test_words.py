"""Where words stand in their text, and how a chunk is shared out among them."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import digest_of
from schemas.records import Chunk, Word
from schemas.words import word_borders, word_ranges

RATE = 1000


def words_of(*texts: str) -> list[Word]:
    return [Word(text=text, start=0, end=0) for text in texts]


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("", [], ()),
        ("Hello, big world!", ["Hello", "big", "world"], ["Hello", "big", "world"]),
        ("Hello, big world!", ["hello", "BIG", "world"], ["Hello", "big", "world"]),
        ("Hello, big world!", ["Hello,", "big", "world!"], ["Hello,", "big", "world!"]),
        ("a a a", ["a", "a", "a"], ["a", "a", "a"]),
        ("It's 5 o'clock", ["its", "five", "oclock"], ["It's", "5", "o'clock"]),  # paired
        ("yes - no", ["yes", "no"], ["yes", "no"]),
        ("你好世界", ["你好", "世界"], ["你好", "世界"]),
        ("İzmir be", ["İzmir", "be"], ["İzmir", "be"]),
        ("one two three", ["one", "four"], None),
        ("one two three four", ["one", "four"], None),  # two words between: another "four"?
        ("one two", ["one", "", "two"], None),
        ("one two", [" one", "two "], ["one", "two"]),
    ],
)
def test_words_are_found(text: str, words: list[str], expected: list[str] | None) -> None:
    found = word_ranges(text, words_of(*words))
    if expected is None:
        assert found is None
    else:
        assert found is not None and [text[a:b] for a, b in found] == list(expected)


@given(st.lists(st.text("abc", min_size=1, max_size=3), min_size=1), st.sampled_from([" ", ", "]))
def test_the_words_of_a_text_are_always_found_in_order(texts: list[str], between: str) -> None:
    text = between.join(texts)
    found = word_ranges(text, words_of(*texts))
    assert found is not None
    flat = [place for span in found for place in span]
    assert flat == sorted(flat) and len(found) == len(texts)


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=8))
def test_borders_share_out_every_frame_in_order_whatever_the_times(
    spans: list[tuple[int, int]],
) -> None:
    words = tuple(
        Word(text="x", start=(100 + min(s)) / RATE, end=(100 + max(s)) / RATE) for s in spans
    )
    chunk = Chunk(clip=digest_of(1), start=0.1, end=0.2, text="x", speaker="s", words=words)
    borders = word_borders(chunk, RATE)
    assert borders[0] == 100 and borders[-1] == 200
    assert len(borders) == max(len(words), 1) + 1
    assert all(a <= b for a, b in itertools.pairwise(borders))
