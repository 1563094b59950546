"""One set of the mixture, opened: its order, its documents, and their speech as codes.

Holds what is dear to make again: documents as they are drawn from, and which FLACs were compared
with their checksum. All of it is bounded, and none of it changes what is read.
"""

import functools
import itertools
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from schemas.checksums import crc32
from schemas.shard import ShardError
from schemas.shard_index import IndexRow
from schemas.shard_reader import names_itself, read_document, read_flac, read_tokens
from schemas.shard_tokens import TokenizerEntry, npy_head
from trainer.data_settings import DataError, DataSettings
from trainer.drawing import Drawing, Part, Prepared
from trainer.encoding import Codes, Positions, SpeechTokenizer, TextTokenizer, encoded
from trainer.order import Drawn, Order, read_weights
from trainer.orders import laying
from trainer.shard_places import ShardPlaces
from trainer.shard_sets import ShardSet
from trainer.sound import decode_ranges

HELD_CHUNKS = 200_000  # of documents that are kept prepared: about 200 MB
HELD_TOKENS = 64 << 20  # bytes of stored tokens that are kept
HELD_INDEXED = 500_000  # chunks of shards whose indexes are kept, those of a window: about 150 MB


class SetReader:
    """Documents of one set by their place in the order. Raises `ShardError` for bad shards."""

    def __init__(
        self,
        shards: ShardSet,
        run: DataSettings,
        text: TextTokenizer,
        speech: SpeechTokenizer | None,
    ) -> None:
        self.shards, self.name = shards, shards.name
        self._order = laying(speech)
        source = speech if self._order is None else self._order.source
        self._speech = source
        self.stored = _stored(shards, source)
        self._by_content = self._order is not None and self._order.by_content
        if self._by_content and self.stored is None and speech is not None:
            self._need_stored(speech)
        # whether the type of stored tokens holds more than the levels that there are: then they are
        # compared with them, in `filling` all of a step's at once
        self._bounded = self.stored is not None and (
            self.stored.levels <= np.iinfo(self.stored.dtype).max
        )
        if self.stored is not None:
            self._dtype = self.stored.dtype
            head = functools.partial(npy_head, self._dtype, codebooks=self.stored.codebooks)
            self._head = functools.lru_cache(maxsize=4096)(head)
        weights = shards.settings.weights
        self.order = Order(shards, run, None if weights is None else read_weights(weights))
        positions = None
        if speech is not None:
            positions = Positions(speech, self.stored.grid if self.stored else None)
        self._drawings = {
            stream: Drawing(
                view,
                shards.settings.policy is not None,
                run.seed,
                text,
                positions,
                run.text_lead,
                run.patches,
            )
            for stream, view in shards.views.items()
        }
        self._of_shard = [self._drawings[entry.stream] for entry in shards.entries]
        self._shards: OrderedDict[int, ShardPlaces] = OrderedDict()
        self._indexed = 0
        self._prepared: OrderedDict[tuple[int, int], Prepared] = OrderedDict()
        self._chunks = 0
        self._tokens: OrderedDict[tuple[int, int], Codes] = OrderedDict()
        self._bytes = 0
        self._compared: set[tuple[int, int]] = set()

    def drawing(self, drawn: Drawn) -> Drawing:
        return self._of_shard[drawn.shard]

    def row(self, drawn: Drawn) -> IndexRow:
        return self.shards.index(drawn.shard)[drawn.row]

    def prepared(self, drawn: Drawn) -> Prepared:
        """A document, read and checked, ready to be drawn from."""
        key = (drawn.shard, drawn.row)
        found = self._prepared.get(key)
        if found is not None:
            self._prepared.move_to_end(key)
            return found
        found = self._outlined(drawn) or self._read(drawn)
        if self._by_content:
            found.counted = functools.partial(self._counted, drawn, found)
        self._prepared[key] = found
        self._chunks += len(found.chunk_frames)
        while self._chunks > HELD_CHUNKS and len(self._prepared) > 1:
            _, old = self._prepared.popitem(last=False)
            self._chunks -= len(old.chunk_frames)
        return found

    def _places(self, shard: int) -> ShardPlaces:
        """What documents of a shard are asked for. Raises `ShardError` for a bad index."""
        found = self._shards.get(shard)
        if found is None:
            rows, outlines = self.shards.index(shard), self.shards.outlines(shard)
            found = ShardPlaces(rows, outlines, self.stored, self.shards.where(shard))
            self._shards[shard] = found
            self._indexed += found.chunks
            while self._indexed > HELD_INDEXED and len(self._shards) > 1:
                _, old = self._shards.popitem(last=False)
                self._indexed -= old.chunks
        return found

    def _outlined(self, drawn: Drawn) -> Prepared | None:
        """By the index's outline; None where that does not do, or the document may be another."""
        shard, place = drawn.shard, drawn.row
        drawing, known = self._of_shard[shard], self._places(shard)
        outlines = known.outlines
        if outlines is None or not drawing.steady or drawing.by_times:
            return None
        data = self._data(shard, known, known.offsets[place], known.sizes[place])
        begin = known.begins[place]
        if crc32(data) != known.crc32[place] or bytes(data[: len(begin)]) != begin:
            row = self.row(drawn)
            if not names_itself(self.shards.fetch(shard), row, known.where):
                return None
        found = drawing.prepare_outline(known.keys[place], outlines, place)
        if not known.agree[place]:
            row = self.row(drawn)
            heard = found.kind == "both" or any(side != "text" for side in found.sides)
            if heard != bool(row.flac_size or row.tokens):
                return None
            self._agree(row, found, known.where)
        return found

    def _data(self, shard: int, known: ShardPlaces, start: int, size: int) -> Any:
        """Bytes of a shard: of its map where what is read of it is long, else by a read."""
        if known.large:
            held = self.shards.array(shard, start, size)
            if held is not None:
                return held
        return self.shards.fetch(shard)(start, size)

    def _read(self, drawn: Drawn) -> Prepared:
        row, where = self.row(drawn), self.shards.where(drawn.shard)
        document = read_document(self.shards.fetch(drawn.shard), row, where)
        found = self.drawing(drawn).prepare(document)
        self._agree(row, found, where)
        return found

    def _agree(self, row: IndexRow, found: Prepared, where: str) -> None:
        seconds, chunks = found.chunk_frames[-1] / found.rate, len(found.positions)
        if (seconds, chunks) != (row.seconds, row.chunks):
            raise DataError(
                "index_disagrees",
                f"{where}: {row.key} has {seconds} s in {chunks} chunks, "
                f"the index says {row.seconds} s in {row.chunks}",
            )

    def codes(self, drawn: Drawn, prepared: Prepared, parts: list[Part]) -> list[Codes]:
        """The codes `[positions, codebooks]` of parts of a document, in the order of time."""
        if not parts:
            return []
        found = self._frames(drawn, prepared, parts)
        return found if self._order is None else [self._order.lay(codes) for codes in found]

    def _counted(self, drawn: Drawn, prepared: Prepared, part: Part) -> int:
        """Positions of a part, by what it holds."""
        return len(self.codes(drawn, prepared, [part])[0]) if part.first < part.last else 0

    def _need_stored(self, speech: SpeechTokenizer) -> None:
        if any(entry.seconds > 0 for entry in self.shards.entries):
            raise DataError(
                "other_tokenizer",
                f"set {self.name!r} stores no tokens of {speech.name}: pieces are counted when "
                "packs are planned, so their units must be stored. Curate with shards.tokens",
            )

    def runs(
        self, drawn: Drawn, prepared: Prepared, runs: Sequence[tuple[int, int]]
    ) -> list[Codes]:
        """The same of runs of whole fine chunks [first, last), end to end."""
        if not runs:
            return []
        if self.stored is not None and self._order is None:  # a run lies in one piece
            whole = len(runs) == 1 and runs[0] == (0, len(prepared.positions))
            held = self._held(drawn, prepared, self.stored, keep=not whole)
            if whole:
                return [held]
            starts = prepared.starts
            return [held[starts[first] : starts[last]] for first, last in runs]
        counts = prepared.positions
        places = itertools.chain.from_iterable(itertools.starmap(range, runs))
        return self.codes(drawn, prepared, [Part(p, 0, counts[p]) for p in places if counts[p]])

    def _frames(self, drawn: Drawn, prepared: Prepared, parts: list[Part]) -> list[Codes]:
        """The same as the tokenizer gave them, before any order."""
        if self.stored is not None:
            held, starts = self._held(drawn, prepared, self.stored), prepared.starts
            return [held[starts[p.chunk] + p.first : starts[p.chunk] + p.last] for p in parts]
        return self._encoded(drawn, prepared, parts)

    def check_levels(self, drawn: Drawn, codes: Sequence[Codes]) -> None:
        """Raise `DataError` where what `runs` or `codes` gave is above the tokenizer's levels."""
        if self._order is None:
            self._check(drawn, codes)

    def _check(self, drawn: Drawn, frames: Sequence[Codes]) -> None:
        if self.stored is None or not self._bounded:
            return
        highest = max((int(one.max(initial=0)) for one in frames), default=0)
        if highest >= self.stored.levels:
            where = f"{self.shards.where(drawn.shard)}: {self.row(drawn).key}"
            raise DataError(
                "bad_tokens",
                f"{where}: {self.stored.name} has {self.stored.levels} levels, there is {highest}",
            )

    def _held(
        self, drawn: Drawn, prepared: Prepared, entry: TokenizerEntry, keep: bool = True
    ) -> Codes:
        """All stored tokens of a document; `keep`: more of them will be asked for."""
        held = self._stored_codes(drawn, entry, keep)
        if prepared.starts[-1] != len(held):
            raise DataError(
                "bad_tokens",
                f"{self.shards.where(drawn.shard)}: {prepared.id} has {len(held)} stored "
                f"positions of {entry.name}, its chunks' times ask for {prepared.starts[-1]}",
            )
        return held

    def _stored_codes(self, drawn: Drawn, entry: TokenizerEntry, keep: bool) -> Codes:
        key = (drawn.shard, drawn.row)
        found = self._tokens.get(key)
        if found is not None:
            self._tokens.move_to_end(key)
            return found
        found = self._read_tokens(drawn, entry)
        if self._order is not None:  # an order may leave some out, or make others of them
            self._check(drawn, [found])
        if keep:
            self._tokens[key] = found
            self._bytes += found.nbytes
            while self._bytes > HELD_TOKENS and len(self._tokens) > 1:
                self._bytes -= self._tokens.popitem(last=False)[1].nbytes
        return found

    def _read_tokens(self, drawn: Drawn, entry: TokenizerEntry) -> Codes:
        """`schemas.shard_reader.read_tokens`, by columns; what is wrong, that says."""
        known, place = self._places(drawn.shard), drawn.row
        offset, size, crc, count = known.members[place]
        dtype, books = self._dtype, entry.codebooks
        head = self._head(count)
        if offset >= 0 and size == len(head) + count * books * dtype.itemsize:
            data = self._data(drawn.shard, known, offset, size)
            if crc32(data) == crc and bytes(data[: len(head)]) == head:
                found: Codes = np.frombuffer(data, dtype, offset=len(head))
                return found.reshape(count, books)
        fetch = self.shards.fetch(drawn.shard)
        return read_tokens(fetch, self.row(drawn), entry, known.where)

    def _encoded(self, drawn: Drawn, prepared: Prepared, parts: list[Part]) -> list[Codes]:
        """Whole chunks are encoded, then cut: a part is what stored tokens would give."""
        assert self._speech is not None
        chunks = sorted({part.chunk for part in parts})
        spans = [(prepared.chunk_frames[c], prepared.chunk_frames[c + 1]) for c in chunks]
        where = f"{self.shards.where(drawn.shard)}: {prepared.id}"
        sound = decode_ranges(self._flac(drawn), spans, prepared.rate, where)
        codes = {
            chunk: encoded(
                self._speech, pcm, prepared.rate, prepared.positions[chunk], f"{where}[{chunk}]"
            )
            for chunk, pcm in zip(chunks, sound, strict=True)
        }
        return [codes[part.chunk][part.first : part.last] for part in parts]

    def _flac(self, drawn: Drawn) -> memoryview:
        """The FLAC of a document, compared with its checksum once."""
        row, where = self.row(drawn), self.shards.where(drawn.shard)
        held = self.shards.mapped(drawn.shard)
        if held is None or not row.flac_size:
            return memoryview(read_flac(self.shards.fetch(drawn.shard), row, where))
        data = held[row.flac_offset : row.flac_offset + row.flac_size]
        key = (drawn.shard, drawn.row)
        if key not in self._compared:
            if crc32(data) != row.flac_crc32:
                raise ShardError("altered", f"{where}: {row.key}.flac is not that of the index")
            self._compared.add(key)
        return data


