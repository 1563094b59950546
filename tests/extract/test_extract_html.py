"""HTML, Markdown and plain text become pages, and what cannot be one says why."""

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import pytest

from schemas.ids import bytes_digest
from tests.extract.made_pages import (
    article,
    extracted,
    file_of,
    html,
    only_drop,
    only_page,
    paragraph,
    recorded,
    sentence,
    streamed,
)
from transforms.engines.models import ModelError
from transforms.extract import extract
from transforms.extract.extract import Extract, Extracting, address

STEP = Extract()
CC = "https://creativecommons.org/licenses/by/4.0/"
HEAD = (
    "<link rel=canonical href=https://markets.example.org/gate>"
    f"<link rel=license href={CC}>"
    '<meta property="article:published_time" content="2019-05-04T10:00:00Z">'
)


def test_an_article_becomes_a_page(model: Extracting, tmp_path: Path) -> None:
    data = html(article(4), HEAD)
    page = only_page(extracted(STEP, model, tmp_path / "a.html", data))
    assert page.text == "\n\n".join(["The markets", *map(paragraph, range(4))])
    assert page.id == bytes_digest(page.text.encode())
    assert page.root == bytes_digest(data)
    assert page.index == 0
    assert page.uri == "https://markets.example.org/gate"
    assert page.language == "en"
    assert page.language_probability is not None
    assert page.language_probability > 0.8
    assert page.date == "2019-05-04"
    assert page.licence == CC
    assert page.title


def test_boilerplate_and_scripts_are_left_out(model: Extracting, tmp_path: Path) -> None:
    body = "<script>var cookies = 'yes';</script><style>p {color: red}</style>" + article(3)
    text = only_page(extracted(STEP, model, tmp_path / "a.html", html(body))).text
    for word in ("Shop", "Imprint", "cookies", "color"):
        assert word not in text


def test_code_and_tables_of_data_are_left_out_and_prose_in_cells_is_kept(
    model: Extracting, tmp_path: Path
) -> None:
    inside = (
        f"<p>{paragraph(0)}</p><pre><code>for i in range(3):\n    print(i)</code></pre>"
        "<table><tr><th>Town</th><th>Baskets</th></tr><tr><td>Alba</td><td>1702</td></tr></table>"
        f"<table><tr><td>{paragraph(5)}</td></tr></table>"
        "<p>Call <code>weigh()</code> twice, said the clerk, and write both down in the book.</p>"
    )
    data = html(f"<article>{inside}<p>{paragraph(1)}</p></article>")
    text = only_page(extracted(STEP, model, tmp_path / "a.html", data)).text
    assert "print" not in text
    assert "1702" not in text
    assert paragraph(5) in text
    assert "Call weigh() twice" in text
    kept = Extract(include_tables=True)
    text = only_page(extracted(kept, model, tmp_path / "b.html", data)).text
    assert "Town; Baskets\nAlba; 1702" in text
    assert "print" not in text


def test_lists_keep_one_line_per_item(model: Extracting, tmp_path: Path) -> None:
    body = f"<article><p>{paragraph(0)}</p><ul><li>{sentence(90)}</li><li>{sentence(91)}</li></ul>"
    text = only_page(extracted(STEP, model, tmp_path / "a.html", html(body))).text
    assert f"{sentence(90)}\n{sentence(91)}" in text


# letters and joiners of Persian, which a linter takes for look-alikes
PERSIAN = "کتاب‌های کهنه را می‌خواند و برگ‌ها را یکی‌یکی ورق می‌زند، زیرا شب‌های زمستان بلند است"  # noqa: RUF001
ARABIC = "كان الخباز يفتح دكانه قبل طلوع الشمس، وكانت رائحة الخبز تملأ الشارع كله حتى الظهر"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"


@pytest.mark.parametrize(("words", "language"), [(PERSIAN, "fa"), (ARABIC, "ar")])
def test_right_to_left_text_is_kept_with_its_joiners(
    model: Extracting, tmp_path: Path, words: str, language: str
) -> None:
    said = [f"{words} {number}." for number in range(5)]
    body = "<article dir=rtl>" + "".join(f"<p>{one}</p>" for one in said) + "</article>"
    page = only_page(extracted(STEP, model, tmp_path / "a.html", html(body, language=language)))
    assert page.text == "\n\n".join(said)
    assert page.language == language


