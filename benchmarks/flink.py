"""Other engines beside this machine's own workers: wall time, equal bytes, and what kills cost.

    python benchmarks/flink.py [--engine flink|prism] [--kill hear annotate measure compose]

Curates the made corpus of the laws three times: on the direct runner, on the engine undisturbed,
and on the engine with a worker process killed once in each phase that is named. Told are the layout
of the cluster, wall times, whether all shards, indexes and manifests are equal, and for each phase
how many jobs were submitted again and how many attempts at parts were noted beyond one each.
Flink is started as by `python -m pipeline.runners.flink_local`; where Beam's job server for it
cannot be had, say `--engine prism`.
"""

import argparse
import contextlib
import pathlib
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psutil

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import circumstances as on
from pipeline import device
from pipeline.runners import flink_local
from pipeline.runners.engine import engine_of
from pipeline.runners.submit import Submitted
from tests.laws import made_corpus, runs
from tests.laws.runs import Ran
from tests.runners import engines

Workers = Callable[[Any], Submitted]
PHASES = ("hear", "annotate", "measure", "arrange", "compose")


@contextlib.contextmanager
def engine(name: str) -> Iterator[tuple[str, Workers]]:
    """What it is, for people, and its workers."""
    if name == "prism":
        found = engines.prism()
        if found is None:
            raise SystemExit("no Prism: run `make engines`")
        options = f"--prism_location={found}"
        yield (
            "Prism, one worker process",
            lambda seen: Submitted(engine_of("prism", options, "out"), seen),
        )
        return
    home, jar = engines.flink(), engines.job_server()
    if home is None or jar is None:
        raise SystemExit("no Flink, or no job server for it: `make engines` says which")
    with flink_local.cluster(home) as made:
        options = " ".join([*made.options, f"--flink_job_server_jar={jar}"])
        yield (
            "Flink, 1 JobManager, 2 TaskManagers of 1 slot, 1 pool",
            lambda seen: Submitted(engine_of("flink", options, "out"), seen),
        )


def harnesses() -> list[psutil.Process]:
    """Worker processes of engines below this process."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "pipeline.runners.harness" in " ".join(child.cmdline()):
                found.append(child)
    return found


def killing(workers: Workers, phases: list[str], killed: list[str]) -> Workers:
    """The same workers, one of which is killed once in each of some phases."""

    def kill(phase: str) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            for process in harnesses():
                with contextlib.suppress(psutil.Error):
                    if process.num_threads() >= 3:  # it has reached its engine
                        time.sleep(0.15)
                        process.kill()
                        killed.append(phase)
                        return
            time.sleep(0.02)

    def make(observe: Any) -> Submitted:
        made: Any = workers(observe)  # its `run` is watched
        run = made.run

        def told(job: Any, *rest: Any, **named: Any) -> dict[str, int]:
            if job.phase in phases and job.phase not in killed:
                threading.Thread(target=kill, args=(job.phase,), daemon=True).start()
            return run(job, *rest, **named)

        made.run = told
        watched: Submitted = made
        return watched

    return make


def timed(data: pathlib.Path, out: pathlib.Path, **more: Any) -> tuple[Ran, float]:
    start = time.perf_counter()
    ran = runs.curate(data, out, **more)
    return ran, time.perf_counter() - start


def redone(ran: Ran) -> dict[str, int]:
    """Attempts at parts beyond one each, by phase."""
    found: Counter[str] = Counter()
    for phase in ("hear", "annotate", "measure"):
        names = [e.name for e in ran.store.list(phase) if "/attempts/" in e.name]
        parts = {name.rsplit("/", 1)[1].split(".")[0] for name in names}
        found[phase] = len(names) - len(parts)
    return dict(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--engine", choices=["flink", "prism"], default="flink")
    parser.add_argument("--kill", nargs="*", default=list(PHASES), choices=PHASES)
    chosen = parser.parse_args()
    device.pin()
    print(on.circumstances())
    with tempfile.TemporaryDirectory() as folder, engine(chosen.engine) as (said, workers):
        root = pathlib.Path(folder)
        data = made_corpus.write_corpus(root / "data")
        direct, wall = timed(data, root / "direct")
        print(f"direct: {wall:.1f} s (in one process, without starting workers)")
        ran, wall = timed(data, root / "undisturbed", workers=workers)
        equal = "equal" if ran.digests == direct.digests else "DIFFERENT"
        print(f"{said}: {wall:.1f} s, {len(ran.digests)} files {equal}", flush=True)
        killed: list[str] = []
        ran, wall = timed(data, root / "k", workers=killing(workers, chosen.kill, killed))
        equal = "equal" if ran.digests == direct.digests else "DIFFERENT"
        died = sum(kind == "died" for kind, _ in ran.events)
        print(f"killed in {', '.join(killed)}: {wall:.1f} s, {equal}; {died} jobs submitted again")
        for phase, count in redone(ran).items():
            print(f"  {phase}: {count} attempts beyond the first, of {ran.phases()[phase]} parts")


if __name__ == "__main__":
    main()
