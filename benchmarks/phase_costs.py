"""What each phase costs as a function of hours, of clips and of parts.

    python benchmarks/phase_costs.py [--hours 1 3 10 30 100] [--workers 1] [--keep ROWS.jsonl]
        [--shape-hours 0.5] [--plot benchmarks/plots/phase_costs.svg] [--folder DIR]

Recordings of ten minutes are made of real utterances, each cut elsewhere, at another level and in
noise of its own, so no two hours are alike and deduplication has real work; samples keep ten bits,
so that a hundred hours take 2.3 GB. They go through the stream of recordings of
`recipes/offline.yaml`, with their texts given and a recognizer that sleeps a known time for every
second of speech (`benchmarks/stub`). In parts of ten minutes each. The cost of a phase is its wall
time by the workers that it had, beyond that sleep: so starts, waiting and commits are in it. It is
fitted by `a + b * hours ** e`, errors taken relative to the value; a is what one run costs.

Rows are appended to --keep, and the fit is over all that are there of the same number of workers:
a hundred hours can be measured apart, on another day.

Then one amount of audio as recordings of a minute in parts of ten and of one minute, as files of
one utterance, and cut into more clips: what one part, one recording and one clip cost, whatever
they hold. Disk: about 65 MB
for each hour of the largest run, on the disk of --folder; it is refused where that is not free.
Time: about half a minute an hour of audio on one worker.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks import audio_recipe, made_audio, process_tree, run_log
from benchmarks import circumstances as on
from benchmarks.curves import Curve, fit, slope
from pipeline import costs
from pipeline.recipe import load_recipe

STUB = on.ROOT / "benchmarks" / "stub"
RECORDING_SECONDS = 600.0
BITS = 10  # of each sample
BYTES_PER_HOUR = 65e6  # of recordings, their stored speech, and shards
STUB_COST = 0.001  # seconds for each second of speech
OUTSIDE = "start and report"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One run. Seconds of a phase: wall by its workers, without the stub's sleep."""

    shape: str
    hours: float
    workers: int
    recordings: int
    clips: int
    parts: dict[str, int]
    seconds: dict[str, float]
    steps: dict[str, float]  # compute of each step, by "phase/step"
    wall: float
    cpu: float  # of all processes
    stub: float  # seconds of sleep
    bytes_out: int


def recipe(folder: pathlib.Path) -> pathlib.Path:
    """The stream of recordings of `offline.yaml`, with the stub behind the given text."""
    text = audio_recipe.text()
    old = "transcribe: {engines: [given, pocketsphinx]}"
    if old not in text:
        raise ValueError(f"recipes/offline.yaml no longer says {old!r}: mend phase_costs.py")
    lines = []
    for line in text.replace(old, "transcribe: {engines: [given]}").splitlines():
        lines.append(line)
        if line.lstrip().startswith("- transcribe:"):
            indent = line[: len(line) - len(line.lstrip())]
            lines.append(f"{indent}- stub_recognizer: {{cost: {STUB_COST}}}")
    path = folder / "recipe.yaml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def recordings(
    folder: pathlib.Path,
    source: made_audio.Voices,
    hours: float,
    longest: float = RECORDING_SECONDS,
) -> list[made_audio.Made]:
    """So many hours as recordings of so many seconds at most, no two of which share a stretch."""
    count = math.ceil(hours * 3600 / longest)
    each = hours * 3600 / count
    return [
        made_audio.long(folder / f"{number:05d}", source, each, 100 + number, BITS)
        for number in range(count)
    ]


