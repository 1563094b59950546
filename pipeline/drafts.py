"""A recipe's streams before its steps are checked: names, settings as written, and places.

Between the file and the models there is a stage in which a recipe can still be changed: steps that
go without saying are put in, and `--set` is applied. Both need the order and the names of the
steps, and neither may lose the line that a later error has to name.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import NoReturn

from pipeline.halves import kind_of, order_of, ranks
from schemas.problems import KeyPath
from schemas.settings import (
    Node,
    Override,
    Place,
    Problem,
    SettingsError,
    dotted,
    nearest,
    replace_at,
    shown,
)
from transforms.step import Phase, Step

Known = Mapping[str, type[Step]]

# Put in with its defaults where a stream does not name it: at the end of its phase or its start.
IMPLIED = ("decode", "split")
HEAD = ("name", "seed", "shards", "balance", "resources", "offline")


@dataclasses.dataclass(frozen=True, slots=True)
class Draft:
    """A step as it is written: its settings are not checked yet."""

    name: str
    place: Place
    settings: Node


Streams = dict[str, list[Draft]]


def streams_of(tree: Node, problems: list[Problem]) -> Streams:
    """The drafts of every stream; what is no step is noted and left out."""
    found: Streams = {}
    streams = tree.child("streams")
    if streams is None or not isinstance(streams.value, dict):
        return found
    for name, node in streams.value.items():
        found[name] = []
        for index, item in enumerate(node.value if isinstance(node.value, list) else ()):
            draft = _draft(item)
            if draft is None:
                message = (
                    "a step is a name, or one name with its settings, as in "
                    f"`- segment: {{engine: silero}}`; not {shown(item.plain())}"
                )
                problems.append(
                    Problem(item.place, dotted(("streams", name, index)), message + _indented(item))
                )
            else:
                found[name].append(draft)
    return found


def streams_place(tree: Node) -> dict[str, Place]:
    """Where the name of each stream stands."""
    streams = tree.child("streams")
    return {} if streams is None else streams.keys


def paths(stream: KeyPath, found: list[Draft]) -> list[KeyPath]:
    """The path of each draft: by its name, with its number where the name stands there twice."""
    names = [draft.name for draft in found]
    return [
        (*stream, name, names[: index + 1].count(name))
        if names.count(name) > 1
        else (*stream, name)
        for index, name in enumerate(names)
    ]


def _draft(item: Node) -> Draft | None:
    if isinstance(item.value, str) and item.value:
        return Draft(item.value, item.place, Node(item.place, {}))
    if isinstance(item.value, dict) and len(item.value) == 1:
        ((name, settings),) = item.value.items()
        if settings.value is None:
            settings = Node(item.keys[name], {})
        return Draft(name, item.keys[name], settings)
    return None


def _indented(item: Node) -> str:
    """Advice for the slip that makes two keys of one: settings that are not indented."""
    if isinstance(item.value, dict) and len(item.value) > 1:
        first = next(iter(item.value.values()))
        if first.value is None:
            return " (indent the settings further than the step's name)"
    return ""


def with_implied(drafts: list[Draft], known: Known) -> list[Draft]:
    """The drafts with the steps that go without saying, where their phase wants them."""
    found = list(drafts)
    names = {draft.name for draft in drafts}
    kind = kind_of(_phases(found, known))
    for name in IMPLIED:
        if not found or name in names or name not in known:
            continue
        if kind == "page" and known[name].phase == "hear":
            continue
        before = known[name].phase if name == "decode" else "compose"
        phases = _phases(found, known)
        wanted = order_of(phases).index(before)
        at = next(
            (
                index
                for index, rank in enumerate(ranks(phases))
                if rank is not None and rank >= wanted
            ),
            len(found),
        )
        place = found[max(at - 1, 0)].place
        found.insert(at, Draft(name, place, Node(place, {})))
    return found


def _phases(drafts: list[Draft], known: Known) -> list[Phase | None]:
    return [known[draft.name].phase if draft.name in known else None for draft in drafts]


def apply(
    overrides: Iterable[Override], tree: Node, streams: Streams, problems: list[Problem]
) -> tuple[Node, Streams]:
    """The tree's head and the streams with the overrides applied; what cannot be is noted.

    `seed=3`, `shards.hours=1`; `web.filter.min_snr_db=10` for one stream; `filter.min_snr_db=10`
    for every stream that holds the step; `web.filter.2.min_snr_db=10` where it stands there twice.
    """
    streams = {name: list(drafts) for name, drafts in streams.items()}
    for override in overrides:
        try:
            if override.address[0] in HEAD:
                tree = replace_at(tree, override.address, override.node)
                continue
            for name, index, rest in list(_targets(override, streams)):
                draft = streams[name][index]
                changed = replace_at(draft.settings, rest, override.node)
                streams[name][index] = dataclasses.replace(draft, settings=changed)
        except SettingsError as error:
            problems += error.problems
    return tree, streams


def _targets(override: Override, streams: Streams) -> Iterator[tuple[str, int, KeyPath]]:
    """The steps that an override addresses, as stream, index, and the path inside the step."""
    address = override.address[1:] if override.address[0] == "streams" else override.address
    head = str(address[0]) if address else ""
    if head in streams:
        chosen, address = [head], address[1:]
    else:
        chosen = list(streams)
    if not address:
        _refuse(override, f"stream {head} is set step by step, as in {head}.filter.min_snr_db=10")
    step, rest = str(address[0]), address[1:]
    found = False
    for name in chosen:
        places = [i for i, draft in enumerate(streams[name]) if draft.name == step]
        if not places:
            continue
        found = True
        inside = rest
        if rest and isinstance(rest[0], int):
            if not 1 <= rest[0] <= len(places):
                _refuse(
                    override, f"stream {name} holds {step} {len(places)} time(s), counted from 1"
                )
            places, inside = [places[rest[0] - 1]], rest[1:]
        if len(places) > 1:
            _refuse(
                override,
                f"stream {name} holds {step} {len(places)} times: say which, as in "
                f"{name}.{step}.1.{dotted(inside) or 'key'}",
            )
        yield name, places[0], inside
    if not found:
        inside_of = f"stream {head}" if head in streams else "the recipe"
        steps = {draft.name for name in chosen for draft in streams[name]}
        others = () if head in streams else (*HEAD, *streams)
        _refuse(
            override,
            f"{shown(step)} is no step of {inside_of}{nearest(step, [*others, *sorted(steps)])}",
        )


def _refuse(override: Override, message: str) -> NoReturn:
    raise SettingsError([Problem(override.node.place, dotted(override.address), message)])