def test_emoji_inside_prose_are_kept_whole(model: Extracting, tmp_path: Path) -> None:
    body = f"<article><p>{paragraph(0)} {FAMILY} \U0001f389</p><p>{paragraph(1)}</p></article>"
    page = only_page(extracted(STEP, model, tmp_path / "a.html", html(body)))
    assert f"{FAMILY} \U0001f389" in page.text


def test_text_is_composed(model: Extracting, tmp_path: Path) -> None:
    """e and a combining accent, and the one character of both, are the same page."""
    apart = extracted(STEP, model, tmp_path / "a.txt", f"Cafe\u0301 {paragraph(0)}".encode())
    whole = extracted(STEP, model, tmp_path / "b.txt", f"Caf\u00e9 {paragraph(0)}".encode())
    assert only_page(apart).id == only_page(whole).id
    assert only_page(apart).root != only_page(whole).root


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("zero.html", b"", "empty"),
        ("empty.html", html(""), "empty"),
        ("script.html", html("<script>1</script>"), "empty"),
        ("short.html", html("<p>Closed on Monday.</p>"), "too_short"),
        ("deep.html", html("<div>" * 20_000 + paragraph(0)), "parser_limit"),
        ("unclosed.html", html("<b>" * 400_000 + paragraph(0)), "parser_limit"),
        ("lists.html", html("<ul><li>" * 50_000 + paragraph(0)), "parser_limit"),
        ("one_text.html", html("<p>" + paragraph(0) * 40_000), "parser_limit"),
        ("long.html", html("".join(f"<p>{paragraph(n)}</p>" for n in range(1_700))), "too_long"),
        ("code.html", html("<pre><code>" + "x = f(y)\n" * 90 + "</code></pre>"), "not_text"),
        ("code.md", b"# f\n\n```\n" + b"x = f(y)\n" * 90 + b"```\n", "not_text"),
        ("code.txt", b"def f(x):\n\n    return x + 1\n\nprint(f(2), end='')\n\n" * 9, "not_text"),
        (
            "numbers.html",
            html("<table>" + "".join(f"<tr><td>{n}<td>{n * 7}" for n in range(300)) + "</table>"),
            "not_text",
        ),
        ("emoji.html", html("<p>" + "\U0001f389 \U0001f389\U0001f389 " * 99), "not_text"),
        ("word.html", html(f"<article><p>{paragraph(0)}</p><p>{'x' * 10_000}</p>"), "huge_word"),
        ("picture.html", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8, "binary"),
        ("nul.txt", b"a\0b" * 300, "binary"),
        ("latin.txt", "Où est la clé? ".encode("latin-1") * 40, "encoding"),
        ("lie.html", b"<meta charset=utf-16>" + b"caf\xe9 \xff\xfe" * 300, "encoding"),
        ("made_up.html", b"<meta charset=klingon-8>" + b"caf\xe9 " * 300, "encoding"),
        ("half.txt", "\ufeff\u0416".encode("utf-16-le") * 99 + b"\x00\xd8" * 99, "encoding"),
    ],
)
def test_what_is_no_page_says_why(
    model: Extracting, tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    before = model.door.restarts
    drop = only_drop(extracted(STEP, model, tmp_path / name, data))
    assert (drop.reason, drop.step) == (reason, "extract")
    assert drop.id == drop.root == bytes_digest(data)
    assert drop.reason in Extract.reasons
    assert model.door.restarts == before  # none of these costs a child


def test_a_hostile_page_with_text_gives_its_text(model: Extracting, tmp_path: Path) -> None:
    entities = '<!DOCTYPE html [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    data = f"{entities}<html><body><p>{paragraph(0)} &b; <<< &#0; &#x110000; </p>".encode()
    page = only_page(extracted(STEP, model, tmp_path / "a.xhtml", data))
    assert page.text.startswith(paragraph(0))
    assert "aaaaaaaa" not in page.text
    assert "\0" not in page.text


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("utf-16", ""),
        ("cp1252", "<meta charset='iso-8859-1'>"),
        ("cp1250", '<meta http-equiv=Content-Type content="text/html; charset=windows-1250">'),
        ("utf-8", "<meta charset=latin-1>"),
    ],
)
def test_encodings_that_are_declared_are_read(
    model: Extracting, tmp_path: Path, encoding: str, declared: str
) -> None:
    text = html(f"<article><p>Müller's “café” at Évian. {paragraph(0)}</p></article>", declared)
    data = text.decode().encode(encoding, "xmlcharrefreplace")
    page = only_page(extracted(STEP, model, tmp_path / "a.html", data))
    assert page.text.startswith("Müller's “café” at Évian.")


