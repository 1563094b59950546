"""What a worker elsewhere has committed, told in manifests by itself.

The driver would open every commit once to learn which records it accounts for: a millisecond or
thirty each, and so days for tens of millions. The worker knows it already. It writes a manifest of
some hundred of its commits at a time, and what it had not told when it died is read by the driver.
Only commits that were won are told of, after they stand.
"""

import threading

import pyarrow as pa

from pipeline.manifests import SCHEMA, Manifest
from pipeline.sums import DROP, TALLY
from schemas.store import Store

COMMITS = 256  # that are told of together
LEAST = 32  # at the end of a bundle of work; fewer wait for more

_lock = threading.Lock()
_waiting: dict[tuple[str, str, str], tuple[Store, Manifest]] = {}  # by place, phase and key
_on = False


def begin() -> None:
    """Tell of all that this process commits from now on."""
    global _on
    _on = True


def telling() -> bool:
    """Whether this process tells of its commits."""
    return _on


def took(store: Store, phase: str, key: str, commit: str, rows: dict[str, pa.Table]) -> None:
    """Take note of a commit of this process; `rows` are its `done`, `tally` and `drop`."""
    if not rows["done"].num_rows:
        return
    done = rows["done"]
    names = pa.array([commit] * done.num_rows, pa.string())
    told = pa.table([names, *(done[name] for name in SCHEMA.names[1:])], schema=SCHEMA)
    kept = {"done": told, "tally": rows["tally"].select(TALLY), "drop": rows["drop"].select(DROP)}
    with _lock:
        _, manifest = _waiting.setdefault((store.url, phase, key), (store, Manifest()))
        manifest.take(kept)
        full = len(manifest.tables) >= COMMITS
    if full:
        flush(COMMITS)


def flush(least: int = 1) -> None:
    """Write what waits, where it is so many commits."""
    with _lock:
        full = {
            place: _waiting.pop(place)
            for place, (_, manifest) in list(_waiting.items())
            if len(manifest.tables) >= least
        }
    for (_, phase, key), (store, manifest) in full.items():
        manifest.write(store, phase, key)
