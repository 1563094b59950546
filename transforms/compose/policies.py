"""Interleaving policies: which side of each chunk a reader sees, as settings and pure functions.

A document carries audio and text of every chunk, so a policy is drawn when the document is read
(by the trainer, anew in each epoch) or once when a shard is written (`materialize`). A policy deals
the content into an ordered list of pieces; except under `asr` and `tts`, no content appears twice
and none is lost. Word-level policies cut inside chunks and so need words with times: measured ones,
unless estimated times are allowed.

In a recipe: `policy: deterministic` or `policy: {word_spans: {eta: 0.3, mean_words: 10}}`.
"""

import dataclasses
import difflib
import math
import random
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal

import pydantic
from pydantic import Field
from pydantic_core import PydanticCustomError

from schemas.records import Chunk
from schemas.words import Span, run_characters, word_borders, word_ranges

Side = Literal["speech", "text"]
OTHER: dict[Side, Side] = {"speech": "text", "text": "speech"}
TRIES = 100  # random places tried for a span of a drawn length before it is cut to fit


class PolicyError(ValueError):
    """A policy cannot deal out these chunks; `code` is the reason code of a drop."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One side of a chunk, or of a run of its words: what a reader sees next.

    Both ranges are always given: of the side that is shown, and of the same content on the other.
    """

    side: Side
    chunk: int  # place among the chunks
    words: Span | None  # half-open places among the chunk's words; None: the whole chunk
    characters: Span  # half-open, of the chunk's text
    start: float  # seconds on the document's time line, on the frame grid
    end: float


class _Policy(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )
    by_words: ClassVar[bool] = False

    def sides(self, count: int, rng: random.Random, epoch: int) -> Iterator[Sequence[Side]]:
        """For each of `count` chunks, or words, the sides that are shown, in order."""
        raise NotImplementedError


class Deterministic(_Policy):
    """A1, T2, A3, T4 ...: strict alternation (SpeLangy; methods a.4)."""

    kind: Literal["deterministic"] = "deterministic"
    start: Literal["audio", "alternate"] = Field(
        "audio",
        description="The side of the first chunk: audio in every epoch (SpeLangy), or alternate: "
        "audio in even epochs and text in odd ones, so that two epochs show everything (ours).",
    )

    def sides(self, count: int, rng: random.Random, epoch: int) -> Iterator[Sequence[Side]]:
        side: Side = "text" if self.start == "alternate" and epoch % 2 else "speech"
        for _ in range(count):
            yield (side,)
            side = OTHER[side]


class Stochastic(_Policy):
    """Each chunk speech or text by a coin, the first always speech (methods a.4)."""

    kind: Literal["stochastic"] = "stochastic"
    p: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Chance that a chunk after the first is speech (0 to 1; prior practice in "
        "SpeLangy).",
    )

    def sides(self, count: int, rng: random.Random, epoch: int) -> Iterator[Sequence[Side]]:
        for place in range(count):
            yield ("speech" if place == 0 or rng.random() < self.p else "text",)


class _ByWords(_Policy):
    by_words: ClassVar[bool] = True
    allow_estimated: bool = Field(
        False,
        description="Cut at words whose times are estimated, not measured (ours: false, because "
        "a wrong cut shows a word on both sides or on neither).",
    )


class WordSpans(_ByWords):
    """Random spans of words become speech, the rest stays text (Zeng et al.; methods e.1)."""

    kind: Literal["word_spans"] = "word_spans"
    eta: float = Field(
        0.3,
        ge=0,
        le=1,
        description="Share of the words that become speech (0 to 1; 0.3 in the released code of "
        "SIMS, 0.2 to 0.4 ablated by Zeng et al.).",
    )
    mean_words: float = Field(
        10.0,
        gt=0,
        le=500,
        description="Mean length of a speech span (words; lambda of a Poisson law, zero drawn "
        "again; 10 in the released code of SIMS).",
    )

    def sides(self, count: int, rng: random.Random, epoch: int) -> Iterator[Sequence[Side]]:
        speech = _spans(count, math.ceil(self.eta * count), self.mean_words, rng)
        return ((("speech",) if chosen else ("text",)) for chosen in speech)


