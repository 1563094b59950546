"""A planned pack made real: ids, codes, masks and counts, by the contract of `trainer.pack`."""

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from schemas.shard import ShardError
from trainer.data_settings import DataSettings, may_skip
from trainer.drawing import Prepared, Shown
from trainer.encoding import Codes
from trainer.order import Lost
from trainer.pack import MARKER, PADDING, SPEECH, TEXT, Pack, Vocabulary
from trainer.planning import PackPlan, PiecePlan
from trainer.set_reader import SetReader


class _Sheet:
    """The arrays of a pack while they are written, position by position."""

    def __init__(self, length: int, vocabulary: Vocabulary) -> None:
        self.ids = np.zeros(length, np.int32)
        self.codes = np.zeros((length, vocabulary.codebooks), np.uint16)
        self.modality = np.full(length, PADDING, np.int8)
        self.piece = np.full(length, -1, np.int32)
        self.place = np.zeros(length, np.int32)
        self.at = 0
        self._vocabulary = vocabulary

    def marker(self, name: str) -> None:
        self.ids[self.at] = self._vocabulary.marker(name)
        self.modality[self.at] = MARKER
        self.at += 1

    def text(self, ids: Sequence[int]) -> None:
        end = self.at + len(ids)
        self.ids[self.at : end] = ids
        self.modality[self.at : end] = TEXT
        self.at = end

    def speech(self, codes: Codes) -> None:
        end = self.at + len(codes)
        first = self._vocabulary.speech_first
        if self._vocabulary.codebooks == 1:
            self.ids[self.at : end] = codes[:, 0]
            self.ids[self.at : end] += first
        else:
            self.ids[self.at : end] = first
            self.codes[self.at : end] = codes
        self.modality[self.at : end] = SPEECH
        self.at = end

    def close(self, begin: int, number: int) -> None:
        self.piece[begin : self.at] = number
        self.place[begin : self.at] = np.arange(self.at - begin)


def fill_pack(
    plan: PackPlan, reader: SetReader, vocabulary: Vocabulary, run: DataSettings
) -> tuple[Pack, tuple[Lost, ...]]:
    """The pack of a plan, and what it lost. Raises `ShardError` for what cannot be read, unless
    `on_bad_shard` is skip: then the piece is left out and its room is padding."""
    sheet = _Sheet(run.length, vocabulary)
    lost = list(plan.lost)
    documents: list[str] = []
    chunks: list[tuple[int, int]] = []
    seconds, words, withheld = 0.0, 0, 0
    for piece in plan.pieces:
        try:
            prepared = reader.prepared(piece.drawn)
            drawing = reader.drawing(piece.drawn)
            shown = drawing.draw(prepared, piece.epoch, piece.drawn.copy, piece.first, piece.last)
            codes = _codes(reader, piece, prepared, shown)
        except ShardError as error:
            if not may_skip(error, run.on_bad_shard):
                raise
            lost.append(_lost(reader, piece, error))
            continue
        begin = sheet.at
        _write(sheet, shown, codes)
        if sheet.at - begin != piece.positions:
            raise RuntimeError(
                f"document {prepared.id}[{piece.first}:{piece.last}] was planned as "
                f"{piece.positions} positions and has {sheet.at - begin}: a tokenizer gives "
                "different answers for the same text"
            )
        sheet.close(begin, len(documents))
        documents.append(prepared.id)
        chunks.append(prepared.fine(piece.first, piece.last))
        seconds += sum(one.seconds for one in shown)
        words += sum(one.words for one in shown)
        withheld += sum(one.withheld for one in shown)
    pack = Pack(
        set_name=plan.set_name,
        number=plan.number,
        ids=sheet.ids,
        codes=sheet.codes,
        modality=sheet.modality,
        piece=sheet.piece,
        place=sheet.place,
        documents=tuple(documents),
        chunks=tuple(chunks),
        seconds=seconds,
        words=words,
        withheld=withheld,
    )
    return pack, tuple(lost)


def _codes(
    reader: SetReader, piece: PiecePlan, prepared: Prepared, shown: Iterable[Shown]
) -> list[Codes]:
    parts = [part for one in shown if one.side == "speech" for part in one.parts]
    return reader.codes(piece.drawn, prepared, parts)


def _write(sheet: _Sheet, shown: Sequence[Shown], codes: list[Codes]) -> None:
    sheet.marker("document")
    side, used = None, 0
    for one in shown:
        if one.positions and one.side != side:
            side = one.side
            sheet.marker(side)
        if one.side == "text":
            sheet.text(one.ids)
            continue
        for found in codes[used : used + len(one.parts)]:
            sheet.speech(found)
        used += len(one.parts)
    sheet.marker("end")


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
