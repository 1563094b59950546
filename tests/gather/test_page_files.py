"""Files and tables of web text are found where pages are wanted, and nowhere else."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.gather.crawl import Crawl
from transforms.gather.digests import DigestMemory
from transforms.gather.entry import AUDIO, PAGES
from transforms.gather.found import DataError, Fetched
from transforms.gather.listing import find
from transforms.gather.page_files import (
    PageClaim,
    begins_like_html,
    page_claim,
    page_format,
    page_record,
    text_columns,
)
from transforms.gather.web.archives import unpacked

BOTH = AUDIO | PAGES
HTML = b"<!doctype html><html><body><p>Bread at six.</p></body></html>"


def parquet(**columns: list[object]) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


FILES = {
    "a.html": HTML,
    "b.htm": b"no tags at all",
    "c.xhtml": b"<?xml version='1.0'?><html/>",
    "d.txt": b"Bread at six.",
    "e.md": b"# Bread",
    "f.jsonl": json.dumps({"text": "Bread", "url": "https://x.example/"}).encode(),
    "g.csv": b"id,content\n1,Bread\n",
    "h.tsv": b"body\ttitle\nBread\tB\n",
    "i.parquet": parquet(text=["Bread"]),
    "j": HTML,
    "k.wav": b"RIFF\0\0\0\0WAVEfmt ",
    "l.jsonl": json.dumps({"audio": "k.wav", "text": "Bread"}).encode(),
    "m.csv": b"path,text\nk.wav,Bread\n",
    "n.jsonl": b"{broken\n",
    "o.parquet": b"PAR1 and no more",
    "p.csv": b"a,b\n1,2\n",
    "q.png": b"\x89PNG\r\n\x1a\n",
    "r.ndjson": b"\n\n" + json.dumps({"body": "Bread"}).encode(),
}
PAGE_FILES = {
    "a.html": "html",
    "b.htm": "html",
    "c.xhtml": "html",
    "d.txt": "text",
    "e.md": "markdown",
    "f.jsonl": "jsonl",
    "g.csv": "csv",
    "h.tsv": "tsv",
    "i.parquet": "parquet",
    "j": "html",
    "r.ndjson": "jsonl",
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, body in FILES.items():
        (folder / name).write_bytes(body)
    return folder


def test_audio_alone_is_what_it_was(data: Path) -> None:
    found = {item.source.uri: item for item in find(str(data), Crawl())}
    assert {uri for uri, item in found.items() if item.drop is None} == {"k.wav"}
    assert {item.drop.reason for item in found.values() if item.drop} == {"not_audio"}
    assert {item.source.kind for item in found.values()} == {"audio"}
    assert set(found) == set(FILES)


def test_pages_alone_leave_the_audio(data: Path) -> None:
    found = {item.source.uri: item for item in find(str(data), Crawl(), PAGES)}
    kept = {uri: item.format for uri, item in found.items() if item.drop is None}
    assert kept == PAGE_FILES
    assert {found[uri].source.kind for uri in kept} == {"page"}
    assert {item.drop.reason for item in found.values() if item.drop} == {"not_page"}
    assert set(found) == set(FILES)


def test_both_give_each_file_to_one(data: Path) -> None:
    found = list(find(str(data), Crawl(), BOTH))
    kinds = {item.source.uri: item.source.kind for item in found if item.drop is None}
    assert kinds == {**dict.fromkeys(PAGE_FILES, "page"), "k.wav": "audio"}
    ids = {item.source.uri: item.source.id for item in found}
    assert ids == {item.source.uri: item.source.id for item in find(str(data), Crawl())}


def test_a_glob_and_a_list_name_pages_too(data: Path) -> None:
    globbed = find(str(data / "*.html"), Crawl(), PAGES)
    assert [(item.source.uri, item.format) for item in globbed] == [("a.html", "html")]
    table = data / "list.csv"
    table.write_text("path,licence,language\na.html,CC0-1.0,en\nk.wav,,\nf.jsonl,,\n")
    found = list(find(str(table), Crawl(), PAGES))
    assert [(item.source.uri, item.format) for item in found] == [
        ("a.html", "html"), ("k.wav", ""), ("f.jsonl", "jsonl")
    ]  # fmt: skip
    assert found[0].source.licence == "CC0-1.0"
    assert found[1].drop is not None
    assert found[1].drop.reason == "not_page"


def test_a_text_table_is_one_file_and_a_table_of_audio_names_files(data: Path) -> None:
    (found,) = find(str(data / "f.jsonl"), Crawl(), PAGES)
    assert (found.source.kind, found.format) == ("page", "jsonl")
    (found,) = find(str(data / "l.jsonl"), Crawl(), BOTH)
    assert (found.source.kind, found.source.uri) == ("audio", "k.wav")
    with pytest.raises(DataError, match="unknown column 'url'"):
        find(str(data / "f.jsonl"), Crawl())


def test_a_folder_without_pages_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "k.wav").write_bytes(FILES["k.wav"])
    with pytest.raises(DataError, match="no page in DATA"):
        list(find(str(tmp_path), Crawl(), PAGES))


def test_a_page_is_digested_and_not_probed(data: Path) -> None:
    def probe(path: str) -> object:
        raise AssertionError(f"{path} was probed")

    found = list(find(str(data / "*.html"), Crawl(), PAGES))
    (fetched,) = Crawl()(found, probe, DigestMemory())  # type: ignore[arg-type]
    assert isinstance(fetched, Fetched)
    assert fetched.recording.size == len(HTML)
    assert (fetched.recording.container, fetched.recording.seconds) == ("html", 0.0)


def test_a_claim_says_which_column_is_what(data: Path) -> None:
    assert page_claim(str(data / "f.jsonl")) == PageClaim(
        format="jsonl", columns=(("text", "text"), ("url", "url"))
    )
    assert page_claim(str(data / "g.csv")) == PageClaim(
        format="csv", columns=(("text", "content"), ("id", "id"))
    )
    assert text_columns(["body", "content", "lang", "license"]) == {
        "text": "content", "language": "lang", "licence": "license"
    }  # fmt: skip
    assert text_columns(["text", "audio"]) is None
    assert text_columns([]) is None


def test_a_body_named_by_its_digest_is_told_by_its_address_or_its_bytes(tmp_path: Path) -> None:
    body = tmp_path / "0f3a"
    body.write_bytes(b"Bread at six.")
    assert page_format(str(body)) is None
    assert page_format(str(body), "https://x.example/notes.txt?v=1") == "text"
    body.write_bytes(b"\xef\xbb\xbf<!-- a -->\n<?xml version='1.0'?>" + HTML)
    assert page_format(str(body)) == "html"


@pytest.mark.parametrize(
    ("kind", "head", "page"),
    [
        ("text/html; charset=utf-8", b"<p>a fragment", True),
        ("application/xhtml+xml", b"<html>", True),
        ("text/html", b"ID3\x03", False),
        ("text/html", b"a\0b", False),
        ("", b"<!DOCTYPE html><html>", True),
        ("application/json", b"{}", False),
        ("text/plain", b"User-agent: *", False),
    ],
)
def test_a_record_is_a_page_by_its_type_or_beginning(kind: str, head: bytes, page: bool) -> None:
    assert page_record(kind, head) is page
    assert begins_like_html(b"<htmlx") is True  # what follows is not read: extract judges


def warc(path: Path, records: list[tuple[str, str, bytes]]) -> None:
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=True)
        for url, kind, body in records:
            headers = StatusAndHeaders("200 OK", [("Content-Type", kind)], protocol="HTTP/1.1")
            record = writer.create_warc_record(
                url, "response", payload=io.BytesIO(body), http_headers=headers
            )
            writer.write_record(record)


def test_html_records_of_a_warc_are_kept_where_pages_are_wanted(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    reserved = b"<html><head><meta name=robots content=noai></head><body>Mine."
    warc(
        path,
        [
            ("https://x.example/", "text/html", HTML),
            ("https://x.example/a.wav", "audio/wav", FILES["k.wav"]),
            ("https://x.example/mine", "text/html", reserved),
            ("https://x.example/robots.txt", "text/plain", b"User-agent: *"),
        ],
    )

    def told(**wanted: object) -> list[str]:
        rows = unpacked(
            str(path), tmp_path / "body", 1 << 20, "weaver", reservations=True, **wanted
        )  # type: ignore[arg-type]
        return [stored.reason for _, stored in rows]

    assert told() == ["wrong_type", "", "wrong_type", "wrong_type"]
    assert told(wanted=PAGES) == ["", "wrong_type", "opt_out", "wrong_type"]
    assert told(wanted=BOTH) == ["", "", "opt_out", "wrong_type"]
