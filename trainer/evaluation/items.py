"""The items of evaluation sets, by kind: what a line of `items.jsonl` may say.

Every field is named and nothing else is taken: a misspelt field would leave a question without its
audio and be scored as something else. A *side* is the same content as text, as audio, or both; the
modes that an item can be asked in follow from the sides it has.
"""

from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

Mode = Literal["S-to-S", "S-to-T", "T-to-T", "S", "T", "gap"]

Words = Annotated[str, Field(min_length=1, pattern=r"\S")]


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(frozen=True, strict=True, extra="forbid")


class Side(_Strict):
    """The same content as text, as audio, or as both."""

    text: Words | None = None
    audio: Annotated[str, Field(min_length=1)] | None = None

    @pydantic.model_validator(mode="after")
    def _something(self) -> "Side":
        if self.text is None and self.audio is None:
            raise ValueError("needs text, audio or both")
        return self


class _Item(_Strict):
    id: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
    group: Annotated[str, Field(min_length=1)] | None = None  # items of a group are not independent
    engine: str | None = None  # that spoke the audio
    voice: str | None = None

    @property
    def cluster(self) -> str:
        """What intervals are clustered by: the group, or the item on its own."""
        return f"item {self.id}" if self.group is None else f"group {self.group}"

    def modes(self) -> tuple[Mode, ...]:
        raise NotImplementedError

    def sides(self) -> tuple[Side, ...]:
        raise NotImplementedError


class Cloze(_Item):
    """A question and text options: which is the likeliest to follow?"""

    kind: Literal["cloze"]
    question: Side
    options: Annotated[tuple[Words, ...], Field(min_length=2)]
    answer: Annotated[int, Field(ge=0)]  # place of the right one in `options`

    @pydantic.model_validator(mode="after")
    def _answerable(self) -> "Cloze":
        _placed(self.answer, len(self.options), "options")
        _different(self.options, "options")
        return self

    def modes(self) -> tuple[Mode, ...]:
        found: list[Mode] = []
        if self.question.audio is not None:
            found.append("S-to-T")
        if self.question.text is not None:
            found.append("T-to-T")
        return tuple(found)

    def sides(self) -> tuple[Side, ...]:
        return (self.question,)


class Pairs(_Item):
    """Two utterances: is the well-formed one likelier? (sWUGGY, sBLIMP, whole stories)"""

    kind: Literal["pairs"]
    positive: Side
    negative: Side

    @pydantic.model_validator(mode="after")
    def _comparable(self) -> "Pairs":
        _same_sides((self.positive, self.negative), "positive and negative")
        return self

    def modes(self) -> tuple[Mode, ...]:
        both: list[Mode] = []
        if self.positive.audio is not None:
            both.append("S")
        if self.positive.text is not None:
            both.append("T")
        return tuple(both)

    def sides(self) -> tuple[Side, ...]:
        return (self.positive, self.negative)


class Endings(_Item):
    """A prompt and its endings, each a side of its own. (HellaSwag, StoryCloze)"""

    kind: Literal["endings"]
    prompt: Side
    endings: Annotated[tuple[Side, ...], Field(min_length=2)]
    answer: Annotated[int, Field(ge=0)]

    @pydantic.model_validator(mode="after")
    def _answerable(self) -> "Endings":
        _placed(self.answer, len(self.endings), "endings")
        _same_sides(self.endings, "endings")
        if not self.modes():
            raise ValueError(
                "no mode is possible: needs prompt.text with endings' text (T-to-T), prompt.audio "
                "with endings' text (S-to-T) or prompt.audio with endings' audio (S-to-S)"
            )
        return self

    def modes(self) -> tuple[Mode, ...]:
        heard, read = self.prompt.audio is not None, self.prompt.text is not None
        spoken, written = self.endings[0].audio is not None, self.endings[0].text is not None
        possible: tuple[tuple[Mode, bool], ...] = (
            ("S-to-S", heard and spoken),
            ("S-to-T", heard and written),
            ("T-to-T", read and written),
        )
        return tuple(mode for mode, holds in possible if holds)

    def sides(self) -> tuple[Side, ...]:
        return (self.prompt, *self.endings)


class Text(_Item):
    """A text whose perplexity is measured: one string, or the chunks of a document."""

    kind: Literal["text"]
    text: Words | Annotated[tuple[Words, ...], Field(min_length=1)]

    @property
    def chunks(self) -> tuple[str, ...]:
        return (self.text,) if isinstance(self.text, str) else self.text

    def modes(self) -> tuple[Mode, ...]:
        return ("T",)

    def sides(self) -> tuple[Side, ...]:
        return ()


class Gap(_Item):
    """Consecutive chunks of one speaker, each heard and read: the last one is predicted."""

    kind: Literal["gap"]
    speaker: Annotated[str, Field(min_length=1)]
    chunks: Annotated[tuple[Side, ...], Field(min_length=2)]

    @pydantic.model_validator(mode="after")
    def _both_sides(self) -> "Gap":
        for place, chunk in enumerate(self.chunks):
            last = place == len(self.chunks) - 1
            if chunk.text is None or (chunk.audio is None and not last):
                raise ValueError(
                    f"chunks.{place} needs text and audio (the last one needs only its text)"
                )
        return self

    def modes(self) -> tuple[Mode, ...]:
        return ("gap",)

    def sides(self) -> tuple[Side, ...]:
        return self.chunks


Item = Cloze | Pairs | Endings | Text | Gap
KINDS: dict[str, type[Any]] = {
    "cloze": Cloze,
    "pairs": Pairs,
    "endings": Endings,
    "text": Text,
    "gap": Gap,
}


def plain(text: str) -> str:
    """A text without what does not tell options apart: case and spaces."""
    return " ".join(text.split()).casefold()


def _placed(answer: int, count: int, name: str) -> None:
    if answer >= count:
        raise ValueError(f"answer is {answer}; {name} have the places 0 to {count - 1}")


def _different(texts: tuple[str, ...], name: str) -> None:
    seen: dict[str, int] = {}
    for place, text in enumerate(texts):
        first = seen.setdefault(plain(text), place)
        if first != place:
            raise ValueError(
                f"{name} {first} and {place} are equal but for case and spaces ({text!r}): no "
                "model can tell them apart"
            )


def _same_sides(sides: tuple[Side, ...], name: str) -> None:
    texts = [side.text for side in sides]
    sounds = [side.audio for side in sides]
    for what, found in (("text", texts), ("audio", sounds)):
        if any(one is None for one in found) and any(one is not None for one in found):
            raise ValueError(f"{name} are compared: all of them need {what}, or none")
    if texts[0] is not None:
        _different(tuple(str(text) for text in texts), name)
    if sounds[0] is not None and len(set(sounds)) < len(sounds):
        raise ValueError(f"{name} are compared, and two name the same audio")
