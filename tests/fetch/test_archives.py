"""Archives as DATA: WARC, WACZ, indexes and lists of them, local and remote."""

import asyncio
import gzip
import io
import json
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from tests.fetch.site import SAMPLES, allowed, asked_for, site
from tests.gather.web.bad_server import Asked, head, whole
from tests.laws.runs import Ran, curate
from transforms.gather.found import DataError
from transforms.gather.web.archives import indexed
from transforms.gather.web.warcs import records

NAMES = ("podcast.mp3", "monologue.opus")


@pytest.fixture(scope="module")
def warc() -> bytes:
    """An archive of two recordings, a page, a reserved recording and what goes with them."""
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    out = io.BytesIO()
    writer = WARCWriter(out, gzip=True)

    def add(path: str, payload: bytes, **headers: str) -> None:
        http = StatusAndHeaders(
            "200 OK",
            [(name.replace("_", "-"), value) for name, value in headers.items()],
            protocol="HTTP/1.1",
        )
        url = f"http://archived.example/{path}"
        record = writer.create_warc_record(
            url, "response", payload=io.BytesIO(payload), http_headers=http
        )
        writer.write_record(record)

    writer.write_record(writer.create_warcinfo_record("made.warc.gz", {"software": "ours"}))
    for name in NAMES:
        add(name, (SAMPLES / name).read_bytes(), Content_Type="audio/mpeg")
    add("page.html", b"<html>words</html>", Content_Type="text/html")
    add("reserved.mp3", (SAMPLES / NAMES[0]).read_bytes() + b"\0", X_Robots_Tag="noai")
    return out.getvalue()


def offsets(data: bytes, tmp_path: Path) -> list[int]:
    return [one.offset for one in records(io.BytesIO(data), tmp_path / "body", 1 << 30)]


def told(ran: Ran) -> tuple[list[str], list[str]]:
    """What was kept, by uri, and the reasons of what was not, in order of provenance."""
    (stream,) = ran.result.streams
    drops = sorted(
        zip((s.provenance for s in stream.census.dropped), stream.census.drops, strict=True),
        key=lambda pair: pair[0],
    )
    return sorted(s.uri for s in stream.census.sources), [drop.reason for _, drop in drops]


KEPT = [f"http://archived.example/{name}" for name in sorted(NAMES)]
REASONS = ["not_a_response", "wrong_type", "opt_out"]


def test_every_record_of_a_warc_is_accounted_for(warc: bytes, tmp_path: Path) -> None:
    path = tmp_path / "made.warc.gz"
    path.write_bytes(warc)
    ran = curate(path, tmp_path / "out")
    assert told(ran) == (KEPT, REASONS)
    assert ("data", {"kind": "warc"}) in ran.events
    again = curate(path, tmp_path / "out")
    assert "unpack" in ran.phases() and "unpack" not in again.phases()
    # the reserved one was not stored
    assert len(list((tmp_path / "out").glob("fetch/*/bodies/*/*"))) == 2


def test_a_wacz_is_the_warcs_in_it(warc: bytes, tmp_path: Path) -> None:
    path = tmp_path / "made.wacz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/a.warc.gz", warc)
        archive.writestr("datapackage.json", "{}")
    ran = curate(path, tmp_path / "out")
    assert told(ran) == (KEPT, REASONS)
    assert all("!archive/a.warc.gz:" in s.provenance for s in ran.result.streams[0].census.sources)


def test_an_archive_that_breaks_off_gives_what_came_before(warc: bytes, tmp_path: Path) -> None:
    path = tmp_path / "made.warc.gz"
    path.write_bytes(warc[: offsets(warc, tmp_path)[2] + 5000])
    assert told(curate(path, tmp_path / "out")) == (KEPT[1:], ["not_a_response", "incomplete"])


