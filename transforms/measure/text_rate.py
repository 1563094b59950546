"""How much text a clip holds for its length, and how much of it repeats itself.

Too many words a second, or too few, mean that the text is not of this audio. The compression ratio
is Whisper's (Radford et al. 2022, section 4.5: UTF-8 bytes over their zlib-compressed size; above
2.4 the text loops). zlib builds differ in what they produce, so the build's version is part of
the key.
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from schemas.records import Clip, Scores
from transforms.measure.wording import count_characters, count_words
from transforms.step import Measure, Scope


class TextRate(Measure):
    """Words and characters of a clip's text, per second of the clip, and its compression ratio."""

    columns: ClassVar[dict[str, type]] = {
        "words": int,
        "words_per_second": float,
        "chars_per_second": float,
        "compression_ratio": float,
    }
    needs_audio: ClassVar[bool] = False

    def fingerprint(self) -> dict[str, str]:
        return {"zlib": zlib.ZLIB_RUNTIME_VERSION}

    def __call__(self, records: Sequence[Clip], model: Any, scope: Scope) -> Iterator[Scores]:
        for clip in records:
            words, characters = count_words(clip.text), count_characters(clip.text)
            seconds = clip.seconds
            yield Scores(
                id=clip.id,
                values=(
                    words,
                    words / seconds if seconds > 0 else None,
                    characters / seconds if seconds > 0 else None,
                    compression_ratio(clip.text),
                ),
            )


def compression_ratio(text: str) -> float | None:
    """UTF-8 bytes over zlib bytes of a text without its outer spaces; None for no text."""
    data = text.strip().encode("utf-8", "replace")
    return len(data) / len(zlib.compress(data)) if data else None
