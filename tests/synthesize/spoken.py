"""Pages, scripts and scopes for the tests of what is spoken, and engines that do as told."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from schemas.pages import Line, Page, Utterance, script_id, utterance_id
from schemas.records import Clip, Drop, frames
from transforms.engines.synth_contract import Answer, Manner, Single, Sound, Voice
from transforms.spool import FileSpool
from transforms.step import Scope
from transforms.synthesize.casting import Ensemble, Stage

SENTENCES = (
    "The harbour was quiet before the first boats came in.",
    "Nobody had expected the bridge to open so early.",
    "Two gulls sat on the wall and looked at the water.",
)


def page_of(text: str, language: str | None = "en") -> Page:
    name = hashlib.sha256(text.encode()).hexdigest()
    return Page(
        id=name, root="ab" * 32, index=0, uri="https://x.test/", text=text, language=language
    )


def utterances(
    texts: Sequence[str],
    *,
    language: str | None = "en",
    roles: Sequence[str] = (),
    spoken: Sequence[bool] = (),
    index: int = 0,
) -> list[Utterance]:
    """One script of a page, a line per text."""
    page = page_of("\n".join(texts))
    lines = tuple(
        Line(role=roles[at] if roles else "reader", text=text) for at, text in enumerate(texts)
    )
    script = script_id(page.id, "page", index, lines)
    return [
        Utterance(
            id=utterance_id(script, at, text, not spoken or spoken[at]),
            page=page.id,
            script=script,
            index=at,
            line=at,
            role=lines[at].role,
            text=text,
            language=language,
            spoken=not spoken or spoken[at],
        )
        for at, text in enumerate(texts)
    ]


def scope_for(records: Sequence[Utterance | Clip], folder: Path, seed: int = 3) -> Scope:
    """A scope with an empty spool."""
    spool = FileSpool(folder, 16_000, 1 << 30)
    return Scope(root=page_of("the page"), seed=seed, audio=spool, sink=spool)


def sound_of(clip: Clip, scope: Scope) -> np.ndarray:
    """A clip's samples."""
    start, end = frames(clip.start, clip.rate), frames(clip.end, clip.rate)
    return scope.samples().read(clip.channel, start, end)


def parted(items: Sequence[Clip | Drop]) -> tuple[list[Clip], list[Drop]]:
    clips = [item for item in items if isinstance(item, Clip)]
    return clips, [item for item in items if isinstance(item, Drop)]


class Told(Single):
    """An engine that answers with what a function makes of text and voice."""

    deterministic = True
    gives_times = False
    changes_pitch = False

    def __init__(self, made: Callable[[str, str], Answer], voices: Sequence[str] = ("a", "b")):
        self.name = "told"
        self.said: list[tuple[str, str, Manner]] = []
        self._made = made
        self._voices = tuple(Voice(name=name, language="en", accent=name) for name in voices)

    @property
    def rate(self) -> int:
        return 16_000

    def voices(self) -> tuple[Voice, ...]:
        return self._voices

    def say(self, text: str, voice: str, manner: Manner) -> Answer:
        self.said.append((text, voice, manner))
        return self._made(text, voice)


def stage_of(engine: Told) -> Stage:
    return Stage(
        engine,
        Ensemble(voices=engine.voices(), weights={}, speed=(0.9, 1.1), pitch=(1.0, 1.0)),
    )


def tone(seconds: float, hertz: float = 200.0, level: float = 0.3) -> Sound:
    """A tone, the beginning and the end of which are as abrupt as can be."""
    time = np.arange(round(seconds * 16_000)) / 16_000
    wave = level * 32767 * np.cos(2 * np.pi * hertz * time)
    return Sound(pcm=np.rint(wave).astype(np.int16), rate=16_000)
