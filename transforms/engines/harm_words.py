"""The default judge of harm: short word lists, and the words around what they find.

A phrase that does harm by being said makes a text toxic, unless words near it show that somebody
speaks of it: reports, quotes, warns, denies, helps. Then, and where only the topic is named, the
text is topical. Each further finding halves what is left to full toxicity: 0.5, 0.75, 0.875.

Good at telling a threat from a report of one, blind to everything that its lists do not hold:
irony, slurs, new words, other languages. `harm_terms.py` says why they are short.
"""

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from transforms.engines.harm import HARMS, SAFE, Judgement
from transforms.engines.harm_terms import DISTANT, TOPIC, TOXIC
from transforms.measure.wording import words_of

_NEAR = 10  # words to either side in which a phrase may be put at a distance
_LONGEST = 8  # words of a phrase
LANGUAGES = tuple(sorted(DISTANT))


class _Terms(NamedTuple):
    """Phrases by their first word, and beginnings of words."""

    phrases: Mapping[str, tuple[tuple[str, ...], ...]]
    beginnings: Mapping[str, tuple[tuple[str, ...], ...]]  # of the last word of a phrase


class WordLists:
    """Judges by `harm_terms`; a text whose language has no lists is judged by all of them."""

    def judge(self, text: str, language: str | None) -> Mapping[str, Judgement]:
        words = words_of(text.replace("\u2019", "'"))
        code = (language or "").lower().replace("_", "-").partition("-")[0]
        codes = (code,) if code in DISTANT else LANGUAGES
        distant = {n for n, word in enumerate(words) for c in codes if word in _distant(c)}
        return {harm: self._of(harm, words, codes, distant) for harm in HARMS}

    @staticmethod
    def _of(harm: str, words: Sequence[str], codes: Sequence[str], distant: set[int]) -> Judgement:
        toxic = topical = 0
        for start, end in _found(words, [_terms(harm, code, True) for code in codes]):
            around = (*range(start - _NEAR, start), *range(end, end + _NEAR))
            if any(place in distant for place in around):
                topical += 1
            else:
                toxic += 1
        topical += sum(1 for _ in _found(words, [_terms(harm, code, False) for code in codes]))
        if not toxic and not topical:
            return SAFE
        level = "toxic" if toxic else "topical"
        return Judgement(level, 1 - 0.5**toxic, 1 - 0.5**topical)  # type: ignore[arg-type]


@functools.cache
def _distant(code: str) -> frozenset[str]:
    return frozenset(words_of(" ".join(DISTANT[code])))


@functools.cache
def _terms(harm: str, code: str, toxic: bool) -> _Terms:
    phrases: dict[str, list[tuple[str, ...]]] = {}
    beginnings: dict[str, list[tuple[str, ...]]] = {}
    for phrase in (TOXIC if toxic else TOPIC)[harm].get(code, ()):
        words = tuple(words_of(phrase))
        into = beginnings if phrase.endswith("*") else phrases
        into.setdefault(words[0][:3] if phrase.endswith("*") else words[0], []).append(words)
    return _Terms(
        {first: tuple(found) for first, found in phrases.items()},
        {first: tuple(found) for first, found in beginnings.items()},
    )


def _found(words: Sequence[str], lists: Sequence[_Terms]) -> Iterator[tuple[int, int]]:
    """Where phrases stand, [first, last) in words; each place once."""
    end = 0
    for place, word in enumerate(words):
        if place < end:
            continue
        longest = 0
        for terms in lists:
            for phrase in terms.phrases.get(word, ()):
                if tuple(words[place : place + len(phrase)]) == phrase:
                    longest = max(longest, len(phrase))
            for phrase in terms.beginnings.get(word[:3], ()):
                run = words[place : place + len(phrase)]
                if (
                    len(run) == len(phrase)
                    and tuple(run[:-1]) == phrase[:-1]
                    and run[-1].startswith(phrase[-1])
                ):
                    longest = max(longest, len(phrase))
        if longest:
            end = place + longest
            yield place, end
