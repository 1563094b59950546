"""Runs of the whole pipeline for the laws: in this process, or by the command line in another.

In this process means without worker processes: the same Beam graphs, run one part list after the
other. It spares the seconds that a worker needs to import Beam, so it is for laws about keys,
counts and bytes; laws about processes (signals, crashes, two workers) use the command line.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pipeline import commits, layout, weave
from pipeline.commits import Tally
from pipeline.curate import Curator, Options, RunResult
from pipeline.funnel import check_shards, funnel
from pipeline.publish import publish
from pipeline.recipe import Recipe, load_recipe
from pipeline.report.content import FunnelRow
from pipeline.summary import summarize
from schemas.records import Drop
from schemas.store import Store

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RECIPE = HERE / "recipe.yaml"


class Here:
    """Workers that are this process: each phase's graph is run where the test runs."""

    def __init__(self, observe: Any):
        self._observe = observe

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        weave.close_models()

    def start(self, *_: Any, **__: Any) -> None:
        """Nobody has to be started."""

    def run(self, job: Any, parts: Sequence[Any], *_: Any) -> dict[str, int]:
        return weave.run(job, parts, notify=self._observe)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ran:
    """A finished run: what it did and what it left."""

    result: RunResult
    funnel: tuple[FunnelRow, ...]
    store: Store
    events: tuple[tuple[str, Any], ...]

    @property
    def digests(self) -> dict[str, str]:
        return shard_digests(Path(self.store.url), self.result.compose_key)

    @property
    def counters(self) -> dict[str, int]:
        return self.result.counters

    def phases(self) -> dict[str, int]:
        """Parts that were worked on, by phase."""
        found: Counter[str] = Counter()
        for kind, value in self.events:
            if kind == "phase":
                found[value["phase"]] += value["parts"]
        return {phase: count for phase, count in found.items() if count}


def curate(
    data: Path | str,
    out: Path | str,
    overrides: Sequence[str] = (),
    recipe: Recipe | None = None,
    workers: Callable[[Any], Any] = Here,
    **options: Any,
) -> Ran:
    """One run in this process, published and checked like one of the command line."""
    events: list[tuple[str, Any]] = []
    chosen = recipe or load_recipe(RECIPE, overrides)
    settings = Options(data=str(data), out=str(out), **{"part_seconds": 20.0, **options})
    curator = Curator(chosen, settings, lambda kind, value: events.append((kind, value)))
    curator._workers = workers(lambda kind, value: events.append((kind, value)))
    result = curator.curate()
    store = Store(out)
    counted = funnel(store, result)
    check_shards(result, counted)
    publish(store, result, summarize(store, result, RECIPE.read_text(), counted))
    return Ran(result=result, funnel=counted, store=store, events=tuple(events))


def shard_digests(out: Path, compose_key: str | None = None) -> dict[str, str]:
    """sha256 of every tar, index and manifest of a composition, by name below it.

    Without a key OUT must hold exactly one published composition.
    """
    if compose_key is None:
        (folder,) = {path.parent for path in (out / "compose").glob("*/manifest.json")}
    else:
        folder = out / layout.composition_folder(compose_key)
    found = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".tar", ".parquet") or path.name == "manifest.json"
    }
    assert "manifest.json" in found and any(name.endswith(".tar") for name in found), found
    return found


def command(
    data: Path | str, out: Path, *more: str, recipe: Path = RECIPE, part: str = "20s"
) -> list[str]:
    """The command line of one run."""
    return [
        *(sys.executable, "-m", "pipeline", "curate", "--data", str(data), "--out", str(out)),
        *("--recipe", str(recipe), "--part", part, *more),
    ]


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


def run_command(
    arguments: Sequence[str], env: Mapping[str, str] | None = None, **more: Any
) -> "subprocess.CompletedProcess[str]":
    """Run one command to its end, with its output as text."""
    return subprocess.run(
        list(arguments),
        cwd=ROOT,
        env=dict(env or environment()),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        **more,
    )


def cli(data: Path | str, out: Path, *more: str, **options: Any) -> None:
    """A run by the command line that must succeed."""
    env = options.pop("env", None)
    done = run_command(command(data, out, *more, **options), env)
    assert done.returncode == 0, done.stderr


def rows_of(store: Store, phase: str, key: str, kind: str, record: type) -> list[Any]:
    """One kind of rows of all commits of a phase."""
    return [
        row
        for entry in store.list(layout.commits_folder(phase, key))
        for row in commits.records(store, entry.name, kind, record)
    ]


def drops_and_tallies(store: Store, phase: str, key: str) -> tuple[list[Drop], list[Tally]]:
    return rows_of(store, phase, key, "drop", Drop), rows_of(store, phase, key, "tally", Tally)


def log_events(out: Path) -> list[list[dict[str, Any]]]:
    """The events of every run of an OUT, runs in the order of their beginning."""
    runs = []
    for path in sorted((out / "logs").glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns):
        lines = path.read_text(encoding="utf-8").splitlines()
        runs.append([])
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):  # the last line of a killed run
                runs[-1].append(json.loads(line))
    return runs


PLUGINS = {"PYTHONPATH": f"{HERE / 'plugins'}:{ROOT}"}


def recipe_with(path: Path, after: str, line: str, name: str = "laws") -> Path:
    """The recipe of the laws with one more step behind the line that begins with `- after`."""
    text = RECIPE.read_text(encoding="utf-8").replace("name: laws", f"name: {name}")
    lines = []
    for old in text.splitlines():
        lines.append(old)
        if old.strip().startswith(f"- {after}"):
            lines.append(f"    - {line}")
    assert len(lines) == text.count("\n") + 1
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def published(out: Path, name: str = "laws") -> dict[str, Any]:
    """The manifest that the newest finished run of a recipe points to."""
    pointer = json.loads((out / "runs" / f"{name}.json").read_text(encoding="utf-8"))
    path = out / layout.composition_folder(pointer["compose"]) / "manifest.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
