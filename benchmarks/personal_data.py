"""What is found of personal data, and what is taken for it: precision and recall per kind.

    python -m benchmarks.personal_data [--per-kind 200]

A made set: personal data of each kind, drawn by our own arithmetic and not by the libraries that
judge it (but for the checks of some identity numbers), in sentences as people write them and as
recognizers do (no capitals, no marks, digits apart, numbers as words); and as many sentences with
what looks like it and is not: dates, prices, scores, versions, counting, order numbers, ISBNs,
numbers with a wrong check digit. An item is found where a span of its kind covers all of it; a
span is right where it overlaps an item of its kind. One core, seconds. Prints Markdown tables.
"""

import argparse
import dataclasses
import importlib
import pathlib
import random
import string
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))  # run as a file, too

from benchmarks.circumstances import circumstances, row
from transforms.measure.personal import KINDS, find

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_NAMES = ("anna", "bob", "carla", "deniz", "emil", "farah", "greta", "hugo", "ines", "jan")
_LAST = ("berg", "smith", "rossi", "lopez", "khan", "novak", "martin", "weber")
_HOSTS = ("example", "mailbox", "harbour", "northwind", "gmail", "outlook", "bluefish")
_TOPS = ("com", "org", "net", "de", "co.uk", "fr", "io")


@dataclasses.dataclass(frozen=True)
class Item:
    """One sentence; `kind` None where nothing personal is in it."""

    text: str
    kind: str | None
    start: int = 0
    end: int = 0
    said: bool = False


def luhn_digit(digits: str) -> str:
    """The digit that makes a number right, by trying all ten against the definition."""
    for last in string.digits:
        total = 0
        for place, digit in enumerate(reversed(digits + last)):
            value = int(digit) * (1 + place % 2)
            total += value - 9 if value > 9 else value
        if total % 10 == 0:
            return last
    raise AssertionError("one of ten digits is right")


def number(chance: random.Random, length: int) -> str:
    return "".join(chance.choice(string.digits) for _ in range(length))


def grouped(digits: str, *sizes: int, by: str = " ") -> str:
    parts, at = [], 0
    for size in sizes:
        parts.append(digits[at : at + size])
        at += size
    return by.join([*parts, digits[at:]] if at < len(digits) else parts)


def in_words(chance: random.Random, digits: str) -> str:
    """Digits as they are said: one by one, "oh" for some zeros, "double" for some pairs."""
    words, at = [], 0
    while at < len(digits):
        one = digits[at]
        if digits[at : at + 2] == one * 2 and chance.random() < 0.5:
            words.append(f"double {_DIGITS[int(one)]}")
            at += 2
            continue
        words.append("oh" if one == "0" and words and chance.random() < 0.5 else _DIGITS[int(one)])
        at += 1
    return " ".join(words)


def email(chance: random.Random) -> tuple[str, str]:
    name = chance.choice(_NAMES)
    if chance.random() < 0.6:
        name += chance.choice("._-") + chance.choice(_LAST)
    if chance.random() < 0.3:
        name += str(chance.randrange(1, 99))
    host, top = chance.choice(_HOSTS), chance.choice(_TOPS)
    said = name.replace(".", " dot ").replace("_", " underscore ").replace("-", " dash ")
    said = "".join(f" {_DIGITS[int(c)]}" if c.isdigit() else c for c in said)
    return f"{name}@{host}.{top}", f"{said} at {host} dot {top.replace('.', ' dot ')}"


def phone(chance: random.Random) -> tuple[str, str]:
    area = chance.choice(("212", "312", "415", "617", "713", "206", "305"))
    local = f"{chance.choice('23456789')}{number(chance, 6)}"
    forms = [
        f"{area}-{local[:3]}-{local[3:]}", f"({area}) {local[:3]}-{local[3:]}",
        f"{area} {local[:3]} {local[3:]}", f"+1 {area} {local[:3]} {local[3:]}",
        f"{area}{local}", f"+44 20 7{number(chance, 3)} {number(chance, 4)}",
        f"020 7{number(chance, 3)} {number(chance, 4)}", f"+49 30 {number(chance, 8)}",
        f"030 {chance.randrange(2, 9)}{number(chance, 6)}", f"0171 {number(chance, 7)}",
        f"+33 1 4{number(chance, 1)} {number(chance, 2)} {number(chance, 2)} {number(chance, 2)}",
        f"01 4{number(chance, 1)} {number(chance, 2)} {number(chance, 2)} {number(chance, 2)}",
        " ".join(f"{area}{local}"),
    ]  # fmt: skip
    return chance.choice(forms), in_words(chance, area + local)


def card(chance: random.Random) -> tuple[str, str]:
    head, length = chance.choice((("4", 16), ("52", 16), ("2221", 16), ("37", 15), ("6011", 16)))
    body = head + number(chance, length - len(head) - 1)
    digits = body + luhn_digit(body)
    sizes = (4, 6, 5) if length == 15 else (4, 4, 4, 4)
    forms = [digits, grouped(digits, *sizes), grouped(digits, *sizes, by="-"), " ".join(digits)]
    return chance.choice(forms), in_words(chance, digits)


