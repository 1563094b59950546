"""The questions about pages that a finished run holds out of training, as rows of a table.

The pages are read off the run's own documents: those of the split that is asked for, none of which
another split of any stream of pages holds (checked). Their questions are asked again by the same
steps; a generator's answers come from the cache below OUT, so nothing is paid twice.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pipeline import commits
from pipeline.drafts import Known
from pipeline.phases.pages import read_pages
from pipeline.phases.synthesize import entrance_script
from pipeline.pointers import Pointer, StreamKeys
from pipeline.recipe import Recipe, from_canonical
from schemas.pages import Page, Script
from schemas.store import Store, StoreError
from transforms.engines.generator_cache import CACHE
from transforms.step import Scope
from transforms.synthesize.evaluation_rows import row


def pages_by_split(store: Store, keys: StreamKeys) -> dict[str, set[str]]:
    """The pages (or recordings) of a stream's documents, by split."""
    found: dict[str, set[str]] = {}
    for name in commits.ledger(store, "arrange", keys.arrange).commits:
        table = commits.column(store, name, "row", ["document.recording", "document.split"])
        document = table["document"].combine_chunks()
        pairs = zip(
            document.field("recording").to_pylist(),
            document.field("split").to_pylist(),
            strict=True,
        )
        for recording, split in pairs:
            found.setdefault(split, set()).add(recording)
    return found


def stream_of(recipe: Recipe, wanted: str | None, where: str) -> str:
    """The stream that asks questions, the only one or the one named. Raises `StoreError`."""
    asking = [
        name
        for name, steps in recipe.streams.items()
        if any(step.name() == "question" for step in steps)
    ]
    if wanted in asking:
        return str(wanted)
    listed = ", ".join(asking) or "none"
    if wanted is not None:
        raise StoreError(
            f"{where}: stream {wanted!r} has no step question; those that have: {listed}"
        )
    if len(asking) != 1:
        raise StoreError(f"{where}: name one stream that asks questions (--stream): {listed}")
    return asking[0]


def held_out_questions(
    store: Store,
    pointer: Pointer,
    *,
    stream: str | None = None,
    split: str = "test",
    known: Known | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> tuple[list[dict[str, Any]], set[str]]:
    """The rows, sorted by page, and the pages of training (of all streams of pages).

    Raises `StoreError` where the split is trained on, or a page stands in two splits.
    """
    if split == "train":
        raise StoreError("the split train is trained on: take valid or test")
    recipe = from_canonical(pointer.recipe, known)
    name = stream_of(recipe, stream, f"{store.url}, recipe {pointer.name}")
    wanted = pages_by_split(store, pointer.streams[name]).get(split, set())
    trained: set[str] = set()
    for keys in pointer.streams.values():
        if keys.extract:
            trained |= pages_by_split(store, keys).get("train", set())
    if shared := sorted(wanted & trained):
        raise StoreError(
            f"{store.url}: page {shared[0]} ({len(shared)} in all) is in the split {split} of "
            f"{name} and in train: its splits are no use. Run curate again with one split step"
        )
    steps: list[Any] = []  # steps of records: `Step` itself cannot be called
    for step in recipe.steps(name, "synthesize"):
        steps.append(step)
        if step.name() == "question":
            break
    pages = {
        page.id: page
        for commit in commits.ledger(store, "extract", pointer.streams[name].extract).commits
        for page in read_pages(store, commit).values()
        if page.id in wanted
    }
    models = {step.name(): step.load() for step in steps}
    tell(f"{len(pages)} pages of {name} are in {split}")

    def asked(page: Page) -> list[Script]:
        scope = Scope(root=page, seed=recipe.seed, cache=store.where(CACHE))
        records: list[Any] = [entrance_script(page)]
        for step in steps:
            found = list(step(records, models[step.name()], scope)) if records else []
            records = [one for one in found if isinstance(one, Script)]
        return [one for one in records if one.kind == "question"]

    threads = max((getattr(step, "concurrency", 1) for step in steps), default=1)
    with ThreadPoolExecutor(threads) as pool:
        scripts = pool.map(asked, [pages[page] for page in sorted(pages)])
        rows = [row(script, recipe.seed) for of_page in scripts for script in of_page]
    return rows, trained


def lines(rows: list[Mapping[str, Any]]) -> Iterator[str]:
    """The rows as JSONL."""
    for one in rows:
        yield json.dumps(one, ensure_ascii=False, sort_keys=True) + "\n"
