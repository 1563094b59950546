"""`speechloom plan`: what curate would do, what is done before, and what it takes."""

import argparse
import dataclasses
import json
import os

from pipeline.checkup import memory_bytes
from pipeline.commands.curate import add_run_arguments, options_of
from pipeline.commands.gc import size
from pipeline.costs import DRIVER_BYTES, worker_bytes
from pipeline.curate import engine_for
from pipeline.forecast import PhasePlan, Plan, StreamPlan, forecast
from pipeline.funnel import meaning
from pipeline.progress import duration
from pipeline.recipe import Recipe, load_recipe
from pipeline.report import clean, figures
from pipeline.runners.budget import PRICES, budget
from pipeline.runners.budget import lines as lines_of
from pipeline.runners.engine import Engine
from transforms.engines import hub

TABLE = "~: by a table of another machine's times"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    parser.add_argument(
        "--rehash", action="store_true", help="as if every file were digested again"
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument(
        "--hours",
        type=hours_of,
        help="workers, time and money for so many hours by a model; DATA is not read",
    )
    parser.add_argument(
        "--price",
        action="append",
        default=[],
        type=price_of,
        metavar="core_hour=0.05",
        help=f"US dollars for --hours: {', '.join(PRICES)}; may be repeated",
    )


def run(arguments: argparse.Namespace) -> int:
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    if arguments.hours is not None:
        found = budget(recipe, arguments.hours, arguments.workers, dict(arguments.price))
        if arguments.json:
            told = {**dataclasses.asdict(found), "money": found.money}
            print(json.dumps(told, indent=2, sort_keys=True))
        else:
            print("\n".join([f"recipe {recipe.name} on {arguments.runner}", *lines_of(found)]))
        return 0
    plan = forecast(recipe, options_of(arguments))
    if arguments.json:
        print(json.dumps(as_json(plan), indent=2, sort_keys=True))
    else:
        said = [*lines(plan), *_engine(engine_for(options_of(arguments), recipe), plan, recipe)]
        print("\n".join(clean.line(line).rstrip() for line in said))
    return 1 if plan.missing else 0


def hours_of(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 1e12:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of hours")
    return found


def price_of(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        if name not in PRICES:
            raise ValueError
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no price; write one of {', '.join(PRICES)} = dollars"
        ) from None


def _engine(engine: Engine, plan: Plan, recipe: Recipe) -> list[str]:
    """The engine's options, and what the workers of each phase need; nothing for `direct`."""
    if engine.direct:
        return []
    found = [f"runner     {engine.name}: {len(engine.given)} options given, filled in are"]
    found += [f"           {one.option}  ({one.why})" for one in engine.filled]
    for stream in plan.streams:
        for phase in stream.phases:
            if not phase.parts:
                continue
            steps = [s for s in recipe.streams[stream.name] if s.name() in phase.steps]
            need = size(worker_bytes(tuple(steps)))
            many = min(phase.parts, 1000)
            found.append(
                f"advice     {phase.phase} of {stream.name}: {need} a worker, at most {many} "
                f"worker{'' if many == 1 else 's'} have something to do"
            )
    return found


def as_json(plan: Plan) -> dict[str, object]:
    """The plan as plain values, with the sums that people see."""
    found = dataclasses.asdict(plan)
    for stream, row in zip(plan.streams, found["streams"], strict=True):
        for phase, cell in zip(stream.phases, row["phases"], strict=True):
            cell["wall_seconds"] = phase.wall_seconds
            cell["cached"] = phase.parts == 0
    found["memory_bytes"] = _memory(plan)
    found["memory_available"] = memory_bytes()
    return found


def _memory(plan: Plan) -> int:
    return DRIVER_BYTES + plan.workers * plan.worker_bytes


def lines(plan: Plan) -> list[str]:
    """The plan for people."""
    found = [f"recipe {plan.recipe} to {plan.out}; device class {plan.device}"]
    for stream in plan.streams:
        found += ["", *_data(stream), *_phases(stream)]
    found += ["", *_models(plan), *_needs(plan)]
    held = [(s.name, p) for s in plan.streams for p in s.phases if p.held_by]
    found += [f"busy now   {p.phase} of {name}: {p.held_by}" for name, p in held]
    found.append("nothing was written")
    return found


def _data(stream: StreamPlan) -> list[str]:
    kept = stream.files - sum(stream.dropped.values())
    found = [
        f"stream {stream.name}: {stream.files} sources, {kept} to read, {stream.recordings} "
        f"recordings{' (limited)' if stream.limited else ''}, {stream.seconds / 3600:.2f} h"
    ]
    known, probed, guessed = stream.known_files, stream.probed_files, stream.guessed_files
    if probed or guessed:
        found.append(
            f"  of these files {known} are known from before, {probed} are new and taken at what "
            f"their headers say, {guessed} are estimated by their size"
        )
        found.append("  (new files are not digested here: copies among them count twice)")
    for reason, count in stream.dropped.items():
        found.append(f"  crawl drops {count} {reason}: {meaning('crawl', reason)}")
    return found


def _phases(stream: StreamPlan) -> list[str]:
    head = _row("phase", "key", "cached", "to do", "hours", "parts", "workers", "time")
    rows = [head]
    for phase in stream.phases:
        rows.append(
            _row(
                phase.phase if phase.phase != "measure" else f"measure {phase.steps[0]}",
                phase.key[:8] if phase.key else "later",
                figures.count(phase.cached_items),
                figures.count(phase.items - phase.cached_items),
                f"{(phase.seconds - phase.cached_seconds) / 3600:.2f}",
                str(phase.parts) if phase.parts else "-",
                str(phase.workers) if phase.parts else "-",
                _time(phase),
            )
        )
    return rows


def _time(phase: PhasePlan) -> str:
    if not phase.parts:
        return "done before"
    source = "" if phase.measured else "~"
    return source + duration(phase.wall_seconds)


def _row(*cells: str) -> str:
    widths = (24, 10, 9, 9, 10, 7, 9, 14)
    text = "  "
    for place, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        text += clean.pad(clean.cut(cell, width - 1), width, place > 1)
    return text


def _token() -> str:
    return "with your token" if hub.has_token() else "no token is set; gated ones need HF_TOKEN"


def _models(plan: Plan) -> list[str]:
    found = []
    for model in plan.models:
        name = f"{model.stream}: {model.step}" + (f" {model.engine}" if model.engine else "")
        state = "MISSING, " + model.missing if model.missing else "here"
        if model.fetched:
            state = f"not here; a run fetches {model.fetched} from the hub first ({_token()})"
        elif model.bytes and plan.workers and not model.missing:
            state += f", {plan.workers} x {size(model.bytes)} of memory"
        found.append(f"models     {name}: {state}")
    if plan.missing or any(model.fetched for model in plan.models):
        found.append("           what comes after cannot be planned without them")
    for phase, hints in plan.resources.items():
        told = ", ".join(f"{name} {value}" for name, value in hints.items())
        found.append(f"resources  {phase}: {told or 'none'} (the direct runner ignores them)")
    return found


def _needs(plan: Plan) -> list[str]:
    disk, busy = plan.disk, any(phase.parts for s in plan.streams for phase in s.phases)
    todo = [phase for s in plan.streams for phase in s.phases if phase.parts]
    if not busy and (plan.missing or any(model.fetched for model in plan.models)):
        return []
    if not busy:
        return ["time       everything is done before: a run only writes its report again"]
    measured = all(phase.measured for phase in todo if phase.compute_seconds > 1)
    basis = "as measured in OUT" if measured and any(phase.measured for phase in todo) else TABLE
    many = f"{plan.workers} worker{'' if plan.workers == 1 else 's'}"
    found = [f"time       about {duration(plan.wall_seconds)} on {many} ({basis})"]
    if plan.unmeasured and not measured:
        found.append(f"           without {', '.join(plan.unmeasured)}: not measured here yet")
    memory, available = _memory(plan), memory_bytes()
    short = "" if memory <= available else f"; TOO LITTLE: give --workers {_fitting(plan)}"
    found.append(
        f"memory     {size(memory)}: {size(plan.worker_bytes)} for each of {many}; "
        f"{size(available)} available{short}"
    )
    free_out = "a remote store" if disk.free_out is None else f"{size(disk.free_out)} free"
    needed = disk.stored + disk.shards
    short = "; TOO LITTLE" if disk.free_out is not None and needed > disk.free_out else ""
    found.append(
        f"disk       OUT {size(disk.stored)} stored FLAC and {size(disk.shards)} shards; "
        f"{free_out}{short}"
    )
    short = "; TOO LITTLE: give --scratch" if disk.scratch > disk.free_scratch else ""
    found.append(
        f"           scratch {size(disk.scratch)} of samples; {size(disk.free_scratch)} free{short}"
    )
    return found


def _fitting(plan: Plan) -> int:
    room = memory_bytes() - DRIVER_BYTES
    return max(1, min(room // plan.worker_bytes, len(os.sched_getaffinity(0))))
