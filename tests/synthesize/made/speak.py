"""A hum of 50 ms per character in place of a voice; pitch and speaker follow from the page."""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np

from schemas.ids import digest_of
from schemas.records import Clip, Drop
from transforms.step import Phase, RecordStep, Scope


class Speak(RecordStep):
    """Utterances to clips; one that says "unspeakable" leaves."""

    phase: ClassVar[Phase] = "synthesize"
    reasons: ClassVar[dict[str, str]] = {"no_speech": "the engine made nothing of it"}
    makes_audio: ClassVar[bool] = True

    def __call__(self, records: Sequence[Any], model: Any, scope: Scope) -> Iterator[Clip | Drop]:
        audio = scope.samples()
        assert scope.sink is not None
        scripts = list(dict.fromkeys(one.script for one in records))
        at = dict.fromkeys(range(len(scripts)), 0)
        for one in records:
            if "unspeakable" in one.text:
                yield Drop(id=one.id, root=one.page, step="speak", reason="no_speech", seconds=0.0)
                continue
            channel = scripts.index(one.script)
            length = 50 * len(one.text) * audio.rate // 1000 if one.spoken else 0
            if length:
                chance = scope.rng("speak", one.id)
                pitch = chance.uniform(100, 300)
                wave = 8000 * np.sin(2 * np.pi * pitch * np.arange(length) / audio.rate)
                scope.sink.append(channel, wave.astype(np.int16))
            start, end = at[channel], at[channel] + length
            at[channel] = end
            yield Clip(
                id=digest_of("clip", one.id, start, end),
                task=one.page,
                recording=one.page,
                channel=channel,
                index=one.index,
                start=start / audio.rate,
                end=end / audio.rate,
                rate=audio.rate,
                speaker=f"made {one.role}",
                speaker_given=True,
                text=one.text,
                quality=one.quality,
                language=one.language,
            )
