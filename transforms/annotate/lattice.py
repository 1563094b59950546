"""Several transcripts of one clip laid beside each other: a word transition network.

A network is a row of slots; in each slot every hypothesis has one token or none, and its tokens
stand in its own order. It grows by one hypothesis at a time (Fiscus 1997), each placed by the
cheapest alignment with all that are already there. Ours:

- Where both words have measured times, the time counts: words with more than `APART` seconds of
  silence between them are never the same, and the less two words overlap the dearer is the pair;
  two different words that were not spoken at the same time become two slots. Where times are
  missing or estimated, only the words count (edit distance).
- The order of growth follows from the hypotheses' content (the one nearest to all others first),
  so that the network does not depend on the order in which engines are named.

Costs are whole numbers: sums are exact and equal everywhere.
"""

import dataclasses
import itertools
import unicodedata
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from schemas.records import Transcript, Word
from schemas.words import word_ranges
from transforms.engines.dealing import spread
from transforms.engines.normalizer import word_key

APART = 1.0  # seconds of silence between two mentions of one word (ours)
_UNIT = 1000  # of costs
_OTHER = 4 * _UNIT  # another word instead (4 to 3 as in NIST's sclite)
_NONE = 3 * _UNIT  # a word that the other has not
_LATE = 5 * _UNIT // 2  # added to a pair that does not overlap in time at all (ours)
_NEVER = 10**9
_PAIR, _SKIP, _INSERT = 1, 2, 4

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """A word of one hypothesis, with what belongs to it in that hypothesis's text."""

    hypothesis: int
    place: int  # among the hypothesis's tokens
    key: str  # compared
    text: str  # verbatim, with the marks that touch it
    before: str  # verbatim, between the token before and this one: blanks or nothing
    word: Word | None  # None: the hypothesis has no times
    measured: bool
    plain: bool  # its whole hypothesis is written without a capital or a mark


Slot = dict[int, Token]  # by hypothesis


def tokens_of(hypothesis: Transcript, index: int, language: str | None) -> tuple[Token, ...]:
    """The tokens of a hypothesis: its words, or the units of its text where it has no words."""
    timed = bool(hypothesis.words)
    words = hypothesis.words if timed else spread(hypothesis.text, 1.0)
    words = tuple(word for word in words if word.text.strip())
    pieces = _pieces(hypothesis.text, words)
    plain = not any(_says_how_to_write(sign) for sign in hypothesis.text)
    return tuple(
        Token(
            hypothesis=index,
            place=place,
            key=word_key(word.text.strip(), language),
            text=text,
            before=before,
            word=word if timed else None,
            measured=timed and hypothesis.times == "measured",
            plain=plain,
        )
        for place, (word, (before, text)) in enumerate(zip(words, pieces, strict=True))
    )


def _says_how_to_write(sign: str) -> bool:
    """Whether a sign is a capital or a mark; apostrophes and hyphens belong to words."""
    return sign.isupper() or (unicodedata.category(sign)[0] == "P" and sign not in "'’-")  # noqa: RUF001


def _pieces(text: str, words: Sequence[Word]) -> list[tuple[str, str]]:
    """What stands before each word, and the word with the marks that touch it.

    Verbatim from `text` where the words can be found there, else as the words are spelt.
    """
    ranges = word_ranges(text, words)
    if ranges is None or not words:
        return [(" " if place else "", word.text.strip()) for place, word in enumerate(words)]
    blanks = [around(text[: ranges[0][0]], "right")]
    blanks += [around(text[a[1] : b[0]], "left") for a, b in itertools.pairwise(ranges)]
    blanks.append(around(text[ranges[-1][1] :], "left"))
    return [
        (before[1], before[2] + text[start:end] + after[0])
        for (start, end), before, after in zip(ranges, blanks, blanks[1:], strict=False)
    ]


def around(between: str, whole: str) -> tuple[str, str, str]:
    """The text between two words: marks that touch the left one, the middle, the right one's.

    Where no blank parts them, all of it belongs to the `whole` side.
    """
    blanks = [place for place, sign in enumerate(between) if sign.isspace()]
    if not blanks:
        return (between, "", "") if whole == "left" else ("", "", between)
    return between[: blanks[0]], between[blanks[0] : blanks[-1] + 1], between[blanks[-1] + 1 :]


def network(hypotheses: Sequence[Sequence[Token]]) -> list[Slot]:
    """The slots of a network over all hypotheses, in order; each holds one token at least."""
    keys: dict[str, int] = {}
    for token in itertools.chain(*hypotheses):
        keys.setdefault(token.key, len(keys))
    slots: list[Slot] = []
    for count, index in enumerate(_order(hypotheses)):
        slots = (
            _grown(slots, hypotheses[index], count, keys) if count else _chain(hypotheses[index])
        )
    return slots


def _chain(tokens: Sequence[Token]) -> list[Slot]:
    return [{token.hypothesis: token} for token in tokens]


