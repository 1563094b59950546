"""Synthesizers: a text said by a voice, document by document. The contract is `synth_contract`.

An engine is named `family` or `family/variant`; the variant is a local path where a model is
needed. Nothing is downloaded.
"""

import difflib

from transforms.engines.synth_contract import (
    Answer,
    Manner,
    Mark,
    Reading,
    Sound,
    Synthesizer,
    SynthOptions,
    SynthSettings,
    Unspoken,
    Voice,
    language_of,
    violations,
)
from transforms.engines.synth_endpoint import SpeechEndpoint
from transforms.engines.synth_espeak import Espeak
from transforms.engines.synth_flite import Flite
from transforms.engines.synth_kokoro import Kokoro
from transforms.engines.synth_melo import Melo
from transforms.engines.synth_piper import Piper

__all__ = [
    "ENGINES",
    "Answer",
    "Manner",
    "Mark",
    "Reading",
    "Sound",
    "SynthOptions",
    "SynthSettings",
    "Synthesizer",
    "Unspoken",
    "Voice",
    "fingerprint",
    "language_of",
    "load",
    "parse",
    "violations",
]

ENGINES: dict[str, type[Synthesizer]] = {
    "espeak-ng": Espeak,
    "flite": Flite,
    "kokoro": Kokoro,
    "piper": Piper,
    "melo": Melo,
    "endpoint": SpeechEndpoint,
}


def parse(name: str) -> tuple[type[Synthesizer], str]:
    """The family's class and the variant of an engine's name, `family` or `family/variant`.

    Raises `ValueError` with the nearest known family, or what the family says of the variant.
    """
    family, _, variant = name.partition("/")
    if family not in ENGINES:
        near = difflib.get_close_matches(family, ENGINES, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"unknown synthesizer {name!r}; did you mean {near!r}? Known: {', '.join(ENGINES)}"
        )
    ENGINES[family].check_variant(variant)
    return ENGINES[family], variant


def fingerprint(name: str, settings: SynthSettings) -> dict[str, str]:
    """The fingerprint of the engine of that name. Raises `ModelError` where it cannot work."""
    family, variant = parse(name)
    return family.fingerprint(variant, settings)


def load(name: str, settings: SynthSettings | None = None) -> Synthesizer:
    """The engine of that name, ready to be asked."""
    family, variant = parse(name)
    return family(variant, settings)