def test_the_recipe_can_say_what_silent_files_are_in(model: Extracting, tmp_path: Path) -> None:
    data = f"Où est la clé? {paragraph(0)}".encode("latin-1")
    step = Extract(fallback_encoding="latin-1")
    page = only_page(extracted(step, model, tmp_path / "a.txt", data))
    assert page.text.startswith("Où est la clé?")
    with pytest.raises(ValueError, match="no encoding"):
        Extract(fallback_encoding="rot13")


def test_a_few_broken_bytes_are_left_out(model: Extracting, tmp_path: Path) -> None:
    data = paragraph(0, 12).encode() + b" fin\xc3"  # cut in the middle of a character
    assert only_page(extracted(STEP, model, tmp_path / "a.txt", data)).text.endswith(" fin")


def test_markdown_becomes_what_a_reader_would_say(model: Extracting, tmp_path: Path) -> None:
    text = (
        "---\ntitle: Market days\nlang: en\nlicense: CC-BY-4.0\n---\n"
        f"# Gates *and* towers\n\n{sentence(1)}\n{sentence(2)} See [the list](http://x.example).\n"
        f"\n- first `rope`\n- then **salt**\n\n```python\nx = 1\n```\n\n{sentence(3)}\n"
    )
    page = only_page(extracted(STEP, model, tmp_path / "a.md", text.encode()))
    assert page.text == (
        f"Gates and towers\n\n{sentence(1)} {sentence(2)} See the list.\n\n"
        f"first rope\nthen salt\n\n{sentence(3)}"
    )
    assert (page.title, page.language, page.licence) == ("Market days", "en", "CC-BY-4.0")
    assert page.language_probability is None  # given, not told from the text


def test_plain_text_broken_to_fit_a_screen_is_joined(model: Extracting, tmp_path: Path) -> None:
    wrapped = "\r\n".join(sentence(1).split(". ")[0].split(", "))
    text = f"{wrapped}\r\n\r\n{sentence(2)}"
    page = only_page(extracted(STEP, model, tmp_path / "a.txt", text.encode()))
    assert page.text == f"{' '.join(wrapped.split())}\n\n{sentence(2)}"


def test_languages_are_told_and_filtered(model: Extracting, tmp_path: Path) -> None:
    german = "Der Bäcker öffnet um sechs die Tür, und der Duft von Brot zieht durch die Straße. "
    data = (german * 5).encode()
    page = only_page(extracted(STEP, model, tmp_path / "a.txt", data))
    assert page.language == "de"
    drop = only_drop(extracted(Extract(languages=("en",)), model, tmp_path / "a.txt", data))
    assert (drop.reason, drop.detail) == ("wrong_language", "de")


@pytest.mark.parametrize(
    ("fetched", "claimed", "own"),
    [
        ("a.html", "https://x.example/1", "https://x.example/1"),
        ("a.html", "", "a.html"),
        ("a.html", "ftp://x.example/1", "a.html"),
        ("https://x.example/1?p=2", "https://x.example/1", "https://x.example/1"),
        ("https://www.x.example/1", "https://x.example/1", "https://x.example/1"),
        ("https://spam.example/1", "https://wikipedia.org/", "https://spam.example/1"),
        ("https://notx.example/1", "https://x.example/1", "https://notx.example/1"),
    ],
)
def test_a_page_that_was_fetched_cannot_claim_another_host(
    fetched: str, claimed: str, own: str
) -> None:
    assert address(fetched, claimed) == own


