"""What an arm read, counted from the plans of its packs: hours, words, switches, positions.

Packs are planned without decoding a sample, so a whole run is counted in seconds; the counts are
those of training, for both are the same pure function of the settings.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from trainer.data import Data
from trainer.drawing import Prepared, Shown
from trainer.planning import DataState, PackPlan


def _heard(prepared: Prepared, shown: Sequence[Shown], whole: bool) -> int:
    """Words of what was shown as speech: of whole chunks, or what is left where words were dealt
    out one by one (each is on one side)."""
    if whole:
        spoken = [one.chunk for one in shown if one.side == "speech"]
        return sum(len(prepared.view[chunk].text.split()) for chunk in spoken)
    chunks = {one.chunk for one in shown}
    every = sum(len(prepared.view[chunk].text.split()) for chunk in chunks)
    return every - sum(one.words for one in shown)


def steps_of(data: Data) -> int:
    """Steps until the data end. Endless where a set has no end."""
    return sum(1 for _ in _plans(data, None))


def counted(data: Data, steps: int) -> dict[str, Any]:
    """Counts of the first `steps` steps.

    Hours are of speech. Unique ones count each chunk once, however often it was heard. Words heard
    are those of the chunks that were shown as speech. Switches are changes of side inside a piece.
    """
    found = {
        "documents": 0,
        "pieces": 0,
        "text_positions": 0,
        "speech_positions": 0,
        "markers": 0,
        "padding": 0,
        "words_read": 0,
        "words_heard": 0,
        "speech_to_text": 0,
        "text_to_speech": 0,
    }
    seconds = 0.0
    heard: dict[tuple[str, str, int], float] = {}
    documents: set[tuple[str, str]] = set()
    spoken: set[tuple[str, str]] = set()
    state = DataState()
    taken = 0
    for plans, reached in _plans(data, steps):
        state, taken = reached, taken + 1
        for plan in plans:
            used = 0
            for piece in plan.pieces:
                known = data.experiments if piece.source else data.readers
                reader = known[piece.source or plan.set_name]
                prepared = reader.prepared(piece.drawn)
                drawing = reader.drawing(piece.drawn)
                shown = drawing.draw(
                    prepared, piece.epoch, piece.drawn.copy, piece.first, piece.last
                )
                documents.add((plan.set_name, prepared.id))
                found["pieces"] += 1
                used += piece.positions
                content = 0
                for one in shown:
                    content += one.room
                    found[f"{one.side}_positions"] += one.positions
                    seconds += one.seconds
                    found["words_read"] += one.words
                    if one.side == "speech":
                        spoken.add((plan.set_name, prepared.id))
                        heard[plan.set_name, prepared.id, one.chunk] = max(
                            one.seconds, heard.get((plan.set_name, prepared.id, one.chunk), 0.0)
                        )
                found["markers"] += piece.positions - content
                found["words_heard"] += _heard(prepared, shown, drawing.steady)
                for before, after in itertools.pairwise(_sides(shown)):
                    found[f"{before}_to_{after}"] += 1
            found["padding"] += data.settings.length - used
    found["documents"] = len(documents)
    return {
        **found,
        "steps": taken,
        "spoken_documents": len(spoken),
        "hours_heard": seconds / 3600,
        "unique_hours_heard": sum(heard.values()) / 3600,
        "passes": data.passes(state),
    }


def _sides(shown: Sequence[Shown]) -> list[str]:
    return [side for side, _ in itertools.groupby(one.side for one in shown if one.positions)]


def _plans(data: Data, steps: int | None) -> Iterator[tuple[list[PackPlan], DataState]]:
    planner = data.planner(DataState())
    for _ in itertools.count() if steps is None else range(steps):
        plans = planner.step()
        if not plans or (len(plans) < data.settings.packs and data.settings.last == "drop"):
            return
        yield plans, planner.state
