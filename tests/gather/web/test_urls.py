"""One spelling for URLs that ask for the same thing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.gather.web.urls import UrlError, canonical, of_canonical, shown

SAME = [
    ("HTTP://Example.COM:80/a/../b/./c%7e?x=%2f#f", "http://example.com/b/c~?x=%2F"),
    ("https://ex.am:443", "https://ex.am/"),
    ("https://ex.am:8443/", "https://ex.am:8443/"),
    ("http://b\u00fccher.example/\u00e4 \u00f6", "http://xn--bcher-kva.example/%C3%A4%20%C3%B6"),
    ("http://h.example/%zz", "http://h.example/%25zz"),
    ("http://h.example?q", "http://h.example/?q"),
    ("http://h.example/a//b", "http://h.example/a//b"),
    ("http://h.example/..//a/.", "http://h.example//a/"),
    ("http://h.example./x", "http://h.example/x"),
    (" http://h.example/x\n", "http://h.example/x"),
    ("http://[::FFFF:127.0.0.1]:80/", "http://[::ffff:127.0.0.1]/"),
]


@pytest.mark.parametrize(("text", "expected"), SAME)
def test_the_canonical_form(text: str, expected: str) -> None:
    assert canonical(text).text == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "scheme"),
        ("file:///etc/passwd", "scheme"),
        ("ftp://h/x", "scheme"),
        ("javascript:alert(1)", "scheme"),
        ("data:audio/wav;base64,AA", "scheme"),
        ("//h.example/x", "scheme"),
        ("http://", "bad_url"),
        ("http:///x", "bad_url"),
        ("http://a..b/", "bad_url"),
        ("http://h:99999/", "bad_url"),
        ("http://h:0/", "bad_url"),
        ("http://[::1/", "bad_url"),
        ("http://[fe80::1%25eth0]/", "bad_url"),
        ("http://h_.example:x/", "bad_url"),
        ("http://" + "a" * 64 + ".example/", "bad_url"),
        ("http://h/" + "a" * 9000, "bad_url"),
        ("http://user@h/", "user_info"),
        ("http://user:secret@h/", "user_info"),
    ],
)
def test_what_is_not_taken(text: str, code: str) -> None:
    with pytest.raises(UrlError) as caught:
        canonical(text)
    assert caught.value.code == code
    assert "secret" not in str(caught.value)


def test_references_are_resolved() -> None:
    assert canonical("../x?y", "http://h.example/a/b/c").text == "http://h.example/a/x?y"
    assert canonical("//o.example/z", "https://h.example/").text == "https://o.example/z"


@given(st.text(max_size=40), st.text(max_size=30))
def test_the_canonical_form_of_a_canonical_form_is_itself(path: str, query: str) -> None:
    try:
        found = canonical(f"http://h.example/{path}?{query}")
    except UrlError:
        return
    assert canonical(found.text) == found
    assert of_canonical(found.text) == found
    assert found.text.isascii() and " " not in found.text


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_an_error_that_can_be_shown(text: str) -> None:
    try:
        canonical(text)
    except UrlError as error:
        assert error.code in ("bad_url", "scheme", "user_info")
        assert str(error).isprintable() or not text.isprintable()
    assert len(shown(text)) <= 200


def test_passwords_and_control_characters_are_not_shown() -> None:
    assert shown("http://me:secret@h/p\x1b[31m") == "http://***@h/p?[31m"


@pytest.mark.parametrize(
    "text",
    [
        "http://[::1]:8080/x",
        "http://[::1]/",
        "https://a.example:8443/b?c=d",
        "http://127.0.0.1:9/",
        "https://a.example/",
    ],
)
def test_a_canonical_url_is_read_back_without_judging_it_again(text: str) -> None:
    assert of_canonical(text) == canonical(text)
