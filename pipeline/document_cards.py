"""Cards of documents: some of a run as a trainer would meet them under the default policy."""

import dataclasses
from collections.abc import Iterator

from pipeline import commits
from pipeline.curate import StreamResult
from pipeline.phases.arrange import Arranged
from pipeline.report import preview
from pipeline.report.content import DocumentCard, DocumentChunk, Limits
from schemas.ids import rng
from schemas.records import Document
from schemas.store import Store
from transforms.compose.interleave import Interleave
from transforms.compose.policies import Deterministic, PolicyError, pieces


def document_cards(
    store: Store, stream: StreamResult, seed: int, limits: Limits, refused: list[str]
) -> Iterator[DocumentCard]:
    """Some documents as a trainer would meet them under the stream's default policy.

    Where it would refuse them, `refused` says so once, and they are shown in strict alternation.
    """
    names = sorted(stream.arranged.commits_of(sorted(stream.census.tasks)))
    where = {
        row: name
        for name in names
        for row in commits.column(store, name, "row", ["document.id"])["document"]
        .combine_chunks()
        .field("id")
        .to_pylist()
    }
    chosen = preview.pick(seed, "documents", where, limits.documents)
    read = {
        row.document.id: row.document
        for name in sorted({where[picked] for picked in chosen})
        for row in commits.records(store, name, "row", Arranged, ("document.id", set(chosen)))
    }
    for document in (read[picked] for picked in chosen):
        try:
            yield document_card(document, stream, seed)
        except PolicyError as error:
            line = stream.outline
            if not any(one.startswith(f"{line.name}: ") for one in refused):
                refused.append(
                    f"{line.name}: the policy {line.interleave.policy.kind} cannot deal out its "
                    f"documents, and a trainer that reads them so will refuse them ({error}). They "
                    "are shown in strict alternation."
                )
            plain = line.interleave.model_copy(update={"policy": Deterministic()})
            shown = dataclasses.replace(line, interleave=plain)
            yield document_card(document, dataclasses.replace(stream, outline=shown), seed)


def document_card(document: Document, stream: StreamResult, seed: int) -> DocumentCard:
    """A document dealt out by the stream's view and policy; a materialised one as it is stored."""
    return DocumentCard(
        id=document.id,
        stream=document.stream,
        split=document.split,
        seconds=document.seconds,
        chunks=tuple(_chunks(document, stream.outline.interleave, seed)),
        speaker=", ".join(sorted({chunk.speaker for chunk in document.chunks})),
        language=document.language,
        licence=document.licence,
        source=document.source,
        quality=document.quality,
    )


def _chunks(document: Document, interleave: Interleave, seed: int) -> Iterator[DocumentChunk]:
    if interleave.materialize:
        for chunk in document.chunks:
            yield DocumentChunk(
                modality="text" if chunk.modality == "text" else "speech",
                start=chunk.start,
                end=chunk.end,
                text=chunk.text,
                speaker=chunk.speaker,
                gap=max(chunk.gap, 0.0),
            )
        return
    view = interleave.view(document.chunks)
    chance = rng(seed, interleave.name(), document.id)
    for piece in pieces(view, interleave.policy, chance, document.rate):
        chunk = view[piece.chunk]
        yield DocumentChunk(
            modality=piece.side,
            start=piece.start,
            end=piece.end,
            text=chunk.text[slice(*piece.characters)],
            speaker=chunk.speaker,
            gap=max(chunk.gap, 0.0),
        )