def test_domains_keep_pages_and_keep_them_out(tmp_path: Path) -> None:
    data = html(article(3))
    (tmp_path / "good.txt").write_text("# ours\nexample.org\n\n*.ac.uk # schools\n")
    step = Extract(allow_domains="good.txt", deny_domains=("bad.example.org",)).bound(tmp_path)
    (tmp_path / "good.txt").unlink()  # a worker on another machine has no such file
    step = pickle.loads(pickle.dumps(step))
    model = step.load()
    try:
        for uri, kept in [
            ("https://example.org/a", True),
            ("http://deep.www.example.org/", True),
            ("https://www.cam.ac.uk/", True),
            ("https://counterexample.org/", False),
            ("https://bad.example.org/", False),
            ("https://very.bad.example.org/", False),
            ("a.html", False),
        ]:
            (found,) = extracted(step, model, tmp_path / "a.html", data, uri)
            reason = getattr(found, "reason", None)
            assert reason == (None if kept else "domain_not_allowed"), uri
    finally:
        model.close()


def test_a_file_that_changed_is_not_read_under_its_old_name(
    model: Extracting, tmp_path: Path
) -> None:
    path = tmp_path / "a.html"
    file = file_of(path, html(article(3)))
    path.write_bytes(html(article(3, first=7)))
    assert only_drop(list(streamed(STEP, model, path, file))).reason == "changed"
    path.unlink()
    assert only_drop(list(streamed(STEP, model, path, file))).reason == "io"


def test_a_name_without_suffix_is_told_by_its_bytes(model: Extracting, tmp_path: Path) -> None:
    page = only_page(extracted(STEP, model, tmp_path / "body", html(article(3))))
    assert page.text.startswith("The markets")
    other = extracted(STEP, model, tmp_path / "body2", paragraph(0).encode())
    assert only_drop(other).reason == "not_page"
    told = extracted(STEP, model, tmp_path / "b", paragraph(0).encode(), container="text")
    assert only_page(told).text == paragraph(0)


@pytest.mark.parametrize("favour", ["precision", "balanced", "recall"])
def test_the_same_page_every_time_and_whatever_came_before(
    model: Extracting, tmp_path: Path, favour: str
) -> None:
    step = Extract.model_validate({"favour": favour})
    data = html(article(5), HEAD)
    first = extracted(step, model, tmp_path / "a.html", data)
    for other in (html(article(2, first=50)), html("<div>" * 300), b"", html(article(9))):
        extracted(step, model, tmp_path / "b.html", other)
    assert extracted(step, model, tmp_path / "a.html", data) == first
    fresh = step.load()
    try:
        assert extracted(step, fresh, tmp_path / "a.html", data) == first
    finally:
        fresh.close()


def test_the_date_does_not_hang_on_the_day_of_the_run(model: Extracting, tmp_path: Path) -> None:
    """A page of the future is dated as it says; htmldate would take today for the latest date."""
    head = '<meta property="article:published_time" content="2061-07-28">'
    page = only_page(extracted(STEP, model, tmp_path / "a.html", html(article(3), head)))
    assert page.date == "2061-07-28"


BY = "https://creativecommons.org/licenses/by/4.0/"


