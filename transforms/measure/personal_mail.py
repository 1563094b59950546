"""E-mail and IP addresses in a text: plain scanners, linear in its length.

An address is looked for around each `@`, a bounded distance to both sides. Spoken ones ("john dot
smith at example dot com", "info (at) example (dot) org") are looked for around each "at" that is
followed by a domain; because "look at example dot com" sounds the same, the word before "at" must
be none of those that stand there in common English, or somebody must speak of mail just before.
"""

import ipaddress
import re
from collections.abc import Iterator

from transforms.measure.text_view import Span

_LOCAL = frozenset("._%+-'")
_LONGEST_LOCAL, _LONGEST_DOMAIN = 64, 255


def emails(text: str) -> Iterator[Span]:
    """Written addresses."""
    at = text.find("@")
    while at >= 0:
        start = at
        while start > max(0, at - _LONGEST_LOCAL) and _local(text[start - 1]):
            start -= 1
        while start < at and not text[start].isalnum():
            start += 1
        end = at + 1
        while end < min(len(text), at + 1 + _LONGEST_DOMAIN) and _domain(text[end]):
            end += 1
        while end > at + 1 and not text[end - 1].isalnum():
            end -= 1
        domain = text[at + 1 : end]
        labels = domain.split(".")
        named = start < at and len(labels) > 1 and all(labels) and len(labels[-1]) > 1
        if named and (labels[-1].isalpha() or labels[-1].startswith("xn--")):
            yield start, end
        at = text.find("@", at + 1)


def _local(letter: str) -> bool:
    return letter.isalnum() or letter in _LOCAL


def _domain(letter: str) -> bool:
    return letter.isalnum() or letter in ".-"


_V4 = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\.?\w)")
_V6 = re.compile(r"[0-9A-Fa-f:.]+")
_VERSION = re.compile(r"(?:version|release|section|chapter|firmware|\bv)\W{0,3}$", re.IGNORECASE)


def ip_addresses(text: str) -> Iterator[Span]:
    """IPv4 and IPv6 addresses; numbers of versions and sections are none."""
    for match in _V4.finditer(text):
        before = text[max(0, match.start() - 12) : match.start()]
        if _is_address(match.group()) and not _VERSION.search(before):
            yield match.span()
    for match in _V6.finditer(text):
        run = match.group().rstrip(".:")
        groups = [group for group in run.split(":") if group]
        inside = match.start() > 0 and text[match.start() - 1].isalnum()
        if len(run) <= 45 and run.count(":") >= 2 and len(groups) >= 3 and not inside:
            behind = text[match.start() + len(run) :][:1]
            if _is_address(run) and not behind.isalnum():
                yield match.start(), match.start() + len(run)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_WORD = re.compile(r"[^\W_]+|_|@|\+")
_MARKS = {"dot": ".", "underscore": "_", "dash": "-", "hyphen": "-", "minus": "-", "plus": "+"}
_MARKS |= {"_": "_", "+": "+"}
_TOP = _set(
    "com org net edu gov info biz io me ai app dev eu us uk de fr es it nl be ch at pl pt br ca au "
    "in ie nz se no dk fi cz jp kr cn ru mx ar cl co tv"
)
_NUMBERS = _set("zero oh one two three four five six seven eight nine double triple")
_MAIL = _set("email emails mail e-mail address write contact reach mailto addresses")
# What stands before "at" in common English and is nobody's name.
_COMMON = _set(
    "look looking looks looked me us them him her it you here there online available find found "
    "buy order work works working worked is are was were be been up out over shop shopping sold "
    "sells visit visiting again back live website site page store read more us go going get got "
    "and or the a an that this sign signed join joined start started check checked available "
    "posted listed hosted see seen meet selling aimed now today everything people good"
)
_LONGEST_RUN = 12  # words of one side of a spoken address


def spoken_emails(text: str) -> Iterator[Span]:
    """Addresses that are said: "name at domain dot com"."""
    words = [(m.group().lower(), m.start(), m.end()) for m in _WORD.finditer(text)]
    for place, (word, _, _) in enumerate(words):
        if word not in ("at", "@") or place == 0:
            continue
        sign = 1 if place + 1 < len(words) and words[place + 1][0] == "sign" else 0
        last = _domain_end(words, place + 1 + sign)
        if last is None:
            continue
        first = _local_start(words, place - 1)
        if first is None or not _one_breath(text, words[first][1], words[last][2]):
            continue
        name = [words[n][0] for n in range(first, place)]
        cue = any(words[n][0] in _MAIL for n in range(max(0, first - 8), first))
        if cue or len(name) > 1 or name[0] not in _COMMON:
            yield words[first][1], words[last][2]


def _domain_end(words: list[tuple[str, int, int]], place: int) -> int | None:
    """The last word of "example dot co dot uk" from `place` on."""
    end = None
    limit = min(len(words), place + _LONGEST_RUN)
    while place + 2 < limit:
        if not words[place][0].isalnum() or words[place + 1][0] not in ("dot", "."):
            break
        if words[place + 2][0] in _TOP:
            end = place + 2
        place += 2
    return end


def _local_start(words: list[tuple[str, int, int]], place: int) -> int | None:
    """The first word of "john dot smith" that ends at `place`; letters may be spelt one by one."""
    if not words[place][0].isalnum():
        return None
    least = max(0, place - _LONGEST_RUN)
    while place - 1 >= least:
        before = words[place - 1][0]
        if before in _MARKS and place - 2 >= 0 and words[place - 2][0].isalnum():
            place -= 2
        elif words[place][0] in _NUMBERS or words[place][0].isdecimal():
            place -= 1  # "anna seven three at"
        elif len(before) == 1 and len(words[place][0]) == 1 and before.isalnum() and before != "a":
            place -= 1
        else:
            break
    return place


def _one_breath(text: str, start: int, end: int) -> bool:
    """Whether no sentence ends inside: "I was at home. Example dot com" is no address."""
    return not re.search(r"[.!?;]\s", text[start:end])
