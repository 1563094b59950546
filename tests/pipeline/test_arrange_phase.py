"""arrange: every kept clip in exactly one document, and a step that breaks this is caught."""

import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from pipeline import commits, device
from pipeline.phases.arrange import Arranged, ArrangeJob, documents_of, heads
from pipeline.phases.select import read_verdicts
from pipeline.work import ConservationError
from schemas.records import Document, Drop
from tests.laws import made_corpus
from tests.laws.runs import Ran, curate
from transforms.compose.interleave import Interleave


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("arrange")
    data = made_corpus.write_corpus(folder / "data", ["talk0.wav", "talk3.wav", "again.flac"])
    return curate(data, folder / "out")


def job(ran: Ran, interleave: Interleave) -> ArrangeJob:
    stream = ran.result.streams[0]
    return ArrangeJob(
        key="other",
        store=ran.store,
        run="r",
        device=device.device_class(),
        seed=1,
        stream="web",
        interleave=interleave,
        select_key=stream.select_key,
        hear_key=stream.outline.hear_key,
    )


def names(ran: Ran) -> list[str]:
    return sorted(set(ran.result.streams[0].arranged.done.values()))


def test_documents_hold_the_kept_clips_once(ran: Ran) -> None:
    stream = ran.result.streams[0]
    verdicts = read_verdicts(ran.store, stream.select_key, [b.id for b in stream.blocks])
    kept = verdicts.filter(verdicts["kept"])["id"].to_pylist()
    told: Counter[str] = Counter()
    for name in names(ran):
        for document in documents_of(ran.store, name).values():
            told.update(chunk.clip for chunk in document.chunks)
    assert told == Counter(kept) and kept


def test_heads_say_what_a_plan_of_shards_needs(ran: Ran) -> None:
    for name in names(ran):
        rows = heads(ran.store, name).to_pylist()
        arranged = {a.document.id: a for a in commits.records(ran.store, name, "row", Arranged)}
        assert {row["id"] for row in rows} == set(arranged)
        for row in rows:
            one = arranged[row["id"]]
            assert (row["split"], row["seconds"]) == (one.document.split, one.document.seconds)
            assert row["content"] == one.content and row["audio"]


def test_content_is_what_stands_in_the_shard_wherever_samples_lie(ran: Ran) -> None:
    made = job(ran, Interleave())
    document = next(iter(documents_of(ran.store, names(ran)[0]).values()))
    content = made._arranged(document).content
    moved = dataclasses.replace(
        document,
        chunks=tuple(
            dataclasses.replace(c, audio=dataclasses.replace(c.audio, offset=c.audio.offset + 512))
            for c in document.chunks
            if c.audio is not None
        ),
    )
    assert made._arranged(moved).content == content
    assert made._arranged(dataclasses.replace(document, licence="other")).content != content
    assert dataclasses.replace(made, hear_key="other")._arranged(document).content != content


class Loses(Interleave):
    def documents(self, clips: Any, kept: Any, about: Any) -> Iterator[Document | Drop]:
        for found in super().documents(clips, kept, about):
            assert isinstance(found, Document)
            yield dataclasses.replace(found, chunks=found.chunks[:1])


class Repeats(Interleave):
    def documents(self, clips: Any, kept: Any, about: Any) -> Iterator[Document | Drop]:
        found: Sequence[Any] = list(super().documents(clips, kept, about))
        yield from (*found, *found[:1])


class Invents(Interleave):
    def documents(self, clips: Any, kept: Any, about: Any) -> Iterator[Document | Drop]:
        yield from super().documents(clips, kept, about)
        drop = Drop(id="f" * 32, root="f" * 32, step="interleave", reason="made", seconds=0.0)
        yield drop


@pytest.mark.parametrize("broken", [Loses(), Repeats(), Invents()])
def test_a_document_too_few_or_too_many_is_caught(ran: Ran, broken: Interleave) -> None:
    made = job(ran, broken)
    (block,) = ran.result.streams[0].blocks
    with pytest.raises(ConservationError, match="not in exactly one document"):
        made.run_part(block)
    assert ran.store.list("arrange/other") == []  # nothing was committed


def test_a_recording_is_in_one_split(ran: Ran) -> None:
    for name in names(ran):
        splits: dict[str, set[str]] = {}
        for document in documents_of(ran.store, name).values():
            splits.setdefault(document.recording, set()).add(document.split)
        assert all(len(found) == 1 for found in splits.values())