def iban(chance: random.Random) -> tuple[str, str]:
    country, shape = chance.choice(
        (("DE", "9" * 18), ("GB", "AAAA" + "9" * 14), ("NL", "AAAA" + "9" * 10), ("ES", "9" * 20),
         ("FR", "9" * 23), ("AT", "9" * 16), ("PL", "9" * 24))
    )  # fmt: skip
    letters = string.ascii_uppercase
    body = "".join(chance.choice(letters if c == "A" else string.digits) for c in shape)
    value = int("".join(str(int(c, 36)) for c in f"{body}{country}00"))
    whole = f"{country}{98 - value % 97:02d}{body}"
    apart = " ".join(whole[n : n + 4] for n in range(0, len(whole), 4))
    return chance.choice((whole, apart, apart, apart.lower())), ""


def ip(chance: random.Random) -> tuple[str, str]:
    if chance.random() < 0.3:
        groups = [f"{chance.randrange(1, 65536):x}" for _ in range(8)]
        groups[0] = chance.choice(("2001", "2a00", "fe80"))
        whole = ":".join(groups)
        return chance.choice((whole, ":".join(groups[:3]) + "::" + ":".join(groups[5:]))), ""
    parts = [str(chance.randrange(11, 224)), *(str(chance.randrange(256)) for _ in range(3))]
    return ".".join(parts), " dot ".join(in_words(chance, part) for part in parts)


def by_library(name: str, shape: Callable[[], str]) -> str:
    """A number with the right check: drawn until the library takes it."""
    checker = importlib.import_module(f"stdnum.{name}")
    while True:
        drawn = shape()
        if checker.is_valid(drawn):
            return drawn


def national_id(chance: random.Random) -> tuple[str, str]:
    def date() -> str:
        return (
            f"{chance.randrange(50, 99)}{chance.randrange(1, 13):02d}{chance.randrange(1, 29):02d}"
        )

    ssn = f"{chance.randrange(100, 600)}{chance.randrange(10, 99)}{chance.randrange(1000, 9999)}"
    dni = number(chance, 8)
    body = f"{chance.choice('12')}{date()[:4]}{chance.randrange(10, 95)}{number(chance, 6)}"
    which = chance.randrange(8)
    if which == 0:
        return grouped(ssn, 3, 2, 4, by="-"), in_words(chance, ssn)
    if which == 1:
        return f"{dni}{'TRWAGMYFPDXBNJZSQVHLCKE'[int(dni) % 23]}", ""
    if which == 2:
        return f"{body}{97 - int(body) % 97:02d}", ""
    forms: list[tuple[str, Callable[[], str]]] = [
        ("br.cpf", lambda: "{}.{}.{}-{}".format(*(number(chance, n) for n in (3, 3, 3, 2)))),
        ("in_.aadhaar", lambda: f"{chance.randrange(2, 9)}{number(chance, 3)} "
                                f"{number(chance, 4)} {number(chance, 4)}"),
        ("fi.hetu", lambda: f"{date()[4:]}{date()[2:4]}{date()[:2]}-{chance.randrange(100, 899)}"
                            f"{chance.choice(string.ascii_uppercase)}"),
        ("se.personnummer", lambda: f"{date()}-{number(chance, 4)}"),
        ("de.idnr", lambda: grouped(number(chance, 11), 2, 3, 3, 3)),
    ]  # fmt: skip
    name, shape = forms[which - 3]
    return by_library(name, shape), ""


MADE: dict[str, Callable[[random.Random], tuple[str, str]]] = {
    "email": email,
    "phone": phone,
    "card": card,
    "iban": iban,
    "ip": ip,
    "national_id": national_id,
}
CUES = {
    "email": ("write to {} today", "my email is {}", "you can reach us, {} is the address",
              "it was sent from {} on monday"),
    "phone": ("call {} now", "my number is {}", "you can reach me at {} after six",
              "the office, {} , is closed", "tel {}"),
    "card": ("the card is {} and it expires soon", "pay with {} please", "visa {}"),
    "iban": ("transfer it to {} by friday", "the iban is {}", "account {} is closed"),
    "ip": ("the server at {} is down", "connect to {} first", "requests came from {}"),
    "national_id": ("my social security number is {}", "the tax id {} was on the form",
                    "her identity number {} is stored", "id {}"),
}  # fmt: skip


