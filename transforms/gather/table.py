"""Read a table of local paths: JSON lines, comma or tab separated values, or Parquet.

Each format becomes rows of (place, {column: value}), read as a stream. The checks are strict and
name the line, for a table is written by people and a misread column would be lost in silence: UTF-8
only, no column twice, no broken line passed over. Tab separated values are quoted as commas are.
"""

import csv
import json
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from transforms.gather.found import DataError, shown

Row = tuple[int, dict[str, Any]]  # the line (Parquet: the row, from 1), and the values
Check = Callable[[str, Sequence[str]], list[str]]  # (where, columns) -> those that count

MAX_LINE = 4 << 20  # bytes


def _lines(table: str, stream: BinaryIO) -> Iterator[str]:
    """Lines as text, with their ends; at most `MAX_LINE` bytes of one are ever held."""
    number = 0
    while raw := stream.readline(MAX_LINE + 1):
        number += 1
        where = f"{shown(table)}:{number}"
        if len(raw) > MAX_LINE:
            raise DataError(where, f"the line is longer than {MAX_LINE} bytes", "Is it a table?")
        if number == 1 and raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError(where, "the text is UTF-16", "Save it as UTF-8.")
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            byte = raw[error.start]
            raise DataError(
                where,
                f"byte {error.start + 1} of the line, 0x{byte:02x}, is not UTF-8",
                "Save it as UTF-8; a file name of other bytes can stand in the column uri, "
                "percent-encoded, as file:///...",
            ) from error
        yield text


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"a key twice among {names}")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _json_lines(table: str, stream: BinaryIO, check: Check) -> Iterator[Row]:
    for number, line in enumerate(_lines(table, stream), 1):
        if not line.strip():
            continue
        where = f"{shown(table)}:{number}"
        try:
            value = json.loads(line, object_pairs_hook=_object, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise DataError(
                where, f"this is not a line of JSON ({error})", "Write one object per line."
            ) from error
        if not isinstance(value, dict):
            raise DataError(
                where,
                f"a row is an object, not {type(value).__name__}",
                'Write lines like {"audio": "a.wav", "text": "..."}.',
            )
        yield number, {name: value[name] for name in check(where, list(value))}


def _separated(table: str, stream: BinaryIO, check: Check, delimiter: str) -> Iterator[Row]:
    reader = csv.reader(_lines(table, stream), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    used: list[str] = []
    before = 0
    while True:
        where = f"{shown(table)}:{before + 1}"
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(
                where,
                f"the row cannot be read ({error})",
                'A cell with quotes or line ends is written "..." with its own quotes doubled.',
            ) from error
        if cells is None:
            return
        number, before = before + 1, reader.line_num
        if not cells:
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            if len(header) == 1 and len(header[0].split(";")) > 1:
                raise DataError(where, "the columns are divided by ';'", "Divide them by ','.")
            used = check(where, header)
            continue
        if len(cells) != len(header):
            raise DataError(
                where,
                f"{len(cells)} cells in a table of {len(header)} columns",
                f"The columns are {', '.join(header)}; a cell that holds {delimiter!r} "
                'is written "...".',
            )
        values = dict(zip(header, cells, strict=True))
        yield number, {name: values[name] for name in used}


def _parquet(table: str, stream: BinaryIO, check: Check) -> Iterator[Row]:
    where = shown(table)
    broken = "Write the file again."
    try:
        file = pq.ParquetFile(stream)
    except (pa.ArrowException, OSError) as error:
        raise DataError(where, f"this is not Parquet ({error})", broken) from error
    schema = file.schema_arrow
    used = check(where, schema.names)
    for name in used:
        kind = schema.field(name).type
        value = kind.value_type if pa.types.is_dictionary(kind) else kind
        good = pa.types.is_string(value) or pa.types.is_large_string(value)
        if name == "channel":
            good = pa.types.is_integer(value)
        if not (good or pa.types.is_null(value)):
            expected = "a whole number" if name == "channel" else "a string"
            raise DataError(where, f"column {name} is {kind}, not {expected}", "Convert it.")
    number = 0
    try:
        for batch in file.iter_batches(batch_size=1024, columns=used, use_threads=False):
            for values in batch.to_pylist():
                number += 1
                yield number, values
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{where}:{number + 1}", f"the rows cannot be read ({error})", broken
        ) from (error)


def _commas(table: str, stream: BinaryIO, check: Check) -> Iterator[Row]:
    return _separated(table, stream, check, ",")


def _tabs(table: str, stream: BinaryIO, check: Check) -> Iterator[Row]:
    return _separated(table, stream, check, "\t")


FORMATS: dict[str, Callable[[str, BinaryIO, Check], Iterator[Row]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".csv": _commas,
    ".tsv": _tabs,
    ".parquet": _parquet,
}


def table_suffix(path: str) -> str | None:
    """The suffix that makes a file a table, or None."""
    suffix = os.path.splitext(path)[1].lower()
    return suffix if suffix in FORMATS else None


def rows(table: str, check: Check) -> Iterator[Row]:
    """The rows of a table with the columns that `check` lets through. Raises `DataError`."""
    suffix = table_suffix(table)
    if suffix is None:
        raise DataError(shown(table), "this is no table", f"A table ends in {', '.join(FORMATS)}.")
    try:
        with open(table, "rb") as stream:
            yield from FORMATS[suffix](table, stream, check)
    except OSError as error:
        raise DataError(
            shown(table), f"the table cannot be read ({error.strerror})", "Check the file."
        ) from error
