"""What a finished run leaves for people and readers: manifest, card, Croissant, report, ledger.

The manifest goes last: a folder of shards without one is not a set. All are functions of the
commits, so a run that finds everything done writes the same bytes again.
"""

import dataclasses
from typing import Any

from pipeline import layout
from pipeline.balance import balance_files
from pipeline.contamination import contamination_files
from pipeline.curate import RunResult, keys_of, pointer
from pipeline.listed import write_sources
from pipeline.phases.form import form_of
from pipeline.report.card import render_card
from pipeline.report.content import FunnelRow, RunSummary
from pipeline.report.croissant import render_croissant
from pipeline.report.page import render_html
from pipeline.verdicts import write_verdicts
from schemas.manifest import NAME, Manifest, manifest_files
from schemas.store import Store


def _manifest(result: RunResult, summary: RunSummary) -> Manifest:
    views = {
        s.outline.name: s.outline.interleave.model_dump(
            mode="json", include={"granularity", "policy", "coarse_max_gap", "coarse_max_chunk"}
        )
        for s in result.streams
    }
    return Manifest(
        name=result.recipe.name,
        shards=result.shards,
        tokenizers=form_of(result.recipe.shards).entries(),
        recipe=result.recipe.canonical(),
        views=views,
        versions={**dict(summary.versions), "device": summary.device},
        licences={
            s.name or "not given": {"clips": s.items, "seconds": s.seconds}
            for s in summary.licences
        },
        funnel=[_funnel_row(row) for row in summary.funnel],
        keys={
            s.outline.name: {k: v for k, v in keys_of(s).items() if not k.endswith("measure")}
            for s in result.streams
        },
    )


def _funnel_row(row: FunnelRow) -> dict[str, Any]:
    found = dataclasses.asdict(row)
    found["drops"] = [
        {"reason": drop.reason, "items": drop.items, "seconds": drop.seconds} for drop in row.drops
    ]
    return found


def report_name(result: RunResult) -> str:
    return f"report/{result.compose_key}/index.html"


def _pointer_name(result: RunResult) -> str:
    """A trial over a part of DATA does not take the place of the whole run."""
    trial = any(stream.limited for stream in result.streams)
    return f"{result.recipe.name}.trial" if trial else result.recipe.name


def publish(store: Store, result: RunResult, summary: RunSummary) -> dict[str, str]:
    """Write everything. Returns names by what they are: shards, manifest, card, report."""
    folder = layout.composition_folder(result.compose_key)
    store.replace(f"{folder}/README.md", render_card(summary).encode())
    store.replace(f"{folder}/croissant.json", render_croissant(summary).encode())
    store.replace(report_name(result), render_html(summary).encode())
    write_sources(store, result)
    verdicts = write_verdicts(store, result)
    for name, data in balance_files(summary.coverage, summary.weights).items():
        store.replace(f"{folder}/{name}", data)
    for name, data in contamination_files(summary.evaluation_sets).items():
        store.replace(f"{folder}/{name}", data)
    for name, data in manifest_files(_manifest(result, summary)).items():
        store.replace(f"{folder}/{name}", data)
    store.replace(layout.run_pointer(_pointer_name(result)), pointer(result))
    return {
        "shards": folder,
        "manifest": f"{folder}/{NAME}",
        "data card": f"{folder}/README.md",
        "report": report_name(result),
        "verdicts": verdicts,
    }
