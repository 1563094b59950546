"""Which pieces every pack of a run holds: decided from lengths, before any sound is decoded.

Each set is a stream of blocks of packs; a block is a function of where in the set's order it
begins. So the state of a run is a few integers per set, and every process, whatever its rank or
worker, plans the same packs and fills only its own. The price: a resumed run plans one block per
set again.
"""

import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from schemas.shard import ShardError
from trainer.data_settings import DataError, DataSettings, may_skip
from trainer.drawing import Rest
from trainer.mixture import Mixture
from trainer.order import Drawn, Lost, Place
from trainer.packing import fill
from trainer.set_reader import SetReader


class PiecePlan(NamedTuple):
    """Chunks [first, last) of the view of one document."""

    drawn: Drawn
    epoch: int
    first: int
    last: int
    positions: int
    source: str = ""  # the experiment it is of; "": the set of its pack


class PackPlan(NamedTuple):
    set_name: str
    number: int
    pieces: tuple[PiecePlan, ...]
    lost: tuple[Lost, ...]  # what planning its block left out; with the first pack of the block
    inserted: tuple[Any, ...] = ()  # `experiments.inserting.Inserted`, of pieces with a source


Pieces: TypeAlias = tuple[PiecePlan, ...]
# of a pack's number, its set and its pieces: the pieces it is to have, and what was inserted
Insert: TypeAlias = Callable[[int, SetReader, Pieces], tuple[Pieces, tuple[Any, ...]]]