class LstSpans(_ByWords):
    """A span of words as text, a span about half as long as speech, and so on (methods b.1)."""

    kind: Literal["lst_spans"] = "lst_spans"
    ratio: float = Field(
        0.5,
        gt=0,
        le=10,
        description="Words of speech per word of text (LST: 0.5).",
    )
    least: int = Field(4, ge=1, description="Shortest text span (words; Contrastive: 4).")
    most: int = Field(10, ge=1, description="Longest text span (words; Contrastive: 10).")

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> "LstSpans":
        if self.least > self.most:
            raise ValueError(f"least ({self.least}) is above most ({self.most})")
        return self

    def sides(self, count: int, rng: random.Random, epoch: int) -> Iterator[Sequence[Side]]:
        side: Side = "text" if rng.random() < 0.5 else "speech"  # ours: either may begin
        given = 0
        while given < count:
            length = rng.randint(self.least, self.most)
            if given == 0 and length >= count:
                side = "speech"  # so that no document is all text
            if side == "speech":  # rounded by a draw, so that the ratio holds on average
                length = max(1, math.floor(length * self.ratio + rng.random()))
            for _ in range(min(length, count - given)):
                yield (side,)
            given += length
            side = OTHER[side]


class MixedSpans(_ByWords):
    """Spans of text and of speech in turns, each of its own lengths (Contrastive, methods d)."""

    kind: Literal["mixed_spans"] = "mixed_spans"
    text: tuple[int, int] = Field(
        (4, 10), strict=False, description="Shortest and longest text span (words; Contrastive)."
    )
    speech: tuple[int, int] = Field(
        (2, 5), strict=False, description="Shortest and longest speech span (words; Contrastive)."
    )

    @pydantic.model_validator(mode="after")
    def _ordered(self) -> "MixedSpans":
        for name, (least, most) in (("text", self.text), ("speech", self.speech)):
            if not 1 <= least <= most:
                raise ValueError(f"{name}: [{least}, {most}] is not a shortest and a longest span")
        return self

    def sides(self, count: int, rng: random.Random, epoch: int) -> Iterator[Sequence[Side]]:
        """Either side may begin. Where fewer words are left than the shortest two spans have
        together, all of them go to the side that is due, or to text where none was given yet."""
        side: Side = "text" if rng.random() < 0.5 else "speech"
        given = 0
        while given < count:
            left = count - given
            if left < self.text[0] + self.speech[0]:
                side, length = (side if given else "text"), left
            else:
                least, most = self.text if side == "text" else self.speech
                length = rng.randint(least, min(most, left))
            for _ in range(length):
                yield (side,)
            given += length
            side = OTHER[side]


class SpeechOnly(_Policy):
    """Every chunk as speech."""

    kind: Literal["speech_only"] = "speech_only"

    def sides(self, count: int, rng: random.Random, epoch: int) -> Iterator[Sequence[Side]]:
        return (("speech",) for _ in range(count))


class TextOnly(_Policy):
    """Every chunk as text."""

    kind: Literal["text_only"] = "text_only"

    def sides(self, count: int, rng: random.Random, epoch: int) -> Iterator[Sequence[Side]]:
        return (("text",) for _ in range(count))


class Asr(_Policy):
    """Each chunk as speech, then its own text."""

    kind: Literal["asr"] = "asr"

    def sides(self, count: int, rng: random.Random, epoch: int) -> Iterator[Sequence[Side]]:
        return (("speech", "text") for _ in range(count))


class Tts(_Policy):
    """Each chunk as text, then its own speech."""

    kind: Literal["tts"] = "tts"

    def sides(self, count: int, rng: random.Random, epoch: int) -> Iterator[Sequence[Side]]:
        return (("text", "speech") for _ in range(count))


class Continuation(_Policy):
    """The document begins as speech and goes on as text: what is heard, continued in writing
    (after BLSP's targets, methods j)."""

    kind: Literal["continuation"] = "continuation"
    prefix: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="Share of the chunks that are speech, one at least and never all of several "
        "(0 to 1; ours: no share is published).",
    )

    def sides(self, count: int, rng: random.Random, epoch: int) -> Iterator[Sequence[Side]]:
        heard = max(1, min(round(self.prefix * count), count - 1))
        return (("speech",) if place < heard else ("text",) for place in range(count))


