"""Text evaluation sets, spoken: every side that is text gets its audio, each by itself.

A prompt and its endings are spoken apart and share nothing but the voice, so that all endings of an
item follow the same prompt, sample for sample (LST makes its sets so; recordings of whole stories
score about nine points lower). Voice, speed and pitch are drawn by the seed and the item's group:
the order of items changes nothing, and an engine that keeps state begins anew with every side.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from schemas.ids import digest_of, rng
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.items import Item, Side
from trainer.evaluation.layout import AUDIO, EvalSet, read_items, write_set
from trainer.evaluation.quest import items_of
from transforms import flac
from transforms.engines.synthesizer import language_of
from transforms.synthesize.casting import Part, Stage
from transforms.synthesize.speak import Speak
from transforms.synthesize.spoken_form import spoken_form
from transforms.synthesize.takes import Refusal, Take

SPOKEN = {
    "cloze": ("question",),
    "pairs": ("positive", "negative"),
    "endings": ("prompt", "endings"),
    "gap": ("chunks",),
}
"""The fields of each kind that are spoken."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Spoken:
    """What became of a text set."""

    found: EvalSet
    seconds: float  # of audio
    skipped: tuple[str, ...]  # items that the engine refused, with the reason


def speak_set(
    source: Path,
    out: Path,
    speak: Speak,
    *,
    language: str,
    seed: int = 0,
    prompts_only: bool = False,
    skip_refused: bool = False,
    distractors: int | None = None,
) -> Spoken:
    """Speak a file of items, or a table of questions, into a new folder.

    `language`: of the texts (ISO 639-1). `prompts_only`: leave endings as text (S-to-T alone).
    Raises `EvaluationError` for a set that is not sound, and for an item that the engine refuses
    unless those are skipped; `ModelError` where the engine or a voice is missing. Nothing is left
    behind then.
    """
    texts = [_plain(item) for item in _items(source, distractors, seed)]
    _speakable(texts, source)
    reader = _Reader(speak, speak.load(), language, seed)
    done = _Done()
    try:
        audio = reader.read(texts, prompts_only, skip_refused, done)
        found = write_set(out, _Late(done.items), audio)
    finally:
        reader.stage.close()
    return Spoken(found=found, seconds=done.seconds, skipped=tuple(done.skipped))


def _items(source: Path, distractors: int | None, seed: int) -> list[Mapping[str, Any] | Item]:
    """The items of a file: lines with a `kind` are items, others rows of a table of questions."""
    if not source.is_file():
        raise EvaluationError(f"{source}: no such file; give a .jsonl of items, or a table")
    with source.open("rb") as stream:
        head = stream.readline()
    if source.suffix == ".jsonl" and b'"kind"' in head:
        return list(read_items(source))
    return list(items_of(source, distractors=distractors, seed=seed)[0])


def _plain(item: Mapping[str, Any] | Item) -> dict[str, Any]:
    if isinstance(item, Mapping):
        return dict(item)
    found: dict[str, Any] = item.model_dump(mode="json", exclude_none=True)
    return found


def _speakable(items: list[dict[str, Any]], source: Path) -> None:
    """Raises `EvaluationError` for what cannot be spoken, before an engine is loaded."""
    for item in items:
        where = f"{source}: {item['id']!r}"
        if item["kind"] not in SPOKEN:
            raise EvaluationError(f"{where}: items of kind {item['kind']!r} have nothing to speak")
        for _, side in _sides(item, False):
            if side.get("audio") is not None:
                raise EvaluationError(f"{where}: it is spoken already ({side['audio']})")
            if side.get("text") is None:
                raise EvaluationError(f"{where}: a side has no text to speak")


def _sides(item: Mapping[str, Any], prompts_only: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    """The sides of an item that are spoken, each with a name."""
    for field in SPOKEN[item["kind"]]:
        if prompts_only and field == "endings":
            continue
        value = item[field]
        if isinstance(value, Side | dict):
            yield field, value  # type: ignore[misc]
        else:
            yield from ((f"{field}.{place}", one) for place, one in enumerate(value))


@dataclasses.dataclass
class _Done:
    """What is there so far."""

    items: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    skipped: list[str] = dataclasses.field(default_factory=list)
    seconds: float = 0.0


class _Late:
    """Items that are known once the audio has been written."""

    def __init__(self, items: list[dict[str, Any]]) -> None:
        self._items = items

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self._items)


class _Reader:
    """Speaks item after item."""

    def __init__(self, speak: Speak, stage: Stage, language: str, seed: int) -> None:
        self._speak, self.stage, self._seed = speak, stage, seed
        self._language = language_of(language)

    def read(
        self, items: list[dict[str, Any]], prompts_only: bool, skip_refused: bool, done: _Done
    ) -> Iterator[tuple[str, bytes]]:
        """The audio of all items, by the path that they name it by."""
        for item in items:
            part, seed = self._part(item)
            takes: list[tuple[dict[str, Any], str, Take]] = []
            refused = ""
            for name, side in _sides(item, prompts_only):
                made = self._said(str(side["text"]), part, seed)
                if isinstance(made, Refusal):
                    refused = f"{item['id']!r}: {name}: {made.reason}: {made.detail}"
                    break
                path = f"{AUDIO}/{digest_of('spoken', item['id'], name)[:16]}.flac"
                takes.append((side, path, made))
            if refused and not skip_refused:
                raise EvaluationError(
                    f"{refused}. Mend the text, take another engine, or leave such items out "
                    "(--skip-refused)"
                )
            if refused:
                done.skipped.append(refused)
                continue
            for side, path, made in takes:
                side["audio"] = path
                done.seconds += len(made.pcm) / self._speak.rate
                yield path, flac.encode(made.pcm, self._speak.rate)
            done.items.append(item | {"engine": self._speak.engine, "voice": part.voice.name})

    def _part(self, item: Mapping[str, Any]) -> tuple[Part, int]:
        """The voice of an item: one for all items of its group."""
        chance = rng(self._seed, "evalset", str(item.get("group") or item["id"]))
        part = self.stage.ensemble.draw(self._language, chance)
        if part is None:
            raise EvaluationError(
                f"{self._speak.engine} has no voice for {self._language!r} among those that may be "
                f"drawn; it speaks {', '.join(self.stage.engine.languages()[:20])}"
            )
        return part, chance.getrandbits(31)

    def _said(self, text: str, part: Part, seed: int) -> Take | Refusal:
        said = spoken_form(text, self._language) if self._speak.normalise else text
        with self.stage.engine.begin(seed) as reading:  # anew: a side depends on its text alone
            return self._speak.taken(reading, text, said, part, 0.0)
