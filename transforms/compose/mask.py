"""Take personal data out of what is composed: placeholders in the text, silence in the sound.

E-mail addresses, phone numbers, cards, accounts, national identity numbers and IP addresses, as
the measure `personal_data` finds them. In the text and in the words they become `[EMAIL]`,
`[PHONE]` and so on; in the FLAC of the shard (and so in its tokens) the samples of those words are
zero. A document records both (`chunk_masked`, `chunk_muted`). Clips without personal data are
bytes for bytes what they would be without this step.

Muting needs word times that were measured; where times are only estimated, the step refuses
rather than leave a spoken number audible. What is stored under OUT before compose (transcripts,
audio, the report's samples) is not masked: OUT is yours, shards are what you share. To drop such
clips instead, use the measure `personal_data` and a filter.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import ClassVar, Literal

import pydantic

from schemas.records import Clip, Drop
from transforms.compose import masking
from transforms.compose.masking import Muting
from transforms.measure.personal import KINDS, NATIONAL, REGIONS, Search
from transforms.measure.personal_data import Kind, known_ids, known_regions
from transforms.measure.personal_numbers import libraries
from transforms.step import Phase, Step


class Mask(Step):
    """Mask personal data in text and sound of the clips that are composed."""

    phase: ClassVar[Phase] = "compose"
    reasons: ClassVar[dict[str, str]] = {
        "times_not_measured": "the clip holds personal data, and its sound cannot be muted because "
        "its words have no measured times"
    }

    kinds: list[Kind] = pydantic.Field(
        ["email", "iban", "card", "national_id", "ip", "phone"],
        min_length=1,
        description="What is masked (all)",
    )
    regions: list[str] = pydantic.Field(
        list(REGIONS), description="Countries whose national phone numbers count (ISO 3166; ours)"
    )
    national_ids: list[str] = pydantic.Field(
        list(NATIONAL), description="Identity numbers that count (python-stdnum's names; all known)"
    )
    spoken: bool = pydantic.Field(
        True, description="Mask what is said in English words, too (ours)"
    )
    mute: bool = pydantic.Field(True, description="Silence the samples of masked words (ours)")
    margin_seconds: float = pydantic.Field(
        0.1,
        ge=0,
        le=2,
        description="Silence around masked words (seconds; recognizers' times "
        "are about this exact)",
    )
    unmeasured: Literal["refuse", "drop", "clip"] = pydantic.Field(
        "refuse",
        description="Where words have no measured times: stop, drop the clip, or silence all of it",
    )
    max_pause: float = pydantic.Field(
        3.0, ge=0, description="A number may go on in the next clip after this pause (seconds)"
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

    def masked(
        self, clips: Sequence[Clip], kept: AbstractSet[str]
    ) -> tuple[list[Clip], masking.Masks, list[Drop]]:
        """All clips of a task with personal data taken out of the kept ones, what was taken, and
        the kept clips that must leave. Raises `masking.MaskError`."""
        search = Search(
            kinds=tuple(kind for kind in KINDS if kind in self.kinds),
            regions=tuple(self.regions),
            national=tuple(self.national_ids),
            spoken=self.spoken,
        )
        spans = masking.spans_of(clips, kept, search, self.max_pause)
        muting = Muting(self.margin_seconds, self.unmeasured) if self.mute else None
        given: list[Clip] = []
        masks: dict[str, masking.Mask] = {}
        drops: list[Drop] = []
        for clip in clips:
            mute = muting if clip.audio is not None else None  # a page has no sound to take it from
            changed = masking.masked(clip, spans[clip.id], mute) if clip.id in spans else None
            if clip.id in spans and changed is None:
                drops.append(_drop(clip, [one.kind for one in spans[clip.id]]))
            if changed is None:
                given.append(clip)
            else:
                given.append(changed[0])
                masks[clip.id] = changed[1]
        return given, masks, drops


def _drop(clip: Clip, kinds: Sequence[str]) -> Drop:
    return Drop(
        id=clip.id,
        root=clip.task,
        step=Mask.name(),
        reason="times_not_measured",
        seconds=clip.seconds,
        detail=f"{', '.join(kinds)}; word times: {clip.times}",
    )
