"""Numbers that name a person: phones, payment cards, bank accounts, national identity numbers.

Candidates are runs of digits with what people put between them, cut into groups; every window of
groups of a bounded length is judged, so time is linear in the text. A number counts only if its
arithmetic is right (Luhn for cards, ISO 7064 for IBANs, each country's own check by
`python-stdnum`, numbering plans by `phonenumbers`), and where the arithmetic alone would take in
too many honest numbers, only in its usual spelling or next to a word that says what it is.
"""

import functools
import importlib
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from transforms.engines.models import ModelError
from transforms.measure.text_view import Span

_NEAR = 48  # characters before a number in which a word may say what it is
_BEHIND = 16  # and after it


_PACKAGES = {"phonenumbers": "phonenumbers", "stdnum": "python-stdnum"}


def libraries() -> dict[str, str]:
    """The versions of the packages that know numbers. Raises `ModelError` where one is missing."""
    found = {}
    for module, package in _PACKAGES.items():
        if importlib.util.find_spec(module) is None:
            raise ModelError(
                "personal data",
                f"looking for it needs the package {package}: pip install 'speechloom[privacy]'",
            )
        found[package] = importlib.metadata.version(package)
    return found


@functools.cache
def _library(name: str) -> Any:
    libraries()
    return importlib.import_module(name)


class Run(NamedTuple):
    """Groups of digits that stand together, with the places of each."""

    groups: tuple[str, ...]
    spans: tuple[Span, ...]


_RUN = re.compile(r"\d[\d ().\-/\u2010-\u2015\u00a0]*")
_DIGITS = re.compile(r"\d+")


def runs(text: str) -> Iterator[Run]:
    """The runs of digits of a text."""
    for match in _RUN.finditer(text):
        groups = [
            (m.group(), m.start() + match.start(), m.end() + match.start())
            for m in _DIGITS.finditer(match.group())
        ]
        yield Run(tuple(g[0] for g in groups), tuple((g[1], g[2]) for g in groups))


def _windows(
    run: Run, least: int, most: int
) -> Iterator[tuple[str, Sequence[str], Span, tuple[int, int]]]:
    """Neighbouring groups with `least` to `most` digits in all, the longest first of each start:
    their digits, the groups, where they stand, and which of the run's groups they are."""
    lengths = [len(group) for group in run.groups]
    for first in range(len(lengths)):
        ends, total = [], 0
        for last in range(first, min(first + most, len(lengths))):
            total += lengths[last]
            if total > most:
                break
            if total >= least:
                ends.append(last)
        for last in reversed(ends):
            groups = run.groups[first : last + 1]
            span = (run.spans[first][0], run.spans[last][1])
            yield "".join(groups), groups, span, (first, last + 1)


def _said(text: str, span: Span, cue: "re.Pattern[str]") -> bool:
    before = text[max(0, span[0] - _NEAR) : span[0]]
    return bool(cue.search(before) or cue.search(text[span[1] : span[1] + _BEHIND]))


# Cards -------------------------------------------------------------------------------------------

_CARD = re.compile(
    r"card|visa|amex|master|karte|carte|tarjeta|carta|cart[aã]o|kaart|karty|карт", re.IGNORECASE
)
_CARD_GROUPS = {(4, 4, 4, 4), (4, 6, 5), (4, 4, 4, 4, 3), (4, 4, 4, 1), (6, 13), (16,), (15,)}


def cards(text: str) -> Iterator[Span]:
    """Payment cards: Luhn, and the length that their first digits ask for."""
    for run in runs(text):
        for digits, groups, span, _ in _windows(run, 13, 19):
            if not (_issued(digits) and luhn(digits)) or len(set(digits)) == 1:
                continue
            sizes = tuple(map(len, groups))
            usual = sizes in _CARD_GROUPS or len(sizes) == 1 or set(sizes) == {1}
            if usual or _said(text, span, _CARD):
                yield span


def luhn(digits: str) -> bool:
    """Whether the last digit is right (ISO/IEC 7812-1, annex B)."""
    doubled = (2 * int(d) for d in digits[-2::-2])
    return (sum(map(int, digits[-1::-2])) + sum(d - 9 * (d > 9) for d in doubled)) % 10 == 0


def _issued(digits: str) -> bool:
    """Whether cards of this length begin so: the ranges of the large networks (ISO/IEC 7812)."""
    length, two, four = len(digits), int(digits[:2]), int(digits[:4])
    if digits[0] == "4":
        return length in (13, 16, 19)
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return length == 16
    if two in (34, 37):
        return length == 15
    if two in (36, 38, 39) or 300 <= int(digits[:3]) <= 305:
        return 14 <= length <= 19
    if two in (62, 64, 65) or four == 6011 or 3528 <= four <= 3589:
        return 16 <= length <= 19
    return two in (50, 56, 57, 58, 63, 67) and length >= 16  # Maestro's older ones are 12 to 15


# Bank accounts -----------------------------------------------------------------------------------

