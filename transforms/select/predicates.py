"""One condition on one column, judged for a whole block at once.

A predicate fails, passes, or cannot tell: null and NaN mean that nobody could measure the value.
A limit is one number, or one for each row of the block (a quantile of the row's group).
"""

import dataclasses
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]
Plain = str | bool | int | float
_LONGEST_CHOICE = 12  # values of a list that are shown
_LONGEST_DETAIL = 80  # characters of a value that are shown


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predicate:
    """`column` is at least `limit` (min), at most (max), among it (allow) or not (deny), or holds
    what it matches (match) or nothing of the kind (avoid)."""

    code: str  # the reason of a drop
    column: str
    kind: Literal["min", "max", "allow", "deny", "match", "avoid"]
    limit: float | str | Sequence[Plain] | Numbers
    about: str = ""  # what people should know of the limit

    def judge(self, values: pa.ChunkedArray) -> tuple[Mask, Mask]:
        """Which values fail, and which cannot be judged; no value is both.

        Raises `TypeError` where the column cannot be compared with the limit.
        """
        if pa.types.is_null(values.type):
            return np.zeros(len(values), np.bool_), np.ones(len(values), np.bool_)
        if isinstance(self.limit, int | float | np.ndarray):
            found = self._numbers(values)
            unknown = np.isnan(found) | np.isnan(self.limit)
            fails = found < self.limit if self.kind == "min" else found > self.limit
            return fails, unknown  # a comparison with NaN is false
        if isinstance(self.limit, str):
            return self._matches(values, self.limit)
        try:
            wanted = pa.array(self.limit).cast(values.type)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise TypeError(
                f"column {self.column!r} holds {values.type}, which cannot be compared with "
                f"{list(self.limit)!r}: {error}"
            ) from error
        among = _mask(pc.is_in(values, value_set=wanted))
        unknown = _mask(pc.is_null(values, nan_is_null=pa.types.is_floating(values.type)))
        return (among if self.kind == "deny" else ~among) & ~unknown, unknown

    def threshold(self, at: npt.NDArray[np.int64]) -> float | pa.Array | None:
        """The limit as a number, for the drops of the rows `at`."""
        if isinstance(self.limit, np.ndarray):
            return pa.array(self.limit[at], from_pandas=True)
        return float(self.limit) if isinstance(self.limit, int | float) else None

    def scores(self, values: pa.ChunkedArray) -> pa.Array | None:
        """The values as numbers, for drops; None where they are not numbers. NaN becomes null."""
        if not isinstance(self.limit, int | float | np.ndarray) or pa.types.is_null(values.type):
            return None
        return pa.array(self._numbers(values), from_pandas=True)

    def details(self, values: pa.ChunkedArray) -> pa.ChunkedArray | str:
        """What a drop says for people: the column, and the value where it is not a number.

        Of a text that a pattern judged only the pattern is shown: the text may be long, or private.
        """
        if isinstance(self.limit, int | float | np.ndarray):
            return f"{self.column}, {self.about}" if self.about else self.column
        if isinstance(self.limit, str):
            said = "matches nothing of" if self.kind == "match" else "matches"
            return f"{self.column} {said} {self.limit[:_LONGEST_DETAIL]}"
        shown = pc.utf8_slice_codeunits(pc.cast(values, pa.string()), 0, _LONGEST_DETAIL)
        choice = ", ".join(map(str, self.limit[:_LONGEST_CHOICE]))
        if len(self.limit) > _LONGEST_CHOICE:
            choice += f" and {len(self.limit) - _LONGEST_CHOICE} more"
        said = "not among" if self.kind == "allow" else "among"
        return pc.binary_join_element_wise(
            f"{self.column} is '", pc.fill_null(shown, "unknown"), f"', {said} {choice}", ""
        )

    def _matches(self, values: pa.ChunkedArray, pattern: str) -> tuple[Mask, Mask]:
        if not pa.types.is_string(values.type):
            raise TypeError(
                f"column {self.column!r} holds {values.type}, and patterns match text only"
            )
        unknown = _mask(pc.is_null(values))
        found = _mask(pc.fill_null(pc.match_substring_regex(values, pattern=pattern), False))
        return (~found if self.kind == "match" else found) & ~unknown, unknown

    def _numbers(self, values: pa.ChunkedArray) -> npt.NDArray[np.float64]:
        kinds = (pa.types.is_integer, pa.types.is_floating, pa.types.is_null)
        if not any(is_kind(values.type) for is_kind in kinds):
            raise TypeError(
                f"column {self.column!r} holds {values.type}: it has no {self.kind}; use allow "
                "or deny"
            )
        numbers: npt.NDArray[np.float64] = values.cast(pa.float64()).to_numpy()
        return numbers


def _mask(flags: pa.ChunkedArray) -> Mask:
    mask: Mask = flags.to_numpy()
    return mask.astype(np.bool_)
