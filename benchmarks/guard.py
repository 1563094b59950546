"""What the hallucination guard refuses, and what it costs in genuine speech.

    python -m benchmarks.guard [--per-kind 20] [--answers 80] [--whisper tests/assets/whisper-toy]

First the made set of `guard_set.py`: the limits of `GUARD` were chosen on its development half and
are measured on its test half. Then a real subject: a small Whisper that knows one grammar in
English and German, and turns everything else into fluent sentences of it. Its right text must
survive; what it invents over foreign speech should not. Needs espeakng-loader, and faster-whisper
for the second part. One core, about a minute. Prints Markdown tables.
"""

import argparse
import collections
import dataclasses
import importlib.util
import pathlib
import random
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))  # run as a file, too

from benchmarks.guard_set import KINDS, Case, halves, make
from benchmarks.guard_texts import TEXTS
from benchmarks.hearing_accuracy import word_errors, words
from benchmarks.spoken import RATE, Pcm16, Speaker
from schemas.ids import digest_of
from schemas.records import Clip, Task, Transcript, Word, clip_id
from schemas.tables import to_table
from transforms.measure.boilerplate import Boilerplate
from transforms.measure.confidence import Confidence
from transforms.measure.coverage import Coverage
from transforms.measure.language_agreement import LanguageAgreement
from transforms.measure.repetition import Repetition
from transforms.measure.text_rate import TextRate
from transforms.select.filter import Filter
from transforms.step import Measure, Scope

ROOT = pathlib.Path(__file__).resolve().parent.parent

# The guard: limits on text and sound alone, chosen on the development half. What a recognizer says
# of itself differs by model, so limits on it are chosen for a model (second part), not here.
GUARD = Filter(
    max_loop_share=0.2,
    max_letters_per_second=100,
    min_letters_per_second=7,
    max_words_outside=0.4,
    min_speech_covered=0.6,
    max_boilerplate=0.5,
)
WHISPER_LIMITS = Filter(max_no_speech=0.6, min_log_probability=-1.0)
COMPRESSION = Filter(max_compression_ratio=2.4)


@dataclasses.dataclass(frozen=True)
class Sound:
    """The samples of one clip, as a measure reads them."""

    pcm: Pcm16
    rate: int = RATE

    def channels(self) -> Sequence[int]:
        return (0,)

    def length(self, channel: int) -> int:
        return len(self.pcm)

    def read(self, channel: int, start: int, end: int) -> Pcm16:
        return self.pcm[start:end]


def joined(pairs: Sequence[tuple[Clip, Pcm16]]) -> pa.Table:
    """The clips with the guard's scores beside them, as `filter` sees them."""
    measures: list[Measure] = [
        Repetition(),
        Coverage(),
        Boilerplate(),
        TextRate(),
        Confidence(),
        LanguageAgreement(),
    ]
    table = to_table([clip for clip, _ in pairs], Clip)
    kinds = {float: pa.float64(), int: pa.int64(), str: pa.string(), bool: pa.bool_()}
    for measure in measures:
        model = measure.load()
        values = []
        for clip, pcm in pairs:
            root = Task(id=clip.task, recording=clip.recording)
            scope = Scope(root=root, seed=0, audio=Sound(pcm))
            values.append(next(iter(measure([clip], model, scope))).values)
        for place, (name, kind) in enumerate(measure.columns.items()):
            column = pa.array([row[place] for row in values], kinds[kind])
            table = table.append_column(f"{measure.name()}.{name}", column)
    return table


def reasons(step: Filter, table: pa.Table) -> list[str | None]:
    """By which reason each row leaves, in their order; None where it stays."""
    left = step.judge(table)
    found = dict(zip(left["id"].to_pylist(), left["reason"].to_pylist(), strict=True))
    return [found.get(clip) for clip in table["id"].to_pylist()]


def share(flags: Iterable[bool]) -> float:
    flags = list(flags)
    return sum(flags) / len(flags) if flags else float("nan")


