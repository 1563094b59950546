"""Named rules of a filter: what must hold for a clip to stay, composed of conditions on columns.

A rule is either a condition on one column, or `all_of`, `any_of` or `not` of further rules. What
is not known stays not known through them (Kleene's logic: `any_of` with one condition met is met,
whatever the others are), and the filter's `missing` decides what becomes of such a clip.

Regular expressions are RE2's, which match in time linear in the text whatever the pattern; what
RE2 lacks (backreferences, lookaround) is refused when the recipe is read.
"""

import dataclasses
import functools
import hashlib
import pathlib
from collections.abc import Iterator
from typing import Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from transforms.select.predicates import Plain

_DEEPEST = 8  # rules inside rules
_LONGEST_PATTERN = 2000  # characters

Kind: TypeAlias = Literal["min", "max", "allow", "deny", "match", "avoid"]


class Rule(pydantic.BaseModel):
    """Conditions on one column that must all hold, or a combination of rules."""

    model_config = pydantic.ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        serialize_by_alias=True,
        validate_by_alias=True,
        validate_by_name=True,
    )

    column: str | None = pydantic.Field(
        None, description="`<measure>.<column>`, a field of the clip, `seconds`, licence or source"
    )
    min: float | None = pydantic.Field(None, description="At least this (the column's unit)")
    max: float | None = pydantic.Field(None, description="At most this (the column's unit)")
    min_quantile: float | None = pydantic.Field(
        None, ge=0, le=1, description="At least this quantile of the column's values (0..1)"
    )
    max_quantile: float | None = pydantic.Field(
        None, ge=0, le=1, description="At most this quantile of the column's values (0..1)"
    )
    per: str | None = pydantic.Field(
        None, description="Column whose values each have quantiles of their own (source, speaker)"
    )
    allow: list[Plain] | None = pydantic.Field(None, description="One of these values")
    deny: list[Plain] | None = pydantic.Field(None, description="None of these values")
    allow_file: str | None = pydantic.Field(
        None, min_length=1, description="One of the lines of this UTF-8 file"
    )
    deny_file: str | None = pydantic.Field(
        None, min_length=1, description="None of the lines of this UTF-8 file"
    )
    match: str | None = pydantic.Field(
        None, min_length=1, description="Contains what this RE2 pattern matches"
    )
    avoid: str | None = pydantic.Field(
        None, min_length=1, description="Contains nothing that this RE2 pattern matches"
    )
    all_of: "list[Rule] | None" = pydantic.Field(None, min_length=1, description="All hold")
    any_of: "list[Rule] | None" = pydantic.Field(None, min_length=1, description="One holds")
    negated: "Rule | None" = pydantic.Field(None, alias="not", description="This does not hold")

    @pydantic.model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        inner = [name for name in ("all_of", "any_of", "negated") if getattr(self, name)]
        said = [name for name in _CONDITIONS if getattr(self, name) is not None]
        if len(inner) + (self.column is not None) != 1:
            raise ValueError("a rule has either a column, or one of all_of, any_of and not")
        if self.column is None and (said or self.per is not None):
            wrong = [*said, *(["per"] if self.per is not None else [])]
            raise ValueError(f"{', '.join(wrong)} needs a column")
        if self.column is not None and not said:
            raise ValueError(f"a rule on a column needs one of {', '.join(_CONDITIONS)}")
        if self.per is not None and self.min_quantile is None and self.max_quantile is None:
            raise ValueError("per needs min_quantile or max_quantile")
        for low, high in ((self.min, self.max), (self.min_quantile, self.max_quantile)):
            if low is not None and high is not None and low > high:
                raise ValueError(f"the least, {low}, is above the most, {high}")
        if self.allow == []:
            raise ValueError("allow is empty: every clip would leave; leave it out instead")
        for pattern in (self.match, self.avoid):
            if pattern is not None:
                check_pattern(pattern)
        if depth(self) > _DEEPEST:
            raise ValueError(f"rules stand inside rules more than {_DEEPEST} deep")
        return self

    def parts(self) -> "tuple[Rule, ...]":
        """The rules that this one combines."""
        return tuple(self.all_of or self.any_of or ([self.negated] if self.negated else []))

    def lists(self) -> Iterator[tuple[Kind, list[Plain]]]:
        """What is allowed and denied, files read. Raises `OSError` or `ValueError` for a file."""
        for kind, values, path in (
            ("allow", self.allow, self.allow_file),
            ("deny", self.deny, self.deny_file),
        ):
            if values is not None or path is not None:
                yield kind, [*(values or ()), *(lines_of(path)[0] if path else ())]  # type: ignore[misc]


_CONDITIONS = (
    "min",
    "max",
    "min_quantile",
    "max_quantile",
    "allow",
    "deny",
    "allow_file",
    "deny_file",
    "match",
    "avoid",
)


def depth(rule: Rule) -> int:
    """How many rules stand inside each other, itself counted."""
    return 1 + max((depth(part) for part in rule.parts()), default=0)


def leaves(rule: Rule) -> Iterator[Rule]:
    """The rules on columns inside a rule, itself among them."""
    if rule.column is not None:
        yield rule
    for part in rule.parts():
        yield from leaves(part)


def check_pattern(pattern: str) -> None:
    """Raise `ValueError` where RE2 does not take a pattern."""
    if len(pattern) > _LONGEST_PATTERN:
        raise ValueError(f"a pattern of {len(pattern)} characters; at most {_LONGEST_PATTERN}")
    try:
        pc.match_substring_regex(pa.array([""]), pattern=pattern)
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"the pattern {pattern!r:.80} is not one that RE2 takes ({error}); it has neither "
            "backreferences nor lookaround, so that matching takes linear time"
        ) from error


@functools.lru_cache(maxsize=16)
def lines_of(path: str) -> tuple[tuple[str, ...], str]:
    """The lines of a list that hold something, and the digest of the file.

    Raises `ValueError` that says what is wrong where it cannot be read.
    """
    try:
        data = pathlib.Path(path).expanduser().read_bytes()
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"the list {path!r} cannot be read ({error}): it is a UTF-8 file of one value a line"
        ) from error
    found = tuple(dict.fromkeys(line.strip() for line in text.split("\n") if line.strip()))
    if not found:
        raise ValueError(f"the list {path!r} holds no value")
    return found, hashlib.sha256(data).hexdigest()


@dataclasses.dataclass(frozen=True)
class Truth:
    """For every row: 1 where a rule holds, -1 where it fails, 0 where nobody knows; and the
    number of the predicate that says so."""

    value: npt.NDArray[np.int8]
    decided_by: npt.NDArray[np.int32]

    def __invert__(self) -> "Truth":
        return Truth(-self.value, self.decided_by)


def combined(found: list[Truth], every: bool) -> Truth:
    """All of them hold, or any does; decided by the first that is as the whole."""
    values = np.stack([truth.value for truth in found])
    value = values.min(0) if every else values.max(0)
    first = np.argmax(values == value, axis=0)
    deciders = np.stack([truth.decided_by for truth in found])
    return Truth(value, deciders[first, np.arange(len(value))])
