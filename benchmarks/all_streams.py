"""All streams of a recipe together, over `samples/` and a corpus: what comes out, and where the
rest went.

    python benchmarks/all_streams.py [--corpus ../shared/corpus] [--limit MINUTES]
        [--recipes offline,spelangy,zeng] [--out FOLDER]

`recipes/offline.yaml` and `recipes/zeng.yaml` run as they are. `recipes/spelangy.yaml` needs models
and an endpoint that are not here, so its settings for them are replaced, by `--set` and by nothing
else, and every replacement is printed: a pyannote pipeline of a few kilobytes made for the tests
(it hears tones, so its turns are nonsense), the small Whisper of the tests under two names, rules
behind an HTTP endpoint on loopback in place of the language models, and espeak-ng as the voice. So
it shows that the recipe runs, and nothing of how good its data would be. Web archives are DATA by
themselves, so the streams of pages of `offline` run over each of them apart.

`--limit`: of the corpus's audio, files of at most a minute by turns from each folder, by name,
until they hold that many minutes; of its pages likewise, the smallest first, until they have 20 kB
for each of these minutes. Without it everything: an hour and a half of audio and some ten hours of
speech from pages, of which a tenth is heard again, about 25 minutes of processor time a recipe.

Checked, with exit code 1 where it fails: one shard set per stream, one manifest, and as many
documents in it as in the tars; every file below DATA told, as a source or with a reason; at every
step as many items and seconds in as out and dropped; and in the report the topics of all streams
side by side. Prints Markdown.
"""

import argparse
import collections
import dataclasses
import itertools
import json
import pathlib
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import circumstances as on
from benchmarks import process_tree
from pipeline.listed import read_sources
from pipeline.pointers import Pointer, read_pointers
from schemas.store import Store
from transforms.gather.found import path_of

TOY = "faster-whisper/tests/assets/whisper-toy"
AGAIN = "faster-whisper/./tests/assets/whisper-toy"  # the same model under another name
BYTES_PER_MINUTE = 20_000  # of pages, for each minute of audio that is wanted
PARTING = ("transcribe", "sentences", "question")  # steps that may give more than they take
SOUNDING = ("speak", "verify")  # steps that make sound, so seconds need not be those of before
LONGEST = 60.0  # seconds of a file of audio that is taken where there is a limit
ARCHIVES = (".warc.gz", ".warc", ".wacz")


def by_turns(paths: Iterable[pathlib.Path]) -> Iterator[pathlib.Path]:
    """The first of every folder, the second of every folder, and so on."""
    folders: dict[pathlib.Path, list[pathlib.Path]] = collections.defaultdict(list)
    for path in paths:
        folders[path.parent].append(path)
    for round_ in itertools.zip_longest(*folders.values()):
        yield from (path for path in round_ if path is not None)


