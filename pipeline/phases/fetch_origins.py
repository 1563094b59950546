"""What origins declared, kept in OUT for a day: rounds and runs do not ask them for it again.

One small object an origin, overwritten when it is asked anew; what cannot be read is unknown, and
asked for. A purge leaves them: they hold what an owner asks for, and nothing that was fetched.
"""

import dataclasses
import json
import time
from collections.abc import Callable

from pipeline import layout
from schemas.ids import digest_of
from schemas.store import Store
from transforms.gather.web.permission import Declared
from transforms.gather.web.robots import LIFE, Robots


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Origins:
    """The declarations that an OUT holds: a `Memory` of `Permission`."""

    store: Store
    key: str
    since: float = 0.0  # seconds since 1970: what was learnt before is not recalled
    clock: Callable[[], float] = time.time

    def _name(self, origin: str) -> str:
        folder = layout.phase_folder("fetch", self.key)
        return f"{folder}/origins/{digest_of('origin', origin)}.json"

    def recall(self, origin: str) -> Declared | None:
        """What an origin declared less than a day ago, by a clock that has not gone back since."""
        try:
            told = json.loads(self.store.get(self._name(origin)))
            learnt, rules = float(told["learnt"]), str(told["robots"])
            tdmrep, ai_txt = (str(told[name]).encode("latin-1") for name in ("tdmrep", "ai_txt"))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        age = self.clock() - learnt
        if learnt < self.since or not 0 <= age < LIFE:
            return None
        return Declared(Robots(rules), tdmrep, ai_txt, time.monotonic() + LIFE - age)

    def keep(self, origin: str, declared: Declared) -> None:
        """Hold what an origin has just declared."""
        told = {
            "learnt": self.clock(),
            "robots": declared.robots.text,
            "tdmrep": declared.tdmrep.decode("latin-1"),
            "ai_txt": declared.ai_txt.decode("latin-1"),
        }
        self.store.replace(self._name(origin), json.dumps(told).encode())
