"""The rows of a table of text, one at a time, whatever they hold.

Unlike a table that the user wrote to name recordings, a table of text is data like any page: a row
that is broken is a refusal of that row, told with its place, and the next one is read. At most one
row, or one small batch of Parquet's, is ever held. Runs in the child process.
"""

import csv
import datetime
import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.gather.page_files import PageFormat, text_columns

Cells = dict[str, Any]  # by what a column is for: text, url, title, language, date, licence, id
BATCH = 16  # rows of Parquet; cells of 16 MB fit the child's memory
_SPARE = 1 << 16  # bytes of a line beside its text


class BadRow(ValueError):
    """A row that cannot be taken. `code` is its reason."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


class BadTable(BadRow):
    """From here on nothing of the table can be read."""


Row = tuple[int, Cells | BadRow]  # place from 0 (JSON lines: of the line)


def rows(file: BinaryIO, format: PageFormat, max_bytes: int) -> Iterator[Row]:
    """Every row of a table; its last one is a `BadTable` where the table breaks off."""
    if format == "parquet":
        yield from _parquet(file, max_bytes)
    elif format == "jsonl":
        yield from _json_lines(file, max_bytes)
    else:
        yield from _separated(file, "\t" if format == "tsv" else ",", max_bytes)


def checked(cells: Cells) -> dict[str, str]:
    """The values of a row that are there, as text. Raises `BadRow`."""
    found: dict[str, str] = {}
    for use, value in cells.items():
        if value is None:
            continue
        if use == "date" and isinstance(value, datetime.date):
            value = value.isoformat()
        if use == "id":
            value = str(value)[:200] if isinstance(value, str | int) else ""
        if not isinstance(value, str):
            raise BadRow("bad_row", f"its {use} is {type(value).__name__}, not a string")
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise BadRow("encoding", f"its {use} holds bytes or half characters that are no text")
        if value.strip():
            found[use] = value if use == "text" else " ".join(value.split())
    return found


class _Lines:
    """Lines of a text table; raises for one and goes on with the next, as a generator cannot."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file, self._limit = file, limit + _SPARE
        self.number = 0
        self.quotes = 0  # since it was set to 0

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._file.readline(self._limit + 1)
        if not line:
            raise StopIteration
        self.number += 1
        if len(line) > self._limit:
            while line and not line.endswith(b"\n"):
                line = self._file.readline(self._limit)
            raise BadRow("too_large", f"its line is longer than {self._limit} bytes")
        if self.number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        self.quotes += line.count(b'"')
        return line.decode("utf-8", "surrogateescape")

    def leave_quotes(self) -> None:
        """Skip the rest of a quoted cell: to the end of the line on which its quotes are even."""
        while self.quotes % 2:
            try:
                if next(self, None) is None:
                    return
            except BadRow:
                continue


def _json_lines(file: BinaryIO, max_bytes: int) -> Iterator[Row]:
    lines = _Lines(file, max_bytes)
    while True:
        try:
            line = next(lines, None)
            if line is None:
                return
            if not line.strip():
                continue
            answer: Cells | BadRow = _object(line)
        except BadRow as bad:
            answer = bad
        yield lines.number - 1, answer


def _object(line: str) -> Cells:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadRow("bad_row", f"not a line of JSON: {error}"[:200]) from error
    if not isinstance(value, dict):
        raise BadRow("bad_row", f"a row is an object, not {type(value).__name__}")
    columns = text_columns(value)
    if columns is None:
        raise BadRow("bad_row", "no text in it, or a path of audio beside it")
    return {use: value[name] for use, name in columns.items()}


def _separated(file: BinaryIO, delimiter: str, max_bytes: int) -> Iterator[Row]:
    csv.field_size_limit(max_bytes + _SPARE)
    lines = _Lines(file, max_bytes)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
    except (csv.Error, BadRow) as error:
        yield 0, BadTable("broken", f"its header cannot be read: {error}"[:200])
        return
    columns = text_columns(header)
    if columns is None or len(set(header)) < len(header):
        yield 0, BadTable("bad_column", f"its columns are {header[:20]}"[:300])
        return
    number = 0
    while True:
        answer: Cells | BadRow
        lines.quotes = 0
        try:
            cells = next(reader, None)
            if cells is None:
                return
            answer = _by_use(cells, header, columns)
        except csv.Error as error:
            if "field limit" in str(error):
                lines.leave_quotes()
                answer = BadRow("too_large", f"a cell of more than {max_bytes} characters")
            else:
                answer = BadRow("bad_row", f"line {lines.number}: {error}"[:200])
        except BadRow as bad:
            answer = bad
        if answer != {}:
            yield number, answer
        number += 1


def _by_use(cells: Sequence[str], header: Sequence[str], columns: dict[str, str]) -> Cells:
    if not cells:
        return {}  # an empty line
    if len(cells) != len(header):
        raise BadRow("bad_row", f"{len(cells)} cells in a table of {len(header)} columns")
    values = dict(zip(header, cells, strict=True))
    return {use: values[name] for use, name in columns.items()}


def _parquet(file: BinaryIO, max_bytes: int) -> Iterator[Row]:
    try:
        table = pq.ParquetFile(file, pre_buffer=False)  # which would start a thread
        columns = text_columns(table.schema_arrow.names)
        if columns is None:
            names = table.schema_arrow.names
            yield 0, BadTable("bad_column", f"its columns are {names[:20]}"[:300])
            return
    except pa.ArrowMemoryError:
        raise
    except (pa.ArrowException, OSError, ValueError) as error:
        yield 0, BadTable("broken", f"not Parquet: {error}"[:200])
        return
    begin = 0
    for group in range(table.num_row_groups):
        yield from _group(table, group, begin, columns, max_bytes)
        begin += table.metadata.row_group(group).num_rows


def _group(
    table: pq.ParquetFile, group: int, begin: int, columns: dict[str, str], max_bytes: int
) -> Iterator[Row]:
    """The rows of one row group; one that breaks off takes no other with it."""
    number = begin
    try:
        batches = table.iter_batches(
            batch_size=BATCH,
            row_groups=[group],
            columns=list(columns.values()),
            use_threads=False,
        )
        for batch in batches:
            for place in range(batch.num_rows):
                yield number, _cells(batch, place, columns, max_bytes)
                number += 1
    except pa.ArrowMemoryError:
        raise  # a fresh child may have the room
    except (pa.ArrowException, OSError, ValueError) as error:
        last = begin + table.metadata.row_group(group).num_rows
        yield number, BadRow("broken", f"and to row {last} of its row group: {error}"[:200])


def _cells(
    batch: pa.RecordBatch, place: int, columns: dict[str, str], max_bytes: int
) -> Cells | BadRow:
    try:
        cells = {use: batch.column(name)[place].as_py() for use, name in columns.items()}
    except UnicodeDecodeError as error:
        return BadRow("encoding", f"a cell is not UTF-8: {error.reason}")
    text = cells["text"]
    if isinstance(text, str | bytes) and len(text) > max_bytes:
        return BadRow("too_large", f"a text of {len(text)} characters")
    return cells
