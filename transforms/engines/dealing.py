"""A text without times, shared among clips or spread over one: by the length of its words.

What comes out is an estimate and must be marked so (`times="estimated"`).
"""

import math
import re
from collections.abc import Iterable

from schemas.records import Word

# Chinese and Japanese are written without spaces: each sign is a unit, with the marks after it.
_SIGN = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_UNIT = re.compile(rf"[{_SIGN}](?:[^\w\s])*|[^\s{_SIGN}]+")


def deal(text: str, seconds: Iterable[float]) -> list[str]:
    """Share a text among consecutive clips in proportion to their durations.

    Each word goes to exactly one clip, in order: to the clip that lasts while the word's middle
    passes, if the whole text were spoken at an even pace. A share is a slice of the text as it
    was given; one clip gets all of it verbatim. A clip may get no word: "".
    """
    ends = [math.fsum(durations) for durations in _prefixes(seconds)]
    if len(ends) == 1:
        return [text]
    shares: list[list[re.Match[str]]] = [[] for _ in ends]
    units = list(_UNIT.finditer(text))
    total = sum(_weight(unit.group()) for unit in units)
    spoken = 0
    index = 0
    for unit in units:
        middle = spoken + _weight(unit.group()) / 2
        spoken += _weight(unit.group())
        while index + 1 < len(ends) and middle * ends[-1] >= ends[index] * total:
            index += 1
        shares[index].append(unit)
    return [text[share[0].start() : share[-1].end()] if share else "" for share in shares]


def _prefixes(seconds: Iterable[float]) -> Iterable[list[float]]:
    sofar: list[float] = []
    for duration in seconds:
        sofar.append(duration)
        yield sofar


def _weight(word: str) -> int:
    return len(word) + 1  # the pause after it


def units(text: str) -> list[tuple[int, str]]:
    """What counts as a word here, each with the place in the text where it begins."""
    return [(unit.start(), unit.group()) for unit in _UNIT.finditer(text)]


def spread(text: str, seconds: float) -> tuple[Word, ...]:
    """The words of a text over `seconds`, each as long as its share of the letters."""
    units = [unit.group() for unit in _UNIT.finditer(text)]
    total = sum(_weight(unit) for unit in units)
    words = []
    spoken = 0
    for unit in units:
        start = seconds * spoken / total
        spoken += _weight(unit)
        words.append(Word(text=unit, start=start, end=min(seconds * spoken / total, seconds)))
    return tuple(words)