def honest(chance: random.Random) -> str:
    """What looks like personal data and is none."""
    n = chance.randrange
    wrong_card = f"4{number(chance, 14)}"
    wrong_card += str((int(luhn_digit(wrong_card)) + n(1, 10)) % 10)
    forms = [
        f"on {n(1, 29):02d}.{n(1, 13):02d}.{n(1950, 2025)} we moved",
        f"from {n(1900, 1999)} to {n(2000, 2025)} he lived there",
        f"the years {n(1900, 1999)} {n(1900, 1999)} and {n(2000, 2024)}",
        f"it costs ${n(1, 999)},{n(100, 999)}.{n(10, 99)} or {n(100000, 999999)} euros",
        f"version {n(1, 9)}.{n(0, 20)}.{n(0, 20)}.{n(0, 99)} is out",
        f"at {n(10, 24)}:{n(10, 60)}:{n(10, 60)} the score was {n(0, 9)} to {n(0, 9)}",
        "one two three four five six seven eight nine ten",
        "ten nine eight seven six five four three two one zero",
        f"pi is 3.{number(chance, 14)}",
        f"isbn 978-{n(0, 9)}-{n(10, 99)}-{number(chance, 6)}-{n(0, 9)}",
        f"order {number(chance, 8)} was sent",
        f"tracking {number(chance, 12)} says tomorrow",
        f"there were {n(1, 99)} thousand {n(100, 999)} people and {n(1, 99)} dogs",
        f"the tax file says {wrong_card[:9]} units",
        f"item {wrong_card} is sold out",
        f"look at {chance.choice(_HOSTS)} dot com for more",
        f"we are on {chance.choice(_HOSTS)}.com now",
        f"meet me at {n(1, 12)} at the {chance.choice(_LAST)} house dot",
        f"he ran {n(10, 60)} {n(10, 60)} {n(10, 60)} {n(10, 60)} in four laps",
        f"rows {n(100, 999)} {n(100, 999)} {n(100, 999)} of the table",
        f"call number {n(1, 9)} on the list, then number {n(10, 99)}",
        f"channel {n(1, 9)} at {n(88, 108)}.{n(0, 9)} megahertz",
        "in nineteen eighty four it cost two hundred and fifty pounds",
        f"the coordinates are {n(10, 60)}.{number(chance, 6)}, {n(10, 60)}.{number(chance, 6)}",
        f"psalm {n(1, 150)} verse {n(1, 20)} to {n(20, 30)}",
        "she won six four six three seven five and six love",
        f"follow @{chance.choice(_NAMES)}_{chance.choice(_LAST)} for news",
        f"the ratio {n(1, 9)}:{n(1, 9)}:{n(1, 9)} of water",
    ]
    return chance.choice(forms)


def made_set(per_kind: int, seed: int = 0) -> Iterator[Item]:
    """Sentences with personal data, written and said, and as many without."""
    chance = random.Random(seed)
    for kind in KINDS:
        for _ in range(per_kind):
            written, said = MADE[kind](chance)
            for value, spoken in ((written, False), (said, True)):
                if not value:
                    continue
                before, after = chance.choice(CUES[kind]).split("{}")
                if not spoken and chance.random() < 0.5:
                    before = before.capitalize()
                yield Item(
                    f"{before}{value}{after}", kind, len(before), len(before + value), spoken
                )
    for _ in range(per_kind * len(KINDS)):
        yield Item(honest(chance), None)


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--per-kind", type=int, default=200, help="items per kind and form")
    options.add_argument("--missed", type=int, default=0, help="print so many errors per kind")
    chosen = options.parse_args()
    print(circumstances())
    items = list(made_set(chosen.per_kind))
    began = time.process_time()
    answers = [find(item.text) for item in items]
    spent = time.process_time() - began
    right: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    hit: Counter[tuple[str, bool]] = Counter()
    masked: Counter[tuple[str, bool]] = Counter()
    shown: Counter[str] = Counter()
    for item, found in zip(items, answers, strict=True):
        if item.kind is not None:
            cover = [f for f in found if f.start <= item.start and f.end >= item.end]
            hit[item.kind, item.said] += any(f.kind == item.kind for f in cover)
            masked[item.kind, item.said] += bool(cover)
        for one in found:
            true = one.kind == item.kind and one.start < item.end and one.end > item.start
            (right if true else wrong)[one.kind] += 1
        true_kinds = {item.kind} if item.kind else set()
        if {f.kind for f in found} != true_kinds and shown[str(item.kind)] < chosen.missed:
            shown[str(item.kind)] += 1
            print(f"- {item.kind}: {item.text!r} -> {[f.kind for f in found]}")
    print(row("kind", "written", "recall", "said in words", "recall", "precision"))
    print("|---|---|---|---|---|---|")
    for kind in KINDS:
        cells: list[str] = []
        for said in (False, True):
            count = sum(item.kind == kind and item.said == said for item in items)
            cells += [str(count), f"{hit[kind, said] / count:.3f}" if count else "-"]
        total = right[kind] + wrong[kind]
        print(row(kind, *cells, f"{right[kind] / total:.3f}" if total else "-"))
    plain = sum(item.kind is None for item in items)
    touched = sum(bool(f) for item, f in zip(items, answers, strict=True) if item.kind is None)
    covered, all_items = sum(masked.values()), sum(item.kind is not None for item in items)
    print(
        f"\nMasked as whatever kind: {covered / all_items:.3f} of {all_items}. Honest sentences "
        f"touched: {touched} of {plain}. {len(items) / spent:.0f} sentences a second on one core."
    )


if __name__ == "__main__":
    main()
