"""Nothing that data holds becomes an element, an attribute, a control or a turn of direction."""

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.report import clean, markup
from pipeline.report.card import render_card
from pipeline.report.content import RunSummary
from pipeline.report.croissant import render_croissant
from pipeline.report.page import render_html
from pipeline.report.terminal import render_funnel
from tests.report.reading import Page

PAYLOADS = [
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</title><svg onload=alert(1)>",
    '" onmouseover="alert(1)" x="',
    "' onfocus='alert(1)' autofocus='",
    "--><script>alert(1)</script><!--",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "]]><x>",
    "\x1b[2J\x1b[31mred\x07\x9b31m",
    "\u202egnp.exe\u2066\u2069\u200f",
    "\ud800 lone \udfff",
    "a\x00b\r\nc\u2028d",
    "=cmd|' /C calc'!A0",
    "<a href=http://example.org>x</a>",
    "`` ``` | <b> [x](http://example.org) ![i](http://example.org)",
]
# Closed words that the records define; everything else may hold anything.
CLOSED = {"modality", "direction", "sha256"}
FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u206f\ud800-\udfff]"
)


def with_text(value: Any, text: str, name: str = "") -> Any:
    """`value` with every string inside it, but for closed words, replaced."""
    if isinstance(value, str):
        return value if name in CLOSED else text
    if isinstance(value, tuple):
        return tuple(with_text(item, text, name) for item in value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(
            value,
            **{f.name: with_text(getattr(value, f.name), text, f.name)
               for f in dataclasses.fields(value)},
        )  # fmt: skip
    return value


@pytest.fixture(scope="module")
def skeleton(run: RunSummary) -> list[tuple[str, tuple[str, ...]]]:
    return Page(render_html(with_text(run, "x"))).skeleton()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_in_every_string_makes_no_element_and_no_attribute(
    payload: str, run: RunSummary, skeleton: list[tuple[str, tuple[str, ...]]]
) -> None:
    text = render_html(with_text(run, payload))
    page = Page(text)
    assert page.skeleton() == skeleton
    assert page.comments == []
    assert not FORBIDDEN.search(text)
    text.encode("utf-8")


def test_words_that_are_safe_are_shown_as_they_are(run: RunSummary) -> None:
    page = Page(render_html(with_text(run, 'a <b> & "c" \u05d0\u200d\u5b57')))
    assert page.texts("h1") == ['a <b> & "c" \u05d0\u200d\u5b57']
    assert page.texts("p", "said")[0] == 'a <b> & "c" \u05d0\u200d\u5b57'


def test_the_skeleton_test_would_see_an_escape_that_is_missing(run: RunSummary) -> None:
    text = render_html(with_text(run, "needle"))
    broken = text.replace("<h1>needle", "<h1><wbr onerror=alert(1)></wbr>")
    assert Page(broken).skeleton() != Page(text).skeleton()


@given(text=st.text(min_size=1, max_size=40))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_comes_back_as_itself_less_what_is_removed(text: str) -> None:
    shown = markup.tag("p", text, title=text)
    page = Page(str(shown))
    assert [(t, set(a)) for t, a, _ in page.elements] == [("p", {"title"})]
    assert "".join(page.elements[0][2]) == clean.line(text)
    assert page.elements[0][1]["title"] == clean.line(text)
    assert not FORBIDDEN.search(str(shown))


@pytest.mark.parametrize("payload", PAYLOADS)
def test_the_terminal_gets_no_controls_and_no_long_lines(payload: str, run: RunSummary) -> None:
    text = render_funnel(with_text(run, payload))
    assert not FORBIDDEN.search(text)
    assert all(clean.width(line) <= 100 for line in text.splitlines())
    assert len(text.splitlines()) == len(render_funnel(with_text(run, "x")).splitlines())


@pytest.mark.parametrize("payload", PAYLOADS)
def test_card_and_croissant_hold_no_controls(payload: str, run: RunSummary) -> None:
    for text in (render_card(with_text(run, payload)), render_croissant(with_text(run, payload))):
        assert not FORBIDDEN.search(text)
        text.encode("utf-8")


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("script", {}),
        ("iframe", {}),
        ("p onclick", {}),
        ("a", {"href": "http://example.org"}),
        ("a", {"href": "javascript:alert(1)"}),
        ("audio", {"src": "http://example.org/a.flac"}),
        ("audio", {"src": 'data:audio/flac;base64,AA" onerror="x'}),
        ("p", {"onclick": "x"}),
        ("p", {"x y": "z"}),
    ],
)
def test_the_builder_refuses_what_a_report_must_not_hold(
    name: str, attributes: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="a report"):
        markup.tag(name, **attributes)


def test_lines_are_kept_in_blocks_and_joiners_everywhere() -> None:
    assert clean.block("a\r\nb\rc\td\x1b") == "a\nb\nc\td"
    assert clean.line("a\nb") == "a b"
    assert clean.line("\u0645\u06cc\u200c\u062e") == "\u0645\u06cc\u200c\u062e"
