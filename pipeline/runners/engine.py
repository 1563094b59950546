"""Which engine runs the phases, with which options of Beam.

`direct` is this machine's own workers. `prism`, `flink` and `dataflow` are names of ours for Beam
runners with the options filled in that their users would otherwise find out one failure at a time;
what the user gives stands. Any other name is passed to Beam as it is, with the options given.
`plan` shows every option that was filled in, and why.
"""

import dataclasses
import glob
import os
import re
import shlex
import shutil
from collections.abc import Sequence

from schemas.store import Store
from transforms.gather.entry import AUDIO, Wanted
from transforms.gather.web.data import recognise

NAMES = ("direct", "flink", "dataflow", "prism")
POOL = "localhost:50000"  # where a pool of workers listens on every machine of a cluster
WORKER_GB = 4.0  # of memory, for each worker of a Dataflow machine of the standard family


class EngineError(ValueError):
    """An engine cannot run this: says what is missing and what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class Filled:
    """An option that nobody gave, and why it stands there."""

    option: str
    why: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Engine:
    """An engine as one run uses it."""

    name: str  # as given: direct, flink, dataflow, prism, or a runner of Beam's
    given: tuple[str, ...] = ()
    filled: tuple[Filled, ...] = ()
    own_pool: bool = False  # workers are processes of this machine that the run starts itself
    elsewhere: bool = False  # workers may be on machines that see none of this one's disks

    @property
    def direct(self) -> bool:
        return self.name == "direct"

    @property
    def options(self) -> tuple[str, ...]:
        return (*(one.option for one in self.filled), *self.given)


def engine_of(
    name: str,
    beam: str,
    out: str,
    workers: int | None = None,
    run: str = "",
    hinted: Sequence[str] = (),
) -> Engine:
    """The engine of a name. `beam`: options for it, as a shell would split them.

    `hinted`: phases that ask for an accelerator. Raises `EngineError`.
    """
    try:
        given = tuple(shlex.split(beam))
    except ValueError as error:
        raise EngineError(f"--beam {beam!r}: {error}") from error
    stray = next((one for one in given if not one.startswith("--")), None)
    if stray is not None:
        raise EngineError(f"--beam: {stray!r} is no option of Beam's; write --name=value")
    if name == "direct":
        if given:
            raise EngineError("--beam has options for another engine: give --runner as well")
        return Engine(name=name)
    if name == "prism":
        return _prism(given)
    if name == "flink":
        return _flink(given, workers)
    if name == "dataflow":
        return _dataflow(given, out, workers, run, hinted)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9.]*", name):
        raise EngineError(f"no runner is called {name!r}; known here: {', '.join(NAMES)}")
    return Engine(
        name=name,
        given=given,
        filled=_lacking(given, Filled(f"--runner={name}", "passed to Beam as it is")),
        elsewhere=True,
    )


def _value(given: Sequence[str], name: str) -> str | None:
    """The value of an option that is given; "" for a flag."""
    for one in given:
        key, _, value = one.partition("=")
        if key == f"--{name}":
            return value
    return None


def _lacking(given: Sequence[str], *wanted: Filled) -> tuple[Filled, ...]:
    """Those options that are not given."""
    return tuple(one for one in wanted if _value(given, one.option[2:].partition("=")[0]) is None)


def _prism(given: tuple[str, ...]) -> Engine:
    own = _value(given, "environment_type") is None
    filled = _lacking(
        given,
        Filled("--runner=PrismRunner", "Beam's portable runner for one machine"),
        Filled("--prism_log_level=error", "its log would drown the progress"),
    )
    binary = shutil.which("prism")
    if binary and _value(given, "prism_location") is None:
        filled += (Filled(f"--prism_location={binary}", "found on PATH; else Beam downloads one"),)
    return Engine(name="prism", given=given, filled=filled, own_pool=own)


def _flink(given: tuple[str, ...], workers: int | None) -> Engine:
    wanted = [
        Filled("--runner=FlinkRunner", "the portable runner"),
        Filled("--flink_master=localhost:8081", "where Flink's own scripts start a JobManager"),
        Filled(f"--parallelism={workers or -1}", "--workers; -1: every slot of the cluster"),
        Filled("--sdk_worker_parallelism=1", "one worker process in a TaskManager: models once"),
        Filled("--environment_type=EXTERNAL", "workers are started by a pool on each machine"),
        Filled(f"--environment_config={POOL}", "python -m pipeline.runners.pool listens there"),
    ]
    return Engine(name="flink", given=given, filled=_lacking(given, *wanted), elsewhere=True)


def _dataflow(
    given: tuple[str, ...], out: str, workers: int | None, run: str, hinted: Sequence[str]
) -> Engine:
    missing = [
        f"--{name}=…"
        for name in ("project", "region", "sdk_container_image")
        if _value(given, name) is None
    ]
    if missing:
        raise EngineError(
            f"dataflow needs {', '.join(missing)} in --beam; docs/running.md says how to build "
            "the image"
        )
    temp = _value(given, "temp_location")
    if temp is None and not out.startswith("gs://"):
        raise EngineError(
            "dataflow needs --temp_location=gs://… in --beam where OUT is not a gs:// bucket: with "
            "a local one Beam waits for credentials for minutes and fails"
        )
    base = temp or f"{out.rstrip('/')}/dataflow"
    wanted = [
        Filled("--runner=DataflowRunner", "Google's service"),
        Filled(f"--temp_location={base}/temp", "below OUT"),
        Filled(f"--staging_location={base}/staging", "below OUT, or the given temp_location"),
        Filled("--no_save_main_session", "code is in the image; nothing of ours is pickled twice"),
        Filled("--number_of_worker_harness_threads=1", "models are not made for threads"),
        Filled("--disk_size_gb=50", "image, scratch of one part per worker"),
        Filled(f"--max_num_workers={workers or 100}", "--workers, or 100 machines"),
        Filled("--autoscaling_algorithm=THROUGHPUT_BASED", "fewer machines for the last parts"),
    ]
    if hinted:
        wanted.append(
            Filled(
                "--experiments=no_use_multiple_sdk_containers",
                f"one process holds the model: {', '.join(hinted)} asks for an accelerator",
            )
        )
    if run:
        name = re.sub(r"[^a-z0-9-]", "-", f"speechloom-{run}".lower())
        wanted.append(Filled(f"--job_name={name}", "so that jobs of a run are found together"))
    return Engine(name="dataflow", given=given, filled=_lacking(given, *wanted), elsewhere=True)


def refuse_unreachable(
    engine: Engine, data: str, out: str, kind: str | None = None, wanted: Wanted = AUDIO
) -> None:
    """Workers on other machines reach buckets, not this machine's folders. Raises `EngineError`.

    A local list, table or feed of URLs is read by the driver; what it names lies elsewhere.
    Flink may run on machines that share a disk, or on this one, so there it is told, not refused.
    """
    if engine.name != "dataflow":
        return
    if not Store(out).remote:
        raise EngineError(f"OUT ({out}) is on this machine, which workers of dataflow do not see")
    if not (os.path.exists(data) or glob.has_magic(data)) or "://" in data:
        return
    of_urls = recognise(data, kind, wanted)
    if of_urls is None or of_urls.archived:
        raise EngineError(
            f"DATA ({data}) is on this machine, which workers of dataflow do not see: copy it to a "
            "bucket and name that, as gs://bucket/folder"
        )