def bytes_below(folder: pathlib.Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measured(
    shape: str,
    made: Sequence[made_audio.Made],
    folder: pathlib.Path,
    workers: int,
    part: str = "600s",
    settings: Sequence[str] = (),
) -> Row:
    """Curate what was made into an empty OUT, which is removed again."""
    told = [word for setting in settings for word in ("--set", setting)]
    table = made_audio.table(folder / "table.jsonl", made)
    out = folder / "out"
    seen = process_tree.curate(
        table,
        out,
        *("--workers", str(workers), "--part", part, *told),
        recipe=recipe(folder),
        more={"PYTHONPATH": f"{STUB}:{on.ROOT}"},
    )
    log = run_log.read(run_log.newest(out))
    parts: Counter[str] = Counter()
    seconds: Counter[str] = Counter()
    steps: Counter[str] = Counter()
    for phase in log.phases:
        parts[phase.phase] += phase.parts
        seconds[phase.phase] += phase.seconds * max(1, min(workers, phase.parts))
        for step, spent in phase.compute.items():
            steps[f"{phase.phase}/{step}"] += spent
    stub = steps.pop("annotate/stub_recognizer")
    seconds["annotate"] -= stub
    seconds[OUTSIDE] = seen.wall - sum(phase.seconds for phase in log.phases)
    row = Row(
        shape=shape,
        hours=sum(one.seconds for one in made) / 3600,
        workers=workers,
        recordings=len(made),
        clips=clips(out),
        parts=dict(parts),
        seconds=dict(seconds),
        steps=dict(steps),
        wall=seen.wall,
        cpu=seen.cpu,
        stub=stub,
        bytes_out=bytes_below(out),
    )
    shutil.rmtree(out)
    return row


def clips(out: pathlib.Path) -> int:
    """Clips that annotate left, over all its commits."""
    from pipeline import commits
    from schemas.store import Store

    store = Store(out)
    return sum(
        commits.column(store, entry.name, "row", ["id"]).num_rows
        for entry in store.list("annotate")
        if "/commits/" in entry.name and entry.name.endswith(".parquet")
    )


def phases(rows: Sequence[Row]) -> list[str]:
    """The phases of all rows, in the order of their work."""
    return list(dict.fromkeys(name for row in rows for name in row.seconds))


def by_hours(rows: Sequence[Row]) -> dict[str, Curve]:
    """Print the table over hours, and the curves where there are enough points."""
    rows = sorted(rows, key=lambda row: row.hours)
    print("### Cost of each phase by hours of audio\n")
    print("Seconds of a worker for each hour of audio; the run as a whole in the first columns.\n")
    names = phases(rows)
    print(on.head("hours", "recordings", "clips", "wall s", "CPU s/h", "stub s", *names))
    for row in rows:
        each = [f"{row.seconds.get(name, 0.0) / row.hours:.2f}" for name in names]
        print(
            on.row(
                *(f"{row.hours:g}", row.recordings, row.clips, f"{row.wall:.1f}"),
                *(f"{row.cpu / row.hours:.1f}", f"{row.stub:.1f}", *each),
            )
        )
    if len(rows) < 3:
        return {}
    print("\nFitted: seconds = a + b * hours ** e\n")
    print(on.head("phase", "a", "b", "e", "largest error", "e of the last two"))
    xs = [row.hours for row in rows]
    values = {name: [row.seconds.get(name, 0.0) for row in rows] for name in names}
    values["all, CPU s"] = [row.cpu for row in rows]
    values["bytes in OUT"] = [float(row.bytes_out) for row in rows]
    curves = {name: fit(xs, ys) for name, ys in values.items()}
    for name, found in curves.items():
        last = slope(xs, values[name])
        cells = (f"{found.a:.3g}", f"{found.b:.3g}", f"{found.e:.2f}", f"{found.error:.0%}")
        print(on.row(name, *cells, f"{last:.2f}"))
    return curves


def by_step(row: Row, folder: pathlib.Path) -> None:
    """Print what each step took at the largest run, beside what a plan takes for it."""
    known = {step.name(): costs.cost(step) for step in steps_of(folder)}
    heard = row.hours * 3600
    stored = row.stub / STUB_COST
    print(f"\n### Steps at {row.hours:g} h, {stored / heard:.1%} of it stored as speech\n")
    print(on.head("step", "us for each second that reaches it", "in pipeline/costs.py"))
    for name, spent in row.steps.items():
        phase, step = name.split("/")
        table = f"{1e6 * known[step].seconds:.0f}" if step in known else ""
        print(on.row(name, f"{1e6 * spent / (heard if phase == 'hear' else stored):.0f}", table))
    rest = row.seconds["select"] + row.seconds["arrange"]
    print(
        on.row("select and arrange", f"{1e6 * rest / stored:.0f}", f"{2e6 * costs.SET_SECONDS:.0f}")
    )
    whole = 1e6 * row.seconds["compose"] / stored
    print(on.row("compose", f"{whole:.0f}", f"{1e6 * costs.COMPOSE_SECONDS:.0f}"))


def steps_of(folder: pathlib.Path) -> list[Any]:
    """The steps of `offline.yaml`'s recordings, as a plan sees them."""
    path = folder / "plain.yaml"
    path.write_text(audio_recipe.text(), encoding="utf-8")
    found = load_recipe(str(path))
    return [step for name in found.streams for step in found.streams[name]]


def differences(
    unit: str, few: Row, many: Row, counts: Mapping[str, tuple[int, int]] | tuple[int, int]
) -> None:
    """Print what one more of a unit costs each phase: two runs over the same amount of audio.

    `counts`: how many both runs had, of each phase where they differ.
    """
    print(f"\n### Cost of one {unit}: {many.shape} against {few.shape}, {few.hours:.2f} h\n")
    print(on.head("phase", "seconds", "against", f"more {unit}s", f"ms for one {unit}"))
    for name in phases([few, many]):
        after, before = many.seconds.get(name, 0.0), few.seconds.get(name, 0.0)
        here = counts if isinstance(counts, tuple) else counts.get(name, (0, 0))
        more = here[1] - here[0]
        each = f"{1000 * (after - before) / more:.2f}" if more > 0 else ""
        print(on.row(name, f"{after:.2f}", f"{before:.2f}", more, each))
    print(on.row("all, CPU s", f"{many.cpu:.2f}", f"{few.cpu:.2f}", "", ""))


def by_shape(folder: pathlib.Path, source: made_audio.Voices, hours: float, workers: int) -> None:
    """Run one amount of audio in four shapes, and print what they differ by."""
    place = folder / "minutes"
    made = recordings(place, source, hours, 60.0)
    whole = measured("parts of 10 min", made, place, workers)
    cut = measured("parts of a minute", made, place, workers, "60s")
    finer = ("segment.max_seconds=3", "segment.cut_seconds=1")
    fine = measured("segments of 3 s at most", made, place, workers, settings=finer)
    shutil.rmtree(place)
    place = folder / "utterances"
    small = measured(
        "files of one utterance",
        made_audio.clips(place, source, hours * 3600),
        place,
        workers,
    )
    shutil.rmtree(place)
    names = phases([whole, cut])
    differences(
        "part", whole, cut, {n: (whole.parts.get(n, 0), cut.parts.get(n, 0)) for n in names}
    )
    differences("recording", whole, small, (whole.recordings, small.recordings))
    differences("clip", whole, fine, (whole.clips, fine.clips))


def plot(path: pathlib.Path, rows: Sequence[Row], curves: dict[str, Curve]) -> None:
    """Cost of the phases over hours on logarithmic axes, as measured and as fitted."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    matplotlib.rcParams["svg.hashsalt"] = "speechloom"  # the same figure, the same bytes
    matplotlib.rcParams["svg.fonttype"] = "none"  # letters as letters: a third of the size
    figure, axis = plt.subplots(figsize=(7, 4.5))
    rows = sorted(rows, key=lambda row: row.hours)
    xs = [row.hours for row in rows]
    fine = np.geomspace(min(xs), max(xs), 40)
    for name in phases(rows):
        (line,) = axis.loglog(
            xs,
            [max(row.seconds.get(name, 0.0), 1e-3) for row in rows],
            marker="o",
            linestyle="",
            label=f"{name}, e = {curves[name].e:.2f}" if name in curves else name,
        )
        if name in curves:
            one = curves[name]
            axis.loglog(fine, one.a + one.b * fine**one.e, color=line.get_color(), linewidth=1)
    axis.set_xlabel("hours of audio")
    axis.set_ylabel("seconds of a worker")
    axis.legend(fontsize=7)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def kept(path: pathlib.Path | None, workers: int) -> list[Row]:
    """What was measured before with so many workers; the newest of each number of hours."""
    if path is None or not path.exists():
        return []
    rows = [Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    return list({row.hours: row for row in rows if row.workers == workers}.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--hours", type=float, nargs="*", default=[1, 3, 10, 30, 100])
    parser.add_argument("--shape-hours", type=float, default=0.5, help="0: leave it out")
    parser.add_argument("--workers", type=int, default=1, help="(%(default)s)")
    parser.add_argument("--keep", type=pathlib.Path, help="where rows of all days are kept")
    parser.add_argument("--plot", type=pathlib.Path)
    parser.add_argument("--folder", type=pathlib.Path, default=pathlib.Path(tempfile.gettempdir()))
    parser.add_argument("--corpus", type=pathlib.Path, default=on.CORPUS)
    chosen = parser.parse_args()
    need = max([*chosen.hours, chosen.shape_hours]) * BYTES_PER_HOUR
    free = shutil.disk_usage(chosen.folder).free
    if need > 0.9 * free:
        raise SystemExit(
            f"phase_costs: {need / 1e9:.1f} GB are needed in {chosen.folder} and "
            f"{free / 1e9:.1f} GB are free: give fewer --hours or another --folder"
        )
    print(on.circumstances())
    source = made_audio.voices(chosen.corpus)
    rows = kept(chosen.keep, chosen.workers)
    with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="speechloom-bench-") as name:
        folder = pathlib.Path(name)
        if chosen.hours or chosen.shape_hours:  # our modules are compiled before anything counts
            measured("first", recordings(folder / "first", source, 0.02), folder / "first", 1)
        for hours in chosen.hours:
            place = folder / f"{hours:g}"
            row = measured("hours", recordings(place, source, hours), place, chosen.workers)
            shutil.rmtree(place)
            rows = [*(one for one in rows if one.hours != row.hours), row]
            if chosen.keep is not None:
                with chosen.keep.open("a", encoding="utf-8") as lines:
                    lines.write(json.dumps(dataclasses.asdict(row)) + "\n")
        if rows:
            curves = by_hours(rows)
            by_step(max(rows, key=lambda row: row.hours), folder)
            if chosen.plot is not None:
                plot(chosen.plot, rows, curves)
        if chosen.shape_hours:
            by_shape(folder, source, chosen.shape_hours, chosen.workers)


if __name__ == "__main__":
    main()
