"""Whether a rewritten text still says what the written one said, as far as can be told without a
model: its numbers, its names, most of its words, and about as much of everything.

Both texts are first brought to what is said (`spoken_form`), then number words are read as values
(text2num), so "5 km in 1984" and "five kilometers in nineteen eighty-four" are equal. In a language
that neither knows, numbers have to stay as they were written.

Names are a guess: words with a capital that do not begin a sentence. In German that is every noun,
in scripts without capitals nothing. A rewriting that swaps two numbers, or negates a sentence, is
not found; one that follows orders in the page instead of rewriting it loses its words, and is.
"""

import dataclasses
import importlib.metadata
import re
from decimal import Decimal

from transforms.synthesize.spoken_form import spoken_form
from transforms.synthesize.spoken_numbers import flat, number_forms
from transforms.synthesize.spoken_words import WORDS

SMALL = 12  # numbers up to here come and go as words: "one of them"
_URL = re.compile(r"(?:https?://|www\.)\S+")
_NUMBER = re.compile(r"(?<!\w)[0-9]+(?:\.[0-9]+)?")
_NO_WORD = re.compile(r"[^\w\s-]")
_RAW = re.compile(r"[0-9]+")
_SCALED = re.compile(r"(?<!\w)([0-9]+(?:\.[0-9]+)?) (1000|1000000|1000000000)(?![0-9])")
_NAME = re.compile(r"(?<![^\W_])(?<!['\u2019])[^\W\d_][\w'\u2019-]*")
_BEGINS = re.compile(r"(?:^|[.!?:;\u2026\u201c\u201e\"(\u2013\u2014-]|\n)\s*[\"\u201c\u201e'(]*$")
_PREFIX, _LONG = 5, 4  # letters: of a word that count, and of a word that is looked at
_UNBROKEN = 20  # characters per blank: more of them, and the script has no blanks


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much may change; shares, 0..1."""

    min_length: float = 0.5  # letters and digits, to those of the text as it is said
    max_length: float = 2.0
    min_names: float = 0.8  # of the names
    min_words: float = 0.5  # of the words of four letters or more
    max_new_words: float = 0.5  # of the words of the rewritten text


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What was not preserved. `detail` holds numbers alone: nothing that a page could say."""

    reason: str  # a key of `REASONS`
    detail: str
    score: float
    threshold: float


REASONS: dict[str, str] = {
    "changed_length": "The rewritten text is far shorter or longer than the written one.",
    "changed_numbers": "A number of the text is missing in the rewritten one.",
    "added_numbers": "The rewritten text has a number that the written one has not.",
    "changed_names": "Too many names of the text are missing in the rewritten one.",
    "changed_words": "The rewritten text has too few words of the written one.",
}


def fingerprint() -> dict[str, str]:
    """The libraries that decide what is preserved."""
    libraries = ("unicode-rbnf", "babel", "text2num")
    return {name: importlib.metadata.version(name) for name in libraries}


def change(written: str, rewritten: str, language: str | None, limits: Limits) -> Change | None:
    """The first thing that was not preserved; None where all is."""
    source = spoken_form(_URL.sub(" ", written), language)
    found = spoken_form(_URL.sub(" ", rewritten), language)
    size = _size(found) / max(1, _size(source))
    if not limits.min_length <= size <= limits.max_length:
        low = size < limits.min_length
        bound = limits.min_length if low else limits.max_length
        return Change(
            reason="changed_length",
            detail=f"{size:.2f} of its length",
            score=size,
            threshold=bound,
        )
    return _numbers(written, source, rewritten, found, language) or _words(source, found, limits)


def _numbers(
    written: str, source: str, rewritten: str, found: str, language: str | None
) -> Change | None:
    said, have = values(source, language), values(found, language)
    in_words = {value for value in values(_RAW.sub(" ", written), language) if value <= SMALL}
    missing = said - have - in_words
    words = " " + flat(_NO_WORD.sub(" ", found)) + " "
    known = set(said)
    for number in {int(raw) for raw in _RAW.findall(written) if len(raw) <= 15}:
        forms = number_forms(number, language)
        if Decimal(number) in have or any(f" {form} " in words for form in forms):
            missing -= {value for form in forms for value in values(form, language)}
            missing.discard(Decimal(number))
        known.add(Decimal(number))
        known |= {value for form in forms for value in values(form, language)}
    if missing:
        some = ", ".join(f"{value:f}" for value in sorted(missing)[:8])
        return Change(
            reason="changed_numbers",
            detail=f"missing: {some}",
            score=float(len(missing)),
            threshold=0.0,
        )
    added = {value for value in have - known if value > SMALL}
    if added:
        some = ", ".join(f"{value:f}" for value in sorted(added)[:8])
        return Change(
            reason="added_numbers", detail=f"added: {some}", score=float(len(added)), threshold=0.0
        )
    return None


def _words(source: str, found: str, limits: Limits) -> Change | None:
    wanted, have = names(source), {_stem(word) for word in _NAME.findall(found)}
    kept = _share({_stem(name) for name in wanted}, have)
    if kept < limits.min_names:
        return Change(
            reason="changed_names",
            detail=f"{kept:.2f} of {len(wanted)} names are left",
            score=kept,
            threshold=limits.min_names,
        )
    before, after = content(source), content(found)
    kept = _share(before, after)
    if kept < limits.min_words:
        return Change(
            reason="changed_words",
            detail=f"{kept:.2f} of {len(before)} words are left",
            score=kept,
            threshold=limits.min_words,
        )
    new = 1 - _share(after, before)
    if new > limits.max_new_words:
        return Change(
            reason="changed_words",
            detail=f"{new:.2f} of {len(after)} words are new",
            score=new,
            threshold=limits.max_new_words,
        )
    return None


def values(text: str, language: str | None) -> set[Decimal]:
    """The numbers in a text, in digits or in the words of a language that text2num knows."""
    text = re.sub(r"(?<=\d)[,\u00a0\u202f](?=\d{3}(?!\d))", "", text)
    if language in WORDS:
        from text_to_num import alpha2digit

        text = alpha2digit(text, language)
        text = re.sub(r"(?<=\d),(?=\d)", ".", text)
    found = {Decimal(number) * Decimal(scale) for number, scale in _SCALED.findall(text)}
    found |= {Decimal(number) for number in _NUMBER.findall(_SCALED.sub(" ", text))}
    return {value.normalize() for value in found}


def names(text: str) -> set[str]:
    """Words with a capital inside a sentence, or with several capitals anywhere."""
    found = set()
    for match in _NAME.finditer(text):
        word = match[0]
        if not word[0].isupper() or len(word) < 2:
            continue
        inside = not _BEGINS.search(text[max(0, match.start() - 8) : match.start()])
        if inside or sum(letter.isupper() for letter in word) > 1:
            found.add(word)
    return found


def content(text: str) -> set[str]:
    """Beginnings of the longer words; single letters in a script without blanks."""
    if len(text) > _UNBROKEN * (1 + len(re.findall(r"\s", text))):
        return {letter for letter in text if letter.isalpha()}
    return {_stem(word) for word in re.findall(rf"[^\W\d_]{{{_LONG},}}", text)}


def _stem(word: str) -> str:
    return re.sub(r"['\u2019]s?$", "", word.casefold())[:_PREFIX]


def _share(wanted: set[str], have: set[str]) -> float:
    return len(wanted & have) / len(wanted) if wanted else 1.0


def _size(text: str) -> int:
    return sum(letter.isalnum() for letter in text)
