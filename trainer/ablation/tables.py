"""A study's results as JSON and as Markdown: everything that the page shows, in plain form."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from typing import Any

from trainer.ablation.checks import ArmResult, Check
from trainer.ablation.results import ClaimResult, StudyResult
from trainer.ablation.statistics import LEAST_SEEDS, Interval

OVER_SEEDS = "paired by seed; t interval and sign-flip permutation over seeds; Holm over the claims"


def as_json(found: StudyResult) -> dict[str, Any]:
    """JSON without NaN: what no cell has given yet is null."""
    plain = dataclasses.asdict(dataclasses.replace(found, study=None))  # type: ignore[arg-type]
    plain["study"] = found.study.model_dump(mode="json")
    for group in ("claims", "second", "shown"):
        for one, source in zip(plain[group], getattr(found, group), strict=True):
            one["claim"] = source.claim.model_dump(mode="json")
    return json.loads(json.dumps(_finite(plain)))  # type: ignore[no-any-return]


def markdown(found: StudyResult) -> str:
    """Arms, claims, controls, and what each arm read."""
    return "\n".join(_markdown(found)) + "\n"


def brief(found: StudyResult) -> str:
    """Claims and controls for a terminal."""
    lines = [f"{found.study.name}: {found.done} of {found.cells} cells"]
    lines += [f"  {one.claim.name}: {difference(one)}: {one.verdict}" for one in found.claims]
    lines += [f"  {one.name}: {one.found} ({holding(one)})" for one in found.checks]
    return "\n".join(lines) + "\n"


def interval_text(one: Interval | None) -> str:
    if one is None:
        return "-"
    if one.low is None or one.high is None:
        return f"{one.mean:.3f}"
    return f"{one.mean:.3f} [{one.low:.3f}, {one.high:.3f}]"


def difference(one: ClaimResult) -> str:
    if one.compared is None:
        return "-"
    shown = one.compared.interval
    low = "" if shown.low is None else f" [{shown.low:+.3f}, {shown.high:+.3f}]"
    return f"{shown.mean:+.3f}{low}, {shown.seeds} seeds"


def holding(check: Check) -> str:
    return {True: "holds", False: "DOES NOT HOLD", None: "not said"}[check.holds]


def claim_rows(found: StudyResult) -> list[list[str]]:
    rows = []
    for one in (*found.claims, *found.second, *found.shown):
        p = "-" if one.compared is None else f"{one.compared.p:.4f}"
        corrected = "-" if one.corrected is None or one.compared is None else f"{one.corrected:.4f}"
        pair = f"{one.claim.better} - {one.claim.worse}"
        rows.append([one.claim.name, one.measure, pair, difference(one), p, corrected, one.verdict])
    return rows


CLAIM_HEAD = ("claim", "measure", "difference of", "over seeds", "p", "p (Holm)", "verdict")
ARM_HEAD = ("arm", "what it is", "seeds", "endpoint", "second", "floor", "training loss")
READ_HEAD = (
    "arm",
    "hours heard",
    "of these unique",
    "words heard",
    "words read",
    "audio → text",
    "text → audio",
    "per spoken document",
    "text positions",
    "speech positions",
    "markers",
    "padding",
    "global positions",
    "FLOPs",
    "CPU s a cell",
)


def arm_rows(found: StudyResult) -> list[list[str]]:
    return [
        [
            arm.name,
            arm.about,
            str(len(arm.seeds)),
            interval_text(arm.over_seeds),
            _mean(list(arm.second.values())),
            _least(list(arm.floor.values())),
            "-" if arm.loss is None else f"{arm.loss:.3f}",
        ]
        for arm in found.arms
    ]


def read_rows(found: StudyResult) -> list[list[str]]:
    return [_read(arm) for arm in found.arms if arm.read]


def passes(found: StudyResult) -> list[str]:
    """Passes over the content of each set, where more than one was needed."""
    lines = []
    for arm in found.arms:
        for name, value in arm.read.items():
            if name.startswith("passes of ") and value > 1:
                lines.append(f"{arm.name}: {value:.2f} {name}")
    return lines


def notes(found: StudyResult) -> list[str]:
    """What must be said with the numbers."""
    study = found.study
    end = study.endpoint
    lines = [
        f"Endpoint: {end.score} accuracy on {end.set} ({end.mode}) at {end.at}, declared before "
        f"the run; intervals {study.level:.0%}, {OVER_SEEDS}.",
        f"Below {LEAST_SEEDS} seeds nothing is claimed. Training loss is shown and never compared.",
    ]
    if found.chance is not None:
        lines.append(f"Chance is {found.chance:g}.")
    if study.second is not None:
        second = study.second
        lines.append(
            f"Second: mean height of the curve of {second.set} ({second.mode}) from step "
            f"{second.first} to {second.last}; not corrected."
        )
    if found.done < found.cells:
        lines.append(f"Not finished: {found.done} of {found.cells} cells.")
    repeated = passes(found)
    if repeated:
        lines.append(f"More than one pass over the same content: {'; '.join(repeated)}.")
    if study.limits:
        lines.append(f"Limits: {study.limits.strip()}")
    return lines


def _read(arm: ArmResult) -> list[str]:
    read = arm.read
    switches = read["speech_to_text"] / read["spoken_documents"] if read["spoken_documents"] else 0
    return [
        arm.name,
        f"{read['hours_heard']:.3f}",
        f"{read['unique_hours_heard']:.3f}",
        *(f"{read[n]:,.0f}" for n in ("words_heard", "words_read")),
        *(f"{read[n]:,.0f}" for n in ("speech_to_text", "text_to_speech")),
        f"{switches:.2f}",
        *(f"{read[n]:,.0f}" for n in ("text_positions", "speech_positions", "markers", "padding")),
        f"{read['global_positions']:,.0f}" if "global_positions" in read else "-",
        f"{arm.flops:.3g}",
        f"{arm.cpu_seconds:.0f}",
    ]


def _markdown(found: StudyResult) -> Iterator[str]:
    study = found.study
    yield f"# {study.name}"
    yield ""
    yield study.question.strip()
    yield ""
    yield from _table(CLAIM_HEAD, claim_rows(found))
    yield ""
    yield from _table(
        ("control", "expected", "found", ""),
        [[one.name, one.expected, one.found, holding(one)] for one in found.checks],
    )
    yield ""
    yield from _table(ARM_HEAD, arm_rows(found))
    yield ""
    yield from _table(READ_HEAD, read_rows(found))
    yield ""
    for line in notes(found):
        yield f"- {line}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in row)} |"


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.3f}" if values else "-"


def _least(values: Sequence[float]) -> str:
    return f"{min(values):.3f}" if values else "-"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and value != value:
        return None
    if isinstance(value, dict):
        return {str(name): _finite(child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(child) for child in value]
    return value
