"""WARC files: made ones with every kind of record and break, and real ones."""

import hashlib
import io
import os
from collections import Counter
from pathlib import Path

import pytest

from transforms.gather.web.warcs import REASONS, Stored, records

AUDIO = b"fLaC" + bytes(range(256)) * 40


def made(gzipped: bool = True, **extra: str) -> bytes:
    """A WARC of eight records."""
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    out = io.BytesIO()
    writer = WARCWriter(out, gzip=gzipped)

    def add(kind: str, url: str, payload: bytes, status: str = "200 OK", **headers: str) -> None:
        http = StatusAndHeaders(status, list(headers.items()), protocol="HTTP/1.1")
        writer.write_record(
            writer.create_warc_record(url, kind, payload=io.BytesIO(payload), http_headers=http)
        )

    writer.write_record(writer.create_warcinfo_record("made.warc", {"software": "ours"}))
    add("request", "http://a.example/1.flac", b"", "GET /1.flac HTTP/1.1")
    add("response", "http://a.example/1.flac", AUDIO, **{"Content-Type": "audio/flac"})
    add("response", "http://a.example/2.flac", b"gone", "404 Not Found")
    add("response", "ftp://a.example/3.flac", AUDIO)
    add("response", "http://a.example/4.flac", b"")
    add("response", "http://a.example/5.flac", AUDIO * 20)
    add("response", "http://a.example/6.flac", AUDIO[::-1], **{"X-Robots-Tag": "noai"})
    return out.getvalue()


def read(data: bytes, tmp_path: Path, limit: int = 100_000) -> list[Stored]:
    return list(records(io.BytesIO(data), tmp_path / "body", limit))


@pytest.mark.parametrize("gzipped", [True, False])
def test_every_record_is_told(gzipped: bool, tmp_path: Path) -> None:
    found = read(made(gzipped), tmp_path)
    assert [(one.type, one.reason) for one in found] == [
        ("warcinfo", "not_a_response"),
        ("request", "not_a_response"),
        ("response", ""),
        ("response", "http_status"),
        ("response", "bad_url"),
        ("response", "empty"),
        ("response", "too_large"),
        ("response", ""),
    ]
    whole = found[2]
    assert (whole.url, whole.status, whole.bytes) == ("http://a.example/1.flac", 200, len(AUDIO))
    assert whole.sha256 == hashlib.sha256(AUDIO).hexdigest()
    assert whole.header("content-type") == "audio/flac"
    assert found[7].header("x-robots-tag") == "noai"
    assert [one.offset for one in found] == sorted({one.offset for one in found})


def test_a_body_lies_in_its_file_while_its_record_is_the_current_one(tmp_path: Path) -> None:
    bodies = [
        (tmp_path / "body").read_bytes()
        for one in records(io.BytesIO(made()), tmp_path / "body", 100_000)
        if not one.reason
    ]
    assert bodies == [AUDIO, AUDIO[::-1]]


def test_an_offset_is_where_its_record_can_be_read_alone(tmp_path: Path) -> None:
    data = made()
    third = read(data, tmp_path)[2]
    again = next(
        iter(records(io.BytesIO(data[third.offset :]), tmp_path / "b", 100_000, first=third.offset))
    )
    assert again == third


@pytest.mark.parametrize("gzipped", [True, False])
def test_wherever_it_breaks_off_nothing_whole_is_lost_and_nothing_broken_kept(
    gzipped: bool, tmp_path: Path
) -> None:
    data = made(gzipped)
    whole = read(data, tmp_path)
    ends = [*(one.offset for one in whole[1:]), len(data)]
    for cut in range(1, len(data), 61):
        found = read(data[:cut], tmp_path)
        complete = sum(end <= cut for end in ends)
        assert found[:complete] == whole[:complete]
        assert all(one.reason for one in found[complete:])


def test_a_body_whose_digest_is_another_is_refused(tmp_path: Path) -> None:
    data = bytearray(made(gzipped=False))
    data[data.index(AUDIO) + 50] ^= 0xFF
    assert [one.reason for one in read(bytes(data), tmp_path)][2] == "digest"


@pytest.mark.parametrize("data", [b"", b"hello" * 99, b"\x1f\x8bbroken", b"PK\x03\x04"])
def test_what_is_no_warc_is_told(data: bytes, tmp_path: Path) -> None:
    (only,) = read(data, tmp_path)
    assert only.reason == "broken" and only.detail


def test_reasons_are_explained() -> None:
    assert all(text.endswith(".") for text in REASONS.values())


@pytest.mark.corpus
def test_real_archives(tmp_path: Path) -> None:
    corpus = Path(os.environ.get("SPEECHLOOM_CORPUS", "../shared/corpus")) / "text" / "warc"
    if not corpus.is_dir():
        pytest.skip("the corpus is not here")
    found = {}
    for path in sorted(corpus.glob("*.warc.gz")):
        with path.open("rb") as stream:
            told = Counter(one.reason for one in records(stream, tmp_path / "b", 1 << 26))
        found[path.name] = dict(told)
    assert found == {
        "clipped.warc.gz": {"incomplete": 1},
        "example.warc.gz": {"not_a_response": 4, "": 1, "revisit": 1},
        "warcfile.warc.gz": {"not_a_response": 34, "": 16},
    }
