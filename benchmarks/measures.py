"""What the measures say of real recordings whose nature is known.

    python benchmarks/measures.py [--corpus ../shared/corpus]

The corpus folder holds `manifest.jsonl` with the fields audio, source, text, language, sample_rate
and kind, and `audio/long/*.regions.json` with labelled stretches. Prints Markdown tables: language
by text, by language and by length of the recording; signal-to-noise ratio and bandwidth by source;
music and noise, by the second, on made programmes and on files; and what the guard would refuse of
the given texts, all of which are right. One core, about half a minute.
"""

import argparse
import collections
import json
import pathlib
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))  # run as a file, too

from benchmarks.guard import GUARD, Sound, joined, reasons
from benchmarks.hearing_accuracy import RATE, read
from schemas.ids import digest_of
from schemas.records import Clip, Score, Task, clip_id
from transforms.engines.classifier import Tones
from transforms.measure.bandwidth import Bandwidth
from transforms.measure.dc_offset import DcOffset
from transforms.measure.language import Language
from transforms.measure.snr import Snr
from transforms.step import Measure, Pcm16, Scope

LENGTHS = ((0, 1), (1, 2), (2, 4), (4, 8), (8, 16), (16, 60))  # seconds


def clip_of(row: dict[str, Any], pcm: Pcm16) -> Clip:
    task = digest_of("benchmark", row["audio"])
    return Clip(
        id=clip_id(task, 0, 0, len(pcm), RATE, "spk0"),
        task=task,
        recording=digest_of("recording", row["audio"]),
        channel=0,
        index=0,
        start=0.0,
        end=len(pcm) / RATE,
        rate=RATE,
        speaker="spk0",
        text=row["text"] or "",
        quality="given" if row["text"] else "",
        source_rate=row["sample_rate"],
    )


def values(measure: Measure, model: Any, clip: Clip, pcm: Pcm16) -> tuple[Score, ...]:
    scope = Scope(root=Task(id=clip.task, recording=clip.recording), seed=0, audio=Sound(pcm))
    return next(iter(measure([clip], model, scope))).values


def spread(found: Sequence[float]) -> str:
    """Tenth, median and ninetieth percentile."""
    if not found:
        return "-"
    return " / ".join(f"{value:.0f}" for value in np.percentile(found, (10, 50, 90)))


def by_source(clips: Sequence[tuple[dict[str, Any], Clip, Pcm16]]) -> None:
    print("### Signal-to-noise ratio, bandwidth and offset by source (10 / 50 / 90 %)\n")
    print(
        "| source | file rate | clips | SNR, dB | bandwidth, Hz | share of the possible, % "
        "| DC > 1 % |"
    )
    print("|---|---|---|---|---|---|---|")
    found: dict[tuple[str, int], list[tuple[Any, ...]]] = collections.defaultdict(list)
    for row, clip, pcm in clips:
        snr = values(Snr(), None, clip, pcm)[0]
        hertz, share = values(Bandwidth(), None, clip, pcm)
        offset = values(DcOffset(), None, clip, pcm)[0]
        found[row["source"], row["sample_rate"]].append((snr, hertz, share, offset))
    for (source, rate), rows in sorted(found.items()):
        snrs, bands, shares, offsets = (
            [x for x in c if x is not None] for c in zip(*rows, strict=True)
        )
        print(
            f"| {source} | {rate} | {len(rows)} | {spread(snrs)} | {spread(bands)} | "
            f"{spread([100 * s for s in shares])} | {sum(x > 0.01 for x in offsets)} |"
        )
    print()


def languages(clips: Sequence[tuple[dict[str, Any], Clip, Pcm16]]) -> None:
    step = Language()
    model = step.load()
    answers = []  # language, seconds, answer
    for row, clip, pcm in clips:
        if row["text"] and row["language"]:
            found = values(step, model, clip, pcm)[0]
            ungated = model.guess([clip.text.lower()])[0].language
            answers.append((row["language"], clip.seconds, found, ungated))
    print("### Language by text (gate: 5 words, 20 letters)\n")
    print("| texts | clips | judged | right of those judged | right of all, without the gate |")
    print("|---|---|---|---|---|")
    for language in sorted({answer[0] for answer in answers}):
        print(_row(language, [a for a in answers if a[0] == language]))
    for low, high in LENGTHS:
        print(_row(f"{low}-{high} s", [a for a in answers if low <= a[1] < high]))
    print(_row("all", answers))
    print()


