"""Written text as it is said: numbers, units, sums, dates, times, percent, signs, URLs, lists.

One scan from left to right, so that nothing which was put into words is read again. Numbers are
spelt by unicode-rbnf and units, currencies and months by Babel, both from CLDR; the rest stands in
`spoken_words`. A language that is not there (or not known) is left as it is: a synthesizer reads
digits in its own language, and a guess would be worse.

Trade-off: rules do not understand. Case and gender are right for the commonest patterns only
("am 3. Mai", "1 h"), a plain number of four digits from 1100 to 2099 is read as a year, an English
date that could be read two ways (3/4/2026) is read number by number, and of a long URL the host
alone. Text for training keeps its written form; what is said stands beside it (`Utterance.said`).
"""

import functools
import re
from collections.abc import Callable

from transforms.synthesize import spoken_dates
from transforms.synthesize.spoken_numbers import numbers
from transforms.synthesize.spoken_words import CODES, CURRENCIES, UNITS, WORDS

LANGUAGES = tuple(sorted(WORDS))

_LIST = re.compile(
    r"(?m)^[ \t]*(?:[\u2022\u2023\u25aa\u25cf\u25e6*\u2013\u2014-][ \t]+"
    r"|\(?\d{1,3}[.)][ \t]+(?=\S))"
)
_NOTE = re.compile(r"(?<=[\w.,;:!?)])\[\d{1,3}\]")
_DIGIT = re.compile(r"\d")
_SPACES = re.compile(r"[ \t]{2,}")
_BENDS = re.compile(r"\b(?:am|vom|zum|dem|den|beim|bis)\s$", re.IGNORECASE)
_LONGEST_PATH = 40  # characters of a URL's path that are read

Read = Callable[[re.Match[str]], str]


def spoken_form(text: str, language: str | None) -> str:
    """The text as a voice of that language (ISO 639-1) would read it; line breaks are kept.

    Text without anything to put into words comes back as it is, and so does that of a language
    that is not one of `LANGUAGES`.
    """
    code = (language or "").lower().replace("_", "-").partition("-")[0]
    if code not in WORDS:
        return text
    text = _NOTE.sub("", _LIST.sub("", text))
    return _SPACES.sub(" ", _reader(code).read(text))


@functools.cache
def _reader(language: str) -> "_Reader":
    return _Reader(language)