def _order(hypotheses: Sequence[Sequence[Token]]) -> list[int]:
    """The hypotheses from the most central to the least, whatever order they came in."""
    keys = [[token.key for token in tokens] for tokens in hypotheses]
    far = [sum(edits(mine, other) for other in keys) for mine in keys]
    content = [
        [(t.key, *((t.word.start, t.word.end) if t.word else (-1.0, -1.0))) for t in tokens]
        for tokens in hypotheses
    ]
    return sorted(range(len(keys)), key=lambda index: (far[index], content[index], index))


def edits(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """Least number of words to replace, insert or delete that turns one sequence into another."""
    numbers: dict[str, int] = {}
    other = np.array([numbers.setdefault(word, len(numbers)) for word in theirs], np.int64)
    row = np.arange(len(other) + 1)
    steps = np.arange(len(other) + 1)
    for word in ours:
        best = row + 1
        best[1:] = np.minimum(best[1:], row[:-1] + (other != numbers.get(word, -1)))
        row = np.minimum.accumulate(best - steps) + steps
    return int(row[-1])


def _grown(
    slots: Sequence[Slot], tokens: Sequence[Token], members: int, keys: dict[str, int]
) -> list[Slot]:
    """The network with one hypothesis more; `members` are in it already."""
    pair, skip = _costs(slots, tokens, members, keys)
    moves = _moves(pair, skip, _NONE * members)
    grown: list[Slot] = []
    row, column = len(slots), len(tokens)
    while row or column:
        move = moves[row, column]
        if move & _PAIR:
            row, column = row - 1, column - 1
            grown.append({**slots[row], tokens[column].hypothesis: tokens[column]})
        elif move & _SKIP and not (move & _INSERT and _later(tokens[column - 1], slots[row - 1])):
            row -= 1
            grown.append(slots[row])
        else:
            column -= 1
            grown.append({tokens[column].hypothesis: tokens[column]})
    return grown[::-1]


def _moves(pair: Ints, skip: Ints, insert: int) -> npt.NDArray[np.int8]:
    """Which steps lead cheapest to each cell: slots down, tokens across, shape [S + 1, T + 1]."""
    moves = np.zeros((pair.shape[0] + 1, pair.shape[1] + 1), np.int8)
    ramp = np.arange(pair.shape[1] + 1, dtype=np.int64) * insert
    row = ramp
    moves[0, 1:] = _INSERT
    for index in range(pair.shape[0]):
        skipped = row + skip[index]
        paired = np.full_like(row, _NEVER)
        paired[1:] = row[:-1] + pair[index]
        row = np.minimum.accumulate(np.minimum(skipped, paired) - ramp) + ramp
        here = moves[index + 1]
        here[row == paired] |= _PAIR
        here[row == skipped] |= _SKIP
        here[1:][row[1:] == row[:-1] + insert] |= _INSERT
    return moves


def _costs(
    slots: Sequence[Slot], tokens: Sequence[Token], members: int, keys: dict[str, int]
) -> tuple[Ints, Ints]:
    """What it costs to put each token into each slot [S, T], and to leave a slot empty [S].

    Summed over the hypotheses of the network, so that a slot counts as often as it was heard.
    """
    pair = np.zeros((len(slots), len(tokens)), np.int64)
    empty = np.array([members - len(slot) for slot in slots], np.int64)
    theirs = np.array([keys[token.key] for token in tokens], np.int64)
    starts, ends = _times(tokens)
    for index in sorted({index for slot in slots for index in slot}):
        row = [slot.get(index) for slot in slots]
        ours = np.array([keys[token.key] if token else -1 for token in row], np.int64)
        cost = np.where(ours[:, None] == theirs, 0, _OTHER) + _late(*_times(row), starts, ends)
        pair += np.where(ours[:, None] < 0, 0, cost)
    pair += (_NONE * empty)[:, None]
    return pair, _NONE * (members - empty)


def _times(tokens: Sequence[Token | None]) -> tuple[Floats, Floats]:
    """Starts and ends in seconds; not a number where they were not measured."""
    nothing = (np.nan, np.nan)
    spans = [
        (token.word.start, token.word.end) if token and token.word and token.measured else nothing
        for token in tokens
    ]
    table = np.array(spans, np.float64).reshape(len(tokens), 2)
    return table[:, 0], table[:, 1]


def _late(start: Floats, end: Floats, starts: Floats, ends: Floats) -> Ints:
    """The cost of pairs that were not spoken at the same time [S, T]; 0 where times are unknown."""
    overlap = np.minimum(end[:, None], ends) - np.maximum(start[:, None], starts)
    shorter = np.minimum((end - start)[:, None], ends - starts)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(shorter > 0, np.clip(overlap / shorter, 0, 1), overlap >= 0)
    cost = np.where(overlap < -APART, _NEVER, np.rint(_LATE * (1 - share)))
    return np.where(np.isnan(overlap), 0, cost).astype(np.int64)


def _later(token: Token, slot: Slot) -> bool:
    """Whether a token is spoken after a slot's words, where times tell."""
    if not token.measured or token.word is None:
        return False
    known = [other.word for other in slot.values() if other.measured and other.word]
    if not known:
        return False
    middle = sum(word.start + word.end for word in known) / (2 * len(known))
    return (token.word.start + token.word.end) / 2 >= middle
