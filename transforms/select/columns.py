"""Which columns the joined table has, and who would provide one that is missing.

The joined table holds the fields of `Clip` and, for each measure of the recipe,
`<measure>.<column>`. The same check serves when a run is planned and when a block is judged.
"""

import difflib
from collections.abc import Iterable

import pyarrow as pa

from schemas.records import Clip
from schemas.tables import arrow_schema
from transforms.step import Measure, registry


class MissingColumns(ValueError):
    """A step of select reads columns that the recipe does not provide."""


def known_columns() -> dict[str, type | None]:
    """Every column that a joined table can have, with its plain type (None: not a plain value)."""
    plain = {pa.string(): str, pa.int64(): int, pa.float64(): float, pa.bool_(): bool}
    found: dict[str, type | None] = {
        field.name: plain.get(field.type) for field in arrow_schema(Clip)
    }
    for name, step in registry().items():
        if issubclass(step, Measure):
            found |= {f"{name}.{column}": kind for column, kind in step.columns.items()}
    return found


def require(step: str, needs: Iterable[str], present: Iterable[str]) -> None:
    """Raise `MissingColumns` naming each column that is not there and the measure that makes it."""
    missing = sorted(set(needs) - set(present))
    if missing:
        told = "; ".join(_advice(column) for column in missing)
        raise MissingColumns(f"step {step} cannot judge: {told}")


def _advice(column: str) -> str:
    known = known_columns()
    measure = column.partition(".")[0]
    if column in known and "." in column:
        return (
            f"it reads {column!r}, which the measure {measure!r} provides: add `- {measure}: {{}}` "
            "to the stream, before this step"
        )
    if column in known:
        return f"it reads {column!r}, a field of every clip that these rows lack"
    near = difflib.get_close_matches(column, known, n=1, cutoff=0.0)
    return f"it reads {column!r}, which no measure provides; the nearest is {near[0]!r}"