def chosen_audio(corpus: pathlib.Path, minutes: float | None) -> list[pathlib.Path]:
    lines = (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    seconds = {corpus / row["audio"]: row["duration_s"] for row in map(json.loads, lines)}
    if minutes is None:
        return sorted(seconds)
    short = [path for path, length in seconds.items() if length <= LONGEST]
    return list(until(by_turns(sorted(short)), lambda path: seconds[path] / 60, minutes))


def chosen_pages(corpus: pathlib.Path, minutes: float | None) -> list[pathlib.Path]:
    files = [path for path in (corpus / "text").rglob("*") if path.is_file()]
    pages = [path for path in files if not path.name.endswith(ARCHIVES)]
    if minutes is None:
        return sorted(pages)
    sizes = {path: path.stat().st_size for path in pages}
    ordered = by_turns(sorted(pages, key=lambda path: (sizes[path], path)))
    return list(until(ordered, lambda path: sizes[path] / BYTES_PER_MINUTE, minutes))


def until(paths: Iterable[pathlib.Path], size: Any, most: float) -> Iterator[pathlib.Path]:
    """Paths while their sizes do not pass `most` in all; what is too large by itself is left."""
    total = 0.0
    for path in paths:
        if total + size(path) <= most:
            total += size(path)
            yield path


def laid_out(folder: pathlib.Path, corpus: pathlib.Path, minutes: float | None) -> int:
    """DATA: `samples/` and what was chosen of the corpus, copied. How many files it has."""
    shutil.copytree(on.ROOT / "samples", folder / "samples")
    for path in (*chosen_audio(corpus, minutes), *chosen_pages(corpus, minutes)):
        place = folder / "corpus" / path.relative_to(corpus)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
    return sum(path.is_file() for path in folder.rglob("*"))


def by_rules(question: Any, before: int) -> Any:
    """What a language model that only knows our rules would answer."""
    from tests.generate.endpoint import data_of, said
    from transforms.synthesize.spoken_form import spoken_form

    data = data_of(question)
    task = question["response_format"]["json_schema"]["name"]
    if task == "Rewritten":
        return said({"text": spoken_form(data, "en")})
    if task == "Verdicts":
        numbers = range(1, len(data.splitlines()) + 1)
        return said({"questions": [{"number": number, "valid": True} for number in numbers]})
    asked, _, passage = data.partition("\n\n")
    after = passage.partition(asked)[2] or passage
    words = after.split()[:30]
    can = len(words) > 5
    return said(
        {
            "answerable": can,
            "reasoning": " ".join(words) if can else "",
            "answer": " ".join(words[:8]) if can else "",
            "distractors": [],
        }
    )


@dataclasses.dataclass(frozen=True)
class Replaced:
    """A setting of a recipe that cannot be met here, and what stands in for it."""

    setting: str
    value: str
    by: str


def stand_ins(folder: pathlib.Path, endpoint: str) -> list[Replaced]:
    """For everything that `recipes/spelangy.yaml` wants and this machine lacks."""
    import tiny_pyannote

    tones = tiny_pyannote.save_pipeline(folder / "pyannote")
    voice = [
        Replaced(f"{stream}.speak.engine", "espeak-ng", "a robot's voice")
        for stream in ("krist", "quest")
    ]
    heard = [
        found
        for stream in ("krist", "quest")
        for found in (
            Replaced(f"{stream}.verify.engine", "pocketsphinx", "a small recognizer"),
            Replaced(f"{stream}.verify.max_wer", "0.95", "it hardly understands that voice"),
        )
    ]
    return [
        Replaced("web.diarize.engine", f"pyannote/{tones}", "pyannote.audio over made weights"),
        Replaced("web.transcribe.engines", f"[{TOY}, {AGAIN}]", "the small Whisper, twice"),
        Replaced("krist.rewrite.engine", "endpoint/small", "rules behind HTTP"),
        Replaced("krist.rewrite.endpoint.base_url", endpoint, "loopback"),
        Replaced("quest.question.engine", "endpoint/small", "rules behind HTTP"),
        Replaced("quest.question.endpoint.base_url", endpoint, "loopback"),
        *voice,
        *heard,
        *(
            Replaced(f"{stream}.extract.allow_domains", "null", "files have no web address")
            for stream in ("krist", "quest")
        ),
    ]


def manifest_of(store: Store, pointer: Pointer) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.get(f"compose/{pointer.compose}/manifest.json"))
    return found


def print_shards(manifest: dict[str, Any]) -> None:
    print("\n#### Shard sets\n")
    names = ("shards", "documents", "chunks", "hours", "words")
    print(on.head("stream", *names))
    sums: dict[str, dict[str, float]] = collections.defaultdict(lambda: dict.fromkeys(names, 0))
    for entry in manifest["shards"]:
        row = sums[entry["stream"]]
        row["shards"] += 1
        row["hours"] += entry["seconds"] / 3600
        for name in ("documents", "chunks", "words"):
            row[name] += entry[name]
    for stream, row in sums.items():
        print(on.row(stream, *(f"{row[n]:.3f}" if n == "hours" else row[n] for n in names)))


def print_funnel(funnel: Sequence[dict[str, Any]]) -> None:
    print("\n#### Step by step\n")
    print(on.head("stream", "step", "in", "out", "hours in", "hours out", "left with a reason"))
    for step in funnel:
        hours = [
            "" if step[name] is None else f"{step[name] / 3600:.4f}"
            for name in ("seconds_in", "seconds_out")
        ]
        drops = "; ".join(f"{drop['reason']} {drop['items']}" for drop in step["drops"])
        items = (f"{step['items_in']} {step['noun_in']}", f"{step['items_out']} {step['noun_out']}")
        name = step["step"] if step["phase"] != "select" else f"{step['step']} (select)"
        print(on.row(step["stream"], name, *items, *hours, drops))


