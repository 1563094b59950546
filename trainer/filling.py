"""Planned packs made real: ids, codes, masks and counts, by the contract of `trainer.pack`."""

import dataclasses
import operator
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from schemas.shard import ShardError
from trainer.data_settings import DataSettings, may_skip
from trainer.drawing import Drawing, Part, Prepared
from trainer.encoding import Codes
from trainer.order import Lost
from trainer.pack import Pack, Vocabulary
from trainer.planning import PackPlan, PiecePlan
from trainer.set_reader import SetReader
from trainer.sheet import Sheet

_Run: TypeAlias = tuple[int, int, int, int]  # fine chunks [first, last), positions, room


class _Told(NamedTuple):
    """What a piece shows and withholds."""

    seconds: float
    words: int
    withheld: int


def fill_packs(
    plans: Sequence[PackPlan],
    readers: Mapping[str, SetReader],
    vocabulary: Vocabulary,
    run: DataSettings,
    experiments: Mapping[str, SetReader] | None = None,
) -> tuple[list[Pack], list[Lost]]:
    """The packs of plans, and what they lost. Raises `ShardError` for what cannot be read, unless
    `on_bad_shard` is skip: then the piece is left out and its room is padding. What an experiment
    inserts is never left out.

    Stored codes are compared with the number of levels for all packs at once; only where one is
    above, it is looked for piece by piece.
    """
    for careful in (False, True):
        filling = _Filling(readers, experiments or {}, vocabulary, run, careful)
        packs = filling.packs(plans)
        if not vocabulary.levels or filling.sheet.highest < vocabulary.levels:
            return packs, filling.lost
    raise RuntimeError(
        f"a code of {filling.sheet.highest} is in packs of {vocabulary.levels} levels, and in none "
        "of their pieces: an order of codes gives levels that its tokenizer does not have"
    )