@pytest.mark.parametrize("form", ["cdxj", "cdx"])
def test_an_index_means_the_records_that_it_names(form: str, warc: bytes, tmp_path: Path) -> None:
    (tmp_path / "made.warc.gz").write_bytes(warc)
    at = offsets(warc, tmp_path)
    size = at[2] - at[1]
    if form == "cdxj":
        fields = {"filename": "made.warc.gz", "offset": str(at[1]), "length": str(size)}
        gone = {**fields, "offset": "7"}
        lines = [f"example,archived)/ 2026 {json.dumps(one)}" for one in (fields, gone)]
    else:
        cells = f"example)/ 2026 http://x.example/ audio/mpeg 200 - {size}"
        lines = [" CDX N b a m s k S V g".strip(), f"{cells} {at[1]} made.warc.gz"]
        lines.append(f"{cells} 7 made.warc.gz")
    (tmp_path / f"made.{form}").write_text("\n".join(lines) + "\n")
    ran = curate(tmp_path / f"made.{form}", tmp_path / "out")
    assert told(ran) == (["http://archived.example/podcast.mp3"], ["missing"])


def test_a_list_of_archives_is_all_of_them(warc: bytes, tmp_path: Path) -> None:
    (tmp_path / "made.warc.gz").write_bytes(warc)
    listing = "made.warc.gz\nlost.warc.gz\n"
    (tmp_path / "all.paths.gz").write_bytes(gzip.compress(listing.encode()))
    ran = curate(tmp_path / "all.paths.gz", tmp_path / "out")
    assert told(ran) == (KEPT, [*REASONS, "missing"])


def test_an_archive_beside_its_index_may_not_lie_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "all.paths").write_text("../secret.warc.gz\n")
    (tmp_path / "secret.warc.gz").write_bytes(b"")
    with pytest.raises(DataError, match="leads out of its folder"):
        curate(tmp_path / "in" / "all.paths", tmp_path / "out")


def test_a_remote_index_costs_one_ranged_request_a_record(warc: bytes, tmp_path: Path) -> None:
    at = offsets(warc, tmp_path)
    ranges: list[str] = []

    async def archive(asked: Asked, out: asyncio.StreamWriter) -> None:
        ranges.append(asked.headers.get("range", ""))
        first, last = map(int, ranges[-1].removeprefix("bytes=").split("-"))
        part = warc[first : last + 1]
        where = f"bytes {first}-{last}/{len(warc)}"
        out.write(head(206, len(part), Content_Range=where) + part)

    lines = [
        json.dumps({"filename": "made.warc.gz", "offset": str(a), "length": str(b - a)})
        for a, b in ((at[1], at[2]), (at[2], at[3]), (at[3], at[4]))
    ]
    with site() as server:
        server.routes["/crawl/index.cdxj"] = whole("\n".join(lines).encode())
        server.routes["/crawl/made.warc.gz"] = archive
        ran = curate(f"{server.url}/crawl/index.cdxj", tmp_path / "out", allowed(server))
        assert told(ran) == (KEPT, ["wrong_type"])
        assert Counter(asked_for(server)) == {
            "/crawl/index.cdxj": 1,
            "/crawl/made.warc.gz": 3,
        }
        assert (
            sorted(ranges)
            == sorted(f"bytes={a}-{b - 1}" for a, b in zip(at[1:], at[2:4] + at[4:], strict=False))[
                :3
            ]
        )


def test_a_server_that_gives_the_whole_archive_is_not_read(warc: bytes, tmp_path: Path) -> None:
    line = json.dumps({"filename": "made.warc.gz", "offset": "0", "length": "100"})
    with site() as server:
        server.routes["/index.cdxj"] = whole(line.encode())
        server.routes["/made.warc.gz"] = whole(warc)
        with pytest.raises(DataError, match="1 bad_answer"):
            curate(f"{server.url}/index.cdxj", tmp_path / "out", allowed(server))


def test_a_remote_warc_is_fetched_whole(warc: bytes, tmp_path: Path) -> None:
    with site() as server:
        server.routes["/made.warc.gz"] = whole(warc)
        ran = curate(f"{server.url}/made.warc.gz", tmp_path / "out", allowed(server))
        assert told(ran) == (KEPT, REASONS)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("nonsense", "not a line of an index"),
        ('{"offset": "1", "length": "2"}', "no filename"),
        ('{"filename": "a", "offset": "x", "length": "2"}', "offset is 'x'"),
        ('{"filename": "a", "offset": "-1", "length": "2"}', "offset is '-1'"),
    ],
)
def test_a_wrong_line_of_an_index_is_named(line: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "x.cdxj"
    path.write_text(f'{{"filename": "a", "offset": "1", "length": "2"}}\n{line}\n')
    with pytest.raises(DataError, match=rf"x\.cdxj:2.*{why}"):
        list(indexed(str(path)))