def unbalanced(funnel: Sequence[dict[str, Any]]) -> list[str]:
    """Steps that do not give or drop all that they take. Where they take things of one kind and
    give things of another (files and pages, scripts and utterances), seconds alone can tell."""
    wrong = []
    for step in funnel:
        dropped = sum(drop["items"] for drop in step["drops"])
        same = step["noun_in"] == step["noun_out"] and step["step"] not in PARTING
        if same and step["items_in"] != step["items_out"] + dropped:
            wrong.append(f"{step['stream']}/{step['step']}: {step['items_in']} items in")
        if step["seconds_in"] is not None and step["step"] not in SOUNDING:
            lost = sum(drop["seconds"] for drop in step["drops"])
            if abs(step["seconds_in"] - step["seconds_out"] - lost) > 5e-4:
                wrong.append(f"{step['stream']}/{step['step']}: {step['seconds_in']:.3f} s in")
    return wrong


def untold(store: Store, pointer: Pointer, data: pathlib.Path) -> list[str]:
    """Files below DATA that no stream names, and names that are no file of it."""
    files = {str(path.relative_to(data)) for path in data.rglob("*") if path.is_file()}
    told = {
        path_of("", row.uri)
        for stream in pointer.streams
        for row in read_sources(store, pointer.compose, stream)
    }
    return [
        *(f"no stream names {name}" for name in sorted(files - told)),
        *(f"{name} is told and not there" for name in sorted(told - files)),
    ]


def miscounted(out: pathlib.Path, pointer: Pointer, manifest: dict[str, Any]) -> list[str]:
    """Shards that hold another number of documents than the manifest says."""
    folder, wrong = out / "compose" / pointer.compose, []
    for entry in manifest["shards"]:
        with tarfile.open(folder / entry["name"]) as tar:
            held = sum(name.endswith(".json") for name in tar.getnames())
        if held != entry["documents"]:
            wrong.append(f"{entry['name']} holds {held} documents, not {entry['documents']}")
    extra = {str(path.relative_to(folder)) for path in folder.rglob("*.tar")}
    extra -= {entry["name"] for entry in manifest["shards"]}
    return [*wrong, *(f"{name} is in no manifest" for name in sorted(extra))]


def topics(page: str) -> tuple[list[str], list[list[str]]]:
    """The table of topics by stream of a report: its streams, and its rows."""
    from lxml import html

    (section,) = html.fromstring(page).xpath('//section[@id="topics"]') or [None]
    if section is None:
        return [], []
    said = [
        [cell.text_content().strip() for cell in row.xpath("./th|./td")]
        for row in section.xpath(".//tr")
    ]
    streams = [name for name in said[0][1:] if name]
    return streams, [[cell for cell in row if cell] for row in said[1:]]


