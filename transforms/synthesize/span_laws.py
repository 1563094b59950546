"""The published laws by which word spans of a text become speech; each a pure function.

Each takes a number of words, a generator and the law's numbers, and deals the words out as spans
(start, end, spoken), end to end, in order. A script's line is dealt by itself, so that a span never
crosses from one role to another; of a line of few words a law can keep its share only roughly.
"""

import math
import random
from collections.abc import Callable, Sequence

Dealt = tuple[int, int, bool]  # words [start, end), and whether they are spoken

REJECTIONS = 1_000  # in a row; then the line is as full as chance makes it


def poisson(count: int, rng: random.Random, eta: float = 0.3, mean: float = 10.0) -> list[Dealt]:
    """Zeng's spans, by SIMS's algorithm (methods e.1): lengths by Poisson(mean) until at least
    `eta` of the words are spoken, each at a random place, apart from one another.

    A length of 0 is drawn again; a span is cut off at the end of the text; one that would touch
    another is rejected.
    """
    return _tiled(count, _placed(count, rng, eta, lambda: _poisson(rng, mean), least=1))


def inserter(
    count: int, rng: random.Random, eta: float = 0.3, mean: float = 10.0, least: int = 5
) -> list[Dealt]:
    """InSerter's word spans (methods g): of at least `least` words, until at least `eta` of the
    words are spoken.

    The law of lengths is not published; ours is `least` + Poisson(mean - least), placed as Zeng's
    are. A text of fewer than `least` words stays text.
    """
    rest = max(mean - least, 0.0)
    spans = _placed(count, rng, eta, lambda: least + _poisson(rng, rest), least=least)
    return _tiled(count, spans)


def inserter_sentences(lengths: Sequence[int], rng: random.Random, eta: float = 0.4) -> list[bool]:
    """InSerter's sentence spans (methods g): which of the sentences, of so many words each, are
    spoken; whole ones, at random, until at least `eta` of the words are."""
    target = math.ceil(eta * sum(lengths))
    order = list(range(len(lengths)))
    rng.shuffle(order)
    spoken, words = [False] * len(lengths), 0
    for place in order:
        if words >= target:
            break
        spoken[place] = True
        words += lengths[place]
    return spoken


def lst(count: int, rng: random.Random, shortest: int = 5, longest: int = 25) -> list[Dealt]:
    """LST's spans (methods b.1): a text span, then a speech span of half its length, so that
    words of speech to words of text are 1 : 2.

    The law of lengths is not published; ours is uniform from `shortest` to `longest` words of text.
    Half of an odd number is rounded up or down by a draw, so that the ratio holds on average.
    """
    found: list[Dealt] = []
    at = 0
    while at < count:
        text = rng.randint(shortest, longest)
        speech = max(1, text // 2 + (text % 2 and rng.getrandbits(1)))
        for length, spoken in ((text, False), (speech, True)):
            end = min(at + length, count)
            if end > at:
                found.append((at, end, spoken))
            at = end
    return found


def _placed(
    count: int, rng: random.Random, eta: float, draw: Callable[[], int], least: int
) -> list[tuple[int, int]]:
    """Spans at random places that do not touch, until `eta` of the words lie in one."""
    target = math.ceil(eta * count)
    open_, where = list(range(count)), list(range(count))  # starts that may be drawn; their places
    taken = bytearray(count + 2)  # of word i: at i + 1, so that neighbours need no special case
    spans: list[tuple[int, int]] = []
    words = rejected = 0

    def close(start: int) -> None:
        place = where[start]
        if place < 0:
            return
        last = open_.pop()
        if last != start:
            open_[place], where[last] = last, place
        where[start] = -1

    while words < target and open_ and rejected < REJECTIONS:
        start = open_[rng.randrange(len(open_))]
        end = min(start + draw(), count)
        if end - start < least or taken.find(1, start, end + 2) >= 0:
            rejected += 1
            continue
        rejected = 0
        spans.append((start, end))
        words += end - start
        taken[start + 1 : end + 1] = b"\1" * (end - start)
        for word in range(max(start - 1, 0), min(end + 1, count)):
            close(word)
    return sorted(spans)


def _tiled(count: int, spans: Sequence[tuple[int, int]]) -> list[Dealt]:
    """Spoken spans with the text between them."""
    found: list[Dealt] = []
    at = 0
    for start, end in spans:
        if start > at:
            found.append((at, start, False))
        found.append((start, end, True))
        at = end
    if at < count:
        found.append((at, count, False))
    return found


def _poisson(rng: random.Random, mean: float) -> int:
    """A Poisson draw by products of uniforms (Knuth); of a large mean, as a sum of smaller ones."""
    total = 0
    while mean > 0:
        part = min(mean, 50.0)
        mean -= part
        floor, product = math.exp(-part), rng.random()
        while product > floor:
            total += 1
            product *= rng.random()
    return total
