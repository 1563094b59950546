"""How much memory a run takes, however long the recordings are: the whole process tree, sampled.

    python benchmarks/memory.py [--lengths 1 20 240] [--minutes 60] [--workers 1]

Runs `speechloom curate` with `recipes/offline.yaml` (real voice activity detection and diarizer;
the text is given and no recognizer is loaded) over a clip of a few seconds, which is as much as the
models take, and then over one recording of each of `--lengths` (minutes), and over short clips of a
sixth of `--minutes` and of all of them. The peak of RSS, summed over the tree, is printed with
what each process held at that moment; RSS, because it does not depend on what else the machine
does. Flat means: no run peaks more than 300 MB above the models.

Every worker holds its own models, so the figures are for `--workers` of them, one by default.
Prints Markdown. Takes about 6 minutes on one core.
"""

import argparse
import pathlib
import sys
import tempfile
from collections import Counter

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import audio_recipe, made_audio, process_tree
from benchmarks import circumstances as on

RECIPE = audio_recipe.path()
LIMIT_MB = 300.0
MB = 1e6


def measure(
    title: str, made: list[made_audio.Made], folder: pathlib.Path, workers: int, floor: float | None
) -> float:
    """One run over an empty OUT: prints its row, gives its peak in MB."""
    table = made_audio.table(folder / "table.jsonl", made)
    with tempfile.TemporaryDirectory(dir=folder) as name:
        out = pathlib.Path(name) / "out"
        seen = process_tree.curate(
            table,
            out,
            *("--workers", str(workers), "--set", "transcribe.engines=[given]"),
            recipe=RECIPE,
            memory=True,
        )
    held: Counter[str] = Counter()
    for process, size in seen.at_peak:
        held[process] += size
    peak = seen.peak / MB
    above = peak - (peak if floor is None else floor)
    print(
        on.row(
            title,
            len(made),
            f"{sum(one.seconds for one in made) / 60:.1f}",
            f"{seen.wall:.1f}",
            f"**{peak:.0f}**",
            f"{seen.peak_pss / MB:.0f}",
            "" if floor is None else f"{above:+.0f}",
            "" if floor is None else ("yes" if above <= LIMIT_MB else "**no**"),
            seen.doing or "start",
            ", ".join(f"{name} {size / MB:.0f}" for name, size in sorted(held.items())),
            f"{seen.hertz:.0f}",
        ),
        flush=True,
    )
    return peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--lengths",
        type=float,
        nargs="+",
        default=[1, 20, 240],
        metavar="MINUTES",
        help="of single recordings (1 20 240)",
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="of clips (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes (%(default)s)")
    parser.add_argument("--corpus", type=pathlib.Path, default=on.CORPUS)
    chosen = parser.parse_args()
    print(on.circumstances(), flush=True)
    print(f"### Peak memory of the process tree, {chosen.workers} worker(s)\n")
    print(
        on.head(
            "recordings",
            "files",
            "minutes",
            "wall s",
            "peak RSS MB",
            "peak PSS MB",
            "above the models MB",
            f"within {LIMIT_MB:.0f} MB",
            "peak in",
            "held then, MB",
            "samples a second",
        )
    )
    with tempfile.TemporaryDirectory(prefix="speechloom-bench-") as name:
        folder = pathlib.Path(name)
        source = made_audio.voices(chosen.corpus)
        least = [made_audio.long(folder, source, 6)]  # enough for the diarizer to hear voices
        floor = measure("models: a few seconds", least, folder, chosen.workers, None)
        for length in chosen.lengths:
            made = made_audio.long(folder, source, length * 60)
            title = f"one of {length:g} minutes"
            measure(title, [made], folder, chosen.workers, floor)
            made.path.unlink()
        for minutes in (chosen.minutes / 6, chosen.minutes):
            clips = made_audio.clips(folder, source, minutes * 60)
            measure(f"clips of {minutes:g} minutes in all", clips, folder, chosen.workers, floor)


if __name__ == "__main__":
    main()
