"""How fast documents are spoken: `speak` against the same engine calls in bare processes.

    python benchmarks/speak.py [--engine espeak-ng] [--minutes 30] [--repeats 3] [--listen 2]

The calls that `speak` makes (texts, voices, manners, seeds) are written down once. Then two loops
make the same calls, document by document, in the same order:

- bare: a parent that holds the library forks a process per document, which speaks and throws the
  samples away (flite: one process per call, as in the step);
- bare, 16 kHz: the same, and each sound is resampled by the step's own code, as it must be for
  anything that follows.

`speak` cuts texts, resamples, measures and levels loudness, joins, fades, finds words' times and
writes the samples to the spool. Figures are seconds of audio per second of processor time, of all
processes of a loop together, so they are per core. `verify` is timed apart, over `--listen` minutes
of it, as the step that follows. Rounds take turns, and medians are printed.
"""

import argparse
import gc
import mmap
import os
import pathlib
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, cast

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import circumstances as on
from benchmarks.made_sentences import sentences
from pipeline import device
from schemas.pages import Line, Page, Utterance, script_id, utterance_id
from schemas.records import Clip
from transforms.engines import synth_espeak, synth_espeak_child, synthesizer
from transforms.spool import FileSpool
from transforms.step import Scope
from transforms.synthesize.casting import Stage
from transforms.synthesize.polyphase import resampled
from transforms.synthesize.speak import Speak
from transforms.synthesize.verify import Verify

PER_DOCUMENT = 40  # utterances
SECONDS = 4.0  # about what one takes
Call = tuple[str, str, synthesizer.Manner]


def documents(minutes: float) -> Iterator[tuple[Page, list[Utterance]]]:
    """Pages of our own sentences, each one script."""
    count = max(1, round(minutes * 60 / SECONDS / PER_DOCUMENT))
    for number in range(count):
        texts = sentences(number, PER_DOCUMENT)
        name = f"{number:064x}"
        page = Page(id=name, root=name, index=0, uri="", text="\n".join(texts), language="en")
        lines = tuple(Line(role="reader", text=text) for text in texts)
        script = script_id(name, "page", 0, lines)
        yield (
            page,
            [
                Utterance(
                    id=utterance_id(script, at, text, True),
                    page=name,
                    script=script,
                    index=at,
                    line=at,
                    role="reader",
                    text=text,
                    language="en",
                )
                for at, text in enumerate(texts)
            ],
        )


