"""What is written, and how it is said."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.synthesize.spoken_form import LANGUAGES, _reader, spoken_form
from transforms.synthesize.spoken_numbers import number_forms, numbers

ENGLISH = {
    # numbers
    "It has 7 legs.": "It has seven legs.",
    "1,234 people": "one thousand two hundred thirty-four people",
    "3.14 and 0.50": "three point one four and zero point five zero",
    "-3.2 and \u22125": "minus three point two and minus five",
    "in 1984 and 2026, not 2001": "in nineteen eighty-four and twenty twenty-six, "
    "not two thousand one",
    "agent 007": "agent zero zero seven",
    "version 1.2.3": "version one point two point three",
    "the 21st and 2nd": "the twenty-first and second",
    "pages 10\u201320": "pages ten to twenty",
    "the 1990s and 80s": "the nineteen nineties and eighties",
    "COVID-19, H2O, B12": "COVID-nineteen, H2O, B12",
    # units and shares
    "5 km/h, 1 km, 2 lbs": "five kilometers per hour, one kilometer, two pounds",
    "-3 \u00b0C": "minus three degrees Celsius",
    "50% or 2.5 %": "fifty percent or two point five percent",
    "100 m\u00b2": "one hundred square meters",
    # money
    "$3.50, $1 and $5.00": "three dollars fifty, one dollar and five dollars",
    "$2.5 million": "two point five million dollars",
    "\u20ac5 or 5 EUR": "five euros or five euros",
    "\u00a5500": "five hundred Japanese yen",
    # dates and times
    "on 2026-11-21": "on November twenty-first, twenty twenty-six",
    "May 3, 2020": "May third, twenty twenty",
    "3 May 2020": "third May twenty twenty",
    "the 3rd of May": "the third of May",
    "12/25/2026": "December twenty-fifth, twenty twenty-six",
    "3/4/2026": "three, four, twenty twenty-six",
    "99/99/2026": "ninety-nine, ninety-nine, twenty twenty-six",
    "2026-13-45": "two thousand twenty-six thirteen forty-five",
    "at 10:30 am, 9:05 and 9:00": "at ten thirty a m, nine oh five and nine o'clock",
    "45 May": "forty-five May",
    # words and signs
    "Dr. Smith, e.g. at No. 5": "Doctor Smith, for example at number five",
    "salt & pepper": "salt and pepper",
    "1 + 1 = 2": "one plus one equals two",
    # addresses
    "See https://www.example.org/page-1.": "See example dot org slash page dash one.",
    "https://example.org/" + "x" * 60 + "?q=1": "example dot org",
    "a.b@example.org": "a dot b at example dot org",
    "+49 30 1234567": "plus four nine, three zero, one two three four five six seven",
    # lists and notes
    "1. First\n2. Second\n\u2022 third": "First\nSecond\nthird",
    "It is so.[12] And so.": "It is so. And so.",
}
OTHERS = [
    ("de", "Am 3. Mai 1984", "Am dritten Mai neunzehnhundertvierundachtzig"),
    ("de", "Der 3. Mai", "Der dritte Mai"),
    ("de", "3,50 \u20ac, ca. 5 %", "drei Euro fünfzig, circa fünf Prozent"),
    ("de", "1.234,5 km", "eintausendzweihundertvierunddreißig Komma fünf Kilometer"),
    ("de", "1 h, 1 km, 1.5 km", "eine Stunde, ein Kilometer, eins Komma fünf Kilometer"),
    ("de", "z. B. um 10:30 Uhr", "zum Beispiel um zehn Uhr dreißig"),
    ("de", "5 Mrd. \u20ac", "fünf Milliarden Euro"),
    ("de", "am 21.11.2026", "am einundzwanzigsten November zweitausendsechsundzwanzig"),
    ("fr", "Le 1er mai 2020", "Le premier mai deux mille vingt"),
    (
        "fr",
        "1\u202f234,5 km à 10:30",
        "mille deux cent trente-quatre virgule cinq kilomètres à dix heures trente",
    ),
    ("fr", "la 2e fois, 3 millions \u20ac", "la deuxième fois, trois millions d'euros"),
    ("es", "El 3 de mayo de 2020", "El tres de mayo de dos mil veinte"),
    ("es", "21 años, 1 h, la 2ª", "veintiún años, una hora, la segunda"),
    ("es", "3,50 \u20ac, 5 %", "tres euros con cincuenta, cinco por ciento"),
    ("it", "Il 1 maggio 2020, 3,50 \u20ac", "Il primo maggio duemilaventi, tre euro e cinquanta"),
    ("pt", "1 de maio, às 10:30", "primeiro de maio, às dez e trinta"),
    (
        "nl",
        "\u20ac 3,50 om 10:30 uur, de 2e keer",
        "drie euro vijftig om tien uur dertig, de tweede keer",
    ),
]


@pytest.mark.parametrize("written", ENGLISH)
def test_english(written: str) -> None:
    assert spoken_form(written, "en") == ENGLISH[written]


@pytest.mark.parametrize(("language", "written", "said"), OTHERS)
def test_other_languages(language: str, written: str, said: str) -> None:
    assert spoken_form(written, language) == said


def test_a_region_is_a_language() -> None:
    assert spoken_form("5 km", "en-GB") == spoken_form("5 km", "EN_us") == "five kilometers"


@pytest.mark.parametrize("language", [None, "pl", "ja", "", "xx"])
def test_languages_that_are_not_known_stay_as_they_are(language: str | None) -> None:
    text = "1. 5 km, 3,50 \u20ac, [12]"
    assert spoken_form(text, language) == text


@pytest.mark.parametrize("language", LANGUAGES)
def test_plain_words_stay_as_they_are(language: str) -> None:
    text = "A plain sentence, with a comma; and (brackets).\n\nAnother paragraph?"
    assert spoken_form(text, language) == text


@settings(max_examples=150)
@given(st.text(max_size=80), st.sampled_from(LANGUAGES))
def test_any_text_has_a_spoken_form_that_is_its_own(text: str, language: str) -> None:
    said = spoken_form(text, language)
    assert said.count("\n") <= text.count("\n")
    assert not any(sign in said for sign in "\u20ac\u2030") or any(
        sign in text for sign in "\u20ac\u2030"
    )


@settings(max_examples=200)
@given(st.integers(0, 10**12), st.sampled_from(LANGUAGES))
def test_no_digit_is_left_of_a_number(value: int, language: str) -> None:
    said = spoken_form(f"x {value} y", language)
    assert not any(character.isdigit() for character in said)
    assert said.startswith("x ") and said.endswith(" y")


def test_a_long_line_takes_no_time_to_speak_of() -> None:
    hostile = ["1" * 20_000, "1," * 10_000, "a." * 10_000, "+1 " * 5_000, "https://" * 3_000]
    began = time.monotonic()
    for text in hostile:
        spoken_form(text, "en")
    assert time.monotonic() - began < 20


def test_forms_of_a_number() -> None:
    forms = number_forms(1984, "en")
    assert {"nineteen eighty four", "one thousand nine hundred eighty four"} <= forms
    assert "one thousand nine hundred and eighty four" in forms
    assert "one nine eight four" in forms
    assert "nineteen nineties" in number_forms(1990, "en")
    assert number_forms(5, None) == frozenset()
    assert numbers("en").whole(10**15) == " ".join(["one"] + ["zero"] * 15)


PIECES = [
    "5",
    "\u0663",
    " ",
    "  ",
    "@",
    "://",
    "https://x.test",
    "www.",
    "x",
    "Dr.",
    "e.g.",
    "z. B.",
]


@pytest.mark.parametrize("language", LANGUAGES)
@given(
    text=st.lists(st.sampled_from([*PIECES, "&", "%", "\u20ac", "+", "=", "May", "."])).map("".join)
)
def test_what_is_passed_by_unread_has_nothing_to_read(language, text):
    """The quick look at a sentence misses nothing that the whole search would find."""
    reader = _reader(language)
    slow = reader._any.sub(lambda match: reader._read_as[str(match.lastgroup)](match), text)
    assert reader.read(text) == slow
