"""How often each document should be shown, and how its topics compare with a reference.

`balance:` of a recipe names a label of clips (`topic.label`, `domain.label`, `format.label`,
`language`, or any other text column). A document has the label of most of its seconds. Sizes are
counted over the documents to train on, of all streams together; the weights, one per document, go
to `weights.parquet` beside the shards, in the form that the trainer's sets take (`weights:`). It is
in no key: another method costs the reading of rows, and no shard is made again.

`reference` names texts (a text corpus, or the evaluation sets) that the same classifier labels.
Their shares are by words, ours by seconds.
"""

import dataclasses
import hashlib
import heapq
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pydantic

from pipeline.phases.arrange import documents_of
from pipeline.phases.rows import kept_rows
from pipeline.report.content import Coverage, GroupRow
from schemas.records import Document
from schemas.store import Store
from transforms.compose.weighting import divergences, epochs
from transforms.engines.labelling import Labelling
from transforms.measure.wording import count_words
from transforms.select.evaluation_sets import EvaluationSetError, files_of, read_set
from transforms.step import Measure

FILE, REPORT = "weights.parquet", "coverage.json"
MOST = 999.0  # epochs: more is no weight for the trainer
TEXT_ENDINGS = (".txt",)


class Balance(pydantic.BaseModel):
    """How documents are weighted, and what their shares are compared with."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    by: str = pydantic.Field(
        "topic.label", description="Text column of clips whose groups are weighted"
    )
    method: Literal["proportional", "alpha", "unimax", "target"] = pydantic.Field(
        "proportional",
        description="proportional: as they are; alpha: sizes to the power of alpha; unimax: even, "
        "none above max_epochs; target: the shares of `target`, or of the reference",
    )
    alpha: float = pydantic.Field(
        0.5, ge=0, le=1, description="Power of alpha sampling (0: even, 1: proportional; ours)"
    )
    max_epochs: float | None = pydantic.Field(
        None,
        gt=0,
        le=MOST,
        description="No group is shown more often than this in a pass (unimax needs it)",
    )
    budget_hours: float | None = pydantic.Field(
        None, gt=0, description="Audio shown in a pass (hours; None: as much as there is)"
    )
    target: dict[str, float] = pydantic.Field(
        {}, description="Shares wanted by label; they need not sum to 1 (none)"
    )
    reference: str | tuple[str, ...] = pydantic.Field(
        (),
        description="Texts to compare with: .txt (a paragraph each), JSONL or Parquet, as globs "
        "from the recipe's folder or absolute (paths; none)",
    )
    columns: dict[str, str] = pydantic.Field(
        {}, description="What columns are called in the reference, as in decontaminate (none)"
    )
    reference_texts: int = pydantic.Field(
        20_000, ge=1, description="Most texts of the reference, drawn by digest (texts; ours)"
    )
    smoothing: float = pydantic.Field(
        0.001,
        gt=0,
        le=1,
        description="Added to every share before divergences are taken (0..1; ours)",
    )

    _folder: str | None = pydantic.PrivateAttr(None)

    @pydantic.model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.method == "unimax" and self.max_epochs is None:
            raise ValueError("method unimax needs max_epochs: how often a group may be shown")
        if self.method == "target" and not (self.target or self.reference):
            raise ValueError("method target needs target or reference")
        if any(share < 0 for share in self.target.values()):
            raise ValueError("target: shares are 0 or more")
        return self

    def bound(self, folder: Path) -> Self:
        """These settings in a recipe of `folder`. Raises `ValueError` for unusable files."""
        placed = self.model_copy()
        placed._folder = str(folder)
        for file in placed.files():
            next(texts_of(file, self.columns), None)
        return placed

    def files(self) -> tuple[Path, ...]:
        """The files of the reference. Raises `EvaluationSetError`."""
        patterns = (self.reference,) if isinstance(self.reference, str) else self.reference
        return files_of(patterns, Path(self._folder or "."), TEXT_ENDINGS) if patterns else ()

    def misfit(self, streams: Mapping[str, Sequence[Any]], columns: Sequence[str]) -> str | None:
        """What is wrong with these settings in a recipe of these steps; None for nothing."""
        measure, dot, column = self.by.partition(".")
        for name, steps in sorted(streams.items()):
            found = next((s for s in steps if isinstance(s, Measure) and s.name() == measure), None)
            if not dot and self.by not in columns:
                return f"by: {self.by!r} is no column of clips; there are {', '.join(columns)}"
            if dot and (found is None or found.columns.get(column) is not str):
                return (
                    f"by: the stream {name} does not measure {self.by!r} as a text: add the step "
                    f"{measure}, or name another column"
                )
            if self.reference and not isinstance(found, Labelling):
                return f"reference: texts can be labelled by topic or domain, not by {self.by!r}"
        return None


def texts_of(file: Path, columns: Mapping[str, str]) -> Iterator[str]:
    """The texts of one file of a reference. Raises `EvaluationSetError`."""
    if file.suffix in TEXT_ENDINGS:
        lines: list[str] = []
        try:
            with file.open(encoding="utf-8") as stream:
                for line in stream:
                    if line.strip():
                        lines.append(line.strip())
                    elif lines:
                        yield " ".join(lines)
                        lines = []
        except UnicodeDecodeError as error:
            raise EvaluationSetError(f"{file}: is not UTF-8: {error}") from error
        if lines:
            yield " ".join(lines)
        return
    for item in read_set(file, columns):
        yield " ".join(item.texts)


def reference_shares(balance: Balance, measure: Labelling) -> tuple[dict[str, float], int]:
    """Words by label of the reference, and how many texts were labelled."""
    every = (text for file in balance.files() for text in texts_of(file, balance.columns))
    drawn = heapq.nsmallest(
        balance.reference_texts,
        ((hashlib.sha256(text.encode("utf-8", "replace")).digest(), text) for text in every),
    )
    texts = [text for _, text in drawn]
    words: Counter[str] = Counter()
    for text, found in zip(texts, measure.labelled(texts, measure.load()), strict=True):
        if found.label is not None:
            words[found.label] += count_words(text)
    return {name: float(count) for name, count in sorted(words.items()) if count}, len(texts)


@dataclasses.dataclass(frozen=True)
class Labelled:
    """A document by what weights need."""

    id: str
    split: str
    seconds: float
    label: str


def labelled(store: Store, stream: Any, column: str) -> Iterator[Labelled]:
    """The documents of a stream with the label of most of their seconds; "" for none."""
    known: dict[str, str] = {}
    for block in stream.blocks:
        rows = kept_rows(store, block, stream.outline.measures, ["id", column])
        rows = rows.filter(pc.is_valid(rows[column]))
        known |= dict(zip(rows["id"].to_pylist(), rows[column].to_pylist(), strict=True))
    for name in sorted(set(stream.arranged.done.values())):
        for document in documents_of(store, name).values():
            yield Labelled(document.id, document.split, document.seconds, _label(document, known))


def _label(document: Document, known: Mapping[str, str]) -> str:
    seconds: dict[str, float] = {}
    for chunk in document.chunks:
        if chunk.clip in known:
            label = known[chunk.clip]
            seconds[label] = seconds.get(label, 0.0) + (chunk.end - chunk.start)
    return min(seconds, key=lambda name: (-seconds[name], name), default="")


def balanced(store: Store, result: Any) -> tuple[Coverage, pa.Table] | None:
    """Coverage and weights of a run; None where its recipe asks for none."""
    balance: Balance | None = result.recipe.balance
    if balance is None:
        return None
    documents = {
        one.id: one for stream in result.streams for one in labelled(store, stream, balance.by)
    }
    measure = next(
        (
            step
            for stream in result.streams
            for step in stream.outline.measures
            if isinstance(step, Labelling) and step.name() == balance.by.partition(".")[0]
        ),
        None,
    )
    reference, texts = {}, 0
    if balance.reference and measure is not None:
        reference, texts = reference_shares(balance, measure)
    coverage = coverage_of(
        [one for one in documents.values() if one.split == "train"],
        balance,
        reference,
        texts,
        smoke=measure is not None and measure.engine == "smoke",
    )
    weight = {row.name: row.epochs for row in coverage.rows}
    ids = sorted(documents)
    weights = pa.table(
        {
            "id": pa.array(ids, pa.string()),
            # A label that no document to train on has: shown as often as it is there.
            "weight": pa.array([weight.get(documents[i].label, 1.0) for i in ids], pa.float64()),
        }
    )
    return coverage, weights


def coverage_of(
    documents: Sequence[Labelled],
    balance: Balance,
    reference: Mapping[str, float],
    texts: int,
    smoke: bool,
) -> Coverage:
    """Shares, gaps, divergences and weights of documents to train on."""
    seconds: dict[str, float] = {}
    counts: Counter[str] = Counter(one.label for one in documents)
    for one in sorted(documents, key=lambda one: one.id):
        seconds[one.label] = seconds.get(one.label, 0.0) + one.seconds
    whole = float(sum(seconds.values()))
    budget = whole if balance.budget_hours is None else 3600 * balance.budget_hours
    shown = epochs(
        seconds,
        balance.method,
        budget=budget,
        alpha=balance.alpha,
        max_epochs=balance.max_epochs,
        target=balance.target or reference,
    )
    told = float(sum(size for name, size in seconds.items() if name))
    words = float(sum(reference.values()))
    rows = [
        GroupRow(
            name=name,
            documents=counts[name],
            seconds=seconds.get(name, 0.0),
            share=seconds.get(name, 0.0) / told if name and told else 0.0,
            reference=(reference.get(name, 0.0) / words if name else 0.0) if words else None,
            epochs=min(MOST, shown.get(name, 0.0)),
        )
        for name in sorted({*seconds, *reference})
    ]
    rows.sort(key=lambda row: (-(row.gap or 0.0), -row.seconds, row.name))
    kl, js = None, None
    if words and told:
        ours = {name: float(size) for name, size in seconds.items() if name}
        kl, js = divergences(ours, reference, balance.smoothing)
    return Coverage(
        by=balance.by,
        method=balance.method,
        rows=tuple(rows),
        smoothing=balance.smoothing,
        kl=kl,
        js=js,
        reference_texts=texts,
        budget_seconds=budget,
        shown_seconds=sum(row.epochs * row.seconds for row in rows),
        smoke=smoke,
    )


def weights_bytes(weights: pa.Table) -> bytes:
    """The table as Parquet; the same bytes for the same rows and version of pyarrow."""
    sink = io.BytesIO()
    pq.write_table(weights, sink, compression="zstd", store_schema=False, version="2.6")
    return sink.getvalue()


def balance_files(coverage: Coverage | None, weights: bytes | None) -> dict[str, bytes]:
    """What goes beside the shards: weights, and shares with their gaps; nothing without them."""
    if coverage is None or weights is None:
        return {}
    told = dataclasses.asdict(coverage)
    told["rows"] = [dataclasses.asdict(row) | {"gap": row.gap} for row in coverage.rows]
    data = json.dumps({"format": 1, **told}, indent=1, sort_keys=True).encode() + b"\n"
    return {FILE: weights, REPORT: data}
