"""The prompts of text generation: files with a version, in words of our own.

One YAML file per task: `version`, `instruction`, and `languages`, what is said beside it about
texts of a language. A change to a file changes its digest, and with it the key of the step and of
every cached answer; the version is for people.
"""

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path

import pydantic

from schemas.settings import load_settings

FOLDER = Path(__file__).parent


class Prompt(pydantic.BaseModel):
    """A prompt file."""

    model_config = pydantic.ConfigDict(frozen=True, strict=True, extra="forbid")

    version: int = pydantic.Field(ge=1)
    instruction: str = pydantic.Field(min_length=1)
    languages: Mapping[str, str] = {}

    def text(self, language: str | None) -> str:
        """The instruction for a text of a language (ISO 639-1; None: unknown)."""
        if language is None:
            return self.instruction.replace("{language}", "the language of the text")
        said = self.instruction.replace("{language}", language_name(language))
        more = self.languages.get(language.partition("-")[0], "")
        return f"{said}\n{more}".strip()


@functools.cache
def prompt(name: str) -> Prompt:
    """The prompt of a task. Raises `SettingsError` where the file is wrong."""
    return load_settings(FOLDER / f"{name}.yaml", Prompt)


def task_name(name: str, language: str | None) -> str:
    """How a prompt is named in keys and logs: "rewrite.en/1"."""
    return f"{name}.{language or 'any'}/{prompt(name).version}"


def prompts_digest(*names: str) -> dict[str, str]:
    """The sha256 of prompt files: part of a step's fingerprint."""
    return {name: hashlib.sha256(_bytes(name)).hexdigest() for name in names}


def _bytes(name: str) -> bytes:
    return (FOLDER / f"{name}.yaml").read_bytes()


@functools.cache
def language_name(language: str) -> str:
    """The English name of a language: German; its code where it has none."""
    from babel import Locale, UnknownLocaleError

    try:
        name = Locale.parse(language, sep="-").get_language_name("en")
    except (ValueError, UnknownLocaleError):
        return language
    return str(name or language)
