"""speechloom beside others that install from the package index, over the same made files.

    python benchmarks/peers.py [--minutes 30] [--pages 1000] [--workers 2] [--repeats 1]
        [--curator-python PATH] [--lhotse-python PATH] [--datatrove-python PATH]

Each peer runs in an environment of its own, named by its interpreter; without one it is left out:

    python3.11 -m venv PLACE && PLACE/bin/pip install "nemo-curator[audio_cpu]==1.4.*"
    python3.11 -m venv PLACE && PLACE/bin/pip install lhotse torch torchaudio silero-vad urllib3
    python3.11 -m venv PLACE && PLACE/bin/pip install "datatrove[processing,io,multilingual]" spacy

- decode + VAD: a third each of clips (FLAC), podcasts (MP3) and one long file (FLAC), all 16 kHz,
  through silero with the same settings. Ours is from the start of `curate` to the last commit of
  its phase hear: that it has stored the speech as FLAC by then is in it.
- chain: the same, and the speech written: Curator writes files, lhotse shards; ours is all of
  `curate`, which also deals texts, selects, makes documents, shards and the report.
- text: HTML to text by trafilatura, near-duplicates by MinHash of as many bands and rows, written.
  Every tenth page is an earlier one with a paragraph changed. Ours takes files, and tells language
  and prose; datatrove is given lines of JSON, and no filter.

Wall and processor time are of whole commands with their start, `at work` without it; ratios are of
wall times, ours being 1. Processor time is that of the whole machine meanwhile, for peers leave
processes behind that nobody waits for: it means something where nothing else runs. Of several
repeats the fastest counts.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import numpy as np
import psutil

from benchmarks import circumstances as on
from benchmarks import made_audio, made_texts, process_tree, run_log
from transforms.select.minhash import choose

HEARING = """\
name: peers
seed: 17
streams:
  web:
    - crawl
    - decode: {rate: 16000, channels: mix}
    - segment: {engine: silero}
    - diarize: {engine: one}
    - transcribe: {engines: [given]}
    - interleave: {granularity: fine, policy: deterministic}
"""
READING = """\
name: peers
seed: 17
streams:
  text:
    - crawl
    - extract
    - dedup: {text: minhash}
    - interleave
"""
SIMILARITY, HASHES, SHINGLE = 0.7, 64, 3  # the defaults of `dedup`


@dataclasses.dataclass(frozen=True, kw_only=True)
class Took:
    """One run of one program."""

    name: str
    what: str
    wall: float  # seconds, from the start of the command
    cpu: float | None  # seconds of the machine meanwhile; None: of more than this row
    work: float  # seconds without its start
    found: str
    versions: str = ""


def busy() -> float:
    """Seconds that the cores of the machine have worked since it started."""
    spent = psutil.cpu_times()
    return float(spent.user + spent.nice + spent.system)


def ours(data: pathlib.Path, recipe: str, folder: pathlib.Path, workers: int) -> list[Took]:
    """Curate into an empty OUT: hear alone where there is one, and the whole command."""
    out, path = folder / "out", folder / "recipe.yaml"
    path.write_text(recipe, encoding="utf-8")
    before = busy()
    seen = process_tree.curate(data, out, "--workers", str(workers), recipe=path)
    cpu = busy() - before
    log = run_log.read(run_log.newest(out))
    names = [phase.phase for phase in log.phases]
    begin = seen.wall - log.total  # imports, before the log is opened; and the end of the process
    shards = json.loads(next(out.glob("compose/*/manifest.json")).read_bytes())["shards"]
    version = dict(on.versions()).get("speechloom", "")
    rows = []
    if "hear" in names:
        clips = sum(1 for _ in segments(out))
        speech = sum(segments(out))
        hear = log.wall("hear", "hear")
        gather = sum(phase.seconds for phase in log.phases[: names.index("hear")])
        rows.append(
            Took(
                name="speechloom",
                what="decode + VAD",
                wall=begin + gather + hear,
                cpu=None,
                work=hear,
                found=f"{clips} segments, {speech:.0f} s",
                versions=version,
            )
        )
    documents = sum(shard["documents"] for shard in shards)
    chunks = sum(shard["chunks"] for shard in shards)
    rows.append(
        Took(
            name="speechloom",
            what="chain" if "hear" in names else "text",
            wall=seen.wall,
            cpu=cpu,
            work=log.wall(names[1], names[-1]),
            found=f"{documents} documents, {chunks} chunks",
            versions=version,
        )
    )
    shutil.rmtree(out)
    return rows


def segments(out: pathlib.Path) -> Iterator[float]:
    """Seconds of every segment that hear stored."""
    from pipeline import commits
    from schemas.store import Store

    store = Store(out)
    for entry in store.list("hear"):
        if "/commits/" in entry.name and entry.name.endswith(".parquet"):
            rows = commits.column(store, entry.name, "row", ["start", "end"])
            for start, end in zip(*(rows[c].to_pylist() for c in ("start", "end")), strict=True):
                yield end - start


def peer(
    name: str, what: str, python: pathlib.Path, script: str, folder: pathlib.Path, *words: object
) -> Took:
    """Run a peer's script with its own interpreter; FOLDER among the words is an empty one."""
    place = folder / "peer"
    place.mkdir()
    path = pathlib.Path(__file__).with_name(script)
    told = [str(place) if word == "FOLDER" else str(word) for word in words]
    before = busy()
    try:
        seen = process_tree.watch([str(python), str(path), *told], memory=False, cwd=folder)
        cpu = busy() - before
    finally:
        shutil.rmtree(place)
    answer = json.loads(next(line for line in seen.output.splitlines()[::-1] if line[:1] == "{"))
    if "segments" in answer:
        found = f"{answer['segments']} segments, {answer['speech']:.0f} s"
    else:
        found = f"{answer['kept']} of {answer['extracted']} texts"
    return Took(
        name=name,
        what=what,
        wall=seen.wall,
        cpu=cpu,
        work=answer["run"],
        found=found,
        versions=", ".join(f"{one} {version}" for one, version in answer["versions"].items()),
    )


