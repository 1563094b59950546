"""Tables of texts: a page per row, and a reason per row that gives none."""

import csv
import datetime
import io
import json
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.pages import Page
from schemas.records import Drop
from tests.extract.made_pages import extracted, file_of, paragraph, streamed
from transforms.extract.extract import Extract, Extracting, row_id

STEP = Extract()
COLUMNS = ("text", "url", "title", "language", "date", "licence", "id")


def row(number: int, **other: Any) -> dict[str, Any]:
    told = {
        "text": paragraph(number),
        "url": f"https://x.example/{number}",
        "title": f"Market {number}",
        "language": "en",
        "date": "2020-02-03",
        "licence": "CC0-1.0",
        "id": f"row-{number}",
    }
    return {**told, **other}


def json_lines(rows: list[Any]) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in rows).encode()


def separated(rows: list[dict[str, Any]], delimiter: str) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, COLUMNS, delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def parquet(rows: list[dict[str, Any]], **types: pa.DataType) -> bytes:
    file = io.BytesIO()
    names = list(rows[0])
    columns = {name: pa.array([one[name] for one in rows], types.get(name)) for name in names}
    pq.write_table(pa.table(columns), file, row_group_size=3)
    return file.getvalue()


def written(suffix: str, rows: list[dict[str, Any]]) -> bytes:
    if suffix in (".jsonl", ".ndjson"):
        return json_lines(rows)
    if suffix == ".parquet":
        return parquet(rows)
    return separated(rows, "\t" if suffix == ".tsv" else ",")


@pytest.mark.parametrize("suffix", [".jsonl", ".ndjson", ".csv", ".tsv", ".parquet"])
def test_every_row_is_a_page(model: Extracting, tmp_path: Path, suffix: str) -> None:
    rows = [row(number) for number in range(8)]
    found = extracted(STEP, model, tmp_path / f"t{suffix}", written(suffix, rows))
    assert [one.index for one in found if isinstance(one, Page)] == list(range(8))
    for number, page in enumerate(found):
        assert isinstance(page, Page)
        assert page.text == paragraph(number)
        assert page.uri == f"https://x.example/{number}"
        assert (page.title, page.language) == (f"Market {number}", "en")
        assert (page.date, page.licence) == ("2020-02-03", "CC0-1.0")
        assert page.language_probability is None


def test_the_format_changes_no_page(model: Extracting, tmp_path: Path) -> None:
    rows = [row(number) for number in range(5)]
    ids = {
        suffix: [one.id for one in extracted(STEP, model, tmp_path / f"t{suffix}",
                                             written(suffix, rows))]
        for suffix in (".jsonl", ".csv", ".tsv", ".parquet")
    }  # fmt: skip
    assert len(set(map(tuple, ids.values()))) == 1


def reasons(found: list[Page | Drop]) -> list[str]:
    return [one.reason if isinstance(one, Drop) else "page" for one in found]


def test_a_hostile_table_of_json_lines_loses_no_good_row(model: Extracting, tmp_path: Path) -> None:
    lines = [
        json.dumps(row(0)),
        json.dumps(row(1, text=None)),
        json.dumps(row(2, text=17)),
        json.dumps(row(3, text=["a", "list"])),
        json.dumps(row(4, title={"a": 1})),
        json.dumps(row(5, text="short")),
        json.dumps(row(6, text="")),
        json.dumps(row(7, text="\ud800 " + paragraph(7))),
        "{broken",
        "[1, 2]",
        "null",
        "[" * 100_000,
        json.dumps({"url": "https://x.example/"}),
        json.dumps({**row(8), "audio": "a.wav"}),
        json.dumps(row(9, language=None, url=None, title=None)),
        json.dumps(row(10)).replace("row-10", "1" * 6_000),
        "",
        json.dumps(row(11, text=paragraph(0))),
        '{"text": ' + "9" * 6_000 + "}",
        json.dumps(row(12, id=12)),
    ]
    data = "\n".join(lines).encode("utf-8", "surrogatepass") + b'\n{"text": "caf\xe9 '
    found = extracted(STEP, model, tmp_path / "t.jsonl", data)
    assert reasons(found) == [
        "page",
        "empty",
        *["bad_row"] * 3,
        "too_short",
        "empty",
        "encoding",
        *["bad_row"] * 6,
        "page",
        "page",
        "duplicate",
        "bad_row",
        "page",
        "bad_row",
    ]
    drops = {one.id: one for one in found if isinstance(one, Drop)}
    assert len(drops) == 16  # none hides another
    second = drops[row_id(found[0].root, 1)]
    assert second.detail == "row 2 (row-1)"
    assert drops[row_id(found[0].root, 17)].detail == "row 18 (row-11), the same as row 1"
    own = [one for one in found if isinstance(one, Page)][1]
    assert (own.uri, own.language) == ("t.jsonl", "en")


def test_a_cell_of_five_megabytes_is_a_drop_or_a_page_as_the_limits_say(
    model: Extracting, tmp_path: Path
) -> None:
    large = "\n".join(paragraph(number) for number in range(16_000))
    assert len(large) > 5 << 20
    rows = [row(0), row(1, text=large), row(2)]
    small = Extract(max_bytes=1 << 20)
    for suffix in (".jsonl", ".csv", ".parquet"):
        data = written(suffix, rows)
        found = extracted(STEP, model, tmp_path / f"t{suffix}", data)
        assert reasons(found) == ["page", "too_long", "page"]
        assert isinstance(found[1], Drop)
        assert (found[1].score, found[1].threshold) == (len(large) + 15_999, 500_000)
        found = extracted(small, model, tmp_path / f"t{suffix}", data)
        assert reasons(found) == ["page", "too_large", "page"], suffix