def summary(cases: Sequence[Case], left: Sequence[str | None]) -> tuple[float, float, float]:
    """Recall of what is invented, and the loss of what is genuine by clips and by seconds."""
    pairs = list(zip(cases, left, strict=True))
    recall = share(reason is not None for case, reason in pairs if not case.genuine)
    loss = share(reason is not None for case, reason in pairs if case.genuine)
    seconds = sum(case.clip.seconds for case in cases if case.genuine)
    lost = sum(c.clip.seconds for c, reason in pairs if c.genuine and reason is not None)
    return recall, loss, lost / seconds


def made_set(per_kind: int) -> None:
    cases = make(per_kind)
    print(f"### The made set: {len(cases)} clips, {len(TEXTS)} languages\n")
    print("| guard | half | invented: refused | genuine: lost (clips) | genuine: lost (seconds) |")
    print("|---|---|---|---|---|")
    steps = {
        "guard": GUARD,
        "compression ratio 2.4 alone": COMPRESSION,
        "Whisper's limits alone (scores drawn, not heard)": WHISPER_LIMITS,
    }
    tables = {half: joined([(c.clip, c.pcm) for c in some]) for half, some in halves(cases)}
    for name, step in steps.items():
        for half, some in halves(cases):
            recall, loss, seconds = summary(some, reasons(step, tables[half]))
            print(f"| {name} | {half} | {recall:.1%} | {loss:.2%} | {seconds:.2%} |")
    print("\n| kind (test half) | clips | guard refuses | by reason | compression 2.4 refuses |")
    print("|---|---|---|---|---|")
    some = [case for case in cases if case.half == "test"]
    by_guard = reasons(GUARD, tables["test"])
    by_ratio = reasons(COMPRESSION, tables["test"])
    for kind in KINDS:
        mine = [i for i, case in enumerate(some) if case.kind == kind]
        why = collections.Counter(by_guard[i] for i in mine if by_guard[i])
        told = ", ".join(f"{reason} {count}" for reason, count in sorted(why.items())) or "-"
        print(
            f"| {kind} | {len(mine)} | {share(by_guard[i] is not None for i in mine):.1%} | {told} "
            f"| {share(by_ratio[i] is not None for i in mine):.1%} |"
        )
    print("\n| language (test half) | invented: refused | genuine: lost |\n|---|---|---|")
    for language in TEXTS:
        mine = [i for i, case in enumerate(some) if case.language == language]
        recall, loss, _ = summary([some[i] for i in mine], [by_guard[i] for i in mine])
        print(f"| {language} | {recall:.1%} | {loss:.1%} |")
    print()


# -- a real subject -----------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Heard:
    """What the toy wrote of a known text."""

    group: str
    right: bool
    clip: Clip
    pcm: Pcm16


