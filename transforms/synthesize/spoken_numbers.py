"""Numbers in words: cardinal, ordinal, as a year, digit by digit; by unicode-rbnf, made of CLDR."""

import functools
import re
from typing import Any

from transforms.synthesize.spoken_words import WORDS, Words

LARGEST = 10**15  # greater numbers are read digit by digit,
_LONGEST = 40  # and so is what has more characters


@functools.cache
def numbers(language: str) -> "Numbers":
    """The numbers of a language of `WORDS`; raises `KeyError` for another."""
    return Numbers(language, WORDS[language])


def number_forms(value: int, language: str | None) -> frozenset[str]:
    """All ways in which a whole number may be said: cardinal, ordinal, as a year, digit by digit;
    in small letters, hyphens as blanks. Empty for a language that is not known."""
    return numbers(language).forms(value) if language in WORDS else frozenset()


class Numbers:
    """Spells the numbers of one language."""

    def __init__(self, language: str, words: Words) -> None:
        from unicode_rbnf import RbnfEngine

        self.language, self._w = language, words
        self._engine: Any = RbnfEngine.for_language(language)

    def _sets(self, value: int, purpose: str = "cardinal") -> tuple[str, dict[str, str]]:
        """The usual form, and all forms by CLDR's name of their rules, without soft hyphens."""
        from unicode_rbnf import FormatPurpose

        found = self._engine.format_number(value, FormatPurpose[purpose.upper()])
        forms = {name: _whole(text) for name, text in found.text_by_ruleset.items()}
        return _whole(found.text), forms

    def whole(self, value: int, gender: str = "") -> str:
        """A whole number; `gender` (masculine, feminine): as it stands before a noun."""
        if abs(value) >= LARGEST:
            return self.digits(str(value))
        usual, forms = self._sets(value)
        usual = forms.get("spellout-numbering", usual)
        return forms.get(f"spellout-cardinal-{gender}", usual) if gender else usual

    def ordinal(self, value: int, kind: str = "") -> str:
        """Third; `kind`: masculine, feminine, or an ending of German ones (n: am dritten)."""
        usual, forms = self._sets(value, "ordinal")
        usual = forms.get("spellout-ordinal", usual)
        return forms.get(f"spellout-ordinal-{kind}", usual) if kind else usual

    def year(self, value: int) -> str:
        """A year: nineteen eighty-four, where the language says years so."""
        if self.language == "en" and 2010 <= value <= 2099:
            return f"twenty {self.whole(value % 100)}"
        if self.language in ("en", "de"):
            return self._sets(value, "year")[0]
        return self.whole(value)

    def digits(self, text: str) -> str:
        """Digit by digit."""
        return " ".join(self.whole(int(digit)) for digit in text if digit.isdecimal())

    def parse(self, text: str) -> tuple[int, str]:
        """Whole part and decimals (as digits) of a number as the language writes it."""
        w = self._w
        text = re.sub(f"[{re.escape(w.thousands)}](?=\\d{{3}}(?!\\d))", "", text)
        whole, _, rest = text.replace(w.decimal, ".").partition(".")
        return int(whole or "0"), rest

    def written(self, text: str, gender: str = "") -> str:
        """A written number in words: "-1,234.5"."""
        minus = ""
        if text[0] in "-\u2212":
            minus, text = f"{self._w.minus} ", text[1:]
        if re.fullmatch(r"0\d+", text) or len(text) > _LONGEST:
            return minus + self.digits(text)
        whole, rest = self.parse(text)
        words = self.whole(whole, "" if rest else gender)
        return minus + (f"{words} {self._w.point} {self.digits(rest)}" if rest else words)

    def plain(self, text: str, gender: str = "") -> str:
        """A number of which nothing is known: of four digits from 1100 to 2099 it is a year."""
        if re.fullmatch(r"(?:1[1-9]|20)\d\d", text):
            return self.year(int(text))
        return self.written(text, gender)

    def decade(self, text: str) -> str:
        """1990s: nineteen nineties. English alone writes it so."""
        value = int(re.sub(r"\D", "", text))
        if value % 100 == 0:
            return f"{self.year(value)}s"
        tens = f"{self.whole(value % 100)[:-1]}ies"
        return f"{self.whole(value // 100)} {tens}" if value > 99 else tens

    def forms(self, value: int) -> frozenset[str]:
        """See `number_forms`."""
        found = {self.digits(str(value)), self.whole(value)}
        if abs(value) < LARGEST:
            for purpose in ("cardinal", "ordinal", "year"):
                found |= set(self._sets(value, purpose)[1].values())
            found.add(self.year(value))
            if self.language == "en" and value >= 0:
                found |= self._english(value)
        return frozenset(flat(form) for form in found)

    def _english(self, value: int) -> set[str]:
        """With "and", in pairs, as a decade."""
        found = {re.sub(r"hundred (?=\w)", "hundred and ", self.whole(value))}
        high, low = divmod(value, 100)
        if 11 <= high <= 99:
            tail = f"oh {self.whole(low)}" if 0 < low < 10 else self.whole(low)
            found.add(f"{self.whole(high)} {tail if low else 'hundred'}")
        if value % 10 == 0 and low >= 20 and high < 100:
            found.add(self.decade(str(value)))
        return found


def flat(text: str) -> str:
    """Words alone, to compare: small letters, hyphens as blanks."""
    return " ".join(text.replace("-", " ").casefold().split())


def _whole(text: str) -> str:
    return text.replace("\u00ad", "")
