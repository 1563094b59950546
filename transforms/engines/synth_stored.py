"""What synthesizers have in common whose model lies where their name says: `kokoro/FOLDER`."""

from pathlib import Path
from typing import ClassVar

from transforms.engines.synth_contract import Single, SynthSettings, Voice


class Stored(Single):
    """An engine of a local folder, or of a file; each utterance by itself."""

    family: ClassVar[str]  # the engine's name before its variant
    deterministic: bool = True
    gives_times = False
    changes_pitch = False

    def __init__(self, variant: str = "", settings: SynthSettings | None = None) -> None:
        self.check_variant(variant)
        self.name = f"{self.family}/{variant}"
        self.settings = settings or SynthSettings()
        self._place = Path(variant).expanduser()
        self._voices = self.listed(variant, self.settings)

    @classmethod
    def check_variant(cls, variant: str) -> None:
        if not variant:
            raise ValueError(f"engine {cls.family} needs a folder: {cls.family}/PATH")

    @classmethod
    def listed(cls, variant: str, settings: SynthSettings) -> tuple[Voice, ...]:
        """The voices that lie at `variant`, by each engine's own layout. Raises `ModelError`."""
        raise NotImplementedError(f"{cls.__name__} must define listed")

    def voices(self) -> tuple[Voice, ...]:
        return self._voices
