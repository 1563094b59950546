"""What a reader is shown of a document: its view, and one draw of the policy, in positions.

A draw is a pure function of (seed, epoch, document, first chunk): it is made once to plan packs and
again to fill one, and nothing of it is stored. Lengths come from texts and times alone, so planning
decodes no audio.
"""

import itertools
import math
import random
from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from schemas.ids import rng
from schemas.records import Chunk, Document, Word, frames
from trainer.data_settings import DataError
from trainer.encoding import Positions, TextTokenizer
from trainer.latent.patching import Flags, patches_of
from trainer.latent.settings import PatchSettings
from trainer.latent.units import part_borders, unit_borders
from trainer.outlines import Outlines
from trainer.shard_sets import View
from transforms.compose.chunks import groups, merge
from transforms.compose.policies import (
    Asr,
    LstSpans,
    Piece,
    PolicyError,
    Side,
    SpeechOnly,
    Stochastic,
    TextOnly,
    Tts,
    WordSpans,
    pieces,
    stored,
)

EDGES = 2  # markers of a piece: "document" before it, "end" after it
AHEAD = 1.25  # of the chunks that fill a pack on average are drawn before more are


Ids: TypeAlias = bytes  # of int32: a quarter of a tuple, and nothing for a garbage collector


class _Never(random.Random):
    """The chance of policies that take none: asked all the same, it says so."""

    def random(self) -> float:
        raise RuntimeError("a policy that was thought to take no chance draws; seed it")

    def getrandbits(self, k: int) -> int:
        raise RuntimeError("a policy that was thought to take no chance draws; seed it")


_NEVER = _Never()
_ONE: dict[str, tuple[str, ...]] = {"speech": ("speech",), "text": ("text",)}


class Measures(NamedTuple):
    """Of each chunk of a view."""

    spoken: tuple[int, ...]  # positions of its speech
    written: tuple[int, ...]  # positions of its text
    ids: tuple[Ids, ...]  # of its text; () for a document that is only heard
    rooms: tuple[int, ...]  # what its speech takes in a pack: its positions, or its patches
    heard: bool  # all that is shown of the document is one run of speech, each chunk of some length


class Part(NamedTuple):
    """Frames [first, last) of one fine chunk's tokens. Tokens are never made across chunks."""

    chunk: int
    first: int
    last: int


class Shown(NamedTuple):
    """One side of a chunk, or of a run of its words, as it enters a pack. A tuple, as `Part`: there
    are several of them for each chunk that is read."""

    side: Side
    chunk: int  # of the view
    positions: int
    room: int  # that these take in a pack: as many, or patches where a pack is counted in them
    withheld: int  # positions of the same content on the other side, where that is not shown
    ids: tuple[int, ...]  # of text; () for speech
    parts: tuple[Part, ...]  # of speech; () for text
    seconds: float
    words: int


class Bare(NamedTuple):
    """A chunk without words: all that views and policies by chunks look at."""

    start: float
    end: float
    text: str
    modality: str
    speaker: str
    gap: float
    after_drop: bool

    @property
    def words(self) -> tuple[Word, ...]:
        return ()


