"""What a page's text may hold, as rules for all texts; and the lists of domains."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.extract import domains, plain
from transforms.extract.encoding import Unreadable, decoded, known
from transforms.extract.judging import Bounds, refusal

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
GONE = set("\u00ad\ufeff\ufffe\uffff") | {chr(code) for code in (*range(32), *range(127, 160))}


def letters(text: str) -> str:
    """What may never be lost: all but blanks and characters that stand for nothing."""
    kept = "".join(one for one in text if one not in GONE and not one.isspace())
    return unicodedata.normalize("NFC", kept)


@given(TEXT)
def test_no_letter_is_lost_and_none_is_made(text: str) -> None:
    for found in (plain.paragraphs(text), plain.joined([text])):
        assert letters(found) == letters(plain.tidy(text).replace(" ", ""))


@given(TEXT)
def test_paragraphs_are_parted_by_one_blank_line(text: str) -> None:
    found = plain.paragraphs(text)
    assert found == found.strip()
    assert "\n\n\n" not in found
    assert "\r" not in found
    assert all(" ".join(line.split()) == line for line in found.split("\n"))
    assert plain.joined(found.split("\n\n")) == found


@given(st.lists(st.sampled_from(["One went out.", "Two came back.", "- item", "x" * 120])))
def test_paragraphs_of_paragraphs_are_themselves(lines: list[str]) -> None:
    once = plain.paragraphs("\n\n".join(lines))
    assert plain.paragraphs(once) == once


def test_joiners_stay_and_what_stands_for_nothing_goes() -> None:
    # signs that look like others are what this is about
    text = "می\u200cخواهم \U0001f468\u200d\U0001f469 so\u00adft \ufeffa\x07b"  # noqa: RUF001
    assert plain.tidy(text) == "می\u200cخواهم \U0001f468\u200d\U0001f469 soft ab"  # noqa: RUF001


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("broken\nto fit a screen\n\nand another", "broken to fit a screen\n\nand another"),
        ("第一行没有空格\n第二行也没有", "第一行没有空格第二行也没有"),
        ("- one\n- two\n\n1. three\n2. four", "- one\n- two\n\n1. three\n2. four"),
        ("A list:\n- one\n- two", "A list:\n- one\n- two"),
        ("x" * 101 + "\n" + "y" * 101, "x" * 101 + "\n\n" + "y" * 101),
        ("a\u2028b\x85c", "a b c"),
        ("\n\n  \n", ""),
    ],
)  # fmt: skip
def test_lines_that_belong_together(text: str, whole: str) -> None:
    assert plain.paragraphs(text) == whole


@pytest.mark.parametrize(
    ("line", "prose"),
    [
        ("The baker opens at six, and by seven the shelves are half empty.", True),
        ("In 1999 it rose by 25 %, to $ 3.40 (and not $ 3.10).", True),
        ("今天天气很好、我们去公园。", True),
        ("यह रोटी की दुकान सुबह छह बजे खुलती है।", True),
        ("From here, return by the import road; for the class, see below.", True),
        ("Bread \U0001f35e\U0001f35e\U0001f35e \U0001f35e", True),
        ("def area(width, height):", False),
        ("    return width * height", False),
        ("const total = items.map(x => x.price);", False),
        ("#include <stdio.h>", False),
        ("print(area(width, height), end='')", False),
        ("Bring the basket(s) and the rope (the long one)", True),
        ("1702 1703 1704 88.1", False),
        ("| a | b | 3 |", False),
        ("\U0001f389\U0001f389 \U0001f389", False),
    ],
)
def test_prose_is_told_from_code_and_numbers(line: str, prose: bool) -> None:
    assert plain.prose_share(line) == float(prose)


def test_words_are_measured_between_blanks_and_full_width_signs() -> None:
    assert plain.longest_word("") == 0
    assert plain.longest_word("three words here") == 5
    assert plain.longest_word("没有空格的句子。" * 5_000) == 7
    assert plain.longest_word("x" * 10_000 + " y") == 10_000


def test_each_bound_has_its_reason() -> None:
    prose = "It was cold, and the gate stayed shut. " * 5
    bounds = Bounds(min_characters=20, max_characters=300, max_word=30, min_prose=0.5)
    assert refusal(prose, 0, bounds) is None
    for text, left, code in [
        ("", 0, "empty"),
        ("", 9, "not_text"),
        ("Too little.", 0, "too_short"),
        ("Too little.", 99, "not_text"),
        (prose * 2, 0, "too_long"),
        (prose + "y" * 31, 0, "huge_word"),
        ("12 34 56 78 " * 9, 0, "not_text"),
    ]:
        found = refusal(text, left, bounds)
        assert found is not None
        assert found.code == code, text
    assert refusal("12 34", 0, Bounds()) is None  # all off


@given(st.binary(max_size=400))
def test_bytes_become_text_or_a_refusal(data: bytes) -> None:
    for html in (True, False):
        try:
            text = decoded(data, html)
        except Unreadable as error:
            assert error.code in ("binary", "encoding")
        else:
            assert "\ufffd" not in text or "\ufffd".encode() in data
            text.encode()


@given(st.sampled_from(["rot13", "hex", "utf-7", "idna", "unicode_escape", "zlib", "nope", ""]))
def test_codecs_that_are_no_charsets_are_unknown(name: str) -> None:
    assert known(name) is None


@given(TEXT)
def test_utf_8_is_utf_8_whatever_is_declared(text: str) -> None:
    page = f"<meta charset=latin-1>{text}"
    assert decoded(page.encode(), True) == page


def test_the_built_in_list_is_well_formed() -> None:
    found = domains.built_in("knowledge")
    assert found["version"] == 1
    listed = [one for group in found["domains"].values() for one in group]
    assert len(listed) == len(set(listed)), "an entry stands twice"
    entries = domains.entries("knowledge", Path())
    assert len(entries) == len(listed) > 200
    for uri, entry in [
        ("https://en.wikipedia.org/wiki/Bread", "wikipedia.org"),
        ("https://web.mit.edu/", "edu"),
        ("https://cs.stackexchange.com/q/1", "stackexchange.com"),
        ("https://www.nhs.uk/", "nhs.uk"),
        ("https://notwikipedia.org/", None),
        ("https://edu.example.com/", None),
    ]:
        assert domains.listed(domains.host_of(uri) or "", entries) == entry


@pytest.mark.parametrize("bad", ["", "*", "a b", "http://x.example/", "x..y", "a/b", "é" * 80])
def test_what_is_no_domain_is_refused(bad: str) -> None:
    with pytest.raises(ValueError, match="no domain"):
        domains.checked(bad, "the list")


def test_domains_have_one_spelling() -> None:
    assert domains.checked(" *.Bücher.Example. ", "x") == "xn--bcher-kva.example"
    assert domains.host_of("https://BÜCHER.example:80/a") == "xn--bcher-kva.example"
    assert domains.host_of("https://[broken") is None
    assert domains.host_of("a.html") is None


@given(st.text(st.characters(max_codepoint=127), max_size=200))
def test_the_quick_way_for_ascii_counts_as_the_other(line: str) -> None:
    count = sum(map(len, line.split()))
    assert plain._counted(line, count) == tuple(
        found - extra
        for found, extra in zip(plain._counted(line + "\u00e9", count + 1), (1, 0, 0), strict=True)
    )
