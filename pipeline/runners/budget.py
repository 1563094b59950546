"""What a recipe would take for so many hours of audio on a cluster: a model, not a measurement.

Compute comes from the same table as `plan` (`pipeline/costs.py`): seconds of one core per second of
audio that reaches a step, and what a part, a recording and a clip cost each phase beside its steps,
all growing with hours to the power that was measured (`benchmarks/phase_costs.py`). Requests and
bytes across shuffles are counted ones (`benchmarks/traffic.py`). Prices are assumptions that the
user can replace. Everything that goes into the answer is printed with it, and what is not known is
named instead of left at nothing.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping

from pipeline import costs
from pipeline.parts import PART_SECONDS
from pipeline.recipe import Recipe

EFFICIENCY = 0.85  # of workers' time that is work: starts, stragglers, the tail of a phase
DAYS = 7.0  # that a run may take, where nobody says how many workers
CORES_PER_MACHINE = 4
DRIVER_RECORD_BYTES = 1900  # held by the driver for each record of a phase (benchmarks/scale.py)
DRIVER_BASE_BYTES = 160e6
RECORD_SECONDS = 600.0  # of an average recording
# Counted by benchmarks/traffic.py, for each part of a phase: puts of attempt, tar and commit; gets
# and heads of inputs and of what is done; and reads of stored speech, for each clip.
WRITES = {"hear": 3.0, "annotate": 2.0, "measure": 4.0, "select to compose": 0.0}
READS = {"hear": 2.0, "annotate": 10.0, "measure": 14.0, "select to compose": 0.0}
READS_PER_CLIP = 3.6
GRAPH_BYTES = 89  # a part's name across the one shuffle of each of its phases

# US dollars: list prices of Dataflow batch and Cloud Storage in a US region as we remember them.
PRICES: Mapping[str, float] = {
    "core_hour": 0.056,
    "gb_hour": 0.003557,  # of memory
    "gpu_hour": 0.75,  # one L4-class accelerator
    "disk_gb_hour": 0.000054,
    "gb_month": 0.020,  # of OUT
    "requests_1000": 0.005,  # that write or list
    "reads_1000": 0.0004,
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PhaseBudget:
    """One phase over all hours."""

    phase: str
    core_hours: float
    worker_bytes: int  # of memory of a worker process
    accelerator: bool
    unknown: tuple[str, ...]  # engines whose time nobody has measured

    @property
    def machine_gb(self) -> int:
        """Memory of a machine of `CORES_PER_MACHINE` workers, in the sizes that clouds have."""
        needed = CORES_PER_MACHINE * self.worker_bytes / 1e9 * 1.25
        return next((size for size in (8, 16, 32, 64) if size >= needed), 128)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Budget:
    hours: float
    phases: tuple[PhaseBudget, ...]
    workers: int
    stored_gb: float
    prices: Mapping[str, float]

    @property
    def core_hours(self) -> float:
        return sum(phase.core_hours for phase in self.phases)

    @property
    def wall_hours(self) -> float:
        return self.core_hours / self.workers / EFFICIENCY

    @property
    def parts(self) -> int:
        return math.ceil(self.hours * 3600 / PART_SECONDS)

    @property
    def clips(self) -> float:
        return self.hours * 3600 * costs.STORED_SHARE / costs.CLIP_SECONDS

    @property
    def graph_bytes(self) -> float:
        """Across shuffles, over all phases that deal parts."""
        return self.parts * GRAPH_BYTES * sum(1 for writes in WRITES.values() if writes)

    @property
    def money(self) -> dict[str, float]:
        """US dollars by what they pay for; storage for one month."""
        price = self.prices
        paid = {name: 0.0 for name in ("cores", "memory", "accelerators", "disks")}
        for phase in self.phases:
            hours = phase.core_hours / EFFICIENCY
            paid["cores"] += hours * price["core_hour"]
            paid["memory"] += hours / CORES_PER_MACHINE * phase.machine_gb * price["gb_hour"]
            paid["disks"] += hours / CORES_PER_MACHINE * 50 * price["disk_gb_hour"]
            if phase.accelerator:
                paid["accelerators"] += hours / CORES_PER_MACHINE * price["gpu_hour"]
        writes = self.parts * sum(WRITES.values())
        reads = self.parts * sum(READS.values()) + self.clips * READS_PER_CLIP
        paid["requests"] = (writes * price["requests_1000"] + reads * price["reads_1000"]) / 1000
        paid["storage, a month"] = self.stored_gb * price["gb_month"]
        return paid

    @property
    def driver_bytes(self) -> float:
        return DRIVER_BASE_BYTES + self.hours * 3600 / RECORD_SECONDS * DRIVER_RECORD_BYTES


def budget(
    recipe: Recipe,
    hours: float,
    workers: int | None = None,
    prices: Mapping[str, float] | None = None,
) -> Budget:
    """What `hours` of recordings would take. Raises `ValueError` for a price that is none."""
    prices = dict(prices or {})
    unknown = sorted(set(prices) - set(PRICES))
    if unknown:
        raise ValueError(f"no price is called {unknown[0]}; there are {', '.join(PRICES)}")
    phases = tuple(_phases(recipe, hours))
    total = sum(phase.core_hours for phase in phases)
    count = workers or max(1, math.ceil(total / (DAYS * 24) / EFFICIENCY))
    pcm = 32_000.0
    stored = hours * 3600 * costs.STORED_SHARE * pcm * costs.FLAC_SHARE / 1e9
    return Budget(
        hours=hours,
        phases=phases,
        workers=count,
        stored_gb=2 * stored,  # segments, and the same speech in shards
        prices={**PRICES, **prices},
    )


def _phases(recipe: Recipe, hours: float) -> Iterator[PhaseBudget]:
    """Each stream of recordings takes all hours: which of them takes what is not known before DATA
    is read."""
    streams = [name for name in recipe.streams if recipe.kind(name) == "audio"]
    for phase in ("hear", "annotate", "measure", "compose"):
        steps = tuple(s for name in streams for s in recipe.steps(name, phase))
        share = 1.0 if phase == "hear" else costs.STORED_SHARE
        rate = sum(costs.cost(step).seconds for step in steps)
        if phase == "compose":
            rate = costs.COMPOSE_SECONDS + 2 * costs.SET_SECONDS  # and to select and arrange rows
        title = phase if phase != "compose" else "select to compose"
        yield PhaseBudget(
            phase=title,
            core_hours=(hours * share * rate + len(streams) * _beside(title, hours))
            * _growth(title, hours),
            worker_bytes=costs.worker_bytes(steps),
            accelerator="accelerator" in recipe.hints(phase),
            unknown=tuple(name for step in steps for name in costs.unmeasured(step)),
        )


def _beside(phase: str, hours: float) -> float:
    """Core hours that a phase takes for its parts, recordings and clips, whatever they hold."""
    each = costs.BESIDE[phase]
    return hours * (
        each.part / PART_SECONDS
        + each.recording / RECORD_SECONDS
        + each.clip * costs.STORED_SHARE / costs.CLIP_SECONDS
    )


def _growth(phase: str, hours: float) -> float:
    """How much more than in proportion so many hours cost, by the exponent that was measured."""
    beyond = max(1.0, hours / costs.MEASURED_HOURS)
    return float(beyond ** (costs.EXPONENTS[phase] - 1.0))


def lines(found: Budget) -> list[str]:
    """For people."""
    said = [f"budget     {found.hours:,.0f} h of recordings, {found.parts:,} parts (a model)"]
    for one in found.phases:
        gpu = " + 1 accelerator" if one.accelerator else ""
        said.append(
            f"           {one.phase:<18}{one.core_hours:>14,.0f} core hours, "
            f"{one.worker_bytes / 1e9:.1f} GB a worker: machines of {CORES_PER_MACHINE} cores, "
            f"{one.machine_gb} GB{gpu}"
        )
        for name in one.unknown:
            said.append(f"           {name}: its time is not known, and counted as nothing")
    said.append(
        f"workers    {found.workers:,} cores for {found.wall_hours / 24:,.1f} days at "
        f"{EFFICIENCY:.0%} of their time; --workers N for another number"
    )
    total = sum(found.money.values())
    said.append(f"money      {total:,.0f} USD (assumed prices, no discount, no spot machines)")
    said += [f"           {what:<18}{paid:>14,.0f}" for what, paid in found.money.items()]
    driver = found.driver_bytes / 1e9
    said.append(
        f"driver     {driver:,.1f} GB for recordings of {RECORD_SECONDS / 60:.0f} min"
        + ("" if driver <= 2 else ": more than 2 GB, so cut DATA into several, with an OUT each")
    )
    said.append(
        f"           {found.stored_gb / 1000:,.1f} TB in OUT, "
        f"{found.graph_bytes / found.hours:,.0f} bytes an hour across shuffles"
    )
    powers = ", ".join(f"{phase} {power:g}" for phase, power in costs.EXPONENTS.items())
    said += [
        "assumed    seconds of one core as in pipeline/costs.py, of a server of 2023; hours to the "
        f"power of {powers}",
        f"           (benchmarks/phase_costs.py, measured up to {costs.MEASURED_HOURS:g} h); "
        "requests and shuffles counted by benchmarks/traffic.py,",
        "           memory of the driver by benchmarks/scale.py, all on one machine and no cloud",
        f"           parts of {PART_SECONDS / 60:g} min; {costs.STORED_SHARE:.0%} of recordings "
        f"are speech, in clips of {costs.CLIP_SECONDS:g} s; streams of pages are not counted",
    ]
    said += [f"           {name} = {price:g} USD" for name, price in found.prices.items()]
    return said
