"""The main job over a whole corpus, and an account of every file and every second of it.

    python benchmarks/corpus_run.py [--corpus ../shared/corpus] [--out FOLDER]

Runs what `make curate DATA=<corpus>/audio` runs, with the stream of recordings of
`recipes/offline.yaml` and an empty OUT, and then reads OUT. Each file below DATA must have been
listed exactly once, as a recording or with the reason why it is none; each frame of each recording
must stand in the shards or have left with a reason. Every file that the corpus's `manifest.jsonl`
calls speech and that gave no kept clip is printed with its reasons. Prints Markdown; the exit code
is 1 where anything is unexplained. An hour and a half of audio take a few minutes, most of them
pocketsphinx's.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import sys
import tempfile
from collections import Counter, defaultdict

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import audio_recipe, process_tree
from benchmarks import circumstances as on
from pipeline import commits
from pipeline.commits import ledger
from pipeline.listed import Listed, read_sources
from pipeline.phases.select import from_ipc
from pipeline.pointers import StreamKeys, read_pointers
from schemas.records import Drop
from schemas.store import Store
from transforms.gather.found import path_of

RECIPE = audio_recipe.path()
Reasons = dict[tuple[str, str], list[float]]  # (step, reason) -> seconds of each drop


@dataclasses.dataclass
class Account:
    """What became of one recording."""

    seconds: float = 0.0  # decoded, all channels
    kept: float = 0.0  # in documents
    clips: int = 0  # in documents
    drops: Reasons = dataclasses.field(default_factory=lambda: defaultdict(list))

    @property
    def unexplained(self) -> float:
        """Seconds that are neither in a document nor in a drop."""
        return self.seconds - self.kept - sum(sum(lengths) for lengths in self.drops.values())

    def why(self) -> str:
        """The reasons by which it left, the longest first."""
        found = sorted(self.drops.items(), key=lambda pair: (-sum(pair[1]), pair[0]))
        return "; ".join(
            f"{step}/{reason} {sum(lengths):.2f} s in {len(lengths)}"
            for (step, reason), lengths in found
        )


def files_below(data: pathlib.Path) -> list[str]:
    """Every regular file below a folder, relative to it."""
    return sorted(
        str(pathlib.Path(folder, name).relative_to(data))
        for folder, _, names in os.walk(data)
        for name in names
    )


def accounts(store: Store, keys: StreamKeys, listed: list[Listed]) -> dict[str, Account]:
    """What became of every recording, from the commits alone."""
    found: dict[str, Account] = defaultdict(Account)
    recording_of = {row.task: row.recording for row in listed if row.task and row.recording}
    mine = set(recording_of.values())
    heard = ledger(store, "hear", keys.hear)
    for name, ids in heard.commits_of(mine).items():
        for one in ids:
            found[one].seconds = heard.seconds[one]
        for drop in commits.records(store, name, "drop", Drop):
            if drop.root in ids:
                found[drop.root].drops[drop.step, drop.reason].append(drop.seconds)
    for phase, key in (("annotate", keys.annotate), ("arrange", keys.arrange)):
        for name, ids in ledger(store, phase, key).commits_of(recording_of).items():
            for drop in commits.records(store, name, "drop", Drop):
                if drop.root in ids:
                    account = found[recording_of[drop.root]]
                    account.drops[drop.step, drop.reason].append(drop.seconds)
                    if phase == "arrange":  # select had kept it
                        account.kept -= drop.seconds
                        account.clips -= 1
    for entry in store.list(f"select/{keys.select}/verdicts"):
        for row in from_ipc(store.get(entry.name)).to_pylist():
            account = found[recording_of[row["task"]]]
            if row["kept"]:
                account.kept += row["seconds"]
                account.clips += 1
            else:
                account.drops[row["step"], row["reason"]].append(row["seconds"])
    return found


def print_funnel(funnel: list[dict]) -> None:
    print("\n### Counts and hours at every step\n")
    print(on.head("phase", "step", "items in", "items out", "hours in", "hours out", "dropped"))
    for step in funnel:
        hours = [
            "" if step[name] is None else f"{step[name] / 3600:.4f}"
            for name in ("seconds_in", "seconds_out")
        ]
        drops = "; ".join(
            f"{drop['reason']} {drop['items']} ({drop['seconds'] / 3600:.4f} h)"
            for drop in step["drops"]
        )
        items = (f"{step['items_in']} {step['noun_in']}", f"{step['items_out']} {step['noun_out']}")
        print(on.row(step["phase"], step["step"], *items, *hours, drops or "none"))


def print_sources(rows: dict[str, dict], by_path: dict[str, Account]) -> None:
    print("\n### By source\n")
    print(on.head("source", "kind", "files", "with a kept clip", "minutes", "minutes kept"))
    groups: dict[tuple[str, str], list[Account]] = defaultdict(list)
    for path, row in sorted(rows.items()):
        groups[row.get("source", "."), row["kind"]].append(by_path.get(path, Account()))
    for (source, kind), members in groups.items():
        print(
            on.row(
                source,
                kind,
                len(members),
                sum(account.clips > 0 for account in members),
                f"{sum(account.seconds for account in members) / 60:.1f}",
                f"{sum(account.kept for account in members) / 60:.1f}",
            )
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=pathlib.Path, default=on.CORPUS, help="(%(default)s)")
    parser.add_argument("--out", type=pathlib.Path, help="keep OUT here (default: thrown away)")
    parser.add_argument("--set", action="append", default=[], help="as for curate")
    chosen = parser.parse_args()
    data = (chosen.corpus / "audio").resolve()
    if not data.is_dir():
        print(f"corpus_run: no folder {data}; name one with --corpus", file=sys.stderr)
        return 2
    print(on.circumstances(), flush=True)
    with tempfile.TemporaryDirectory(prefix="speechloom-bench-") as folder:
        out = chosen.out or pathlib.Path(folder) / "out"
        arguments = [word for one in chosen.set for word in ("--set", one)]
        seen = process_tree.curate(data, out, *arguments, recipe=RECIPE, memory=True)
        print(
            f"The run took {seen.wall:.0f} s, {seen.cpu:.0f} s of processor time and at most "
            f"{seen.peak / 1e9:.2f} GB of RSS over all its processes."
        )
        return account(Store(str(out)), chosen.corpus, data)


def account(store: Store, corpus: pathlib.Path, data: pathlib.Path) -> int:
    """Print what became of everything. 1 where something is unexplained."""
    (pointer,) = read_pointers(store)
    ((stream, keys),) = pointer.streams.items()
    manifest = json.loads(store.get(f"compose/{pointer.compose}/manifest.json"))
    listed = read_sources(store, pointer.compose, stream)
    found = accounts(store, keys, listed)
    print_funnel(manifest["funnel"])

    names = Counter(path_of("", row.uri) for row in listed)
    files = files_below(data)
    missed = [name for name in files if names[name] != 1]
    invented = sorted(set(names) - set(files))
    refused = Counter(row.reason for row in listed if row.recording is None)
    print("\n### Every file below DATA\n")
    print(on.head("what", "files"))
    print(on.row("below DATA", len(files)))
    print(on.row("listed as a recording", sum(row.recording is not None for row in listed)))
    for reason, count in sorted(refused.items()):
        print(on.row(f"listed and refused: {reason}", count))
    print(on.row("not listed exactly once", len(missed)))
    print(on.row("listed but not there", len(invented)))

    by_path = {path_of("", row.uri): found[row.recording] for row in listed if row.recording}
    off = {path: one for path, one in by_path.items() if abs(one.unexplained) > 5e-4}
    lines = (corpus / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    rows = {
        str(pathlib.Path(row["audio"]).relative_to("audio")): row for row in map(json.loads, lines)
    }
    absent = sorted(set(rows) - set(by_path))
    print_sources(rows, by_path)
    mute = {
        path: by_path.get(path, Account())
        for path, row in sorted(rows.items())
        if row["kind"] == "speech" and not by_path.get(path, Account()).clips
    }
    print(f"\n### Speech files without a kept clip: {len(mute)}\n")
    if mute:
        print(on.head("file", "seconds", "why"))
    for path, one in mute.items():
        print(on.row(path, f"{one.seconds:.2f}", one.why() or "**unexplained**"))
    speech = [path for path, row in rows.items() if row["kind"] == "speech"]
    kept = sum(by_path[path].kept for path in speech if path in by_path)
    unexplained = [path for path, one in mute.items() if not one.why()]
    print(
        f"\n{len(rows)} files in the corpus's manifest, {len(absent)} of them not recordings of "
        f"this run; {len(speech)} hold speech, {len(speech) - len(mute)} of them gave a kept clip, "
        f"{kept / 60:.1f} minutes in all. Seconds do not add up in {len(off)} recordings; "
        f"{len(unexplained)} speech files are dropped without a reason."
    )
    for what, wrong in (
        ("not listed exactly once", missed),
        ("listed but not there", invented),
        ("in the manifest, not a recording", absent),
        ("seconds do not add up", sorted(off)),
        ("dropped without a reason", unexplained),
    ):
        for path in wrong[:20]:
            print(f"- {what}: {path}")
    return int(bool(missed or invented or absent or off or unexplained))


if __name__ == "__main__":
    sys.exit(main())