class _Filling:
    """The packs of a step while they are written."""

    def __init__(
        self,
        readers: Mapping[str, SetReader],
        experiments: Mapping[str, SetReader],
        vocabulary: Vocabulary,
        run: DataSettings,
        careful: bool,
    ) -> None:
        """`careful`: each piece's codes are compared with the number of levels."""
        self._readers, self._experiments = readers, experiments
        self._run, self._careful = run, careful
        self.sheet = Sheet(run.length, vocabulary, run.patches is not None)
        self.lost: list[Lost] = []

    def packs(self, plans: Sequence[PackPlan]) -> list[Pack]:
        told = [self._pack(plan) for plan in plans]
        arrays: list[dict[str, Any]] = self.sheet.arrays()
        return [Pack(**own, **laid) for own, laid in zip(told, arrays, strict=True)]

    def _pack(self, plan: PackPlan) -> dict[str, Any]:
        """Write a pack; all of it but its arrays."""
        self.lost += plan.lost
        of_set = self._readers[plan.set_name]
        documents: list[str] = []
        sources: list[str] = []
        chunks: list[tuple[int, int]] = []
        seconds, words, withheld = 0.0, 0, 0
        for piece in plan.pieces:
            reader = self._experiments[piece.source] if piece.source else of_set
            try:
                prepared = reader.prepared(piece.drawn)
                told = self._piece(reader, prepared, piece)
            except ShardError as error:
                if piece.source or not may_skip(error, self._run.on_bad_shard):
                    raise
                self.sheet.drop()
                self.lost.append(_lost(reader, piece, error))
                continue
            documents.append(prepared.id)
            sources.append(piece.source)
            chunks.append(prepared.fine(piece.first, piece.last))
            seconds += told.seconds
            words += told.words
            withheld += told.withheld
        self.sheet.close()
        return {
            "set_name": plan.set_name,
            "number": plan.number,
            "documents": tuple(documents),
            "chunks": tuple(chunks),
            "seconds": seconds,
            "words": words,
            "withheld": withheld,
            "experiments": tuple(sources) if any(sources) else (),
        }

    def _piece(self, reader: SetReader, prepared: Prepared, piece: PiecePlan) -> _Told:
        drawing = reader.drawing(piece.drawn)
        if drawing.all_speech(prepared, piece.first, piece.last):
            return self._heard(reader, drawing, prepared, piece)
        self.sheet.begin()
        sides = drawing.sides(prepared, piece.epoch, piece.drawn.copy, piece.first, piece.last)
        if sides is None:
            return self._drawn(reader, drawing, prepared, piece)
        return self._chunks(sides, reader, drawing, prepared, piece)

    def _heard(
        self, reader: SetReader, drawing: Drawing, prepared: Prepared, piece: PiecePlan
    ) -> _Told:
        """What `_chunks` writes of chunks that are one run of speech."""
        first, last = prepared.fine(piece.first, piece.last)
        measured, whole = drawing.measures(prepared), slice(piece.first, piece.last)
        codes = self._checked(reader, piece, reader.runs(piece.drawn, prepared, [(first, last)]))
        borders = None
        if drawing.cuts:
            parts = [Part(chunk, 0, prepared.positions[chunk]) for chunk in range(first, last)]
            borders = drawing.borders(prepared, parts)
        positions = rooms = sum(measured.spoken[whole])
        if measured.rooms is not measured.spoken:
            rooms = sum(measured.rooms[whole])
        _agree(self.sheet.heard(positions, rooms, codes, borders), prepared, piece)
        times = prepared.times[first : last + 1]
        if prepared.merged is not None:
            starts = [group.start for group in prepared.merged[whole]]
            times = tuple([prepared.times[fine] for fine in (*starts, last)])
        seconds = sum(map(operator.sub, times[1:], times))
        return _Told(seconds, 0, sum(measured.written[whole]))

    def _chunks(
        self, sides: Any, reader: SetReader, drawing: Drawing, prepared: Prepared, piece: PiecePlan
    ) -> _Told:
        """Write a piece of whole chunks from their lengths: what `_drawn` writes, without a draw.

        `sides` are shown of each.
        """
        sheet = self.sheet
        spoken, written, ids, rooms, _ = drawing.measures(prepared)
        hides = prepared.kind == "both" and not drawing.repeats
        runs: list[tuple[int, int]] = []
        run: _Run | None = None
        before, words, withheld = "", 0, 0
        seconds, times, rate, groups = [], prepared.chunk_frames, prepared.rate, prepared.merged
        for place, shown in enumerate(sides, piece.first):
            for side in shown:
                if side == "speech":
                    first, last = place, place + 1
                    if groups is not None:
                        first, last = groups[place].start, groups[place].stop
                    seconds.append(times[last] / rate - times[first] / rate)
                    positions = spoken[place]
                    if hides:
                        withheld += written[place]
                    if not positions:
                        continue
                    if run is not None and run[1] == first:
                        run = (run[0], last, run[2] + positions, run[3] + rooms[place])
                        continue
                    if run is not None:
                        runs.append(_spoken(sheet, run))
                    run = (first, last, positions, rooms[place])
                else:
                    positions = written[place]
                    words += len(prepared.texts[place].split())
                    if hides:
                        withheld += spoken[place]
                    if not positions:
                        continue
                    if run is not None:
                        runs.append(_spoken(sheet, run))
                        run = None
                if side != before:
                    before = side
                    sheet.marker(side)
                if side == "text":
                    sheet.text(positions, ids[place])
        if run is not None:
            runs.append(_spoken(sheet, run))
        sheet.marker("end")
        parts = []
        if drawing.cuts:
            parts = [Part(c, 0, prepared.positions[c]) for run in runs for c in range(*run)]
        codes = self._checked(reader, piece, reader.runs(piece.drawn, prepared, runs))
        _agree(sheet.end(codes, drawing.borders(prepared, parts)), prepared, piece)
        return _Told(sum(seconds), words, withheld)

    def _drawn(
        self, reader: SetReader, drawing: Drawing, prepared: Prepared, piece: PiecePlan
    ) -> _Told:
        """Write a piece as its draw shows it."""
        sheet = self.sheet
        shown = drawing.draw(prepared, piece.epoch, piece.drawn.copy, piece.first, piece.last)
        parts = [part for one in shown if one.side == "speech" for part in one.parts]
        codes = self._checked(reader, piece, reader.codes(piece.drawn, prepared, parts))
        before, used = "", 0
        for one in shown:
            if one.positions and one.side != before:
                before = one.side
                sheet.marker(one.side)
            if one.side == "text":
                sheet.text(len(one.ids), array("i", one.ids).tobytes())
                continue
            for found in codes[used : used + len(one.parts)]:
                sheet.speech(len(found), drawing.room(len(found)))
            used += len(one.parts)
        sheet.marker("end")
        _agree(sheet.end(codes, drawing.borders(prepared, parts)), prepared, piece)
        return _Told(
            sum(one.seconds for one in shown),
            sum(one.words for one in shown),
            sum(one.withheld for one in shown),
        )

    def _checked(self, reader: SetReader, piece: PiecePlan, codes: list[Codes]) -> list[Codes]:
        if self._careful:
            reader.check_levels(piece.drawn, codes)
        return codes


def _spoken(sheet: Sheet, run: _Run) -> tuple[int, int]:
    """Write a run of speech; its fine chunks."""
    first, last, positions, room = run
    sheet.speech(positions, room)
    return first, last


def _agree(room: int, prepared: Prepared, piece: PiecePlan) -> None:
    """Raise where a piece takes another room than was planned."""
    if room != piece.positions:
        raise RuntimeError(
            f"document {prepared.id}[{piece.first}:{piece.last}] was planned as "
            f"{piece.positions} positions and has {room}: a tokenizer gives "
            "different answers for the same text"
        )


def _lost(reader: SetReader, piece: PiecePlan, error: ShardError) -> Lost:
    found = Lost(
        set_name=reader.name,
        code=error.code,
        where=str(error),
        documents=int(piece.first == 0),
        chunks=piece.last - piece.first,
    )
    try:
        view = reader.prepared(piece.drawn).view
    except ShardError:
        return found
    seconds = view[piece.last - 1].end - view[piece.first].start
    return dataclasses.replace(found, seconds=seconds)
