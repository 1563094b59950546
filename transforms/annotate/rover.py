"""ROVER: several recognizers' answers for one clip become one, with how far they agree.

The method is Fiscus 1997 ("A post-processing system to yield reduced word error rates: Recognizer
Output Voting Error Reduction"): align all answers into one word transition network (`lattice`),
then vote slot by slot. Voting is by frequency, his first scheme; nothing is trained.

Ours: words are compared normalised, and the spelling kept is the one that most engines with the
word gave it (an answer without a capital or a mark has no say where others have); a tie goes to
the higher mean confidence, where every rival has one (that of "no word here" is `NOTHING`), and
then to the engine that is named first; times are measured ones wherever an engine that heard the
word measured them; agreement and disagreement are kept.

With two engines every difference is a tie. Without confidences the first engine then decides: two
engines tell how sure one may be, three or more also correct each other.
"""

import dataclasses
import itertools
import math
from collections.abc import Sequence

from schemas.records import TimesOrigin, Transcript, Word
from transforms.annotate.lattice import Slot, Token, edits, network, tokens_of
from transforms.engines.normalizer import compared_words

NOTHING = 0.5  # confidence that no word was said, against rivals that state theirs (ours)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Combined:
    """What several answers say together."""

    text: str  # "" where most heard nothing
    words: tuple[Word, ...]  # with the share of engines that heard each; None for one engine
    times: TimesOrigin
    disagreement: float | None  # 0..1: mean word error rate between two answers; None for one


def combine(hypotheses: Sequence[Transcript], seconds: float) -> Combined:
    """One answer out of several for a clip of `seconds`, in the recipe's order of engines.

    Word times count from the clip's start, as engines give them. An answer with an empty text
    counts as a vote for silence. One hypothesis comes back as it is. Raises `ValueError` where
    there is none.
    """
    if not hypotheses:
        raise ValueError("nothing to combine: no hypothesis")
    if len(hypotheses) == 1:
        (only,) = hypotheses
        return Combined(text=only.text, words=only.words, times=only.times, disagreement=None)
    language = _language(hypotheses)
    tokens = [tokens_of(h, index, language) for index, h in enumerate(hypotheses)]
    chosen = [
        (slot, winner)
        for slot in network(tokens)
        if (winner := _winner(slot, len(hypotheses))) is not None
    ]
    winners = [winner for _, winner in chosen]
    words, times = _timed([_witness(slot, winner) for slot, winner in chosen], seconds)
    return Combined(
        text=_text(hypotheses, tokens, winners),
        words=tuple(
            dataclasses.replace(
                word,
                text=_spelt(winner),
                confidence=winner.word.confidence if winner.word else None,
                agreement=_votes(slot, winner.key) / len(hypotheses),
            )
            for word, (slot, winner) in zip(words, chosen, strict=True)
        ),
        times=times,
        disagreement=disagreement([h.text for h in hypotheses], language),
    )


def disagreement(texts: Sequence[str], language: str | None) -> float | None:
    """The mean word error rate between any two of `texts`, normalised; `None` for less than two.

    Edits are counted per word of the longer text: the same both ways, and never above 1.
    """
    words = [compared_words(text, language) for text in texts]
    rates = [
        edits(one, other) / max(len(one), len(other), 1)
        for one, other in itertools.combinations(words, 2)
    ]
    return math.fsum(rates) / len(rates) if rates else None


def _language(hypotheses: Sequence[Transcript]) -> str | None:
    """The language most of the answers are in; of several the first by the alphabet."""
    known = [h.language for h in hypotheses if h.language is not None]
    return min(set(known), key=lambda name: (-known.count(name), name), default=None)


def _votes(slot: Slot, key: str) -> int:
    return sum(token.key == key for token in slot.values())


def _winner(slot: Slot, voters: int) -> Token | None:
    """The token that a slot is decided for, the first with its spelling. `None`: no word."""
    rivals: dict[str | None, list[Token]] = {}
    for index in sorted(slot):
        rivals.setdefault(slot[index].key, []).append(slot[index])
    votes: dict[str | None, int] = {key: len(own) for key, own in rivals.items()}
    if len(slot) < voters:
        votes[None] = voters - len(slot)
    most = max(votes.values())
    tied = [key for key in votes if votes[key] == most]
    sure = {key: NOTHING if key is None else _confidence(rivals[key]) for key in tied}
    known = [value for value in sure.values() if value is not None]
    if len(tied) > 1 and len(known) == len(tied):
        tied = [key for key in tied if sure[key] == max(known)]
    silent = next((index for index in range(voters) if index not in slot), voters)
    first = min(tied, key=lambda key: silent if key is None else rivals[key][0].hypothesis)
    return None if first is None else _best_spelt(rivals[first])


def _best_spelt(tokens: Sequence[Token]) -> Token:
    """Of tokens with one key, in the order of engines: the first with the commonest spelling."""
    judges = [token for token in tokens if not token.plain] or tokens
    spelt = [token.text for token in judges]
    return max(judges, key=lambda token: spelt.count(token.text))


def _confidence(tokens: Sequence[Token]) -> float | None:
    """The mean confidence of those that state one."""
    known = [t.word.confidence for t in tokens if t.word and t.word.confidence is not None]
    return math.fsum(known) / len(known) if known else None


def _witness(slot: Slot, winner: Token) -> Token:
    """The token whose times a word gets: the first that measured the word, else any with times."""
    same = [slot[index] for index in sorted(slot) if slot[index].key == winner.key]
    measured = [token for token in same if token.measured]
    timed = [token for token in same if token.word]
    return (measured or timed or same)[0]


def _spelt(token: Token) -> str:
    return token.word.text if token.word else token.text


def _text(
    hypotheses: Sequence[Transcript], tokens: Sequence[Sequence[Token]], winners: Sequence[Token]
) -> str:
    """The winners in a row. One hypothesis that won everywhere keeps its text verbatim."""
    if not winners:
        return ""
    own = winners[0].hypothesis
    if list(winners) == list(tokens[own]):
        return hypotheses[own].text
    text = winners[0].text
    for before, after in itertools.pairwise(winners):
        text += _between(tokens, before, after) + after.text
    return text


def _between(tokens: Sequence[Sequence[Token]], before: Token, after: Token) -> str:
    """What parts two words: as in a hypothesis that has a neighbour there, else one blank."""
    own = tokens[before.hypothesis]
    if before.place + 1 < len(own):
        return own[before.place + 1].before
    return after.before if after.place else " "


def _timed(witnesses: Sequence[Token], seconds: float) -> tuple[list[Word], TimesOrigin]:
    """Words with times, in order. What nobody measured lies between its measured neighbours."""
    measured = all(token.measured for token in witnesses)
    known = any(token.measured for token in witnesses)
    spans = [
        (token.word.start, token.word.end) if token.word and (token.measured or not known) else None
        for token in witnesses
    ]
    words: list[Word] = []
    floor = 0.0
    for place, span in enumerate(spans):
        if span is None:
            rest = next((p for p in range(place, len(spans)) if spans[p] is not None), len(spans))
            ahead = spans[rest] if rest < len(spans) else None
            border = max(ahead[0] if ahead else seconds, floor)
            span = (floor, floor + (border - floor) / (rest - place))
        start = max(span[0], words[-1].start if words else 0.0)
        floor = max(span[1], start)
        words.append(Word(text="", start=start, end=floor))
    origin: TimesOrigin = "none" if not words else "measured" if measured else "estimated"
    return words, origin