def audio(
    folder: pathlib.Path, asked: argparse.Namespace
) -> tuple[float, list[Callable[[], list[Took]]]]:
    """The made audio in seconds, and what is to be run over it."""
    made = made_audio.mixed(folder, made_audio.voices(asked.corpus), asked.minutes)
    table = made_audio.table(folder / "table.jsonl", made)
    manifest = folder / "manifest" / "audio.jsonl"
    manifest.parent.mkdir()
    manifest.write_text(
        "".join(json.dumps({"audio_filepath": str(one.path)}) + "\n" for one in made)
    )
    runs: list[Callable[[], list[Took]]] = [
        lambda: ours(table, HEARING, folder, asked.workers),
    ]
    for what, kind in (("decode + VAD", "vad"), ("chain", "chain")):
        if asked.curator_python:
            share = 0.95 * len(os.sched_getaffinity(0)) / asked.workers  # of what it hands out
            for cpus in (1.0, round(share, 3)):  # its default, and as many workers as the others
                title = f"NeMo Curator, {cpus:g} CPU a worker"
                words = (manifest, "FOLDER", kind, "batch", cpus)
                runs.append(
                    _one(title, what, asked.curator_python, "peers_curator.py", folder, *words)
                )
        if asked.lhotse_python:
            for jobs in sorted({1, asked.workers}):
                title = f"lhotse, {jobs} jobs"
                words = (manifest, "FOLDER", kind, jobs)
                runs.append(
                    _one(title, what, asked.lhotse_python, "peers_lhotse.py", folder, *words)
                )
    return sum(one.seconds for one in made), runs


def _one(*arguments: Any) -> Callable[[], list[Took]]:
    return lambda: [peer(*arguments)]


def paragraphs(number: int, words: Sequence[str]) -> list[str]:
    """The text of a page: 4 to 40 paragraphs of four sentences, words as rare as in a language.

    Every tenth page is an earlier one with its first paragraph changed.
    """
    if number % 10 == 9:
        return [*paragraphs(10**6 + 10 * number, words)[:1], *paragraphs(number - 5, words)[1:]]
    draw = np.random.default_rng(number)
    found = []
    for _ in range(int(draw.integers(4, 41))):
        ranks = (len(words) ** draw.random((4, 14))).astype(int) - 1  # Zipf's law
        said = [" ".join(words[rank] for rank in row[: draw.integers(8, 15)]) for row in ranks]
        found.append(" ".join(f"{one.capitalize()}." for one in said))
    return found


