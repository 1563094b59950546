"""How much personal data a clip's text holds, by kind, for `filter` to drop and people to count.

E-mail addresses, phone numbers, IP addresses, payment cards (Luhn), bank accounts (IBAN) and
national identity numbers, written or said in English words ("four one five, double five ...",
"john dot smith at example dot com"); `docs/filtering.md` says what is not found. The step `mask`
looks for the same things and takes them out of text and sound. `national_ids` names countries'
numbers as `python-stdnum` does.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import pydantic

from schemas.records import Clip, Scores
from transforms.measure.personal import KINDS, NATIONAL, REGIONS, Search, find
from transforms.measure.personal_numbers import libraries
from transforms.step import Measure, Scope

Kind = Literal["email", "iban", "card", "national_id", "ip", "phone"]


class PersonalData(Measure):
    """How often each kind of personal data stands in a clip's text."""

    columns: ClassVar[dict[str, type]] = {"total": int, **dict.fromkeys(KINDS, int), "said": int}
    needs_audio: ClassVar[bool] = False

    kinds: list[Kind] = pydantic.Field(
        ["email", "iban", "card", "national_id", "ip", "phone"],
        min_length=1,
        description="What is looked for (all)",
    )
    regions: list[str] = pydantic.Field(
        list(REGIONS), description="Countries whose national phone numbers count (ISO 3166; ours)"
    )
    national_ids: list[str] = pydantic.Field(
        list(NATIONAL), description="Identity numbers that count (python-stdnum's names; all known)"
    )
    spoken: bool = pydantic.Field(
        True, description="Look for what is said in English words, too (ours)"
    )

    @pydantic.field_validator("national_ids")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        return known_ids(names)

    @pydantic.field_validator("regions")
    @classmethod
    def _regions(cls, names: list[str]) -> list[str]:
        return known_regions(names)

    def fingerprint(self) -> dict[str, str]:
        return libraries()

    def search(self) -> Search:
        return Search(
            kinds=tuple(self.kinds),
            regions=tuple(self.regions),
            national=tuple(self.national_ids),
            spoken=self.spoken,
        )

    def __call__(self, records: Sequence[Clip], model: Any, scope: Scope) -> Iterator[Scores]:
        search = self.search()
        for clip in records:
            found = find(clip.text, search)
            kinds = [one.kind for one in found]
            said = sum(one.said for one in found)
            yield Scores(id=clip.id, values=(len(kinds), *map(kinds.count, KINDS), said))


def known_ids(names: list[str]) -> list[str]:
    """The names, all of numbers that we know how to spell. Raises `ValueError` otherwise."""
    for name in names:
        if name not in NATIONAL:
            raise ValueError(f"no identity number {name!r}; known are {', '.join(NATIONAL)}")
    return names


def known_regions(names: list[str]) -> list[str]:
    """The names, all of them country codes. Raises `ValueError` otherwise."""
    for name in names:
        if not (len(name) == 2 and name.isascii() and name.isupper()):
            raise ValueError(f"region {name!r} is not a country code of two capitals (ISO 3166)")
    return names