class Prepared:
    """One document, ready to be drawn from: its view, and lengths that are worked out when needed.

    `chunk_frames` are the PCM frames at which the fine chunks begin, and the end of the last;
    `positions` are the frames of tokens of each fine chunk. `texts` and `sides` are of the view's
    chunks, each of which is made of fine chunks `groups[i]`.
    """

    __slots__ = (
        "_groups",
        "_starts",
        "_times",
        "_view",
        "chunk_frames",
        "count",
        "counted",
        "id",
        "kind",
        "known",
        "measured",
        "positions",
        "rate",
        "sides",
        "texts",
        "units",
        "written",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        rate: int,
        ends: tuple[int, ...],
        positions: tuple[int, ...],
        texts: tuple[str, ...],
        sides: tuple[str, ...],
        groups: tuple[range, ...] | None = None,
        view: tuple[Any, ...] | None = None,
    ) -> None:
        """`groups` None: the view is fine. `view` None: its chunks are made when they are needed"""
        self.id, self.rate = name, rate
        self.chunk_frames, self.positions = (0, *ends), positions
        self.texts, self.sides, self.count = texts, sides, len(texts)
        self._groups, self._view = groups, view
        self._starts: tuple[int, ...] | None = None
        self._times: tuple[float, ...] | None = None
        fixed = self.count - sides.count("both")
        # "both": all chunks have two sides, "fixed": all have one, "mixed"
        self.kind = "both" if not fixed else "fixed" if fixed == self.count else "mixed"
        # of a draw's pieces, where they are not whole chunks or a policy is hard to apply
        self.known: dict[tuple[int, Side], Shown] = {}  # of whole chunks of the view
        self.written: dict[tuple[int, tuple[int, int]], Ids] = {}  # ids of words
        self.measured: Measures | None = None
        # of each fine chunk: where words and silences begin, a byte a position; None: not asked
        self.units: tuple[bytes, ...] | None = None
        # positions of a part, where they depend on what it holds; None: on its length alone
        self.counted: Callable[[Part], int] | None = None

    @property
    def merged(self) -> tuple[range, ...] | None:
        """The fine chunks of each chunk of the view; None: one each."""
        return self._groups

    @property
    def groups(self) -> tuple[range, ...]:
        if self._groups is None:
            self._groups = tuple(range(place, place + 1) for place in range(self.count))
        return self._groups

    @property
    def view(self) -> tuple[Any, ...]:
        """Chunks, or `Bare` ones."""
        if self._view is None:
            found = []
            for place, (text, side) in enumerate(zip(self.texts, self.sides, strict=True)):
                start, end = self.span(place)
                found.append(Bare(start, end, text, side, "", 0.0, False))
            self._view = tuple(found)
        return self._view

    def span(self, place: int) -> tuple[float, float]:
        """Seconds at which a chunk of the view begins and ends."""
        first, last = self.fine(place, place + 1)
        return self.chunk_frames[first] / self.rate, self.chunk_frames[last] / self.rate

    @property
    def times(self) -> tuple[float, ...]:
        """`chunk_frames` in seconds."""
        if self._times is None:
            rate = self.rate
            self._times = tuple([frame / rate for frame in self.chunk_frames])
        return self._times

    def fine(self, first: int, last: int) -> tuple[int, int]:
        """The fine chunks behind chunks [first, last) of the view."""
        if self._groups is None:
            return first, last
        return self._groups[first].start, self._groups[last - 1].stop

    @property
    def starts(self) -> tuple[int, ...]:
        """Where each fine chunk begins in the document's stored tokens, and their number."""
        if self._starts is None:
            self._starts = (0, *itertools.accumulate(self.positions))
        return self._starts


