"""A planned pack made real: ids, codes, masks and counts, by the contract of `trainer.pack`."""

import dataclasses
import itertools
from array import array
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from schemas.shard import ShardError
from trainer.data_settings import DataSettings, may_skip
from trainer.drawing import Drawing, Part, Prepared
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


def fill_pack(
    plan: PackPlan,
    reader: SetReader,
    vocabulary: Vocabulary,
    run: DataSettings,
    experiments: Mapping[str, SetReader] | None = None,
) -> tuple[Pack, tuple[Lost, ...]]:
    """The pack of a plan, and what it lost. Raises `ShardError` for what cannot be read, unless
    `on_bad_shard` is skip: then the piece is left out and its room is padding. What an experiment
    inserts is never left out."""
    of_set = reader
    sheet = Sheet(run.length, vocabulary, run.patches is not None)
    lost = list(plan.lost)
    documents: list[str] = []
    sources: list[str] = []
    chunks: list[tuple[int, int]] = []
    seconds, words, withheld = 0.0, 0, 0
    for piece in plan.pieces:
        sheet.begin()
        reader = (experiments or {})[piece.source] if piece.source else of_set
        try:
            prepared = reader.prepared(piece.drawn)
            drawing = reader.drawing(piece.drawn)
            told = _chunks(sheet, reader, drawing, prepared, piece)
            if told is None:
                told = _drawn(sheet, reader, drawing, prepared, piece)
        except ShardError as error:
            if piece.source or not may_skip(error, run.on_bad_shard):
                raise
            sheet.drop()
            lost.append(_lost(reader, piece, error))
            continue
        documents.append(prepared.id)
        sources.append(piece.source)
        chunks.append(prepared.fine(piece.first, piece.last))
        seconds += told.seconds
        words += told.words
        withheld += told.withheld
    pack = Pack(
        set_name=plan.set_name,
        number=plan.number,
        **sheet.arrays(),
        documents=tuple(documents),
        chunks=tuple(chunks),
        seconds=seconds,
        words=words,
        withheld=withheld,
        experiments=tuple(sources) if any(sources) else (),
    )
    return pack, tuple(lost)


def _chunks(
    sheet: Sheet, reader: SetReader, drawing: Drawing, prepared: Prepared, piece: PiecePlan
) -> _Told | None:
    """Write a piece of whole chunks from their lengths: what `_drawn` writes, without a draw.

    None, and nothing is written, for draws that `Drawing.sides` leaves to `draw`.
    """
    if drawing.all_speech(prepared, piece.first, piece.last):
        return _heard(sheet, reader, drawing, prepared, piece)
    sides = drawing.sides(prepared, piece.epoch, piece.drawn.copy, piece.first, piece.last)
    if sides is None:
        return None
    spoken, written, ids = drawing.measures(prepared)
    rooms = drawing.rooms(prepared)
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
    _check(sheet, prepared, piece)
    parts = []
    if drawing.cuts:
        parts = [Part(c, 0, prepared.positions[c]) for run in runs for c in range(*run)]
    sheet.end(reader.runs(piece.drawn, prepared, runs), drawing.borders(prepared, parts))
    return _Told(sum(seconds), words, withheld)


def _heard(
    sheet: Sheet, reader: SetReader, drawing: Drawing, prepared: Prepared, piece: PiecePlan
) -> _Told:
    """The same of chunks that are one run of speech."""
    first, last = prepared.fine(piece.first, piece.last)
    whole = slice(piece.first, piece.last)
    spoken, written, _ = drawing.measures(prepared)
    sheet.marker("speech")
    sheet.speech(sum(spoken[whole]), sum(drawing.rooms(prepared)[whole]))
    sheet.marker("end")
    _check(sheet, prepared, piece)
    parts = []
    if drawing.cuts:
        parts = [Part(chunk, 0, prepared.positions[chunk]) for chunk in range(first, last)]
    codes = reader.runs(piece.drawn, prepared, [(first, last)])
    sheet.end(codes, drawing.borders(prepared, parts))
    if prepared.merged is None:
        times = [frame / prepared.rate for frame in prepared.chunk_frames[first : last + 1]]
        spans = [end - start for start, end in itertools.pairwise(times)]
    else:
        places = range(piece.first, piece.last)
        spans = [end - start for start, end in map(prepared.span, places)]
    return _Told(sum(spans), 0, sum(written[whole]))


def _spoken(sheet: Sheet, run: _Run) -> tuple[int, int]:
    """Write a run of speech; its fine chunks."""
    first, last, positions, room = run
    sheet.speech(positions, room)
    return first, last


def _drawn(
    sheet: Sheet, reader: SetReader, drawing: Drawing, prepared: Prepared, piece: PiecePlan
) -> _Told:
    """Write a piece as its draw shows it."""
    shown = drawing.draw(prepared, piece.epoch, piece.drawn.copy, piece.first, piece.last)
    parts = [part for one in shown if one.side == "speech" for part in one.parts]
    codes = reader.codes(piece.drawn, prepared, parts)
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
    _check(sheet, prepared, piece)
    sheet.end(codes, drawing.borders(prepared, parts))
    return _Told(
        sum(one.seconds for one in shown),
        sum(one.words for one in shown),
        sum(one.withheld for one in shown),
    )


def _check(sheet: Sheet, prepared: Prepared, piece: PiecePlan) -> None:
    room = sheet.room()
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
