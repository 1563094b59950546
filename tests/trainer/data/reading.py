"""Readers' answers in a form that tests can compare, and what they should be, worked out apart."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from schemas.ids import rng
from schemas.records import Document
from tests.trainer.data.made_sets import RATE, ByteText, Energy, pcm_of
from trainer.data import Data, DataSettings, Given, SetSettings, open_data
from trainer.pack import MARKER, PADDING, SPEECH, TEXT, Pack, Vocabulary
from transforms.compose.chunks import coarse
from transforms.compose.policies import Policy, pieces

ARRAYS = ("ids", "codes", "modality", "piece", "place")
REST = ("set_name", "number", "documents", "chunks", "seconds", "words", "withheld")


def settings_of(*, share: dict[str, float] | None = None, **values: Any) -> DataSettings:
    """`settings_of(talk=folder, page={"shards": folder, ...}, length=...)`."""
    own = {key: values.pop(key) for key in list(values) if key not in DataSettings.model_fields}
    sets = {}
    for name, about in own.items():
        given = about if isinstance(about, dict) else {"shards": about}
        given = {"policy": "deterministic", **given, "shards": str(given["shards"])}
        sets[name] = SetSettings(**{"share": (share or {}).get(name, 1.0), **given})
    plain: dict[str, Any] = {"length": 256, "packs": 4, "block_packs": 16, **values}
    return DataSettings(sets=sets, **plain)


def opened(settings: DataSettings, codebooks: int = 1, **ranks: int) -> Data:
    return open_data(settings, ByteText(), Energy(codebooks), **ranks)


def assert_same_pack(one: Pack, other: Pack) -> None:
    for name in REST:
        assert getattr(one, name) == getattr(other, name)
    for name in ARRAYS:
        a, b = getattr(one, name), getattr(other, name)
        assert a.dtype == b.dtype
        assert np.array_equal(a, b), name


def assert_same(one: Iterable[Given], other: Iterable[Given]) -> int:
    """Bit-equal batches, states and losses; how many there were."""
    count = 0
    for a, b in zip(one, other, strict=True):
        assert (a.batch.step, a.state, a.lost) == (b.batch.step, b.state, b.lost)
        for p, q in zip(a.batch.packs, b.batch.packs, strict=True):
            assert_same_pack(p, q)
        count += 1
    return count


def packs_of(data: Data, **options: Any) -> list[Pack]:
    return [pack for given in data.batches(**options) for pack in given.batch.packs]


def expected_piece(
    document: Document,
    chunks: tuple[int, int],
    policy: Policy,
    epoch: int,
    vocabulary: Vocabulary,
    bounds: tuple[float, float] | None = None,
    seed: int = 0,
) -> list[int]:
    """The ids of a piece, from the document itself: markers, bytes and energies of its chunks."""
    view = document.chunks if bounds is None else coarse(document.chunks, *bounds)
    starts = [chunk.start for chunk in view]
    own = document.chunks[chunks[0] : chunks[1]]
    first = starts.index(own[0].start)
    run = [c for c in view[first:] if c.end <= own[-1].end]
    chance = rng(seed, f"interleave/{epoch}/0", f"{document.id}/{first}")
    pcm, energy = pcm_of(document), Energy()
    found, side = [vocabulary.marker("document")], None
    for piece in pieces(run, policy, chance, RATE, epoch):
        if piece.side != side:
            side = piece.side
            found.append(vocabulary.marker(side))
        if side == "text":
            found += (" " + run[piece.chunk].text[slice(*piece.characters)].strip()).encode()
            continue
        for fine in own:  # tokens are made per fine chunk, whatever the view
            if piece.start <= fine.start and fine.end <= piece.end:
                part = pcm[round(fine.start * RATE) : round(fine.end * RATE)]
                found += [int(u) + vocabulary.speech_first for u in energy.encode(part, RATE)[:, 0]]
    return [*found, vocabulary.marker("end")]


def pieces_in(pack: Pack) -> list[list[int]]:
    return [pack.ids[pack.piece == number].tolist() for number in range(len(pack.documents))]


def fullness(packs: list[Pack]) -> float:
    return float(np.mean([(pack.modality != PADDING).mean() for pack in packs]))


def positions(packs: list[Pack]) -> dict[str, int]:
    names = {"text": TEXT, "speech": SPEECH, "marker": MARKER}
    return {n: sum(int((p.modality == kind).sum()) for p in packs) for n, kind in names.items()}


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(bytes(data))
