"""compose, second half: documents to shards. Audio is fetched by reference and encoded again.

Speech tokens are made here, from the samples that the FLAC holds and chunk by chunk.

Shards are large, so there are often fewer of them than workers: the documents of one are read and
encoded by two threads ahead of the writer, which takes them in order.

A shard's plan is a digest of all that will stand in it, so a shard that a composition before had
already is linked instead of written again: data that grow rewrite only the shards around what is
new. Each composition is a folder of its own, so nothing stale can lie beside its shards.
"""

import dataclasses
import functools
import json
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, TypeVar

import numpy as np

from pipeline import layout
from pipeline.commits import Ledger
from pipeline.phases.annotate import fetch_from
from pipeline.phases.arrange import documents_of, heads
from pipeline.phases.form import Form
from pipeline.phases.rows import Block
from pipeline.simple import SimpleJob
from pipeline.work import ConservationError
from schemas.ids import digest_of
from schemas.manifest import ShardEntry, index_name
from schemas.records import AudioRef, Document, Mute, frames
from schemas.shard import FORMAT, plan_shards
from schemas.shard_writer import ShardWriter
from schemas.store import Store
from transforms import flac
from transforms.engines.tokenizer import encode_document
from transforms.step import Pcm16

R = TypeVar("R")

READERS = 2  # threads; what they spend their time in lets other threads run
AHEAD = 64  # documents, and
AHEAD_SECONDS = 600.0  # of documents that are read before they are written: 20 MB of samples


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ShardPart:
    """One shard to be written: `id` is the digest of its content."""

    id: str
    name: str  # below the composition: "train/web-0a1b2c3d.tar"
    documents: tuple[tuple[str, str], ...]  # id, arrange commit; in the order of ids
    hear_key: str
    seconds: float


def plan_stream(
    store: Store,
    stream: str,
    hear_key: str,
    arranged: Ledger,
    blocks: Sequence[Block],
    target_seconds: float,
    form: Form,
    device: str,
    spoken: bool = True,
) -> list[ShardPart]:
    """The shards of one stream, by split, speech and text-only documents apart.

    `spoken`: whether its documents have speech, so that those without need a name of their own.
    """
    wanted = [task.task for block in blocks for task in block.tasks]
    groups: dict[tuple[str, bool], dict[str, tuple[str, str, float]]] = {}
    for name in sorted(arranged.commits_of(wanted)):
        for row in heads(store, name).to_pylist():
            group = groups.setdefault((row["split"], row["audio"]), {})
            if row["id"] in group:
                raise ConservationError(f"document {row['id']} stands in two commits")
            group[row["id"]] = (name, row["content"], row["seconds"])
    parts = []
    for (split, audio), found in sorted(groups.items()):
        sizes = [(name, seconds) for name, (_, _, seconds) in found.items()]
        set_name = stream if audio or not spoken else f"{stream}-text"
        for plan in plan_shards(set_name, sizes, target_seconds):
            name = f"{split}/{plan.name}.tar"
            content = [found[document][1] for document in plan.ids]
            form_key = form.key(device) if audio else []
            parts.append(
                ShardPart(
                    id=digest_of("shard", FORMAT, name, content, encoder(), *form_key),
                    name=name,
                    documents=tuple((document, found[document][0]) for document in plan.ids),
                    hear_key=hear_key,
                    seconds=plan.seconds,
                )
            )
    return parts


def encoder() -> str:
    """What writes the FLACs: another version may write other bytes for the same samples."""
    import soundfile

    return f"{soundfile.__libsndfile_version__}, level {flac.COMPRESSION}"


def _place(key: str, part: ShardPart) -> str:
    return f"{layout.composition_folder(key)}/{part.name}"


def _stored(store: Store, part: ShardPart) -> tuple[ShardEntry, str] | None:
    """The entry of a shard of this content, and the composition that wrote it."""
    try:
        found = json.loads(store.get(layout.shard_entry_name(part.id)))
    except FileNotFoundError:
        return None
    return ShardEntry(**found["entry"]), found["tar"]


def reuse(store: Store, key: str, part: ShardPart) -> bool:
    """Whether the shard is in this composition already, or could be linked into it."""
    stored = _stored(store, part)
    if stored is None:
        return False
    entry, tar = stored
    place = _place(key, part)
    if place != tar and store.size(place) is None:
        if store.size(tar) != entry.bytes or store.size(index_name(tar)) is None:
            store.delete(layout.shard_entry_name(part.id))  # its composition is gone
            return False
        store.adopt(index_name(tar), index_name(place))
        store.adopt(tar, place)
    return store.size(place) == entry.bytes and store.size(index_name(place)) is not None


