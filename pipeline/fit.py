"""Whether the steps of a stream fit together: their order, what is missing, what is read.

Each rule is one function from the whole stream to problems, so that all of them are told at once
and a new rule changes no other.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence

from pipeline.drafts import HEAD, Draft, Known, paths
from pipeline.halves import halves, kind_of, order_of, ranks
from schemas.problems import KeyPath
from schemas.records import Clip
from schemas.settings import Place, Problem, dotted, nearest, shown
from schemas.tables import arrow_schema
from transforms.select.split import Split
from transforms.step import Filtering, Grouping, Measure, Phase, Step

STREAM_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")

REQUIRED = {
    "crawl": "it finds the recordings",
    "segment": "it finds the speech in them",
    "diarize": "it cuts the speech into clips of one speaker",
    "transcribe": "it gives the clips their text",
    "interleave": "it makes documents of the clips",
}
REQUIRED_OF_PAGES = {
    "crawl": "it finds the files",
    "extract": "it finds the text in them",
    "interleave": "it makes documents of it",
}
REQUIRED_TO_SPEAK = {
    "chunk": "it cuts a script into what is said at once",
    "speak": "it gives it a voice",
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
    "question": ("rewrite",),
    "chunk": ("rewrite", "question"),
    "speak": ("chunk",),
    "verify": ("speak",),
    "augment": ("speak", "verify"),  # what is spoken again would be without it
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
        for message in (*_name(str(path[-1]), known), *_missing(found, known))
    ]
    for index, draft in enumerate(found):
        if draft.name not in known:
            continue
        messages = (*_order(index, found, known), *_unread(index, found, steps, known))
        problems += [Problem(draft.place, dotted(inside[index]), text) for text in messages]
    return problems


def uneven_splits(
    places: Mapping[str, Place], steps: Mapping[str, Sequence[Step | None]]
) -> Iterator[Problem]:
    """Streams of pages deal a page out by its id: with other shares it would stand in two splits,
    trained on as speech and tested on as text."""
    first: tuple[str, Split] | None = None
    for name, found in steps.items():
        if kind_of([step.phase if step else None for step in found]) != "page":
            continue
        mine = next((step for step in found if isinstance(step, Split)), None)
        if mine is None:
            continue
        if first is None:
            first = (name, mine)
        elif (mine.train, mine.valid, mine.test) != (
            first[1].train,
            first[1].valid,
            first[1].test,
        ):
            yield Problem(
                places[name],
                dotted(("streams", name, "split")),
                f"splits pages otherwise than the stream {first[0]}, so a page could be trained "
                "on in one and tested on in the other: give all streams of pages the same shares",
            )


def asked_offline(
    places: Mapping[str, Place], steps: Mapping[str, Sequence[Step | None]]
) -> Iterator[Problem]:
    """Steps that ask an endpoint, in a recipe that promises to stay offline."""
    for name, found in steps.items():
        for step in found:
            if step is not None and getattr(step, "asks_endpoint", False):
                yield Problem(
                    places[name],
                    dotted(("streams", name, step.name())),
                    "asks an endpoint, and the recipe says `offline: true`; take its engine "
                    "`rules`, or set offline=false",
                )


def _name(stream: str, known: Known) -> Iterator[str]:
    if not STREAM_NAME.fullmatch(stream):
        yield (
            f"{shown(stream)} is no name for a stream: it is a small letter and then at most 31 "
            "small letters, digits or _"
        )
    elif stream in known or stream in (*HEAD, "streams"):
        yield "a stream may not be named like a step or a key of a recipe: --set would mistake them"


def _phases(found: Sequence[Draft], known: Known) -> list[Phase | None]:
    return [known[draft.name].phase if draft.name in known else None for draft in found]


def _missing(found: Sequence[Draft], known: Known) -> Iterator[str]:
    names = [draft.name for draft in found]
    phases = _phases(found, known)
    required = REQUIRED
    if kind_of(phases) == "page" or ("synthesize" in phases and "hear" not in phases):
        spoken = REQUIRED_TO_SPEAK if "synthesize" in phases else {}
        required = REQUIRED_OF_PAGES | spoken
    lacking = [
        f"{name} ({why})"
        for name, why in required.items()
        if not difflib.get_close_matches(name, names, n=1, cutoff=0.8)  # a misspelt one is told
    ]
    if lacking:
        yield f"the stream lacks {', '.join(lacking)}"


def _order(index: int, found: Sequence[Draft], known: Known) -> Iterator[str]:
    """One step per name and half but for filters, and phases in the order of the pipeline."""
    draft, kind = found[index], known[found[index].name]
    phases = _phases(found, known)
    half, rank = halves(phases), ranks(phases)
    same = [n for n in range(index) if found[n].name == draft.name and half[n] == half[index]]
    if same and not issubclass(kind, Filtering):
        yield f"the step stands here twice (first in line {found[same[0]].place.line})"
        return
    own = rank[index]
    if own is None:
        yield _misplaced(kind.phase)
        return
    later = [n for n in range(index) if (before := rank[n]) is not None and before > own]
    if later:
        first = found[later[0]]
        yield (
            f"a step of the phase {kind.phase} stands after {first.name}, which is of the "
            f"phase {known[first.name].phase}; the order is {', '.join(order_of(phases))}"
        )
    behind = {n for n in range(index + 1, len(found)) if half[n] == half[index]}
    for name in FOLLOWS.get(draft.name, ()):
        if name in {found[n].name for n in behind}:
            yield f"stands before {name}, whose answers it needs; move it below"
    if kind_of(phases) == "page" and not half[index]:
        yield from _silent(kind)


def _misplaced(phase: Phase) -> str:
    """A step of audio among pages, or the reverse."""
    if phase in ("hear", "annotate"):
        return (
            f"the phase {phase} is about recordings, and this stream is of pages (it has a step "
            "of extract); give recordings a stream of their own"
        )
    return (
        f"the phase {phase} is about pages, and this stream is of recordings; a stream of pages "
        "begins with crawl and extract"
    )


def _silent(kind: type[Step]) -> Iterator[str]:
    """What cannot be asked of pages that nobody has spoken."""
    if issubclass(kind, Measure) and kind.needs_audio:
        yield (
            "measures sound, and here there are only pages: move it below speak, or remove it from "
            "a stream that is not spoken"
        )


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
    half = halves(_phases(found, known))
    names = {draft.name for at, draft in enumerate(found) if half[at] == half[index]}
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
