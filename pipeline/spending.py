"""What generated text cost a run: kept in the headers of the commits that it was made for.

So a total is that of exactly the pages a run has: a second run on one OUT counts them again and
pays nothing, and a run that was killed and went on has lost no count of what it committed.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipeline import commits
from pipeline.work import RootWork
from schemas.store import Store
from transforms.engines.generator_meter import Spent


def of_roots(roots: Sequence[RootWork]) -> dict[str, dict[str, float]]:
    """What the roots of a part spent, by step; nothing for steps that asked nobody."""
    total: dict[str, Spent] = {}
    for root in roots:
        for step, spent in root.spent.items():
            total[step] = total.get(step, Spent()) + spent
    return {
        step: dataclasses.asdict(spent) for step, spent in sorted(total.items()) if spent != Spent()
    }


def of_commits(store: Store, names: Iterable[str]) -> dict[str, Spent]:
    """The same over some commits."""
    total: dict[str, Spent] = {}
    for name in sorted(names):
        found: Mapping[str, Mapping[str, Any]] = commits.about(store, name).get("spent", {})
        for step, spent in found.items():
            total[step] = total.get(step, Spent()) + Spent(**spent)
    return dict(sorted(total.items()))


def notices(store: Store, stream: str, names: Iterable[str]) -> Iterator[str]:
    """What the generated text of a stream cost, a line for each step that had any."""
    for step, spent in of_commits(store, names).items():
        yield f"Stream {stream}, {words(step, spent)}."


def words(step: str, spent: Spent) -> str:
    """One line for people."""
    line = (
        f"{step}: {spent.answers} answers generated ({spent.cached} of them from the cache), "
        f"{spent.tokens_in} tokens in, {spent.tokens_out} out"
    )
    if spent.cost:
        line += (
            f", {spent.cost:.4f} at the prices of the recipe ({spent.paid:.4f} paid by this OUT)"
        )
    if spent.uncounted:
        line += f"; {spent.uncounted} answers came without token counts"
    return line