def toy_subjects(folder: pathlib.Path, count: int) -> list[Heard]:
    """The toy's answers: sentences of its grammar, other sentences of its languages, other ones."""
    from faster_whisper import WhisperModel

    spec = importlib.util.spec_from_file_location("toy_sentences", folder / "sentences.py")
    assert spec is not None and spec.loader is not None
    grammar: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(grammar)
    model = WhisperModel(str(folder), device="cpu", compute_type="int8", cpu_threads=1)
    speaker, rng = Speaker(), random.Random(17)
    said = [
        (f"grammar, {code}", grammar.sentence(rng, code, held_out=True), voice)
        for code, voice in (("en", "en-us"), ("de", "de"))
        for _ in range(count)
    ]
    for code, texts in TEXTS.items():
        known = "other words" if code in ("en", "de") else "foreign"
        said += [
            (f"{known}, {code}", texts.sentences[i % len(texts.sentences)], texts.voice)
            for i in range(count // 2)
        ]
    found = []
    for number, (group, text, voice) in enumerate(said):
        pcm = speaker.say(text, voice, rng.randint(150, 180), rng.randint(40, 60)).pcm
        quiet = 10 * np.random.default_rng(number).standard_normal(len(pcm) + RATE)
        pcm = np.clip(np.pad(pcm, RATE // 2) + np.rint(quiet), -32768, 32767).astype(np.int16)
        clip = _asked(model, pcm, f"{group} {number}")
        if clip is not None:
            errors = word_errors(words(text), words(clip.text))
            found.append(Heard(group, errors <= 0.2 * len(words(text)), clip, pcm))
    return found


def _asked(model: Any, pcm: Pcm16, name: str) -> Clip | None:
    """The toy's answer as a clip; None where it wrote nothing."""
    seconds = len(pcm) / RATE
    segments, info = model.transcribe(
        pcm.astype(np.float32) / 32768,
        word_timestamps=True,
        temperature=0.0,
        condition_on_previous_text=False,
    )
    segments = list(segments)
    if not segments:
        return None
    heard = [
        Word(
            text=word.word.strip(),
            start=min(float(word.start), seconds),
            end=min(max(float(word.start), float(word.end)), seconds),
            confidence=float(word.probability),
        )
        for segment in segments
        for word in segment.words or []
    ]
    text = " ".join(segment.text.strip() for segment in segments)
    tokens = [len(segment.tokens) for segment in segments]
    transcript = Transcript(
        engine="faster-whisper/toy",
        text=text,
        language=info.language,
        language_probability=float(info.language_probability),
        words=tuple(heard),
        times="measured",
        mean_log_probability=float(
            np.average([segment.avg_logprob for segment in segments], weights=tokens)
        ),
        no_speech_probability=float(max(segment.no_speech_prob for segment in segments)),
    )
    task = digest_of("guard toy", name)
    return Clip(
        id=clip_id(task, 0, 0, len(pcm), RATE, "spk0"),
        task=task,
        recording=digest_of("guard toy recording", name),
        channel=0,
        index=0,
        start=0.0,
        end=seconds,
        rate=RATE,
        speaker="spk0",
        text=text,
        quality="normal",
        language=info.language,
        language_probability=float(info.language_probability),
        times="measured",
        words=tuple(heard),
        transcripts=(transcript,),
    )


def real_subject(folder: pathlib.Path, count: int) -> None:
    heard = toy_subjects(folder, count)
    table = joined([(one.clip, one.pcm) for one in heard])
    logs = table["confidence.mean_log_probability"].to_pylist()
    development = range(0, len(heard), 2)
    limit = round(min(logs[i] for i in development if heard[i].right) - 0.02, 2)
    steps = {
        "guard": GUARD,
        "Whisper's published limits": WHISPER_LIMITS,
        f"guard and min_log_probability {limit:.2f}": Filter(
            **(GUARD.model_dump() | {"min_log_probability": limit})
        ),
    }
    print(f"### A real subject: {len(heard)} answers of a small Whisper of one grammar\n")
    print("The last limit is just below every right answer of one half; shares are of the other.\n")
    groups = list(dict.fromkeys(one.group for one in heard))
    test = [i for i in range(len(heard)) if i % 2]
    print("| said | text is | clips | " + " | ".join(f"{name}: refused" for name in steps) + " |")
    print("|---" * (3 + len(steps)) + "|")
    judged = [reasons(step, table) for step in steps.values()]
    for group in [*groups, "all"]:
        for right in (True, False):
            mine = [i for i in test if heard[i].right == right and group in (heard[i].group, "all")]
            if mine:
                cells = (f"{share(left[i] is not None for i in mine):.0%}" for left in judged)
                name = "right" if right else "invented"
                print(f"| {group} | {name} | {len(mine)} | " + " | ".join(cells) + " |")
    print()


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--per-kind", type=int, default=20, help="clips per kind and language")
    options.add_argument("--whisper", type=pathlib.Path, help="folder of the toy model")
    options.add_argument("--answers", type=int, default=80, help="of the toy, per language")
    chosen = options.parse_args()
    made_set(chosen.per_kind)
    places = (ROOT / "tests/assets/whisper-toy", ROOT.parent / "shared/models/whisper-toy")
    folder = chosen.whisper or next((p for p in places if (p / "sentences.py").is_file()), None)
    if folder is None or importlib.util.find_spec("faster_whisper") is None:
        print("(no real subject: needs faster-whisper and --whisper)", file=sys.stderr)
    else:
        real_subject(folder, chosen.answers)


if __name__ == "__main__":
    main()