def pages(folder: pathlib.Path, count: int) -> tuple[pathlib.Path, pathlib.Path]:
    """A folder of HTML files, and one of the same as lines of JSON."""
    words = made_texts.vocabulary(np.random.default_rng(0)).to_pylist()
    menu = "<nav><ul>" + "<li><a href=/a>Go there</a></li>" * 30 + "</ul></nav>"
    html, lines = folder / "pages", folder / "lines"
    for place in (html, lines):
        place.mkdir()
    halves: tuple[list[str], list[str]] = ([], [])
    for number in range(count):
        body = "".join(f"<p>{one}</p>" for one in paragraphs(number, words))
        page = (
            f"<!doctype html><html lang=en><head><title>Page {number}</title></head><body>{menu}"
            f"<article><h1>Page {number}</h1>{body}</article><footer>End.</footer></body></html>"
        )
        (html / f"{number}.html").write_text(page, encoding="utf-8")
        halves[number % 2].append(json.dumps({"id": str(number), "html": page}) + "\n")
    for number, half in enumerate(halves):  # a file for each of two readers
        (lines / f"{number}.jsonl").write_text("".join(half), encoding="utf-8")
    return html, lines


def text(folder: pathlib.Path, asked: argparse.Namespace) -> list[Callable[[], list[Took]]]:
    html, lines = pages(folder, asked.pages)
    runs: list[Callable[[], list[Took]]] = [lambda: ours(html, READING, folder, asked.workers)]
    if asked.datatrove_python:
        bands, rows = choose(SIMILARITY, HASHES)
        words = (lines, "FOLDER", asked.workers, bands, rows, SHINGLE)
        title = f"datatrove, {asked.workers} workers"
        python = asked.datatrove_python
        runs.append(_one(title, "text", python, "peers_datatrove.py", folder, *words))
    return runs


def fastest(runs: Sequence[Callable[[], list[Took]]], repeats: int) -> list[Took]:
    """Every run so many times in turn; of each row the one with the least wall time."""
    best: dict[tuple[str, str], Took] = {}
    for repeat in range(repeats):
        for run in runs if repeat % 2 == 0 else runs[::-1]:
            for row in run():
                key = (row.what, row.name)
                if key not in best or row.wall < best[key].wall:
                    best[key] = row
    return list(best.values())


def report(rows: Sequence[Took], amount: Callable[[float], str], unit: str) -> None:
    print(on.head("what", "program", "wall s", "CPU s", "at work s", unit, "ours : it", "found"))
    for what in dict.fromkeys(row.what for row in rows):
        mine = next(row for row in rows if row.what == what and row.name == "speechloom")
        for row in rows:
            if row.what == what:
                cpu = "" if row.cpu is None else f"{row.cpu:.1f}"
                cells = (what, row.name, f"{row.wall:.2f}", cpu, f"{row.work:.2f}")
                ratio = f"{row.wall / mine.wall:.1f}, at work {row.work / mine.work:.1f}"
                print(on.row(*cells, amount(row.wall), ratio, row.found))
    print()
    for name in dict.fromkeys(row.name for row in rows):
        print(f"- {name}: {next(row.versions for row in rows if row.name == name)}")
    print(flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="of audio; 0: none")
    parser.add_argument("--pages", type=int, default=1000, help="0: none")
    parser.add_argument("--workers", type=int, default=2, help="processes of each (%(default)s)")
    parser.add_argument("--repeats", type=int, default=1, help="(%(default)s)")
    parser.add_argument("--corpus", type=pathlib.Path, default=on.CORPUS)
    for name in ("curator", "lhotse", "datatrove"):
        parser.add_argument(f"--{name}-python", type=pathlib.Path, metavar="PATH")
    asked = parser.parse_args()
    print(on.circumstances(), flush=True)
    for name in ("curator", "lhotse", "datatrove"):
        path = getattr(asked, f"{name}_python")
        if path is None:
            print(f"{name} is left out: no --{name}-python says where it is installed.\n")
        elif not path.is_file():
            raise SystemExit(f"peers: --{name}-python {path}: there is no such file")
        else:
            setattr(asked, f"{name}_python", path.absolute())
    with tempfile.TemporaryDirectory(prefix="speechloom-bench-") as name:
        folder = pathlib.Path(name)
        with contextlib.chdir(folder):
            if asked.minutes:
                place = folder / "audio"
                place.mkdir()
                seconds, runs = audio(place, asked)
                print(f"### {seconds / 60:.1f} minutes of audio, {asked.workers} workers\n")
                rows = fastest(runs, asked.repeats)
                report(rows, lambda wall: f"{seconds / wall:.0f}", "x real time")
            if asked.pages:
                place = folder / "text"
                place.mkdir()
                runs = text(place, asked)
                print(f"### {asked.pages} pages, {asked.workers} workers\n")
                rows = fastest(runs, asked.repeats)
                report(rows, lambda wall: f"{asked.pages / wall:.0f}", "pages/s")


if __name__ == "__main__":
    main()
