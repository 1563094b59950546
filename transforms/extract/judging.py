"""Whether a text is a page worth speaking, by what can be counted; each rule a drop of its own."""

import dataclasses

from transforms.extract.plain import longest_word, prose_share


@dataclasses.dataclass(frozen=True, slots=True)
class Refusal:
    """Why a text leaves, with what decided it."""

    code: str
    score: float | None = None
    threshold: float | None = None
    detail: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """What a text must keep to; None: off."""

    min_characters: int = 0
    max_characters: int | None = None
    max_word: int | None = None  # characters
    min_prose: float | None = None  # share of characters, 0..1


def refusal(text: str, left: int, bounds: Bounds) -> Refusal | None:
    """The first rule that a text breaks; None: it keeps them all.

    `left`: characters of code and tables beside the text, which were left out of it.
    """
    if left > len(text) and len(text) < max(bounds.min_characters, 1):
        return Refusal("not_text", detail=f"{len(text)} characters beside {left} of code or tables")
    if not text:
        return Refusal("empty")
    if len(text) < bounds.min_characters:
        return Refusal("too_short", len(text), bounds.min_characters)
    if bounds.max_characters is not None and len(text) > bounds.max_characters:
        return Refusal("too_long", len(text), bounds.max_characters)
    if bounds.max_word is not None and (length := longest_word(text)) > bounds.max_word:
        return Refusal("huge_word", length, bounds.max_word)
    if bounds.min_prose is not None and (share := prose_share(text)) < bounds.min_prose:
        return Refusal("not_text", share, bounds.min_prose, "too little of it is prose")
    return None
