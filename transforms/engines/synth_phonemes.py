"""Phonemes for networks that were trained on those of espeak-ng, with the text's punctuation.

The library gives phonemes clause by clause and drops the marks between them; networks need those
for their intonation. So the text is cut at its marks, each stretch is put into phonemes by itself,
and the marks are put back.
"""

import re

from transforms.engines.synth_contract import SynthSettings, Unspoken
from transforms.engines.synth_espeak import Espeak

_MARKS = re.compile(r"([;:,.!?\u2014\u2026]+(?=\s|$)|[\u3002\uff0c\uff01\uff1f])")


class Phonemizer:
    """IPA with stress by espeak-ng; a pure function of text and voice."""

    def __init__(self, settings: SynthSettings) -> None:
        self._espeak = Espeak("", settings)

    def __call__(self, text: str, voice: str) -> str | Unspoken:
        """Phonemes and punctuation, as in "h\u0259l\u02c8o\u028a, w\u02c8\u025c\u02d0ld."."""
        parts: list[str] = []
        with self._espeak.begin(0) as reading:
            for place, stretch in enumerate(_MARKS.split(text)):
                if place % 2:
                    parts.append(stretch[0] + " ")
                elif stretch.strip():
                    told = reading.phonemes(stretch, voice)
                    if isinstance(told, Unspoken):
                        return told
                    parts.append(" ".join(said.strip() for said, _ in told if said.strip()))
        return re.sub(r"\([a-z-]+\)", "", "".join(parts)).strip()  # marks of a change of language

    def close(self) -> None:
        self._espeak.close()