class _Reader:
    """Reads one language."""

    def __init__(self, language: str) -> None:
        self._language, self._w, self._n = language, WORDS[language], numbers(language)
        rules = self._rules()
        self._read_as = {name: read for name, _, read in rules}
        self._any = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern, _ in rules))
        self._telling = ("@", "://", "www.", *self._w.signs, *self._w.abbreviations)

    def read(self, text: str) -> str:
        # Most sentences hold none of it, and the search for all of it is slow.
        if not _DIGIT.search(text) and not any(one in text for one in self._telling):
            return text
        return self._any.sub(lambda match: self._read_as[str(match.lastgroup)](match), text)

    def _rules(self) -> list[tuple[str, str, Read]]:
        """What is looked for, the most telling first: name, expression, how it is read."""
        w, language = self._w, self._language
        part = f"[{re.escape(w.thousands)}]"
        # Decimals also after a full stop where that cannot part thousands: 1.5 in German text.
        stop = r"|\.\d{1,2}(?![\d.])" if "." in w.thousands else ""
        decimals = rf"(?:{re.escape(w.decimal)}\d+{stop})?"
        number = rf"(?:\d{{1,3}}(?:{part}\d{{3}})+(?!\d)|\d+){decimals}"
        alone = r"(?<![\w.,/:-])"  # not inside a word, a number or an address
        end = r"(?!\w)"
        signed = rf"(?:(?<![\w)\]])[-\u2212])?{number}"
        self._sum = re.compile(rf"({number})\s?(.*)", re.DOTALL)
        units = "|".join(re.escape(unit) for unit in sorted(UNITS, key=len, reverse=True))
        symbols, codes = "".join(CURRENCIES), "|".join(CODES)
        scale = rf"(?:\s(?:{w.scales}))?"
        ordinals = {
            "en": r"\d[\d,]*(?:st|nd|rd|th)",
            "fr": r"\d+(?:er|re|ère|ème|e)",
            "nl": r"\d+(?:ste|de|e)",
        }.get(language, r"\d+\.?[ºª]")
        short = "|".join(re.escape(one) for one in sorted(w.abbreviations, key=len, reverse=True))
        half = r"(?:\s?(?:[ap]\.m\.|[AaPp][Mm]\b|Uhr\b|uur\b|h\b))?"
        return [
            ("url", r"(?:https?://|www\.)[^\s<>\"]+", self._url),
            ("mail", r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+", self._mail),
            ("iso", rf"{alone}\d{{4}}-\d\d-\d\d{end}", self._date(spoken_dates.iso_date)),
            (
                "date",
                rf"{alone}\d{{1,2}}(?P<sep>[./])\d{{1,2}}(?P=sep)\d{{4}}{end}",
                self._date(spoken_dates.written_date),
            ),
            (
                "day",
                rf"{alone}{spoken_dates.day_pattern(language)}",
                self._dated(spoken_dates.day_and_month),
            ),
            (
                "time",
                rf"{alone}(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?{half}(?![\d:])",
                self._dated(spoken_dates.time_of_day),
            ),
            (
                "money",
                rf"{alone}(?:(?:[{symbols}]\s?|(?:{codes})\s){number}{scale}"
                rf"|{number}{scale}\s?(?:[{symbols}]|(?:{codes}){end}))",
                self._money,
            ),
            ("percent", rf"{alone}{signed}\s?[%\u2030]", self._percent),
            ("decade", rf"{alone}(?:1[1-9]|20)?\d0s{end}", self._decade),
            ("unit", rf"{alone}{signed}\s?(?:{units}){end}", self._unit),
            ("phone", rf"{alone}\+\d{{1,3}}(?:[\s/-]?\d{{2,}}){{2,}}", self._phone),
            ("version", rf"{alone}\d+(?:\.\d+){{2,}}{end}", self._version),
            ("ordinal", rf"{alone}{ordinals}{end}", self._ordinal),
            ("range", rf"{alone}{number}\s?[\u2013\u2014]\s?{number}{end}", self._range),
            ("number", rf"{alone}{signed}{end}", self._number),
            ("glued", rf"(?<=[^\W\d_]-){number}{end}", self._number),  # COVID-19
            ("short", rf"(?<![\w.])(?:{short})(?!\w)", lambda match: w.abbreviations[match[0]]),
            (
                "sign",
                rf"(?<=\s)[{re.escape(''.join(w.signs))}](?=\s)",
                lambda match: w.signs[match[0]],
            ),
        ]

    def _date(self, read: Callable[[str, str, str], str]) -> Read:
        def reading(match: re.Match[str]) -> str:
            before = match.string[max(0, match.start() - 6) : match.start()]
            bent = self._language == "de" and _BENDS.search(before)
            return read(match[0], self._language, "n" if bent else "")

        return reading

    def _dated(self, read: Callable[[str, str], str]) -> Read:
        return lambda match: read(match[0], self._language)

    def _number(self, match: re.Match[str]) -> str:
        # "21" is "veintiuno", and "veintiún" before what is counted.
        noun = self._language in ("de", "es", "it") and re.match(
            r"\s[^\W\d_]{2}", match.string[match.end() :]
        )
        return self._n.plain(match[0], "masculine" if noun else "")

    def _decade(self, match: re.Match[str]) -> str:
        if self._language != "en":
            return self._unit(match)
        return self._n.decade(match[0])

    def _unit(self, match: re.Match[str]) -> str:
        """5 km/h: words and plural by CLDR, with the number in words."""
        from babel.numbers import format_decimal
        from babel.units import format_unit

        sign = match[0][0] if match[0][0] in "-\u2212" else ""
        found = self._sum.match(match[0], len(sign))
        assert found is not None
        unit = UNITS[found[2]]
        whole, rest = self._n.parse(found[1])
        count: float | int = float(f"{whole}.{rest}") if rest else whole
        gender = "feminine" if unit in self._w.feminine else "masculine"
        written = format_unit(count, unit, length="long", locale=self._language)
        plain = format_decimal(count, locale=self._language)
        words = self._n.written(sign + found[1], gender)
        return written.replace(plain, words, 1).replace("\u00a0", " ")

    def _percent(self, match: re.Match[str]) -> str:
        name = self._w.permille if match[0].endswith("\u2030") else self._w.percent
        return f"{self._n.written(match[0][:-1].rstrip())} {name}"

    def _money(self, match: re.Match[str]) -> str:
        text = match[0]
        code = re.search(rf"[{''.join(CURRENCIES)}]|{'|'.join(CODES)}", text)
        assert code is not None
        found = self._sum.match((text[: code.start()] + text[code.end() :]).strip())
        assert found is not None
        number, scale = found[1], found[2].strip()
        whole, rest = self._n.parse(number)
        currency = CURRENCIES.get(code[0], code[0])
        if scale:
            scale = self._w.abbreviations.get(scale, scale)
            return (
                f"{self._n.written(number)} {scale} {self._of(self._currency(currency, 2), scale)}"
            )
        if rest and (len(rest) != 2 or currency == "JPY"):
            return f"{self._n.written(number)} {self._currency(currency, 2)}"
        said = f"{self._n.whole(whole, 'masculine')} {self._currency(currency, whole)}"
        if not int(rest or 0):
            return said
        joint = f" {self._w.and_cents}" if self._w.and_cents else ""
        return f"{said}{joint} {self._n.whole(int(rest))}"

    def _currency(self, code: str, count: int) -> str:
        from babel.numbers import get_currency_name

        if code == "$":
            return self._w.dollar[0 if count == 1 else 1]
        return str(get_currency_name(code, count, locale=self._language))

    def _of(self, name: str, scale: str) -> str:
        """Million *de* euros, where a language says so."""
        of = {"es": "de ", "fr": "de ", "it": "di ", "pt": "de "}.get(self._language, "")
        if not of or scale in ("mil", "mille", "mila"):
            return name
        return f"d'{name}" if self._language == "fr" and name[0] in "aeiou" else of + name

    def _range(self, match: re.Match[str]) -> str:
        low, high = re.split(r"\s?[\u2013\u2014]\s?", match[0])
        return f"{self._n.plain(low)} {self._w.to} {self._n.plain(high)}"

    def _ordinal(self, match: re.Match[str]) -> str:
        feminine = match[0].endswith(("ª", "re", "ère"))
        value = int(re.sub(r"\D", "", match[0]))
        return self._n.ordinal(value, "feminine" if feminine else "masculine")

    def _version(self, match: re.Match[str]) -> str:
        return f" {self._w.point} ".join(self._n.whole(int(one)) for one in match[0].split("."))

    def _phone(self, match: re.Match[str]) -> str:
        groups = [self._n.digits(group) for group in re.findall(r"\d+", match[0])]
        return "plus " + ", ".join(groups)

    def _url(self, match: re.Match[str]) -> str:
        text = match[0].rstrip(".,;:!?)'\"")
        tail = match[0][len(text) :]
        plain = re.sub(r"^(?:https?://)?(?:www\.)?", "", text).rstrip("/")
        host, _, path = plain.partition("/")
        path = re.split(r"[?#]", path, maxsplit=1)[0]
        said = self._spelt(host)
        if path and len(path) <= _LONGEST_PATH:
            said += f" {self._w.slash} {self._spelt(path)}"
        return said + tail

    def _mail(self, match: re.Match[str]) -> str:
        name, _, host = match[0].partition("@")
        return f"{self._spelt(name)} {self._w.at} {self._spelt(host)}"

    def _spelt(self, text: str) -> str:
        """The words of an address with its signs."""
        w = self._w
        names = {".": w.dot, "/": w.slash, "-": w.dash, "_": w.dash}
        parts = re.findall(r"[0-9]+|[^\W\d_]+|[./_-]", text)
        return " ".join(names.get(p) or (self._n.plain(p) if p.isdigit() else p) for p in parts)