class Noted:
    """An engine whose calls are written down, by document."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        self.calls: list[tuple[int, list[Call]]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def begin(self, seed: int) -> "Noted":
        self.calls.append((seed, []))
        self._reading = self._engine.begin(seed)
        return self

    def __enter__(self) -> "Noted":
        self._reading.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._reading.__exit__(*error)

    def say(self, text: str, voice: str, manner: synthesizer.Manner) -> Any:
        self.calls[-1][1].append((text, voice, manner))
        return self._reading.say(text, voice, manner)


def spent() -> float:
    """Processor seconds of this process and of all that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Processor seconds and wall seconds of a loop that ends its processes."""
    cpu, wall = spent(), time.perf_counter()
    work()
    return spent() - cpu, time.perf_counter() - wall


def bare_espeak(calls: list[tuple[int, list[Call]]], rate: int | None) -> None:
    """The library in a parent, a fork per document, no pipes; resampled where `rate` is given."""
    parent = os.fork()
    if parent:
        os.waitpid(parent, 0)
        return
    names = synth_espeak._known(*synth_espeak.paths(), 512)[1]
    window = mmap.mmap(-1, 8 << 20)
    library = synth_espeak_child.Library(*synth_espeak.paths(), window, lambda frames: None)
    for seed, document in calls:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            continue
        library.seed(seed)
        for text, voice, manner in document:
            told = library.say(
                {
                    "voice": names[voice],
                    "text": text,
                    "speed": manner.speed,
                    "pitch": manner.pitch,
                    "most": 1 << 30,
                }
            )
            if rate is not None:
                resampled(np.frombuffer(window, "<i2", told["frames"]), library.rate, rate)
        os._exit(0)
    os._exit(0)


def bare_engine(engine: str, calls: list[tuple[int, list[Call]]], rate: int | None) -> None:
    """The engine itself, call by call."""
    found = synthesizer.load(engine)
    for seed, document in calls:
        with found.begin(seed) as reading:
            for text, voice, manner in document:
                answer = reading.say(text, voice, manner)
                if rate is not None and isinstance(answer, synthesizer.Sound):
                    resampled(answer.pcm, answer.rate, rate)
    found.close()


def spoken(step: Speak, stage: Stage, pages: list[Any]) -> tuple[list[list[Clip]], list[Scope]]:
    clips, scopes = [], []
    for page, utterances in pages:
        spool = FileSpool(pathlib.Path(tempfile.gettempdir()), step.rate, 1 << 32)
        scope = Scope(root=page, seed=1, audio=spool, sink=spool)
        clips.append([item for item in step(utterances, stage, scope) if isinstance(item, Clip)])
        scopes.append(scope)
    return clips, scopes


def run_speak(step: Speak, pages: list[Any]) -> None:
    """Document by document, as a worker does it: its spool ends with it."""
    stage = step.load()
    for page, utterances in pages:
        with FileSpool(pathlib.Path(tempfile.gettempdir()), step.rate, 1 << 32) as spool:
            scope = Scope(root=page, seed=1, audio=spool, sink=spool)
            for _ in step(utterances, stage, scope):
                pass
    stage.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="espeak-ng")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--listen", type=float, default=2.0, help="minutes that verify hears")
    asked = parser.parse_args()
    device.pin()
    step = Speak(engine=asked.engine)
    pages = list(documents(asked.minutes))
    stage = step.load()
    noted: Any = Noted(stage.engine)
    clips, scopes = spoken(step, Stage(noted, stage.ensemble), pages)
    seconds = sum(clip.seconds for document in clips for clip in document)
    listened = verified(step, stage, clips, scopes, asked.listen)
    stage.close()
    bare = bare_espeak if asked.engine == "espeak-ng" else None
    loops: dict[str, Callable[[], None]] = {
        "bare": lambda: (
            bare(noted.calls, None) if bare else bare_engine(asked.engine, noted.calls, None)
        ),
        "bare, 16 kHz": lambda: (
            bare(noted.calls, step.rate)
            if bare
            else bare_engine(asked.engine, noted.calls, step.rate)
        ),
        "speak": lambda: run_speak(step, pages),
    }
    gc.collect()
    gc.freeze()  # as in a worker, once its modules are there
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in loops}
    for turn in range(asked.repeats):
        names = list(loops) if turn % 2 == 0 else list(loops)[::-1]
        for name in names:
            found[name].append(timed(loops[name]))
    print(on.circumstances())
    print(f"{len(pages)} documents, {seconds / 60:.1f} minutes of audio with their pauses.\n")
    print(on.head("loop", "processor seconds", "audio s per core s", "speak's share", "wall s"))
    cost = {name: statistics.median(cpu for cpu, _ in rounds) for name, rounds in found.items()}
    for name, rounds in found.items():
        share = f"{cost[name] / cost['speak']:.2f}"
        wall = statistics.median(wall for _, wall in rounds)
        print(
            on.row(name, f"{cost[name]:.2f}", f"{seconds / cost[name]:.0f}", share, f"{wall:.2f}")
        )
    heard, cpu = listened
    print(
        f"\nverify (pocketsphinx): {heard / 60:.1f} minutes at {heard / cpu:.1f} audio s per core s"
    )
    return 0


def verified(
    speak: Speak, stage: Stage, clips: list[list[Clip]], scopes: list[Scope], minutes: float
) -> tuple[float, float]:
    """Seconds that were heard and what it cost; nothing fails, so nothing is spoken again."""
    step = Verify(max_wer=None, pace=None, retake=False)
    model = step.load()
    heard = cpu = 0.0
    for document, scope in zip(clips, scopes, strict=True):
        if heard < minutes * 60:
            some = document[: max(1, round((minutes * 60 - heard) / SECONDS))]
            before = spent()
            list(step(some, model, scope))
            cpu += spent() - before
            heard += sum(clip.seconds for clip in some)
        cast(FileSpool, scope.samples()).close()
    return heard, max(cpu, 1e-9)


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in device.pins().items()):
        # numpy is imported by now, and has chosen its threads: begin again as workers do
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | device.pins())
    raise SystemExit(main())