class SetState(NamedTuple):
    """How far a set is: `taken` of the `packs` of the block between two places of an epoch. A
    tuple, as `PackPlan`: one is made for each pack."""

    epoch: int = 0
    start: Place = (0, 0)
    end: Place = (0, 0)
    packs: int = 0
    taken: int = 0
    turns: int = 0  # packs it gave since the mixture was last changed
    done: bool = False  # it has had its epochs

    def after_pack(self) -> "SetState":
        """One pack later."""
        epoch, start, end, packs, taken, turns, done = self
        return SetState(epoch, start, end, packs, taken + 1, turns + 1, done)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DataState:
    """Where the data of a run stand: enough to go on with exactly the next pack."""

    pack: int = 0  # packs given so far, over all ranks
    sets: tuple[tuple[str, SetState], ...] = ()
    weights: tuple[tuple[str, float], ...] = ()  # of the sets, where they were changed; (): shares

    def reweighted(self, weights: Mapping[str, float]) -> "DataState":
        """The state from which on packs are dealt by other weights: a mixture of its own."""
        if not self.sets or set(weights) != {name for name, _ in self.sets}:
            raise ValueError(f"weights of {sorted(weights)} for sets {[n for n, _ in self.sets]}")
        sets = tuple((name, one._replace(turns=0)) for name, one in self.sets)
        return DataState(pack=self.pack, sets=sets, weights=tuple(sorted(weights.items())))

    def as_json(self) -> dict[str, Any]:
        found = {"pack": self.pack, "sets": {n: s._asdict() for n, s in self.sets}}
        return found | ({"weights": dict(self.weights)} if self.weights else {})

    @staticmethod
    def of_json(value: Mapping[str, Any]) -> "DataState":
        """The state of its JSON. Raises `DataError` for anything else."""
        try:
            sets = []
            for name, row in sorted(value["sets"].items()):
                places = {key: (int(row[key][0]), int(row[key][1])) for key in ("start", "end")}
                sets.append((name, SetState(**{**row, **places})))
            weights = value.get("weights", {}).items()
            return DataState(
                pack=int(value["pack"]),
                sets=tuple(sets),
                weights=tuple(sorted((str(name), float(weight)) for name, weight in weights)),
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise DataError("bad_state", f"not the state of a run's data: {error!r}") from error


class SetPlan:
    """The packs of one set, from a state on."""

    def __init__(self, reader: SetReader, run: DataSettings, state: SetState) -> None:
        self._reader, self._run, self.state = reader, run, state
        self._block: list[tuple[PiecePlan, ...]] | None = None
        self._lost: list[Lost] = []
        if state.packs:
            self._plan(state.start)
            if (self.state.packs, self.state.end) != (state.packs, state.end):
                raise DataError(
                    "bad_state",
                    f"set {reader.name!r}: the state was saved with other data or settings: its "
                    f"block had {state.packs} packs, now {self.state.packs}",
                )
            self.state = state

    def next(self) -> tuple[tuple[PiecePlan, ...], tuple[Lost, ...]] | None:
        """The next pack's pieces, and what was left out before it; None after the last epoch."""
        self._lost = [] if self.state.taken or self._block is None else self._lost
        barren = 0
        while self._block is None or self.state.taken == len(self._block):
            if self.state.done or not self._advance():
                return None
            barren += self.state.start == (0, 0) and not self._block
            if barren > 1:
                raise DataError(
                    "empty_set", f"set {self._reader.name!r}: a whole pass gave not one pack"
                )
        pieces = self._block[self.state.taken]
        lost = tuple(self._lost) if self.state.taken == 0 else ()
        if self.state.taken == 0:
            self._lost = []
        self.state = self.state.after_pack()
        return pieces, lost

    def _advance(self) -> bool:
        """On to the next block that there is, in this epoch or the next."""
        start, epoch = self.state.end, self.state.epoch
        if self._block is not None and start[0] >= len(self._reader.order.windows(epoch)):
            epoch, start = epoch + 1, (0, 0)
            if self._run.sets[self._reader.name].epochs == epoch:
                self.state = self.state._replace(done=True)
                return False
        self.state = self.state._replace(epoch=epoch)
        self._plan(start)
        return True

    def _plan(self, start: Place) -> None:
        """Plan the block that begins at `start`."""
        epoch, order = self.state.epoch, self._reader.order
        windows = order.windows(epoch)
        if start[0] + 1 < len(windows):
            self._reader.shards.fetch_ahead(windows[start[0]], windows[start[0] + 1])
        wanted = self._run.block_packs * self._run.length
        total, rests, drawn_of = 0, [], []
        end = (len(windows), 0)
        for one, after in order.after(epoch, start):
            if isinstance(one, Lost):
                self._lost.append(one)
                continue
            rest = self._rest(one, epoch)
            if rest is None:
                continue
            rests.append(rest)
            drawn_of.append(one)
            total += rest.weight
            if total >= wanted:
                end = after
                break
        filled = fill(rests, self._run.length, self._run.slack)
        self._long(filled.long, drawn_of)
        packs = [
            tuple([PiecePlan(drawn_of[c.item], epoch, c.first, c.last, c.positions) for c in pack])
            for pack in filled.packs
        ]
        chances = [self._chance(epoch, start, number) for number in range(len(packs))]
        if order.warming(epoch, start):  # by the mean place of what they hold
            means = [math.fsum(c.item for c in pack) / len(pack) for pack in filled.packs]
            turns = sorted(range(len(packs)), key=lambda n: (means[n], chances[n]))
        else:
            turns = sorted(range(len(packs)), key=lambda n: (chances[n], packs[n]))
        self._block = [packs[n] for n in turns]
        self.state = self.state._replace(start=start, end=end, packs=len(packs), taken=0)

    def _rest(self, drawn: Drawn, epoch: int) -> Rest | None:
        """A document to be packed; None where it is lost."""
        try:
            prepared = self._reader.prepared(drawn)
        except ShardError as error:
            if not may_skip(error, self._run.on_bad_shard):
                raise
            row = self._reader.row(drawn)
            lost = Lost(
                set_name=self._reader.name,
                code=error.code,
                where=str(error),
                documents=1,
                chunks=row.chunks,
                seconds=row.seconds,
            )
            self._lost.append(lost)
            return None
        drawing = self._reader.drawing(drawn)
        return Rest(drawing, prepared, epoch, drawn.copy, self._run.length)

    def _long(self, long: Sequence[tuple[int, int]], drawn_of: Sequence[Drawn]) -> None:
        for item, chunk in long:
            prepared = self._reader.prepared(drawn_of[item])
            found = prepared.view[chunk]
            where = (
                f"document {prepared.id}, chunk {chunk} ({found.end - found.start:.1f} s, "
                f"{len(found.text)} characters)"
            )
            if self._run.on_long_chunk == "fail":
                raise DataError(
                    "longer_than_pack",
                    f"set {self._reader.name!r}: {where} does not fit a pack of "
                    f"{self._run.length} positions: raise length, take the fine view, or set "
                    "on_long_chunk: drop",
                )
            lost = Lost(
                set_name=self._reader.name,
                code="longer_than_pack",
                where=where,
                chunks=1,
                seconds=found.end - found.start,
            )
            self._lost.append(lost)

    def _chance(self, epoch: int, start: Place, number: int) -> bytes:
        """Packs come longest documents first; they are given in an order of their own."""
        text = f"{self._run.seed}\0{self._reader.name}\0{epoch}\0{start}\0{number}"
        return hashlib.blake2b(text.encode(), digest_size=16).digest()


class Planner:
    """All packs of a run, one global batch after the other."""

    def __init__(
        self,
        readers: Sequence[SetReader],
        run: DataSettings,
        state: DataState,
        insert: Insert | None = None,
    ) -> None:
        """`insert` may change the pieces of a pack, by its number."""
        self._run, self._insert = run, insert
        known = dict(state.sets)
        names = {reader.name for reader in readers}
        if known and set(known) != names:
            raise DataError(
                "bad_state",
                f"the state is of sets {sorted(known)}, the mixture has {sorted(names)}",
            )
        self._plans = {r.name: SetPlan(r, run, known.get(r.name, SetState())) for r in readers}
        self._pack, self._weights = state.pack, state.weights
        self._mix()

    @property
    def state(self) -> DataState:
        sets = tuple((name, self._plans[name].state) for name in sorted(self._plans))
        return DataState(pack=self._pack, sets=sets, weights=self._weights)

    def step(self) -> list[PackPlan]:
        """The packs of the next global batch; fewer where the data end."""
        found: list[PackPlan] = []
        while len(found) < self._run.packs and self._mixture is not None:
            plan = self._plans[self._choice()]
            taken = plan.next()
            if taken is None:
                self._end()
                continue
            pieces, lost = taken
            inserted: tuple[Any, ...] = ()
            if self._insert is not None:
                pieces, inserted = self._insert(self._pack, plan._reader, pieces)
            pack = PackPlan(plan._reader.name, self._pack, pieces, lost, inserted)
            found.append(pack)
            self._pack += 1
        return found

    def _choice(self) -> str:
        assert self._mixture is not None
        if len(self._mixture.names) == 1:
            return self._mixture.names[0]
        return self._mixture.next({n: self._plans[n].state.turns for n in self._mixture.names})

    def _mix(self) -> None:
        """The mixture of the sets that are not done; none where the data end."""
        shares = dict(self._weights) or {name: self._run.sets[name].share for name in self._plans}
        left = {name: shares[name] for name, plan in self._plans.items() if not plan.state.done}
        ended = not left or (self._run.when_done == "stop" and len(left) < len(self._plans))
        self._mixture = None if ended else Mixture(left, self._run.seed)

    def _end(self) -> None:
        """A set is done: the others begin a mixture of their own."""
        for plan in self._plans.values():
            plan.state = plan.state._replace(turns=0)
        self._mix()