def print_topics(streams: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print("\n#### Topics by stream, as the report shows them\n")
    print(on.head("topic", *streams))
    for row in rows:
        print(on.row(*row))


def shown(name: str, data: pathlib.Path, out: pathlib.Path) -> list[str]:
    """Print what a finished run left; what is wrong with it."""
    store = Store(str(out))
    (pointer,) = [one for one in read_pointers(store) if one.name == name]
    manifest = manifest_of(store, pointer)
    wrong = []
    if len(list((out / "compose" / pointer.compose).glob("**/manifest.json"))) != 1:
        wrong.append("there is not one manifest")
    print_shards(manifest)
    print_funnel(manifest["funnel"])
    streams = {entry["stream"] for entry in manifest["shards"]}
    wrong += [f"{stream} has no shards" for stream in sorted(set(pointer.streams) - streams)]
    (report,) = (out / "report" / pointer.compose).glob("index.html")
    compared, rows = topics(report.read_text(encoding="utf-8"))
    if "topic" in {step["step"] for step in manifest["funnel"]} or compared:
        print_topics(compared, rows)
    measured = {s for s in pointer.streams if name != "zeng"}
    if measured and set(compared) != measured:
        wrong.append(f"the report compares the topics of {compared}, not of {sorted(measured)}")
    wrong += unbalanced(manifest["funnel"])
    wrong += untold(store, pointer, data)
    return wrong + miscounted(out, pointer, manifest)


def run(name: str, data: pathlib.Path, out: pathlib.Path, sets: Sequence[str]) -> list[str]:
    """One recipe, from nothing to its report; what is wrong with what came out."""
    recipe = on.ROOT / "recipes" / f"{name}.yaml"
    arguments = [word for one in sets for word in ("--set", one)]
    seen = process_tree.curate(
        data, out, *arguments, recipe=recipe, memory=True, more={"PYTHONPATH": _python_path()}
    )
    print(
        f"\nIt took {seen.wall:.0f} s, {seen.cpu:.0f} s of processor time, and at most "
        f"{seen.peak / 1e9:.2f} GB of RSS over all its processes."
    )
    return shown(name, data, out)


def _python_path() -> str:
    """Where the made weights' classes are: a checkpoint names the module of its model."""
    return f"{on.ROOT}:{on.ROOT / 'tests' / 'engines'}"


def archives(corpus: pathlib.Path, folder: pathlib.Path) -> None:
    """The streams of pages of the default recipe over each web archive of the corpus."""
    print("\n### Web archives, the streams of pages of `offline`\n")
    print(on.head("archive", "pages of text", "spoken documents", "hours", "left with a reason"))
    recipe = folder / "pages.yaml"
    recipe.write_text(_pages_only(), encoding="utf-8")
    for path in sorted((corpus / "text").rglob("*")):
        if not path.name.endswith(ARCHIVES):
            continue
        out = folder / "archives" / path.name
        try:
            process_tree.curate(path, out, recipe=recipe)
        except process_tree.CommandFailed as failed:
            print(on.row(path.name, "", "", "", str(failed).strip().splitlines()[-1]))
            continue
        store = Store(str(out))
        (pointer,) = read_pointers(store)
        manifest = manifest_of(store, pointer)
        count, hours = collections.Counter[str](), 0.0
        for entry in manifest["shards"]:
            count[entry["stream"]] += entry["documents"]
            hours += entry["seconds"] / 3600
        reasons = collections.Counter[str]()
        for step in manifest["funnel"]:
            if step["stream"] == "text":
                for drop in step["drops"]:
                    reasons[drop["reason"]] += drop["items"]
        told = "; ".join(f"{reason} {number}" for reason, number in reasons.most_common())
        spoken = sum(number for stream, number in count.items() if stream != "text")
        print(on.row(path.name, count["text"], spoken, f"{hours:.2f}", told))


def _pages_only() -> str:
    """`recipes/offline.yaml` without its stream of recordings."""
    from ruamel.yaml import YAML
    from ruamel.yaml.compat import StringIO

    yaml, written = YAML(), StringIO()
    tree = yaml.load((on.ROOT / "recipes" / "offline.yaml").read_text(encoding="utf-8"))
    del tree["streams"]["web"]
    yaml.dump(tree, written)
    return written.getvalue()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--corpus", type=pathlib.Path, default=on.CORPUS, help="(%(default)s)")
    parser.add_argument("--limit", type=float, metavar="MINUTES", help="of the corpus (all)")
    parser.add_argument("--recipes", default="offline,spelangy,zeng", help="(%(default)s)")
    parser.add_argument("--out", type=pathlib.Path, help="keep OUT here (default: thrown away)")
    parser.add_argument("--set", action="append", default=[], help="as for curate")
    asked = parser.parse_args()
    if not (asked.corpus / "manifest.jsonl").is_file():
        print(f"all_streams: no corpus in {asked.corpus}; name one with --corpus", file=sys.stderr)
        return 2
    print(on.circumstances(), flush=True)
    with tempfile.TemporaryDirectory(prefix="speechloom-bench-") as place:
        folder = pathlib.Path(place)
        count = laid_out(folder / "data", asked.corpus.resolve(), asked.limit)
        print(f"DATA has {count} files: samples/ and what was chosen of the corpus.")
        wrong: list[str] = []
        for name in asked.recipes.split(","):
            print(f"\n### `recipes/{name}.yaml`")
            out = (asked.out or folder) / name
            wrong += [f"{name}: {one}" for one in _one(name, folder, out, asked.set)]
            sys.stdout.flush()
        archives(asked.corpus.resolve(), folder)
    print(f"\nWrong: {len(wrong)}.")
    for line in wrong[:40]:
        print(f"- {line}")
    return int(bool(wrong))


def _one(name: str, folder: pathlib.Path, out: pathlib.Path, sets: Sequence[str]) -> list[str]:
    if name != "spelangy":
        return run(name, folder / "data", out, sets)
    sys.path.insert(0, str(on.ROOT / "tests" / "engines"))
    from tests.generate.endpoint import Mock

    mock = Mock(by_rules)
    try:
        replaced = stand_ins(folder, mock.url)
        print("\n" + on.head("setting", "here", "which is"))
        for one in replaced:
            value = one.value.replace(str(folder), "FOLDER").replace(mock.url, "http://127.0.0.1")
            print(on.row(f"`{one.setting}`", f"`{value}`", one.by))
        chosen = [f"{one.setting}={one.value}" for one in replaced]
        return run(name, folder / "data", out, [*chosen, *sets])
    finally:
        mock.close()


if __name__ == "__main__":
    raise SystemExit(main())
