"""Which of DATA's files a stream takes: recordings or pages, each file counted once for its kind.

DATA is one for all streams of a recipe. A stream of audio lists the recordings, a stream of pages
the pages, so that a page is no failed recording; streams of one kind list the same files, as they
always did. What is neither, and a file of a kind that no stream takes, is listed by the streams
that there are, as dropped: every file is in the funnel of some stream.
"""

from collections.abc import Sequence

from pipeline.recipe import Recipe
from schemas.records import Modality
from transforms.gather.found import Found, dropped

NOT_OF_KIND: dict[Modality, str] = {"audio": "not_audio", "page": "not_page"}


def taken(found: Sequence[Found], own: Modality, kinds: frozenset[Modality]) -> list[Found]:
    """The items that a stream of its `own` kind lists, in their order, where the streams of a
    recipe are of these `kinds`."""
    return [item for one in found if (item := _taken(one, own, kinds)) is not None]


def wanted(recipe: Recipe) -> frozenset[Modality]:
    """What the streams of a recipe take of DATA."""
    return frozenset(recipe.kind(name) for name in recipe.streams)


def _taken(item: Found, own: Modality, kinds: frozenset[Modality]) -> Found | None:
    kind = item.source.kind
    if kind == own:
        return item
    if kind in kinds:
        return None
    if item.drop is not None:
        return item
    return Found(source=item.source, drop=dropped(item.source, NOT_OF_KIND[own], kind))
