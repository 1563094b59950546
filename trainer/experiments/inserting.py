"""Documents of experiments put into planned packs, in place of original pieces.

"Train once, answer all" (arXiv 2509.23383): many small interventions share one run, each at known
positions, each in place of data that would have stood there, so that the run is otherwise the same.
What gives way is as little as possible: the shortest piece of the pack that makes room, or several,
longest first. Inserted documents stay whole and never give way to one another.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from trainer.data_settings import DataError, DataSettings
from trainer.drawing import Rest
from trainer.experiments.schedule import Asked, Slot, schedule
from trainer.order import Drawn
from trainer.planning import PiecePlan
from trainer.set_reader import SetReader


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Inserted:
    """One insertion as it happened. `step` counts updates from 1, as logs do."""

    experiment: str
    document: str
    shard: str
    showing: int  # 0 to times - 1
    step: int
    pack: int
    piece: int  # in its pack
    position: int  # where it begins in the pack
    positions: int
    set_name: str  # of the pack
    replaced: tuple[str, ...]  # original pieces that gave way: document[first:last) of chunks


class Inserter:
    """The insertions of one run."""

    def __init__(self, run: DataSettings, readers: Mapping[str, SetReader], steps: int) -> None:
        self._run, self._readers = run, readers
        documents = {
            name: [
                Asked(shard, row, found.key)
                for shard in range(len(reader.shards.entries))
                for row, found in reader.shards.rows(shard)
            ]
            for name, reader in readers.items()
        }
        self.slots = schedule(run.experiments, documents, steps * run.packs, run.seed)

    def __call__(
        self, number: int, reader: SetReader, pieces: tuple[PiecePlan, ...]
    ) -> tuple[tuple[PiecePlan, ...], tuple[Inserted, ...]]:
        """A pack's pieces with what is inserted, and how. Raises `DataError` without room."""
        slots = self.slots.get(number, ())
        if not slots:
            return pieces, ()
        own = [self._piece(slot) for slot in slots]
        wanted = sum(piece.positions for piece in own)
        if wanted > self._run.length:
            raise DataError(
                "longer_than_pack",
                f"pack {number}: {_names(slots)} take {wanted} positions, a pack has "
                f"{self._run.length}: show them less often, make them shorter or raise length",
            )
        kept, gone = give_way(pieces, self._run.length, wanted)
        replaced = tuple(_told(reader, piece) for piece in gone)
        at = sum(piece.positions for piece in kept)
        found = []
        for place, (slot, piece) in enumerate(zip(slots, own, strict=True), len(kept)):
            shards = self._readers[slot.experiment].shards
            found.append(
                Inserted(
                    experiment=slot.experiment,
                    document=slot.document.key,
                    shard=shards.entries[slot.document.shard].name,
                    showing=slot.showing,
                    step=number // self._run.packs + 1,
                    pack=number,
                    piece=place,
                    position=at,
                    positions=piece.positions,
                    set_name=reader.name,
                    replaced=replaced if place == len(kept) else (),
                )
            )
            at += piece.positions
        return (*kept, *own), tuple(found)

    def _piece(self, slot: Slot) -> PiecePlan:
        """The whole document, drawn as of pass `showing`: shown again, it is drawn again."""
        reader = self._readers[slot.experiment]
        drawn = Drawn(slot.document.shard, slot.document.row, 0)
        prepared = reader.prepared(drawn)
        rest = Rest(reader.drawing(drawn), prepared, slot.showing, 0, self._run.length)
        positions = rest.exact(0, prepared.count)
        return PiecePlan(drawn, slot.showing, 0, prepared.count, positions, slot.experiment)


def give_way(
    pieces: Sequence[PiecePlan], length: int, wanted: int
) -> tuple[tuple[PiecePlan, ...], tuple[PiecePlan, ...]]:
    """The pieces that stay, in their order, and those that give way so that `wanted` fit."""
    need = wanted - (length - sum(piece.positions for piece in pieces))
    if need <= 0:
        return tuple(pieces), ()
    places = range(len(pieces))
    enough = [place for place in places if pieces[place].positions >= need]
    if enough:
        going = {min(enough, key=lambda place: (pieces[place].positions, place))}
    else:
        going = set()
        for place in sorted(places, key=lambda place: (-pieces[place].positions, place)):
            if need <= 0:
                break
            going.add(place)
            need -= pieces[place].positions
    kept = tuple(pieces[place] for place in places if place not in going)
    return kept, tuple(pieces[place] for place in sorted(going))


def _told(reader: SetReader, piece: PiecePlan) -> str:
    return f"{reader.row(piece.drawn).key}[{piece.first}:{piece.last})"


def _names(slots: Sequence[Slot]) -> str:
    return ", ".join(f"{slot.document.key} of {slot.experiment}" for slot in slots)
