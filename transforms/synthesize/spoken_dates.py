"""Dates and times of day in words."""

import datetime
import functools
import re

from transforms.synthesize.spoken_numbers import numbers
from transforms.synthesize.spoken_words import WORDS


@functools.cache
def months(language: str) -> tuple[str, ...]:
    """The names of the months, from January on (Babel, made of CLDR)."""
    from babel.dates import get_month_names

    found = get_month_names("wide", locale=language)
    return tuple(str(found[month]) for month in range(1, 13))


def iso_date(text: str, language: str, ending: str = "") -> str:
    """2026-11-21. `ending`: of a German ordinal (n: am einundzwanzigsten)."""
    year, month, day = (int(part) for part in text.split("-"))
    number = numbers(language)
    said = _date(year, month, day, language, ending)
    return said or " ".join(map(number.whole, (year, month, day)))


def written_date(text: str, language: str, ending: str = "") -> str:
    """21.11.2026 or 21/11/2026. In English the order of day and month differs by country: where
    both are possible, the numbers are read as they stand."""
    one, two, year = (int(part) for part in re.split(r"[./]", text))
    day, month = (two, one) if language == "en" and two > 12 else (one, two)
    doubt = language == "en" and one <= 12 and two <= 12 and one != two
    number = numbers(language)
    said = None if doubt else _date(year, month, day, language, ending)
    return said or ", ".join((number.whole(one), number.whole(two), number.year(year)))


def _date(year: int, month: int, day: int, language: str, ending: str) -> str | None:
    try:
        datetime.date(year, month, day)
    except ValueError:
        return None
    number, words = numbers(language), WORDS[language]
    return words.date.format(
        day=words.first if day == 1 and words.first else number.whole(day),
        ordinal=number.ordinal(day, ending),
        month=months(language)[month - 1],
        year=number.year(year),
    )


def day_pattern(language: str) -> str:
    """A day beside the name of its month, and its year: "May 3, 2020", "am 3. Mai"."""
    names = "|".join(re.escape(name) for name in months(language))
    joint = {
        "en": r"(?:st|nd|rd|th)?\s(?:of\s)?",
        "de": r"\.\s",
        "fr": r"(?:er)?\s",
        "es": r"\sde\s",
        "pt": r"\sde\s",
    }.get(language, r"\s")
    year = r"(?:(?:\sdel?|,)?\s\d{4}(?!\d))?"
    before = r"(?:(?:[Aa]m|[Vv]om|[Zz]um|[Dd]e[mn]|[Bb]eim|[Bb]is)\s)?" if language == "de" else ""
    day = rf"{before}\d{{1,2}}{joint}(?:{names}){year}"
    if language != "en":
        return day
    return rf"(?:(?:{names})\s\d{{1,2}}(?:st|nd|rd|th)?(?!\d){year}|{day})"


def day_and_month(text: str, language: str) -> str:
    """What `day_pattern` finds."""
    number, words = numbers(language), WORDS[language]
    found = re.search(r"(?<!\d)\d{1,2}(?!\d)", text)
    assert found is not None
    day = int(found[0])
    if not 1 <= day <= 31:
        return re.sub(r"\d+", lambda match: number.plain(match[0]), text)
    if language == "de":
        said = number.ordinal(day, "n" if found.start() else "")
    elif language == "en":
        said = number.ordinal(day)
    else:
        said = words.first if day == 1 and words.first else number.whole(day)
    after = re.sub(r"^(?:st|nd|rd|th|er|\.)", "", text[found.end() :])
    after = re.sub(r"\d{4}", lambda match: number.year(int(match[0])), after)
    return text[: found.start()] + said + after


def time_of_day(text: str, language: str) -> str:
    """10:30, 10:30 am, 10:30 Uhr; seconds are left out."""
    match = re.match(r"(\d{1,2}):(\d\d)(?::\d\d)?\s*(.*)", text, re.DOTALL)
    assert match is not None
    number, words = numbers(language), WORDS[language]
    hour, minute = int(match[1]), int(match[2])
    gender = {"de": "masculine"}.get(language, "feminine" if words.feminine else "")
    half = re.sub(r"[.\s]", "", match[3]).lower()
    tail = f" {' '.join(half)}" if half in ("am", "pm") else ""
    minutes = number.whole(minute)
    if language == "en" and 0 < minute < 10:
        minutes = f"oh {minutes}"
    pattern = words.time if minute else "{hour}" if tail else words.full_hour
    hours = "heure" if hour == 1 else "heures"
    return pattern.format(hour=number.whole(hour, gender), minute=minutes, hours=hours) + tail