_IBAN = re.compile(r"(?<![A-Z0-9])[A-Z]{2}\d{2}(?:[ \-]?[A-Z0-9]){11,30}")
_UPPER = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}


def ibans(text: str) -> Iterator[Span]:
    """International bank account numbers: the country's length, and ISO 7064 mod 97-10."""
    upper = text.translate(_UPPER)
    checker: Any = None
    for match in _IBAN.finditer(upper):
        checker = checker or _library("stdnum.iban")
        found = match.group()
        places = [n for n, letter in enumerate(found) if letter.isalnum()]
        for count in range(len(places), 14, -1):
            end = places[count - 1] + 1
            whole = match.start() + end >= len(upper) or not upper[match.start() + end].isalnum()
            if whole and checker.is_valid(found[:end], check_country=False):
                yield match.start(), match.start() + end
                break


# National identity numbers -----------------------------------------------------------------------

_ID = re.compile(
    r"social security|\bssn\b|tax (?:id|number)|identi|\bid\b|passport|national (?:id|number|"
    r"insurance)|insurance number|health number|\bnhs\b|\bsin\b|steuer|sozialversicherung|s[eé]cu|"
    r"\bdni\b|\bnie\b|\bcpf\b|\bcurp\b|codice fiscale|\bbsn\b|burgerservice|\bpesel\b|"
    r"person(?:al)?nummer|\bcpr\b|aadhaar|kimlik|henkil|rijksregister|rodn[eé]|身份证|주민|"
    r"מספר זהות",
    re.IGNORECASE,
)


_SSN = re.compile(r"social security|\bssn\b", re.IGNORECASE)  # it has no check digit


class Shape(NamedTuple):
    """How a number is spelt: in a spelling that is taken by itself, and in one that needs a word
    beside it that says what it is."""

    alone: str | None
    beside: str | None = None
    word: "re.Pattern[str]" = _ID


SHAPES: dict[str, Shape] = {
    "be.nn": Shape(r"\d{2}\.\d{2}\.\d{2}-\d{3}\.\d{2}", r"\d{11}"),
    "br.cpf": Shape(r"\d{3}\.\d{3}\.\d{3}-\d{2}", r"\d{11}"),
    "ca.sin": Shape(None, r"\d{3}[ -]?\d{3}[ -]?\d{3}"),
    "ch.ssn": Shape(r"756\.\d{4}\.\d{4}\.\d{2}", r"756\d{10}"),
    "cn.ric": Shape(r"\d{17}[\dXx]"),
    "cz.rc": Shape(r"\d{6}/\d{3,4}", r"\d{9,10}"),
    "de.idnr": Shape(r"\d{2} \d{3} \d{3} \d{3}", r"\d{11}"),
    "dk.cpr": Shape(r"\d{6}-\d{4}", r"\d{10}"),
    "es.dni": Shape(r"\d{8}[ -]?[A-Za-z]"),
    "es.nie": Shape(r"[XYZxyz][ -]?\d{7}[ -]?[A-Za-z]"),
    "fi.hetu": Shape(r"\d{6}[-+Aa]\d{3}[0-9A-Za-z]"),
    "fr.nir": Shape(r"[12] ?\d{2} ?\d{2} ?\d{2} ?\d{3} ?\d{3} ?\d{2}"),
    "gb.nhs": Shape(None, r"\d{3}[ -]?\d{3}[ -]?\d{4}"),
    "il.idnr": Shape(None, r"\d{8}-?\d"),
    "in_.aadhaar": Shape(r"[2-9]\d{3} \d{4} \d{4}", r"[2-9]\d{11}"),
    "it.codicefiscale": Shape(r"[A-Za-z]{6}\d{2}[A-Za-z]\d{2}[A-Za-z]\d{3}[A-Za-z]"),
    "kr.rrn": Shape(r"\d{6}-\d{7}", r"\d{13}"),
    "mx.curp": Shape(r"[A-Za-z]{4}\d{6}[A-Za-z]{6}[0-9A-Za-z]\d"),
    "nl.bsn": Shape(None, r"\d{9}|\d{4}\.\d{2}\.\d{3}"),
    "pl.pesel": Shape(None, r"\d{11}"),
    "ro.cnp": Shape(None, r"\d{13}"),
    "se.personnummer": Shape(r"(?:\d{2})?\d{6}[-+]\d{4}", r"\d{10}|\d{12}"),
    "tr.tckimlik": Shape(None, r"\d{11}"),
    "us.ssn": Shape(r"\d{3}-\d{2}-\d{4}", r"\d{3}[ -]?\d{2}[ -]?\d{4}", _SSN),
    "za.idnr": Shape(None, r"\d{13}"),
}


@functools.cache
def _compiled(name: str) -> "tuple[re.Pattern[str] | None, re.Pattern[str] | None]":
    bounded = [
        None if shape is None else re.compile(rf"(?<![\w.-])(?:{shape})(?![\w-]|\.\d)")
        for shape in SHAPES[name][:2]
    ]
    return bounded[0], bounded[1]


