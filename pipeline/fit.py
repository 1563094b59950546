"""Whether the steps of a stream fit together: their order, what is missing, what is read.

Each rule is one function from the whole stream to problems, so that all of them are told at once
and a new rule changes no other.
"""

import difflib
import re
from collections.abc import Iterator, Sequence

from pipeline.drafts import HEAD, Draft, Known, paths
from schemas.problems import KeyPath
from schemas.records import Clip
from schemas.settings import Place, Problem, dotted, nearest, shown
from schemas.tables import arrow_schema
from transforms.step import PHASES, Filtering, Grouping, Measure, Step

STREAM_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")

REQUIRED = {
    "crawl": "it finds the recordings",
    "segment": "it finds the speech in them",
    "diarize": "it cuts the speech into clips of one speaker",
    "transcribe": "it gives the clips their text",
    "interleave": "it makes documents of the clips",
}
# Within one phase: this step, and those that it must follow where both stand in a stream.
FOLLOWS = {
    "segment": ("decode",),
    "gate": ("segment",),
    "cues": ("diarize",),
    "transcribe": ("diarize", "cues"),
    "align": ("transcribe",),
    "sentences": ("transcribe", "align"),
    "interleave": ("mask",),
}

# What a row has without any measure; the nested columns of a clip are not read at select.
ROW_COLUMNS = (set(arrow_schema(Clip).names) - {"words", "transcripts", "audio"}) | {
    "licence",
    "source",
}


def misfits(
    place: Place,
    path: KeyPath,
    found: Sequence[Draft],
    steps: Sequence[Step | None],
    known: Known,
) -> list[Problem]:
    """All that is wrong with a stream as a whole.

    `place` and `path` are the stream's; `steps` are the models of `found`, `None` where the
    settings are wrong.
    """
    inside = paths(path, list(found))
    problems = [
        Problem(place, dotted(path), message)
        for message in (*_name(str(path[-1]), known), *_missing(found))
    ]
    for index, draft in enumerate(found):
        if draft.name not in known:
            continue
        messages = (*_order(index, found, known), *_unread(index, found, steps, known))
        problems += [Problem(draft.place, dotted(inside[index]), text) for text in messages]
    return problems


def _name(stream: str, known: Known) -> Iterator[str]:
    if not STREAM_NAME.fullmatch(stream):
        yield (
            f"{shown(stream)} is no name for a stream: it is a small letter and then at most 31 "
            "small letters, digits or _"
        )
    elif stream in known or stream in (*HEAD, "streams"):
        yield "a stream may not be named like a step or a key of a recipe: --set would mistake them"


def _missing(found: Sequence[Draft]) -> Iterator[str]:
    names = [draft.name for draft in found]
    lacking = [
        f"{name} ({why})"
        for name, why in REQUIRED.items()
        if not difflib.get_close_matches(name, names, n=1, cutoff=0.8)  # a misspelt one is told
    ]
    if lacking:
        yield f"the stream lacks {', '.join(lacking)}"


def _order(index: int, found: Sequence[Draft], known: Known) -> Iterator[str]:
    """One step per name but for filters, and phases in the order of the pipeline."""
    draft, kind = found[index], known[found[index].name]
    before = [other for other in found[:index] if other.name in known]
    same = [other for other in before if other.name == draft.name]
    if same and not issubclass(kind, Filtering):
        yield f"the step stands here twice (first in line {same[0].place.line})"
        return
    later = [
        other
        for other in before
        if PHASES.index(known[other.name].phase) > PHASES.index(kind.phase)
    ]
    if later:
        yield (
            f"a step of the phase {kind.phase} stands after {later[0].name}, which is of the "
            f"phase {known[later[0].name].phase}; the order is {', '.join(PHASES)}"
        )
    behind = {other.name for other in found[index + 1 :]}
    for first in FOLLOWS.get(draft.name, ()):
        if first in behind:
            yield f"stands before {first}, whose answers it needs; move it below"


def _unread(
    index: int, found: Sequence[Draft], steps: Sequence[Step | None], known: Known
) -> Iterator[str]:
    """Columns that a step of select reads and nothing in the stream provides."""
    step = steps[index]
    if not isinstance(step, Filtering | Grouping):
        return
    try:
        needs = step.needs()
    except TypeError as error:
        yield str(error)
        return
    names = {draft.name for draft in found}
    columns = {
        f"{name}.{column}": name
        for name, kind in sorted(known.items())
        if issubclass(kind, Measure)
        for column in kind.columns
    }
    for column in sorted(needs - ROW_COLUMNS):
        measure = columns.get(column)
        if measure is None:
            yield f"reads {shown(column)}, which no measure gives{nearest(column, columns)}"
        elif measure not in names:
            yield (
                f"reads {column}, but the stream does not measure it: add the step {measure} "
                f"before {found[index].name}"
            )