def _row(name: str, answers: Sequence[tuple[str, float, Score, str]]) -> str:
    judged = [a for a in answers if a[2] is not None]
    right = sum(a[2] == a[0] for a in judged) / len(judged) if judged else float("nan")
    plain = sum(a[3] == a[0] for a in answers) / len(answers) if answers else float("nan")
    return f"| {name} | {len(answers)} | {len(judged)} | {right:.1%} | {plain:.1%} |"


def music(corpus: pathlib.Path, clips: Sequence[tuple[dict[str, Any], Clip, Pcm16]]) -> None:
    print("### Music and noise by the second (engine tones)\n")
    print("| programme | class | precision | recall | of speech called so |\n|---|---|---|---|---|")
    engine = Tones()
    mixed: dict[tuple[str, str], collections.Counter[str]] = {}
    for path in sorted(corpus.glob("audio/long/*.regions.json")):
        told = json.loads(path.read_text("utf-8"))
        pcm = read(path.parent / told["audio"])
        counts: collections.Counter[tuple[str, str]] = collections.Counter()
        for region in told["regions"]:
            part = pcm[round(region["start"] * RATE) : round(region["end"] * RATE)]
            for label in engine.seconds(part):
                counts[region["kind"], label] += 1
        name = told["audio"]
        for kind in ("music", "noise"):
            pure = {k: n for k, n in counts.items() if k[0] in ("speech", "music", "noise")}
            called = sum(n for (_, label), n in pure.items() if label == kind)
            there = sum(n for (truth, _), n in pure.items() if truth == kind)
            speech = sum(n for (truth, _), n in pure.items() if truth == "speech")
            hits, wrong = counts[kind, kind], counts["speech", kind]
            print(
                f"| {name} | {kind} | {hits / max(called, 1):.1%} | {hits / max(there, 1):.1%} | "
                f"{wrong / max(speech, 1):.1%} |"
            )
        for kind in ("speech+music", "speech+noise"):
            mixed[name, kind] = collections.Counter(
                {label: n for (truth, label), n in counts.items() if truth == kind}
            )
    print(
        "\n| sound | seconds | called speech | music | noise | silence |\n|---|---|---|---|---|---|"
    )
    for (name, kind), labels in mixed.items():
        print(_shares(f"{name}: {kind}", labels))
    files: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for row, _, pcm in clips:
        files[f"{row['source']} ({row['kind']})"].update(engine.seconds(pcm))
    for name, labels in sorted(files.items()):
        if sum(labels.values()):
            print(_shares(name, labels))
    print()


def _shares(name: str, labels: collections.Counter[str]) -> str:
    total = sum(labels.values())
    cells = (f"{labels[kind] / total:.0%}" for kind in ("speech", "music", "noise", "silence"))
    return f"| {name} | {total} | " + " | ".join(cells) + " |"


def guard(clips: Iterable[tuple[dict[str, Any], Clip, Pcm16]]) -> None:
    given = [(row, clip, pcm) for row, clip, pcm in clips if row["text"] and clip.seconds <= 30]
    table = joined([(clip, pcm) for _, clip, pcm in given])
    left = reasons(GUARD, table)
    print("### What the guard refuses of given texts (all are right; times are not measured)\n")
    print(
        "| source | clips | refused | by reason | letters per second of speech (10 / 50 / 90 %) |"
    )
    print("|---|---|---|---|---|")
    rates = table["coverage.letters_per_second"].to_pylist()
    for source in [*sorted({row["source"] for row, _, _ in given}), "all"]:
        mine = [i for i, (row, _, _) in enumerate(given) if source in (row["source"], "all")]
        why = collections.Counter(left[i] for i in mine if left[i])
        told = ", ".join(f"{reason} {count}" for reason, count in sorted(why.items())) or "-"
        print(
            f"| {source} | {len(mine)} | {sum(why.values())} | {told} | "
            f"{spread([rates[i] for i in mine])} |"
        )
    lost = sum(clip.seconds for (_, clip, _), reason in zip(given, left, strict=True) if reason)
    print(f"\nLost: {lost:.1f} of {sum(clip.seconds for _, clip, _ in given):.1f} s.\n")


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--corpus", type=pathlib.Path, default=pathlib.Path("../shared/corpus"))
    corpus = options.parse_args().corpus
    manifest = corpus / "manifest.jsonl"
    if not manifest.is_file():
        options.error(f"{manifest} does not exist; name the corpus with --corpus")
    rows = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    rows = [row for row in rows if row["source"] not in ("long", "conversations")]
    clips = []
    for row in rows:
        pcm = read(corpus / row["audio"])
        clips.append((row, clip_of(row, pcm), pcm))
    languages(clips)
    by_source(clips)
    music(corpus, clips)
    guard(clips)


if __name__ == "__main__":
    main()
