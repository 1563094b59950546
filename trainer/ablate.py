"""Run a study: prepare its data, run the cells that are not done, say what follows.

`ablate(path, out)` may be killed at any moment; the same call goes on. What a study is stands in
OUT/study.json from its first moment; a file, data or items that changed since are refused with the
difference, for a study that is altered after a look at its results is another study.
"""

import dataclasses
import difflib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from schemas.yaml_text import write as yaml_of
from trainer.ablation.held_out import HeldOut
from trainer.ablation.making import Sources, told
from trainer.ablation.page import page
from trainer.ablation.plan import REFERENCE, Planned, plan
from trainer.ablation.results import StudyResult, results
from trainer.ablation.running import Cell, done, folder_of, locked, run_cells
from trainer.ablation.tables import as_json, markdown
from trainer.config import Config
from trainer.data_settings import DataSettings
from trainer.failures import ChangedError
from trainer.opening import keep_text_tokenizer
from trainer.shard_sets import open_sets

STUDY = "study.json"
REPORT = "report.html"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Ablated:
    """A study's results so far, and where they are written."""

    results: StudyResult
    report: Path
    table: Path


def ablate(
    path: Path | str,
    out: Path | str,
    *,
    overrides: Sequence[str] = (),
    given: Mapping[str, str] | None = None,
    arms: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    jobs: int = 2,
    say: Callable[[str], None] | None = None,
) -> Ablated:
    """Run a study, or go on with it, and write OUT/report.html, results.json and results.md.

    `arms` and `seeds` choose some of its cells for now; the report then says what is missing.
    Raises `SettingsError` for a wrong file, `ChangedError` where OUT holds another study,
    `BusyError`, and `TrainingError` for data that cannot be made or a cell that fails.
    """
    out, tell = Path(out), say or told
    planned = plan(Path(path), overrides, given or {})
    study = planned.study
    sources = Sources(study.data, planned.path, out, tell, study.evaluation.sets)
    with locked(out):
        refuse_changed(out, {"study": planned.canonical()}, only=("study",))
        keep_study(out, {"study": planned.canonical()})
        sources.make()
        facts = dict(sources.facts(_shards(planned)))
        everything = {"study": planned.canonical(), "facts": facts}
        refuse_changed(out, everything, only=("study", "facts"))
        keep_study(out, everything)
        first = planned.study.seeds[0]
        configs = [planned.config(arm, first, sources.place) for arm in planned.study.names()]
        tokenizer = shared_tokenizer(configs, out)
        cells = list(planned.cells())
        chosen = _chosen(planned, cells, arms, seeds)
        try:
            run_cells(out, chosen, _Task(planned, sources, out, tokenizer), jobs, tell)
        finally:
            found = _written(planned, out, cells, facts)
    tell(f"{found.results.done} of {len(cells)} cells are done: {found.report}")
    return found


def _shards(planned: Planned) -> list[str]:
    """The shards that arms read, as their configs name them."""
    found: set[str] = set()
    for arm in planned.study.names():
        config = planned.config(arm, planned.study.seeds[0], lambda name: f"{REFERENCE}{name}")
        found |= {one.shards for one in config.data.sets.values()}
    held = planned.study.evaluation.held_out
    if held is not None:
        found |= {one.shards for one in (held.sets or {}).values()}
    return sorted(found)


def held_out_of(asked: HeldOut | None, place: Callable[[str], str]) -> dict[str, Any] | None:
    """What cells are told of held-out losses: JSON, with references to data resolved."""
    if asked is None:
        return None
    found = asked.model_dump(mode="json")
    for one in (found["sets"] or {}).values():
        if one["shards"].startswith(REFERENCE):
            one["shards"] = place(one["shards"].removeprefix(REFERENCE))
    return found