def entry_of(store: Store, key: str, part: ShardPart) -> ShardEntry:
    """The entry of a shard that is written. Raises `ConservationError` where it is not."""
    stored = _stored(store, part)
    if stored is None or not reuse(store, key, part):
        raise ConservationError(f"shard {part.name} was not written")
    return stored[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardJob(SimpleJob):
    phase: ClassVar[str] = "compose"

    form: Form

    def run_part(self, part: ShardPart) -> None:
        tokenizers = self.form.load()
        keep_audio = self.form.audio == "flac"
        fetch = functools.lru_cache(maxsize=2 * READERS)(
            functools.partial(_member, self.store, part.hear_key)
        )

        def read(document: Document) -> tuple[Document, Pcm16 | None, bytes | None]:
            samples = document_samples(document, fetch)
            if samples is None or not keep_audio:
                return document, samples, None
            return document, samples, flac.encode(samples, document.rate)

        with tempfile.TemporaryDirectory(prefix="speechloom-", dir=self.scratch) as folder:
            path = Path(folder) / "shard.tar"
            entries = self.form.entries()
            documents = (documents_of(self.store, commit)[name] for name, commit in part.documents)
            with (
                ShardWriter(path, part.name, entries, keep_audio) as writer,
                ThreadPoolExecutor(READERS, "reader") as pool,
            ):
                for document, samples, data in _ahead(pool, read, documents):
                    if samples is None:
                        writer.add(document, None)
                        continue
                    units = {
                        one.name: encode_document(one, document, samples) for one in tokenizers
                    }
                    writer.add(document, data, units)
                entry = writer.close()
            self._store(part, entry, path, writer.index_path)

    def _store(self, part: ShardPart, entry: ShardEntry, tar: Path, index: Path) -> None:
        place = _place(self.key, part)
        for name, path, size in (
            (index_name(place), index, index.stat().st_size),
            (place, tar, entry.bytes),
        ):
            if not self.store.take(name, path) and self.store.size(name) != size:
                raise ConservationError(f"{self.store.where(name)} exists with other bytes")
        note = {"entry": dataclasses.asdict(entry), "tar": place}
        data = json.dumps(note, sort_keys=True).encode()
        self.store.put_if_absent(layout.shard_entry_name(part.id), data)


def _ahead(
    pool: ThreadPoolExecutor, read: Callable[[Document], R], documents: Iterable[Document]
) -> Iterator[R]:
    """`map` by threads that are at most `AHEAD_SECONDS` and a document ahead of what was taken."""
    waiting: deque[tuple[float, Future[R]]] = deque()
    for document in documents:
        waiting.append((document.seconds, pool.submit(read, document)))
        while sum(seconds for seconds, _ in waiting) > AHEAD_SECONDS or len(waiting) > AHEAD:
            yield waiting.popleft()[1].result()
    while waiting:
        yield waiting.popleft()[1].result()


def _member(store: Store, hear_key: str, tar: str, offset: int, size: int) -> bytes:
    ref = AudioRef(tar=tar, offset=offset, size=size, start=0, end=0, rate=1)
    return fetch_from(store, hear_key, ref)


def _silenced(samples: Pcm16, ref: AudioRef, mutes: Sequence[Mute]) -> Pcm16:
    """The samples of a range with what is muted set to zero."""
    if not mutes:
        return samples
    samples = samples.copy()
    for mute in mutes:
        low, high = max(mute.start, ref.start), min(mute.end, ref.end)
        samples[max(low - ref.start, 0) : max(high - ref.start, 0)] = 0
    return samples


def document_samples(document: Document, fetch: Callable[[str, int, int], bytes]) -> Pcm16 | None:
    """The samples of a document's chunks end to end; None for a text-only document.

    What was masked (`Chunk.mutes`) is silence. `fetch(tar, offset, size)` gives the bytes of a FLAC
    member.
    """
    blocks = []
    for chunk in document.chunks:
        ref = chunk.audio
        if ref is None or chunk.modality == "text":
            continue
        data = fetch(ref.tar, ref.offset, ref.size)
        blocks.append(_silenced(flac.decode(data, ref.start, ref.end), ref, chunk.mutes))
    if not blocks:
        return None
    samples = np.concatenate(blocks)
    if len(samples) != frames(document.seconds, document.rate):
        raise ConservationError(
            f"document {document.id}: its chunks hold {len(samples)} frames, its time line "
            f"{frames(document.seconds, document.rate)}"
        )
    return samples
