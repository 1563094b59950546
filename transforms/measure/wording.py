"""What a word and a letter are when text is counted.

Words are runs between spaces that hold a letter or a digit. Scripts written without spaces
between words would come out as one word a sentence, so each character of the logographic and
syllabic ones (Han, kana) counts as a word by itself, as word processors do. Thai, Lao, Khmer and
Burmese also go without spaces but are alphabetic: they need a dictionary, so their words are
undercounted here, and whoever sets a limit in words must know it.
"""

import re

# Han with its extensions and compatibility forms, hiragana, katakana with its half-width forms.
LOGOGRAPHIC = (
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9d\U00020000-\U0003ffff"
)
# Thai, Lao, Tibetan, Burmese, Khmer.
_UNSPACED_ALPHABETS = "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff"

# How many letters of an alphabet a sign stands for when it is spoken: letters a second are then
# comparable between scripts (a syllable takes about 2.5 letters of an alphabet; ours).
_SIGN_LETTERS = 2.5
_SIGN = re.compile(rf"[{LOGOGRAPHIC}\uac00-\ud7a3]")
_MARK_LETTERS = 2.0
_MARK = re.compile(r"(?<=\w)[,.;:!?\u2026\u060c\u061f\u3001\u3002\uff0c\uff01\uff1f\uff1b]")
_DIGIT_LETTERS = 4.0  # "7" is read as "seven": 3 to 5 letters in the languages looked at

_WORD = re.compile(rf"[{LOGOGRAPHIC}]|[^\W_{LOGOGRAPHIC}](?:[^\s{LOGOGRAPHIC}])*")
_UNSPACED = re.compile(rf"[{LOGOGRAPHIC}{_UNSPACED_ALPHABETS}]")
_SPACE = re.compile(r"\s+")
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")


def words_of(text: str) -> list[str]:
    """The words of a text, folded for comparing: without case and without marks at their ends."""
    return [_EDGES.sub("", word.group().casefold()) for word in _WORD.finditer(text)]


def count_words(text: str) -> int:
    """Words of a text; each character of Han and kana is one."""
    return sum(1 for _ in _WORD.finditer(text))


def count_characters(text: str) -> int:
    """Characters that are not white space."""
    return len(_SPACE.sub("", text))


def count_letters(text: str) -> int:
    """Characters that are letters: without digits, marks, punctuation and emoji."""
    return sum(map(str.isalpha, text))


def unspaced_share(text: str) -> float:
    """The share of letters in scripts written without spaces between words; 0.0 without letters."""
    letters = [letter for letter in text if letter.isalpha()]
    return sum(bool(_UNSPACED.match(x)) for x in letters) / len(letters) if letters else 0.0


def spoken_letters(text: str) -> float:
    """The letters that speaking a text takes: signs, digits and marks weigh what they sound.

    Signs of Han, kana and hangul count 2.5 and digits 4, so that a list of numbers is not taken
    for a text too short, nor Chinese for slow speech. A mark behind a word counts 2, and so does
    the end of the text, for the word before a pause is drawn out ("no, no, no" takes its time).
    """
    signs = len(_SIGN.findall(text))
    digits = sum(map(str.isdecimal, text))
    letters = count_letters(text) + (_SIGN_LETTERS - 1) * signs + _DIGIT_LETTERS * digits
    pauses = len(_MARK.findall(f"{text.rstrip()}.")) if letters else 0
    return letters + _MARK_LETTERS * pauses