class _Task:
    """What a cell's process is told."""

    def __init__(
        self, planned: Planned, sources: Sources, out: Path, tokenizer: Path | None
    ) -> None:
        self._planned, self._sources, self._out = planned, sources, out
        self._tokenizer = tokenizer

    def __call__(self, cell: Cell) -> dict[str, Any]:
        study = self._planned.study
        config = self._planned.config(*cell, self._sources.place)
        if self._tokenizer is not None:
            text = config.text.model_copy(update={"tokenizer": str(self._tokenizer)})
            config = config.model_copy(update={"text": text})
        asked = study.evaluation.settings
        if "context" not in asked.model_fields_set:
            asked = asked.model_copy(update={"context": config.data.length})
        return {
            "config": config.canonical(),
            "equal": study.equal,
            "sets": {
                name: str(self._sources.folder(folder).resolve())
                for name, folder in study.evaluation.sets.items()
            },
            "evaluation": asked.model_dump(mode="json"),
            "held_out": held_out_of(study.evaluation.held_out, self._sources.place),
            "at": list(study.evaluation.at),
            "endpoint": study.endpoint.at,
            "threads": config.compute.threads or os.cpu_count() or 1,
        }


def shared_tokenizer(configs: Sequence[Config], out: Path) -> Path | None:
    """One text tokenizer for all arms, where their configs leave it to the shards; else None.

    Trained on the sets of all arms together: arms with other data would else read in other tokens.
    """
    if all(config.text.tokenizer is not None for config in configs):
        return None
    kept = out / "tokenizer" / "tokenizer.json"
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        every = _all_sets(configs)
        config = configs[0].model_copy(update={"data": every})
        keep_text_tokenizer(config, kept.parent, list(open_sets(every)))
    return kept.resolve()


def _all_sets(configs: Sequence[Config]) -> DataSettings:
    """The sets of all configs, each of its shards once."""
    found = {
        (one.shards, one.recipe, one.split, one.streams): one
        for config in configs
        for one in config.data.sets.values()
    }
    sets = {f"set{place:03d}": found[key] for place, key in enumerate(sorted(found, key=repr))}
    return configs[0].data.model_copy(update={"sets": sets})


def _chosen(
    planned: Planned,
    cells: Sequence[Cell],
    arms: Sequence[str] | None,
    seeds: Sequence[int] | None,
) -> list[Cell]:
    from trainer.failures import SetupError

    names = planned.study.names()
    strange = [str(one) for one in arms or () if one not in names]
    strange += [str(one) for one in seeds or () if one not in planned.study.seeds]
    if strange:
        raise SetupError(
            f"the study has no {strange[0]!r}; its arms are {', '.join(names)}, its seeds "
            f"{', '.join(map(str, planned.study.seeds))}"
        )
    return [
        (arm, seed)
        for arm, seed in cells
        if (arms is None or arm in arms) and (seeds is None or seed in seeds)
    ]


def refuse_changed(out: Path, now: Mapping[str, Any], only: Sequence[str]) -> None:
    """Raise `ChangedError` with a diff where OUT was begun as another study."""
    try:
        before = json.loads((out / STUDY).read_text("utf-8"))
    except FileNotFoundError:
        return
    old = {name: before[name] for name in only if name in before}
    new = {name: now[name] for name in old}
    if old == json.loads(json.dumps(new)):
        return
    lines = difflib.unified_diff(
        yaml_of(old).splitlines(), yaml_of(new).splitlines(), "begun as", "now", lineterm="", n=2
    )
    raise ChangedError(
        f"{out} holds a study that began otherwise:\n"
        + "\n".join(lines)
        + "\nWhat is claimed stands before a study runs: take another OUT for another study"
    )


def keep_study(out: Path, value: Mapping[str, Any]) -> None:
    """Write OUT/study.json; facts that are known already stay until they are looked at again."""
    path = out / STUDY
    before = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    put_text(path, json.dumps({**before, **value}, indent=1, sort_keys=True) + "\n")


def _written(
    planned: Planned, out: Path, cells: Sequence[Cell], facts: Mapping[str, str]
) -> Ablated:
    ended = {cell: value for cell in cells if (value := done(out, cell)) is not None}
    found = results(planned.study, ended, len(cells), facts)
    put_text(out / "results.json", json.dumps(as_json(found), indent=1, sort_keys=True) + "\n")
    put_text(out / "results.md", markdown(found))
    put_text(out / REPORT, page(found))
    return Ablated(results=found, report=out / REPORT, table=out / "results.md")


def put_text(path: Path, text: str) -> None:
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


__all__ = ["REPORT", "STUDY", "Ablated", "ablate", "folder_of"]