def national_ids(text: str, names: Sequence[str], in_words: bool = False) -> Iterator[Span]:
    """Identity numbers of the countries named (`SHAPES`), with their checks.

    `in_words`: the digits were said, which few other numbers of that length are.
    """
    said = None
    for name in names:
        for pattern, needs_word in zip(_compiled(name), (False, True), strict=True):
            if pattern is None:
                continue
            if needs_word:
                said = bool(_ID.search(text)) if said is None else said
                if not said:
                    continue
            for match in pattern.finditer(text):
                checker = _library(f"stdnum.{name}")
                right = checker.is_valid(match.group())
                word = _ID if in_words else SHAPES[name].word
                if right and (not needs_word or _said(text, match.span(), word)):
                    yield match.span()


# Phones ------------------------------------------------------------------------------------------

_PHONE = re.compile(
    r"phone|\bcall|\btel\b|telef|t[eé]l[eé]|mobile|\bcell|\bfax|\bdial|\btext(?: me)?\b|whatsapp|"
    r"\breach\b|hotline|\bring\b|number|nummer|num[eé]r|n[uú]mero|\bhandy|anruf|appel|llam|chiam|"
    r"\bligue|celular|\bbel\b|zadzwo|звон|тел|电话|電話|전화|هاتف|टेलीफ",
    re.IGNORECASE,
)
_MONEY = re.compile(r"[$€£¥]\s?$")
_DATE = re.compile(
    r"\d{1,2}([./-])\d{1,2}\1(?:\d{4}|\d{2})|\d{4}([./-])\d{1,2}\2\d{1,2}"
    r"|(?:19|20)\d{2}[ /.-]+(?:19|20)\d{2}"
)


def phones(text: str, regions: Sequence[str], in_words: bool = False) -> Iterator[Span]:
    """Phone numbers: international ones, and those of `regions` as they are dialled there.

    `in_words`: the digits were said, so nobody knows how they would be grouped.

    A national number counts by itself if it is spelt as such (with its trunk prefix, or in the
    3-3-4 of North America); any number that is possible counts beside a word that says so.
    """
    for run in runs(text):
        done = bytearray(len(run.groups))
        windows = [*_windows(run, 7, 15)]
        for by_itself in (True, False):  # or a number would take in what is said after it
            for digits, groups, (first, end), places in windows:
                start = first
                while start > 0 and text[start - 1] in "+(" and first - start < 2:
                    start -= 1
                if 1 in done[places[0] : places[1]] or not _alone(text, start, end):
                    continue
                if by_itself and _goes_on(text, run, places[0], done):
                    continue
                if _is_phone(text, (start, end), digits, groups, regions, by_itself, in_words):
                    done[places[0] : places[1]] = b"\1" * len(groups)
                    yield start, end


def _goes_on(text: str, run: Run, place: int, done: bytearray) -> bool:
    """Whether the group at a place continues the one before: the middle of a longer number."""
    if place == 0 or done[place - 1]:
        return False
    return text[run.spans[place - 1][1] : run.spans[place][0]] in (" ", "-", ".", "/")


def _alone(text: str, start: int, end: int) -> bool:
    """Whether a number is no part of a word, no date and no sum of money."""
    return not (
        text[start - 1 : start].isalnum()
        or text[end : end + 1].isalnum()
        or _DATE.fullmatch(text, start, end)
        or _MONEY.search(text, max(0, start - 2), start)
    )


def _is_phone(
    text: str,
    span: Span,
    digits: str,
    groups: Sequence[str],
    regions: Sequence[str],
    by_itself: bool,
    in_words: bool,
) -> bool:
    spelt = text[span[0] : span[1]]
    if "+" in spelt[:2]:
        return _valid(f"+{digits}", None)
    if digits.startswith("00"):
        return _valid(f"+{digits[2:]}", None)
    if len(set(digits)) == 1:
        return False
    sizes = tuple(map(len, groups))
    if by_itself:
        return any(_as_dialled(sizes, spelt, r, in_words) and _valid(digits, r) for r in regions)
    if not _said(text, span, _PHONE):
        return False
    return sizes in _LOCAL or any(_valid(digits, region) for region in regions)


_LOCAL = {(3, 4), (4, 4), (3, 3, 4), (7,), (10,)}  # taken beside a word, whatever the plan says


def _as_dialled(sizes: Sequence[int], spelt: str, region: str, in_words: bool) -> bool:
    """Whether a number is spelt as numbers are within its country."""
    if region in ("US", "CA"):
        said = in_words and sum(sizes) in (10, 11)
        return said or tuple(sizes) in ((3, 3, 4), (1, 3, 3, 4)) or spelt.startswith("(")
    return spelt.lstrip("(").startswith("0") and 9 <= sum(sizes) <= 11


@functools.lru_cache(maxsize=4096)
def _valid(number: str, region: str | None) -> bool:
    library = _library("phonenumbers")
    try:
        return bool(library.is_valid_number(library.parse(number, region)))
    except library.NumberParseException:
        return False