class Drawing:
    """Draws the documents of one set. `explicit`: the policy was asked for, not the set's own."""

    def __init__(
        self,
        view: View,
        explicit: bool,
        seed: int,
        text: TextTokenizer,
        speech: Positions | None,
        lead: str,
        patches: PatchSettings | None = None,
    ) -> None:
        self._view, self._explicit, self._seed = view, explicit, seed
        self._patches = patches
        # what counts in a pack: positions, or patches of this many
        self._size = patches.size if patches is not None and patches.count == "patches" else 1
        # words must be read to cut by them: an outline does not do
        self.by_times = patches is not None and patches.cut != "static"
        self._text, self._speech, self._lead = text, speech, lead
        # the draw of a run of chunks begins as the draw of any longer run from the same chunk
        self.steady = view.policy is None or not view.policy.by_words
        self._repeats = isinstance(view.policy, Asr | Tts)  # nothing is withheld
        self._heard = isinstance(view.policy, SpeechOnly)

    def prepare(self, document: Document) -> Prepared:
        fine, rate = document.chunks, document.rate
        ends = tuple(frames(chunk.end, rate) for chunk in fine)
        positions = (0,) * len(fine)
        if self._speech is not None:
            count = self._speech.of
            positions = tuple(count(b - a, rate) for a, b in itertools.pairwise((0, *ends)))
        coarse, view, grouped = self._view.coarse, fine, None
        if coarse is not None:
            grouped = tuple(groups(fine, *coarse))
            view = tuple(merge([fine[place] for place in group]) for group in grouped)
        texts, sides = tuple(c.text for c in view), tuple(str(c.modality) for c in view)
        # words weigh most, and only policies by words look at them
        kept = None if self.steady else view
        found = Prepared(document.id, rate, ends, positions, texts, sides, grouped, kept)
        if self.by_times and self._speech is not None:
            assert self._patches is not None
            merged = self._patches.silence == "merged"
            found.units = unit_borders(fine, rate, positions, self._speech.border, merged)
        return found

    def prepare_outline(self, name: str, outlines: Outlines, row: int) -> Prepared:
        """The document `name`, by its outline; for policies by chunks (`steady`)."""
        first, last = outlines.firsts[row : row + 2]
        rate = outlines.rates[row]
        ends, texts = outlines.ends[first:last], outlines.texts[first:last]
        sides = outlines.sides[first:last]
        positions = (0,) * (last - first)
        if self._speech is not None:
            positions = outlines.positions(self._speech.each)[first:last]
        if self._view.coarse is None or last - first == 1:
            return Prepared(name, rate, ends, positions, texts, sides)
        times = (0.0, *(end / rate for end in ends))
        speaker, gap, drop = (values[first:last] for values in outlines.for_views())
        fine: Any = list(map(Bare, times, times[1:], texts, sides, speaker, gap, drop))
        grouped = tuple(groups(fine, *self._view.coarse))
        texts = tuple(
            " ".join(text for text in texts[group.start : group.stop] if text) for group in grouped
        )
        sides = tuple(sides[group.start] for group in grouped)
        return Prepared(name, rate, ends, positions, texts, sides, grouped)

    def sides(
        self, prepared: Prepared, epoch: int, copy: int, first: int, last: int
    ) -> Iterable[Sequence[str]] | None:
        """What `draw` shows of each whole chunk of [first, last), without measuring it.

        None where there is more to it, or an error to raise: policies by words, documents that mix
        one-sided chunks with others, policies that do not suit. `draw` then says.
        """
        policy = self._view.policy
        if not self.steady or prepared.kind == "mixed":
            return None
        if prepared.kind == "fixed":
            own = prepared.sides[first:last]
            spoken = "speech" in own
            if spoken and (self._speech is None or (policy is not None and self._explicit)):
                return None
            return [_ONE[side] for side in own]
        if policy is None or (self._speech is None and not isinstance(policy, TextOnly)):
            return None
        chance: random.Random = _NEVER
        if isinstance(policy, Stochastic):
            chance = self._chance(prepared, epoch, copy, first)
        return policy.sides(last - first, chance, epoch)

    def measures(self, prepared: Prepared) -> Measures:
        """Lengths and ids of a document's chunks."""
        found = prepared.measured
        if found is None:
            encode, lead = self._text.encode, self._lead
            texts = [encode(lead + one) if one else () for one in map(str.strip, prepared.texts)]
            # what is only heard needs but the lengths of its texts, which are withheld
            heard = self._heard and prepared.kind == "both"
            ids = () if heard else tuple([array("i", own).tobytes() for own in texts])
            spoken = self._spoken(prepared)
            rooms = spoken if self._size == 1 else self._rooms(prepared)
            heard = heard and self._speech is not None and 0 not in spoken
            found = Measures(spoken, tuple(map(len, texts)), ids, rooms, heard)
            prepared.measured = found
        return found

    def _spoken(self, prepared: Prepared) -> tuple[int, ...]:
        counts = prepared.positions
        if prepared.counted is not None:
            counts = tuple(
                [prepared.counted(Part(place, 0, count)) for place, count in enumerate(counts)]
            )
        elif self._speech is not None and not self._speech.as_frames:
            counts = tuple(self._speech.laid(count) for count in counts)
        if prepared._groups is None:
            return counts
        return tuple(sum(counts[group.start : group.stop]) for group in prepared._groups)

    def _rooms(self, prepared: Prepared) -> tuple[int, ...]:
        counts = [self.room(self.laid(count)) for count in prepared.positions]
        return tuple([sum(counts[group.start : group.stop]) for group in prepared.groups])

    def room(self, positions: int) -> int:
        """What one stretch of speech takes in a pack."""
        return positions if self._size == 1 else patches_of(positions, self._size)

    @property
    def cuts(self) -> bool:
        """Whether patches are cut."""
        return self._patches is not None

    def borders(self, prepared: Prepared, parts: Sequence[Part]) -> list[Flags] | None:
        """Where patches may begin in parts, a flag a position; None: nobody cuts patches."""
        if self._patches is None:
            return None
        found = []
        for part in parts:
            units = None if prepared.units is None else prepared.units[part.chunk]
            count = self.laid(part.last - part.first)
            found.append(part_borders(units, part.first, part.last, count))
        return found

    @property
    def repeats(self) -> bool:
        """Whether both sides are shown, so that none is withheld."""
        return self._repeats

    def all_speech(self, prepared: Prepared, first: int, last: int) -> bool:
        """Whether chunks [first, last) are one run of speech, each of some length: the common case
        of sets that are only heard, in which nothing has to be looked at chunk by chunk."""
        measured = prepared.measured or self.measures(prepared)
        return measured.heard or (
            self._heard
            and prepared.kind == "both"
            and self._speech is not None
            and 0 not in measured.spoken[first:last]
        )

    def lengths(
        self, prepared: Prepared, epoch: int, copy: int, first: int, last: int
    ) -> list[int]:
        """Positions of pieces of chunks [first, first + 1), ... [first, last), with markers."""
        if self.all_speech(prepared, first, last):
            markers = EDGES + 1
            rooms = self.measures(prepared).rooms[first:last]
            return list(itertools.accumulate(rooms, initial=markers))[1:]
        sides = self.sides(prepared, epoch, copy, first, last)
        if sides is None:
            return lengths(self.draw(prepared, epoch, copy, first, last), first, last)
        measured = self.measures(prepared)
        spoken, written = measured.rooms, measured.written
        total, before = EDGES, ""
        found = []
        for place, shown in enumerate(sides, first):
            for side in shown:
                positions = spoken[place] if side == "speech" else written[place]
                if positions:
                    total += positions + (side != before)
                    before = side
            found.append(total)
        return found

    def draw(self, prepared: Prepared, epoch: int, copy: int, first: int, last: int) -> list[Shown]:
        """What is shown of chunks [first, last) of the view, when a piece begins at `first`.

        Raises `DataError` where the policy cannot be applied or needs a tokenizer that is missing.
        """
        chunks = prepared.view[first:last]
        try:
            dealt = self._dealt(prepared, chunks, epoch, copy, first)
        except PolicyError as error:
            raise DataError(error.code, f"document {prepared.id}: {error}") from error
        return [self._shown(prepared, piece, first + piece.chunk) for piece in dealt]

    def weight(self, prepared: Prepared) -> int:
        """About how many positions a draw of the whole document takes: the mean of both sides."""
        measured = self.measures(prepared)
        return max((EDGES + sum(measured.rooms) + sum(measured.written)) // 2, 1)

    def _dealt(
        self, prepared: Prepared, chunks: Sequence[Chunk], epoch: int, copy: int, first: int
    ) -> Sequence[Piece]:
        policy = self._view.policy
        if policy is None or (prepared.kind == "fixed" and not self._explicit):
            return stored(chunks)
        chance: random.Random = _NEVER
        if isinstance(policy, Stochastic | WordSpans | LstSpans):  # a generator is dear to seed
            chance = self._chance(prepared, epoch, copy, first)
        return pieces(chunks, policy, chance, prepared.rate, epoch)

    def _chance(self, prepared: Prepared, epoch: int, copy: int, first: int) -> random.Random:
        return rng(self._seed, f"interleave/{epoch}/{copy}", f"{prepared.id}/{first}")

    def _shown(self, prepared: Prepared, piece: Piece, place: int) -> Shown:
        if piece.words is not None:
            return self._measured(prepared, piece, place)
        found = prepared.known.get((place, piece.side))
        if found is None:
            found = self._measured(prepared, piece, place)
            prepared.known[place, piece.side] = found
        return found

    def _measured(self, prepared: Prepared, piece: Piece, place: int) -> Shown:
        chunk = prepared.view[place]
        hidden = chunk.modality == "both" and not self._repeats
        ids: tuple[int, ...] = ()
        parts: tuple[Part, ...] = ()
        if piece.side == "text" or hidden:
            ids = tuple(array("i", self._ids(prepared, place, piece.characters)))
        if piece.side == "speech" or hidden:
            parts = self._parts(prepared, place, piece)
        laid = [self._positions(prepared, part) for part in parts]
        spoken = sum(laid)
        if piece.side == "text":
            words = len(chunk.text[slice(*piece.characters)].split())
            return Shown("text", place, len(ids), len(ids), spoken, ids, (), 0.0, words)
        if self._speech is None:
            raise DataError(
                "no_tokenizer",
                f"document {prepared.id}: its speech is to be read and no speech tokenizer was "
                "given; give one, or the policy text_only",
            )
        seconds, other = piece.end - piece.start, len(ids) if hidden else 0
        room = sum(map(self.room, laid))
        return Shown("speech", place, spoken, room, other, (), parts, seconds, 0)

    def _ids(self, prepared: Prepared, place: int, characters: tuple[int, int]) -> Ids:
        whole = self.measures(prepared).ids
        if whole and characters == (0, len(prepared.texts[place])):
            return whole[place]
        key = (place, characters)
        if key not in prepared.written:
            text = prepared.texts[place][slice(*characters)].strip()
            found = self._text.encode(self._lead + text) if text else ()
            prepared.written[key] = array("i", found).tobytes()
        return prepared.written[key]

    def _parts(self, prepared: Prepared, place: int, piece: Piece) -> tuple[Part, ...]:
        if self._speech is None:
            return ()
        low, high = frames(piece.start, prepared.rate), frames(piece.end, prepared.rate)
        found = []
        for fine in prepared.groups[place]:
            start, end = prepared.chunk_frames[fine : fine + 2]
            a, b = max(low, start) - start, min(high, end) - start
            if a >= b:
                continue
            if (a, b) == (0, end - start):
                part = Part(fine, 0, prepared.positions[fine])
            else:
                size = end - start
                border = self._speech.border
                part = Part(fine, border(a, size, prepared.rate), border(b, size, prepared.rate))
            if part.first < part.last:
                found.append(part)
        return tuple(found)

    def _positions(self, prepared: Prepared, part: Part) -> int:
        if prepared.counted is not None:
            return prepared.counted(part)
        return self.laid(part.last - part.first)

    def laid(self, frames: int) -> int:
        """Positions of a part of so many frames."""
        return 0 if self._speech is None else self._speech.laid(frames)


def lengths(shown: Sequence[Shown], first: int, last: int) -> list[int]:
    """Positions of pieces that hold chunks [first, first + 1), ... [first, last), with markers."""
    total, side, at = EDGES, None, 0
    found = []
    for chunk in range(first, last):
        while at < len(shown) and shown[at].chunk == chunk:
            one = shown[at]
            if one.positions:
                total += one.room + (one.side != side)
                side = one.side
            at += 1
        found.append(total)
    return found


class Rest:
    """A document to be packed: how long the pieces are that begin at any of its chunks."""

    __slots__ = (
        "_ahead", "_copy", "_drawing", "_epoch", "_known", "_length", "_prepared", "_sums",
        "count", "steady", "weight",
    )  # fmt: skip

    def __init__(
        self, drawing: Drawing, prepared: Prepared, epoch: int, copy: int, length: int
    ) -> None:
        self._drawing, self._prepared = drawing, prepared
        self._epoch, self._copy, self._length = epoch, copy, length
        self.count, self.steady = prepared.count, drawing.steady
        self.weight = drawing.weight(prepared)
        self._ahead = math.ceil(AHEAD * length * self.count / self.weight)
        self._known: tuple[int, list[int]] = (-1, [])
        # of one run of speech, what any first chunks take: pieces are differences of these
        self._sums: list[int] | None = None
        if drawing.measures(prepared).heard:
            self._sums = list(itertools.accumulate(drawing.measures(prepared).rooms, initial=0))

    @property
    def name(self) -> str:
        return self._prepared.id

    def prefixes(self, first: int) -> list[int]:
        """Positions of the first chunk after `first`, the first two, ... up to the end, or to more
        than a pack. With policies by words a shorter piece is drawn anew: see `exact`."""
        if self._known[0] != first:
            last = self.count
            if self.steady and last - first > 1:
                for turn in itertools.count():
                    last = min(first + (self._ahead << turn), self.count)
                    found = self._lengths(first, last)
                    if last == self.count or found[-1] > self._length:
                        break
            else:
                found = self._lengths(first, last)
            self._known = (first, found)
        return self._known[1]

    def exact(self, first: int, last: int) -> int:
        """Positions of the piece of chunks [first, last)."""
        if self.steady or last == self.count:
            return self.prefixes(first)[last - first - 1]
        return self._lengths(first, last)[-1]

    def _lengths(self, first: int, last: int) -> list[int]:
        if self._sums is not None:
            before = self._sums[first] - EDGES - 1
            return [total - before for total in self._sums[first + 1 : last + 1]]
        return self._drawing.lengths(self._prepared, self._epoch, self._copy, first, last)
