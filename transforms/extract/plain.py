"""Text as pages hold it: one spelling, paragraphs parted by a blank line, nothing invisible.

Also what can be seen of a text without a model: how much of it is prose, and its longest word.
"""

import collections
import re
import string
import unicodedata
from collections.abc import Iterable

_LINE_ENDS = re.compile(r"\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
# Control characters, byte order marks and soft hyphens. Joiners stay: emoji and Persian need them.
_INVISIBLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\ufeff\ufffe\uffff]")
_BLANK_LINES = re.compile(r"\n[^\S\n]*\n\s*")
_ITEM = re.compile(r"(?:[-*+\u2022\u2023\u25e6\u2013]|\(?\d{1,3}[.)])\s+")
WRAPPED = 100  # characters; a paragraph whose lines are no longer was broken to fit a screen

# Where words are not parted by blanks, punctuation parts the runs of letters.
_SIGNS = re.compile(r"[\u2026\u3000-\u303f\uff01\uff08\uff09\uff0c\uff0e\uff1a\uff1b\uff1f]")
_CODE_START = re.compile(
    r"(?:def|class|return|import|from|elif|else|while|try|except|public|private|static|const|let|"
    r"var|function|using|package|struct|enum|void|int|fn|func|end|fi|done|echo|SELECT|INSERT|"
    r"#include|#define|//|/\*)(?=[\s(:{;<*]|$)"
)
_CODE_END = re.compile(r"(?:[;{}]|\)\s*:|=>|\\|^[\w.]+\(.*\))$")
_SENTENCE_END = re.compile(r"[.!?\u2026\u3002\uff01\uff1f\u061f\u0964][\"'\u201d\u2019\u00bb)\]]*$")
_CODE_SIGNS = frozenset("{}[]<>=|\\_/#$@^~*+;`&")
_ASCII_SIGNS = "".join(sorted(_CODE_SIGNS)).encode("ascii")
_ASCII_LETTERS = (string.ascii_letters + string.whitespace + "\x1c\x1d\x1e\x1f").encode("ascii")
_FEW_LETTERS = 0.4  # a line with a smaller share is numbers or signs
_MANY_SIGNS = 0.12  # a line with a larger share is code or markup


def tidy(text: str) -> str:
    """NFC, lines ended by \\n alone, without characters that stand for nothing."""
    return unicodedata.normalize("NFC", _INVISIBLE.sub("", _LINE_ENDS.sub("\n", text)))


def joined(blocks: Iterable[str]) -> str:
    """Paragraphs parted by a blank line; in one, lines of single blanks; empty ones left out."""
    clean = (_lines(block) for block in blocks)
    return "\n\n".join(block for block in clean if block)


def _lines(block: str) -> str:
    lines = (" ".join(line.split()) for line in tidy(block).split("\n"))
    return "\n".join(line for line in lines if line)


def paragraphs(text: str) -> str:
    """Plain text with its paragraphs found: at blank lines, or at every end of a long line.

    Text that was broken to fit a screen has short lines and blank ones between paragraphs; text
    out of tables often has one line per paragraph. Lists keep their lines.
    """
    blocks: list[str] = []
    for block in _BLANK_LINES.split(tidy(text)):
        lines = block.split("\n")
        if any(len(line) > WRAPPED for line in lines):
            blocks += lines
        elif all(_ITEM.match(line.lstrip()) for line in lines if line.strip()):
            blocks.append(block)
        else:
            blocks.append(_unwrapped(lines))
    return joined(blocks)


def _unwrapped(lines: Iterable[str]) -> str:
    text = ""
    for line in lines:
        line = line.strip()
        if text and _ITEM.match(line):
            text += "\n"
        elif text and line and not (_unspaced(text[-1]) and _unspaced(line[0])):
            text += " "
        text += line
    return text


def _unspaced(character: str) -> bool:
    """Whether a script is written without blanks (kana, Han and their punctuation)."""
    return "\u3000" <= character <= "\u9fff" or "\uff00" <= character <= "\uffef"


def longest_word(text: str) -> int:
    """Characters of the longest run without a blank or a full-width sign."""
    longest = 0
    for token in text.split():
        if len(token) > longest:
            parts = (token,) if token.isascii() else _SIGNS.split(token)
            longest = max(longest, *map(len, parts))
    return longest


def prose_share(text: str) -> float:
    """The share of a text's characters, 0..1, in lines that read as prose; 0.0 of no text.

    Not prose are lines of few letters (numbers, signs, emoji alone) and lines of code.
    """
    all_, prose = 0, 0
    for line in text.split("\n"):
        count = sum(map(len, line.split()))
        all_ += count
        prose += count if count and _reads(line, count) else 0
    return prose / all_ if all_ else 0.0


def _reads(line: str, count: int) -> bool:
    letters, neutral, signs = _counted(line, count)
    if not letters or letters < _FEW_LETTERS * (count - neutral):
        return False
    stripped = line.strip()
    if _SENTENCE_END.search(stripped):
        return signs < 2 * _MANY_SIGNS * count
    if _CODE_START.match(stripped) or _CODE_END.search(stripped):
        return False
    return signs < _MANY_SIGNS * count


def _counted(line: str, count: int) -> tuple[int, int, int]:
    """Letters, characters that are neither here nor there, and signs of code in a line."""
    if line.isascii():  # ten times as fast
        rest = line.encode("ascii").translate(None, _ASCII_LETTERS)
        return count - len(rest), 0, len(rest) - len(rest.translate(None, _ASCII_SIGNS))
    letters = neutral = signs = 0
    for character, times in collections.Counter(line).items():
        kind = unicodedata.category(character)
        letters += times if kind[0] in "LM" else 0
        signs += times if character in _CODE_SIGNS else 0
        # emoji; joiners are of category Cf
        neutral += times if kind in ("So", "Cf") else 0
    return letters, neutral, signs
