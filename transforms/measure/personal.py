"""Personal data in a text: where, and of which kind. Pure functions, for clips and for pages.

Found: e-mail addresses, phone numbers, IP addresses, payment cards, bank accounts (IBAN) and
national identity numbers, written, or said in English words. Not found: names, street addresses,
dates of birth, numbers said in words of other languages, and a number that is cut in two by the
end of a clip.
"""

import dataclasses
import re
from collections.abc import Iterator, Sequence

from transforms.measure import personal_mail, personal_numbers
from transforms.measure.personal_numbers import SHAPES
from transforms.measure.text_view import Span, View, plain, spoken

KINDS = ("email", "iban", "card", "national_id", "ip", "phone")  # who wins where they overlap
REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "IN", "BR")
NATIONAL = tuple(sorted(SHAPES))
_SPOKEN = re.compile(
    r"\b(?:zero|one|two|three|four|five|six|seven|eight|nine|double|at)\b"
    r"|\b\d(?:[ ,\-]{1,2}\d\b){6}",  # digits one by one, as some recognizers write them
    re.IGNORECASE,
)
_ANY = re.compile(r"[\d@]|:.*:")


@dataclasses.dataclass(frozen=True, slots=True)
class Found:
    """Personal data of a kind at characters [start, end) of a text."""

    kind: str
    start: int
    end: int
    said: bool = False  # in words


@dataclasses.dataclass(frozen=True, slots=True)
class Search:
    """What is looked for."""

    kinds: tuple[str, ...] = KINDS
    regions: tuple[str, ...] = REGIONS
    national: tuple[str, ...] = NATIONAL
    spoken: bool = True


def find(text: str, search: Search | None = None) -> tuple[Found, ...]:
    """All personal data of a text, in order, none inside another. Linear in its length."""
    search = search or Search()
    view = plain(text)
    said = search.spoken and bool(_SPOKEN.search(view.text))
    if not said and not _ANY.search(view.text):
        return ()
    found = list(_search(view, search, in_words=False))
    if said:
        if "email" in search.kinds:
            spans = personal_mail.spoken_emails(view.text)
            found += [Found("email", *view.span(*span), said=True) for span in spans]
        words = spoken(view)
        if words is not None and words.text != view.text:
            found += _search(words, search, in_words=True)
    return tuple(_apart(found, len(text)))


def _search(view: View, search: Search, in_words: bool) -> Iterator[Found]:
    for kind in search.kinds:
        for span in _spans(kind, view.text, search, in_words):
            yield Found(kind, *view.span(*span), said=in_words)


def _spans(kind: str, text: str, search: Search, in_words: bool) -> Iterator[Span]:
    if kind == "email":
        yield from personal_mail.emails(text)
    elif kind == "ip":
        yield from personal_mail.ip_addresses(text)
    elif kind == "card":
        yield from personal_numbers.cards(text)
    elif kind == "iban":
        yield from personal_numbers.ibans(text)
    elif kind == "national_id":
        yield from personal_numbers.national_ids(text, search.national, in_words)
    else:
        yield from personal_numbers.phones(text, search.regions, in_words)


def _apart(found: Sequence[Found], length: int) -> list[Found]:
    """Of those that overlap the strongest."""
    taken = bytearray(length)
    chosen = []
    for one in sorted(found, key=_strength):
        if 1 not in taken[one.start : one.end]:
            taken[one.start : one.end] = b"\1" * (one.end - one.start)
            chosen.append(one)
    return sorted(chosen, key=lambda f: f.start)


def _strength(one: Found) -> tuple[int, bool, int, int]:
    """By kind, written ones before spoken ones, then the longest, then the first."""
    return KINDS.index(one.kind), one.said, one.start - one.end, one.start


def placeholder(kind: str) -> str:
    """What stands where personal data stood: `[EMAIL]`, `[NATIONAL_ID]`."""
    return f"[{kind.upper()}]"


def masked(text: str, found: Sequence[Found]) -> str:
    """A text with placeholders for what was found in it."""
    pieces, at = [], 0
    for one in found:
        pieces += [text[at : one.start], placeholder(one.kind)]
        at = one.end
    return "".join([*pieces, text[at:]])
