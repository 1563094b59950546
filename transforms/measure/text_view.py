"""A text as a search sees it, every character of which knows where it stood in the original.

`plain` takes away what hides things from a search without being seen by a reader: digits of other
scripts, full-width forms, zero-width and bidirectional controls. `spoken` writes numbers that were
said in words as digits (English). What is found in a view is told in places of the original.
"""

import itertools
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

Span = tuple[int, int]  # half-open, in characters


class View(NamedTuple):
    """`text`, and for each of its characters where the original of it starts and ends."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]

    def span(self, start: int, end: int) -> Span:
        """Where the characters [start, end) of this view, at least one, stand in the original."""
        return self.starts[start], self.ends[end - 1]


def plain(text: str) -> View:
    """A text with digits of all scripts as 0-9, full-width forms narrow, controls left out."""
    if text.isascii():
        return View(text, range(len(text)), range(1, len(text) + 1))
    letters, places = [], []
    for place, letter in enumerate(text):
        if letter > "\x7f":
            if unicodedata.category(letter) in ("Cf", "Cs"):
                continue
            digit = unicodedata.decimal(letter, None)
            folded = unicodedata.normalize("NFKC", letter)
            letter = str(digit) if digit is not None else folded if len(folded) == 1 else letter
        letters.append(letter)
        places.append(place)
    return View("".join(letters), places, [place + 1 for place in places])


_ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS = (
    {word: str(value) for value, word in enumerate((*_ONES, *_TEENS))}
    | {word: str(value) for value, word in zip(range(20, 100, 10), _TENS, strict=True)}
    | {"fourty": "40", "naught": "0", "nought": "0"}
)
_ZERO = frozenset({"oh", "o"})  # between digits only: elsewhere they are words
_TIMES = {"double": 2, "triple": 3}
_ENDS = {"hundred": "00", "thousand": "000"}
_MARKS = {"dot": ".", "point": ".", "dash": "-", "hyphen": "-", "minus": "-", "plus": "+"}
_MARKS |= {"colon": ":", "slash": "/"}
_TOKEN = re.compile(r"[^\W\d_]+|\d+|[^\w\s]|_")
_COUNTING = 5  # numbers in a row, each one more than the last: somebody counts


class _Token(NamedTuple):
    text: str
    start: int
    end: int
    digits: str | None  # what it says as digits


def spoken(view: View) -> View | None:
    """A view with English numbers in words as digits; None where nothing is said in words.

    "four one five, double five" becomes "41555"; "twenty three" 23, "eight hundred" 800. Somebody
    who counts ("one two three four five") says no number.
    """
    tokens = list(_tokens(view.text))
    if not any(token.digits is not None for token in tokens):
        return None
    counted = _counted(tokens)
    letters: list[str] = []
    starts: list[int] = []
    ends: list[int] = []

    def put(text: str, start: int, end: int) -> None:
        letters.append(text)
        first, last = view.span(start, end)
        starts.extend([first] * len(text))
        ends.extend([last] * len(text))

    at, joined = 0, False  # joined: what was put last is a digit that the next one continues
    for number, token in enumerate(tokens):
        said = None if number in counted else token.digits
        mark = _mark(tokens, number)
        between = view.text[at : token.start]
        if joined and (said is not None or mark) and not between.strip():
            pass  # a pause between digits
        elif joined and token.text in ",-" and _says(tokens, number + 1, counted):
            at = token.end
            continue  # punctuation between digits
        else:
            for place in range(at, token.start):
                put(view.text[place], place, place + 1)
            joined = False
        if said is not None:
            put(said, token.start, token.end)
        elif mark:
            put(mark, token.start, token.end)
        else:
            for place in range(token.start, token.end):
                put(view.text[place], place, place + 1)
        joined = said is not None or (bool(mark) and joined) or mark == "+"
        at = token.end
    for place in range(at, len(view.text)):
        put(view.text[place], place, place + 1)
    return View("".join(letters), starts, ends)


def _says(tokens: Sequence[_Token], number: int, counted: frozenset[int]) -> bool:
    return number < len(tokens) and tokens[number].digits is not None and number not in counted


def _mark(tokens: Sequence[_Token], number: int) -> str:
    """The character that a word between digits stands for ("dot"), or "plus" before them."""
    mark = _MARKS.get(tokens[number].text.lower(), "")
    after = number + 1 < len(tokens) and tokens[number + 1].digits is not None
    before = number > 0 and tokens[number - 1].digits is not None
    return mark if after and (before or mark == "+") else ""


def _tokens(text: str) -> Iterator[_Token]:
    """Words and marks, with what they say as digits; a number of several words is one token."""
    found = [(m.group(), m.start(), m.end()) for m in _TOKEN.finditer(text)]
    number = 0
    digits_before = False
    while number < len(found):
        word, start, end = found[number]
        lower = word.lower()
        said, used = _number(found, number, digits_before)
        if said is None:
            yield _Token(word, start, end, None)
        else:
            yield _Token(word, start, found[number + used - 1][2], said)
        digits_before = said is not None or (digits_before and (lower in _MARKS or word in ",-"))
        number += used


def _number(
    found: Sequence[tuple[str, int, int]], number: int, after_digits: bool
) -> tuple[str | None, int]:
    """The digits that the token at a place says, with those that belong to it, and how many."""

    def word(place: int) -> str:
        return found[place][0].lower() if place < len(found) else ""

    first, second = word(number), word(number + 1)
    if first in _TIMES and (one := _WORDS.get(second, second)).isdecimal() and len(one) == 1:
        return one * _TIMES[first], 2
    if first in _ZERO:
        return ("0", 1) if after_digits or second in _WORDS else (None, 1)
    if first.isdecimal():
        return (first, 1) if len(first) == 1 else (None, 1)
    said = _WORDS.get(first)
    if said is None:
        return None, 1
    used = 1
    if len(said) == 2 and said[1] == "0" and said != "10":
        joiner = 1 if second == "-" else 0
        unit = _WORDS.get(word(number + 1 + joiner), "")
        if len(unit) == 1 and unit != "0":
            said, used = said[0] + unit, 2 + joiner
    if word(number + used) in _ENDS:
        said, used = said + _ENDS[word(number + used)], used + 1
    return said, used


def _counted(tokens: Sequence[_Token]) -> frozenset[int]:
    """The places of tokens in which somebody counts up or down."""
    places = [n for n, token in enumerate(tokens) if token.digits is not None]
    found: set[int] = set()
    for step in (1, -1):
        run = places[:1]
        for before, place in itertools.pairwise(places):
            first, second = tokens[before].digits, tokens[place].digits
            near = place - before <= 2  # a comma may stand between
            if near and first and second and int(second) - int(first) == step:
                run.append(place)
                continue
            found.update(run if len(run) >= _COUNTING else ())
            run = [place]
        found.update(run if len(run) >= _COUNTING else ())
    return frozenset(found)