POLICIES: dict[str, type[_Policy]] = {
    "deterministic": Deterministic,
    "stochastic": Stochastic,
    "word_spans": WordSpans,
    "lst_spans": LstSpans,
    "mixed_spans": MixedSpans,
    "speech_only": SpeechOnly,
    "text_only": TextOnly,
    "asr": Asr,
    "tts": Tts,
    "continuation": Continuation,
}


def _spread(value: Any) -> Any:
    """`word_spans` and `{word_spans: {eta: 0.3}}` as `{kind: word_spans, eta: 0.3}`."""
    if isinstance(value, str):
        value = {value: {}}
    if not isinstance(value, dict):
        return value
    if "kind" in value:
        name, settings = value["kind"], value
    elif len(value) == 1:
        name, settings = next(iter(value.items()))
        settings = {} if settings is None else settings
        if not isinstance(settings, dict):
            raise PydanticCustomError(
                "policy_settings",
                "the settings of policy {name} are a mapping of names to values",
                {"name": str(name)},
            )
    else:
        raise PydanticCustomError(
            "policy_one",
            "a policy is one name, or one name with its settings; here are {count} keys",
            {"count": len(value)},
        )
    if name not in POLICIES:
        near = difflib.get_close_matches(str(name), POLICIES, n=1)
        raise PydanticCustomError(
            "policy_name",
            "there is no policy {name}{hint}; there are {known}",
            {
                "name": repr(name),
                "hint": f"; did you mean {near[0]!r}?" if near else "",
                "known": ", ".join(POLICIES),
            },
        )
    return {**settings, "kind": name}


