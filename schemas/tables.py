"""Records as Arrow tables: one codec for every frozen record, its schema read from its fields.

`str`, `int`, `float`, `bool`, `X | None`, `tuple[X, ...]`, `Literal[...]` of strings and nested
records are covered; anything else is refused when the schema is built. Round trips are exact.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import pyarrow as pa

R = TypeVar("R")
_PLAIN = frozenset((str, int, float, bool, type(None)))


@functools.cache
def _hints(record: Any) -> dict[str, Any]:
    return typing.get_type_hints(record)


def _arrow_type(hint: Any) -> tuple[pa.DataType, bool]:
    """The Arrow type of a field's hint, and whether it may be null."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if (
        origin in (types.UnionType, typing.Union)
        and type(None) in arguments
        and len(arguments) == 2
    ):
        inner = next(a for a in arguments if a is not type(None))
        return _arrow_type(inner)[0], True
    if origin is typing.Literal:
        return pa.string(), False
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        kind, nullable = _arrow_type(arguments[0])
        return pa.list_(pa.field("item", kind, nullable)), False
    if dataclasses.is_dataclass(hint):
        return pa.struct(list(arrow_schema(typing.cast(type, hint)))), False
    simple = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    if hint in simple:
        return simple[hint], False
    raise TypeError(f"a record cannot hold {hint!r} in a table")


@functools.cache
def arrow_schema(record: type) -> pa.Schema:
    """The Arrow schema of a record class: one column per field, in their order."""
    return pa.schema(
        [
            pa.field(name, *_arrow_type(hint))
            for name, hint in _hints(record).items()
            if typing.get_origin(hint) is not typing.ClassVar
        ]
    )


def _decoder(hint: Any) -> Callable[[Any], Any] | None:
    """What turns a plain value into a field's; None where it is one already."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        inner = _decoder(next(a for a in arguments if a is not type(None)))
        return inner and (lambda value: None if value is None else inner(value))
    if origin is tuple:
        item = _decoder(arguments[0])
        return tuple if item is None else lambda value: tuple([item(one) for one in value])
    if dataclasses.is_dataclass(hint):
        return functools.partial(from_row, typing.cast(type, hint))
    return None


@functools.cache
def _decoders(record: Any) -> tuple[frozenset[str], tuple[tuple[str, Callable[[Any], Any]], ...]]:
    """The fields of a record class, and what decodes those that are not plain."""
    made = {name: _decoder(hint) for name, hint in _hints(record).items()}
    return frozenset(made), tuple((name, of) for name, of in made.items() if of is not None)


def from_row(record: type[R], row: Mapping[str, Any]) -> R:
    """A record from a row of plain values, as `pa.Table.to_pylist` gives them."""
    names, decoders = _decoders(typing.cast(Any, record))
    values = dict(row) if row.keys() == names else {name: row[name] for name in names}
    for name, decode in decoders:
        values[name] = decode(values[name])
    return record(**values)


def to_row(record: Any) -> dict[str, Any]:
    """A record as a row of plain values."""
    kind: Any = type(record)
    return {name: _plain(getattr(record, name)) for name in _names(kind)}


@functools.cache
def _names(record: Any) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(record))


def _plain(value: Any) -> Any:
    if type(value) in _PLAIN:
        return value
    if dataclasses.is_dataclass(value):
        return to_row(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def to_table(records: Iterable[Any], record: type) -> pa.Table:
    """Records of one class as a table."""
    return pa.Table.from_pylist([to_row(r) for r in records], schema=arrow_schema(record))


def from_table(table: pa.Table, record: type[R]) -> list[R]:
    """The records of a table; columns that the class does not know are ignored."""
    return [from_row(record, row) for row in table.to_pylist()]