def test_a_hostile_table_of_cells_loses_no_good_row(model: Extracting, tmp_path: Path) -> None:
    data = (
        b"id,text\r\n"
        + f'1,"{paragraph(1)}"\r\n'.encode()
        + b"2,too,many,cells\r\n"
        + b"3\r\n"
        + b"\r\n"
        + f'4,"{paragraph(4)}"x\r\n'.encode()
        + b'5,"caf\xe9 ' + paragraph(5).encode() + b'"\r\n'
        + f'6,"{paragraph(6)}"\r\n'.encode()
    )  # fmt: skip
    found = extracted(STEP, model, tmp_path / "t.csv", data)
    assert reasons(found) == ["page", "bad_row", "bad_row", "bad_row", "encoding", "page"]


def test_a_quote_that_is_never_closed_costs_one_row_and_bounded_memory(
    model: Extracting, tmp_path: Path
) -> None:
    data = b'id,text\n1,"' + b"never closed " * 400_000
    step = Extract(max_bytes=1 << 20)
    assert reasons(extracted(step, model, tmp_path / "t.csv", data)) == ["too_large"]
    lines = data.replace(b"closed ", b"closed\n")
    assert reasons(extracted(step, model, tmp_path / "t.csv", lines)) == ["too_large"]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("t.csv", b"", "bad_column"),
        ("t.csv", b"text,text\na,b\n", "bad_column"),
        ("t.csv", b"a,b\n1,2\n", "bad_column"),
        ("t.csv", b"text\n", "empty"),
        ("t.jsonl", b"", "empty"),
        ("t.jsonl", b"\n\n", "empty"),
        ("t.parquet", b"PAR1 and then nothing", "broken"),
        ("t.parquet", parquet([{"audio": "a.wav", "text": "a"}]), "bad_column"),
    ],
)
def test_a_table_without_rows_is_one_drop(
    model: Extracting, tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    told = name.partition(".")[2]
    found = extracted(STEP, model, tmp_path / name, data, container=told)
    assert reasons(found) == [reason]
    assert found[0].id == found[0].root


def test_columns_of_other_types_and_names(model: Extracting, tmp_path: Path) -> None:
    day = datetime.date(2021, 3, 4)
    rows = [
        {"content": paragraph(1), "date": day, "lang": "en_GB", "license": None, "dump": 7},
        {"content": None, "date": None, "lang": None, "license": "MIT", "dump": 8},
    ]
    data = parquet(rows, license=pa.string())
    found = extracted(STEP, model, tmp_path / "t.parquet", data)
    assert reasons(found) == ["page", "empty"]
    page = found[0]
    assert isinstance(page, Page)
    assert (page.date, page.language, page.licence) == ("2021-03-04", "en", None)
    numbers = parquet([{"text": 1}, {"text": 2}])
    assert reasons(extracted(STEP, model, tmp_path / "n.parquet", numbers)) == ["bad_row"] * 2
    coded = pa.table({"text": pa.array([paragraph(1)] * 2).dictionary_encode()})
    file = io.BytesIO()
    pq.write_table(coded, file)
    found = extracted(STEP, model, tmp_path / "d.parquet", file.getvalue())
    assert reasons(found) == ["page", "duplicate"]


def test_a_column_of_bytes_that_are_no_text_is_told(model: Extracting, tmp_path: Path) -> None:
    raw = pa.array([paragraph(1).encode(), b"caf\xe9 " * 99, paragraph(2).encode()])
    table = pa.table({"text": pa.Array.from_buffers(pa.string(), 3, raw.buffers())})
    file = io.BytesIO()
    pq.write_table(table, file)
    found = extracted(STEP, model, tmp_path / "t.parquet", file.getvalue())
    assert reasons(found) == ["page", "encoding", "page"]


def test_a_row_group_that_is_broken_takes_no_other_with_it(
    model: Extracting, tmp_path: Path
) -> None:
    data = bytearray(parquet([row(number) for number in range(9)]))
    second = pq.ParquetFile(io.BytesIO(bytes(data))).metadata.row_group(1).column(0)
    at = second.dictionary_page_offset or second.data_page_offset
    data[at : at + 16] = b"\xff" * 16
    found = extracted(STEP, model, tmp_path / "b.parquet", bytes(data))
    assert reasons(found) == [*["page"] * 3, "broken", *["page"] * 3]
    broken = found[3]
    assert isinstance(broken, Drop)
    assert broken.detail.startswith("row 4; and to row 6 of its row group")
    last = found[-1]
    assert isinstance(last, Page)
    assert (last.index, last.text) == (8, paragraph(8))


def test_memory_does_not_grow_with_the_table(model: Extracting, tmp_path: Path) -> None:
    """Ten megabytes of rows through a child that holds one of them."""
    path = tmp_path / "t.jsonl"
    rows = [row(number, text=paragraph(number, 40)) for number in range(2_400)]
    file = file_of(path, json_lines(rows))
    assert file.size > 10 << 20
    del rows
    peaks = []
    count = 0
    for _ in streamed(STEP, model, path, file):
        count += 1
        if count % 400 == 0:
            peaks.append(psutil.Process(model.door.pid).memory_info().rss)
    assert count == 2_400
    assert max(peaks) - min(peaks) < 4 << 20