def _stored(shards: ShardSet, speech: SpeechTokenizer | None) -> TokenizerEntry | None:
    """The set's stored tokens that are those of the run's tokenizer, by digest."""
    wish = shards.settings.tokens
    if speech is None or wish == "ignore":
        return None
    entries = shards.manifest.tokenizers
    for entry in entries:
        if entry.digest == speech.digest:
            if (entry.codebooks, entry.levels) != (speech.codebooks, speech.levels):
                raise DataError(
                    "other_tokenizer",
                    f"set {shards.name!r}: tokenizer {entry.name} has {entry.codebooks} codebooks "
                    f"of {entry.levels}, the run's of the same digest {speech.codebooks} of "
                    f"{speech.levels}",
                )
            return entry
    without = any(e.audio == "none" and e.seconds > 0 for e in shards.entries)
    alike = [entry for entry in entries if entry.name == speech.name]
    if wish == "require" or without or alike:
        there = [f"{entry.name} ({entry.digest[:12]})" for entry in entries]
        raise DataError(
            "other_tokenizer",
            f"set {shards.name!r} stores tokens of {there or 'no tokenizer'}; the run's tokenizer "
            f"is {speech.name} ({speech.digest[:12]}). Use the one they were made with, or "
            "`tokens: ignore` to encode the audio again, where it is kept",
        )
    return None