@pytest.mark.parametrize(
    ("links", "licence"),
    [
        ("<p>All rights reserved.</p>", None),
        (f"<a href={BY}>CC BY</a>", BY),
        ("<a href=//www.creativecommons.org/licenses/by/4.0/deed.de>CC BY</a>", BY),
        (f"<a rel=license href={BY}deed.fr>a</a><a rel=license href=/terms>b</a>", BY),
        (
            f"<a rel=license href={BY}>a</a><a href={BY.replace('by/', 'by-nc/')}>a picture's</a>",
            None,
        ),
        (f"<a href={BY}>a</a><a href={BY.replace('by/', 'by-nc/')}>b</a>", None),
        ("<a rel=license href=/mine>a</a><a rel=license href=/yours>b</a>", None),
        ("<a rel=license href=https://x.example/mine>a</a>", "https://x.example/mine"),
        (
            "<a href=https://creativecommons.org/publicdomain/zero/1.0/legalcode>0</a>",
            "https://creativecommons.org/publicdomain/zero/1.0/",
        ),
        (
            "<a href=https://creativecommons.org/licenses/by-sa/3.0/at/deed.de>a</a>",
            "https://creativecommons.org/licenses/by-sa/3.0/at/",
        ),
        ("<a href=https://creativecommons.org/about>about them</a>", None),
    ],
)
def test_a_licence_is_kept_where_a_page_names_one(
    model: Extracting, tmp_path: Path, links: str, licence: str | None
) -> None:
    data = html(article(3) + links)
    assert only_page(extracted(STEP, model, tmp_path / "a.html", data)).licence == licence


def test_a_licence_can_stand_in_the_meta_tags(model: Extracting, tmp_path: Path) -> None:
    for content, licence in [("CC0-1.0", "CC0-1.0"), (BY + "legalcode", BY)]:
        head = f"<meta name=dcterms.license content='{content}'>"
        page = only_page(extracted(STEP, model, tmp_path / "a.html", html(article(3), head)))
        assert page.licence == licence


@pytest.mark.corpus
def test_real_pages_give_their_text(model: Extracting, shared_corpus: Path) -> None:
    """Seven pages as they stood on the web: language, licence and a sentence of each."""
    told = {
        "creativecommons.org.html": ("en", BY, "legally share your knowledge"),
        "en.wikipedia.org.tsne.html": ("en", None, "nonlinear dimensionality reduction"),
        "stackoverflow.com.rust.html": ("en", None, "Rust"),
        "arsnova.thm.de.frag.html": ("de", BY.replace("by/", "by-sa/"), "frag.jetzt"),
        "wiki.python.org.Download.html": ("en", None, "Python"),
    }
    for name, (language, licence, words) in told.items():
        path = shared_corpus / "text" / "html" / name
        page = only_page(list(streamed(STEP, model, path, recorded(path))))
        assert page.language == language, name
        assert licence is None or page.licence == licence, name
        assert words in page.text, name
        assert "<" not in page.text[:200], name
        assert "function(" not in page.text, name


def test_a_library_that_is_missing_is_told_before_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extract, "LIBRARIES", ("trafilatura", "no-such-library"))
    with pytest.raises(ModelError, match=r"extract.*no-such-library.*make setup"):
        Extract().fingerprint()


def test_what_changes_the_text_is_in_the_fingerprint(tmp_path: Path) -> None:
    import trafilatura

    own = Extract().fingerprint()
    assert own["trafilatura"] == trafilatura.__version__
    assert own["allow_domains"] is None
    built_in = Extract(allow_domains="knowledge").fingerprint()["allow_domains"]
    assert built_in["version"] == 1
    listed = tmp_path / "list.txt"
    listed.write_text("a.example\n")
    before = Extract(allow_domains="list.txt").bound(tmp_path).fingerprint()
    listed.write_text("b.example\n")
    assert Extract(allow_domains="list.txt").bound(tmp_path).fingerprint() != before


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"min_characters": 300, "max_characters": 200}, "max_characters"),
        ({"languages": ["English"]}, "language"),
        ({"allow_domains": ["not a domain"]}, "domain"),
        ({"allow_domains": "nowhere.txt"}, "nowhere.txt"),
        ({"deny_domains": [""]}, "domain"),
        ({"favor": "recall"}, "favor"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    tmp_path: Path, settings: dict[str, object], word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        Extract.model_validate(settings).bound(tmp_path)


def test_records_are_what_gather_gave(model: Extracting, tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    file = file_of(path, html(article(3)))
    with pytest.raises(ValueError, match="path"):
        list(STEP([file], model, _scope_without_path(file)))
    assert dataclasses.replace(file, container="html").container == "html"


def _scope_without_path(file: Any) -> Any:
    from transforms.step import Scope

    return Scope(root=file, seed=1)