class _ShortForm:
    """Lets a recipe name a policy without `kind`, and says so in the JSON Schema."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(_spread, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> Any:
        full = handler(schema["schema"] if schema["type"] == "function-before" else schema)
        mapping = full.get("discriminator", {}).get("mapping", {})
        named = [
            {
                "type": "object",
                "properties": {name: {"$ref": reference}},
                "required": [name],
                "additionalProperties": False,
            }
            for name, reference in sorted(mapping.items())
        ]
        return {"anyOf": [{"enum": sorted(POLICIES)}, *named, full]}


Policy = Annotated[
    Annotated[
        Deterministic
        | Stochastic
        | WordSpans
        | LstSpans
        | MixedSpans
        | SpeechOnly
        | TextOnly
        | Asr
        | Tts
        | Continuation,
        Field(discriminator="kind"),
    ],
    _ShortForm(),
]


def pieces(
    chunks: Sequence[Chunk], policy: Policy, rng: random.Random, rate: int, epoch: int = 0
) -> tuple[Piece, ...]:
    """Deal a document's chunks (a fine or a coarse view) into pieces, in reading order.

    `rate` is the document's; `rng` is the only chance. Neighbouring pieces of one side belong to
    one run: a modality marker stands where the side changes. Text-only chunks give text under every
    policy, which deals the others as if they stood alone. Raises `PolicyError` where words cannot
    be cut (`times_not_measured`, `words_not_in_text`) and where the interleaving is already fixed
    (`already_materialised`).
    """
    if all(chunk.modality == "text" for chunk in chunks):
        return stored(chunks)
    open_ones = [place for place, chunk in enumerate(chunks) if chunk.modality == "both"]
    if any(chunk.modality == "speech" for chunk in chunks):
        fixed = [place for place, chunk in enumerate(chunks) if chunk.modality != "both"]
        raise PolicyError(
            "already_materialised",
            f"chunk {fixed[0]} holds only {chunks[fixed[0]].modality}: this document's "
            "interleaving was fixed when it was written; read it as stored",
        )
    if len(open_ones) < len(chunks):
        dealt = pieces([chunks[place] for place in open_ones], policy, rng, rate, epoch)
        texts = [_whole("text", p, c) for p, c in enumerate(chunks) if c.modality == "text"]
        moved = [dataclasses.replace(one, chunk=open_ones[one.chunk]) for one in dealt]
        return tuple(sorted([*moved, *texts], key=lambda piece: piece.chunk))
    if policy.by_words:
        return _word_pieces(chunks, policy, rng, rate, epoch)
    sides = policy.sides(len(chunks), rng, epoch)
    return tuple(
        _whole(side, place, chunks[place]) for place, shown in enumerate(sides) for side in shown
    )


def stored(chunks: Sequence[Chunk]) -> tuple[Piece, ...]:
    """The pieces of a materialised document, as they were fixed when it was written."""
    found = []
    for place, chunk in enumerate(chunks):
        if chunk.modality == "both":
            raise PolicyError(
                "not_materialised",
                f"chunk {place} holds both sides: no interleaving is stored; name a policy",
            )
        found.append(_whole(chunk.modality, place, chunk))
    return tuple(found)


def _whole(side: Side, place: int, chunk: Chunk) -> Piece:
    return Piece(
        side=side,
        chunk=place,
        words=None,
        characters=(0, len(chunk.text)),
        start=chunk.start,
        end=chunk.end,
    )


def _word_pieces(
    chunks: Sequence[Chunk], policy: Policy, rng: random.Random, rate: int, epoch: int
) -> tuple[Piece, ...]:
    allow = isinstance(policy, _ByWords) and policy.allow_estimated
    ranges = [_timed(place, chunk, allow) for place, chunk in enumerate(chunks)]
    shown = [sides[0] for sides in policy.sides(sum(map(len, ranges)), rng, epoch)]
    found, before = [], 0
    for place, chunk in enumerate(chunks):
        borders = word_borders(chunk, rate)
        for side, first, last in _runs(shown[before : before + len(ranges[place])]):
            piece = Piece(
                side=side,
                chunk=place,
                words=(first, last),
                characters=run_characters(chunk, ranges[place], first, last),
                start=borders[first] / rate,
                end=borders[last] / rate,
            )
            found.append(piece)
        before += len(ranges[place])
    return tuple(found)


def _timed(place: int, chunk: Chunk, allow_estimated: bool) -> tuple[Span, ...]:
    """The words' places in a chunk's text, or why it cannot be cut at words."""
    if not chunk.words or not (chunk.times == "measured" or allow_estimated):
        raise PolicyError(
            "times_not_measured",
            f"chunk {place} (clip {chunk.clip}) has {len(chunk.words)} words with times "
            f"{chunk.times!r}: a word-level policy would cut in the wrong place. Transcribe with "
            "an engine that times words, set allow_estimated, or choose a chunk-level policy",
        )
    ranges = word_ranges(chunk.text, chunk.words)
    if ranges is None:
        raise PolicyError(
            "words_not_in_text",
            f"chunk {place} (clip {chunk.clip}): its timed words cannot be found in its text, so "
            "neither can the text of a span. Choose a chunk-level policy",
        )
    return ranges


def _runs(sides: Sequence[Side]) -> Iterator[tuple[Side, int, int]]:
    """Maximal runs of one side: (side, first, last), half-open."""
    first = 0
    for place in range(1, len(sides) + 1):
        if place == len(sides) or sides[place] != sides[first]:
            yield sides[first], first, place
            first = place


def _poisson(mean: float, rng: random.Random) -> int:
    """A Poisson draw by counting unit-rate arrivals; for means up to some hundreds."""
    floor, product, count = math.exp(-mean), rng.random(), 0
    while product > floor:
        product *= rng.random()
        count += 1
    return count


def _spans(count: int, target: int, mean: float, rng: random.Random) -> list[bool]:
    """Mark random spans, never touching one another, until `target` of `count` words are marked.

    A length is drawn first, then a place: it is clipped at the end of the document, and drawn
    again where it would touch another span. After `TRIES` failures the span is cut to the room at
    its place; where there is no room for any word, fewer words than the target are marked.
    """
    marked = [False] * count
    total = tries = 0
    while total < target:
        free = [i for i in range(count) if not (marked[i] or (i and marked[i - 1]))]
        if not free:
            return marked
        length = 0
        while length == 0:
            length = _poisson(mean, rng)
        start = free[rng.randrange(len(free))]
        end = min(start + length, count)
        blocked = next((i for i in range(start, min(end + 1, count)) if marked[i]), None)
        if blocked is not None:
            tries += 1
            if tries < TRIES:
                continue
            end = blocked - 1
            if end <= start:
                free = [i for i in free if i + 1 >= count or not marked[i + 1]]
                if not free:
                    return marked
                start = free[rng.randrange(len(free))]
                end = start + 1
        tries = 0
        marked[start:end] = [True] * (end - start)
        total += end - start
    return marked
