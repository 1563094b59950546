"""Archives, tables and folders through the real `extract`, from DATA to documents of text."""

import io
import json
from pathlib import Path

import pytest

from schemas.settings import parse
from tests.extract.made_pages import article, html, paragraph
from tests.laws import runs
from tests.synthesize.documents import documents

pytestmark = pytest.mark.slow

RECIPE = """
name: pages
seed: 5
streams:
  text: [crawl, {extract: {min_characters: 100}}, dedup, interleave]
"""


def curated(data: Path, out: Path) -> runs.Ran:
    from pipeline.recipe import resolve

    return runs.curate(data, out, recipe=resolve(parse(RECIPE, "pages.yaml")))


def texts(ran: runs.Ran) -> dict[str, str]:
    """The text of each document by its source."""
    return {
        one.source: "".join(chunk.text for chunk in one.chunks) for one in documents(ran, "text")
    }


def warc(path: Path) -> None:
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    records = [
        ("https://x.example/a", "text/html", html(article(2))),
        ("https://x.example/b", "text/html; charset=utf-8", html(article(2, first=10))),
        ("https://x.example/c", "text/html", html("<p>Closed.</p>")),
        ("https://x.example/d.wav", "audio/wav", b"RIFF\0\0\0\0WAVEfmt "),
        ("https://x.example/e.json", "application/json", b"{}"),
    ]
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=True)
        for url, kind, body in records:
            headers = StatusAndHeaders("200 OK", [("Content-Type", kind)], protocol="HTTP/1.1")
            writer.write_record(
                writer.create_warc_record(
                    url, "response", payload=io.BytesIO(body), http_headers=headers
                )
            )


def test_the_html_of_an_archive_becomes_documents(tmp_path: Path) -> None:
    warc(tmp_path / "a.warc.gz")
    ran = curated(tmp_path / "a.warc.gz", tmp_path / "out")
    found = texts(ran)
    assert set(found) == {"https://x.example/a", "https://x.example/b"}
    assert found["https://x.example/b"] == f"The markets\n\n{paragraph(10)}\n\n{paragraph(11)}"
    left = {drop.reason: drop.items for row in ran.funnel for drop in row.drops}
    assert left == {"wrong_type": 2, "too_short": 1}


@pytest.mark.parametrize("kind", ["table", "folder", "file"])
def test_pages_are_named_in_every_way(tmp_path: Path, kind: str) -> None:
    """A table with a column of addresses is one of text here, not a list of what to fetch."""
    folder = tmp_path / "data"
    folder.mkdir()
    rows = [{"text": paragraph(n), "url": f"https://x.example/{n}"} for n in (20, 21, 20)]
    table, page = folder / "t.jsonl", folder / "p.html"
    if kind != "file":
        table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    if kind != "table":
        page.write_bytes(html(article(2)))
    data = {"table": table, "folder": folder, "file": page}[kind]
    found = texts(curated(data, tmp_path / "out"))
    of_table = {"https://x.example/20": paragraph(20), "https://x.example/21": paragraph(21)}
    of_page = {"p.html": f"The markets\n\n{paragraph(0)}\n\n{paragraph(1)}"}
    assert found == {
        **(of_table if kind != "file" else {}), **(of_page if kind != "table" else {})
    }  # fmt: skip
