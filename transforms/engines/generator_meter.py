"""What generated text costs: calls, tokens and money, by the page that they were spent on.

Tokens and cost belong to the answers that are used, whoever paid for them: so they are the same in
a second run, which takes them from the cache, and after a restart. `calls`, `retries` and `paid`
are what this run did.
"""

import dataclasses
import threading


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Spent:
    """A sum over questions to a generator."""

    answers: int = 0  # that were used, from the endpoint or from the cache
    cached: int = 0  # of them from the cache
    calls: int = 0  # that reached the endpoint in this run, without repetitions
    retries: int = 0  # repetitions in this run
    tokens_in: int = 0  # of the answers
    tokens_out: int = 0
    uncounted: int = 0  # answers whose endpoint gave no token counts
    cost: float = 0.0  # of the answers, at the prices of the recipe, in its currency
    paid: float = 0.0  # of this run's share of them

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(
            **{
                field.name: getattr(self, field.name) + getattr(other, field.name)
                for field in dataclasses.fields(Spent)
            }
        )


class Meter:
    """Adds up by the id of who asked; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[str, Spent] = {}
        self._total = Spent()

    def add(self, root: str, spent: Spent) -> None:
        """Count what was spent on a page."""
        with self._lock:
            self._open[root] = self._open.get(root, Spent()) + spent
            self._total += spent

    def take(self, root: str) -> Spent:
        """What was spent on a page since it was last taken; it is forgotten then."""
        with self._lock:
            return self._open.pop(root, Spent())

    @property
    def total(self) -> Spent:
        """All that was ever added."""
        with self._lock:
            return self._total
