"""Evaluate a decoder on sets: cloze questions, pairs, endings, perplexity, the modality gap.

One function on a live model, so that a study can ask it at any step, and every item in the answer,
so that arms and seeds can be compared item by item. Scores and their formulas: docs/evaluation.md.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pydantic
import torch
from pydantic import Field

from schemas.settings import SettingsError, check, parse_overrides, read, replace_at
from schemas.strict_yaml import parse
from trainer.evaluation.choices import accuracies, choose
from trainer.evaluation.contamination import Removal, read_flags, removal_test
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.gap import gaps, measure_gap
from trainer.evaluation.intervals import Estimate, mean_of, ratio
from trainer.evaluation.items import Mode
from trainer.evaluation.laying import Tokenizers
from trainer.evaluation.layout import EvalSet, read_set, write_set
from trainer.evaluation.perplexity import perplexities, read_texts
from trainer.evaluation.results import ItemResult, Results, SetResult, write
from trainer.evaluation.scoring import Asker, quiet

__all__ = [
    "EvaluationError",
    "EvaluationSettings",
    "ItemResult",
    "Results",
    "SetResult",
    "Tokenizers",
    "evaluate",
    "evaluation_settings",
    "read_set",
    "write",
    "write_set",
]

NOT_ACROSS = (
    "accuracies of a mode can be compared between models; likelihoods of speech belong to one "
    "speech tokenizer"
)


class EvaluationSettings(pydantic.BaseModel):
    """How sets are asked."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    answer_prefix: str = Field(
        "The answer is",
        description="Text between a question and each option of a cloze item, the same for all "
        "(ours); empty: none.",
    )
    modes: tuple[Mode, ...] | None = Field(
        None, strict=False, description="Ask in these modes only; null: in all that a set allows."
    )
    context: int = Field(
        2048, ge=8, description="Longest prompt with its option, in positions: the model's context."
    )
    budget: int = Field(
        8192, ge=1, description="Positions of one forward (about): memory against speed."
    )
    on_long: Literal["fail", "skip"] = Field(
        "fail", description="An item longer than the context: an error, or left out and named."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Of the model's blocks; logits are float32 always."
    )
    seed: int = Field(0, description="Of the order of options, of controls, of random removals.")
    level: float = Field(0.95, gt=0, lt=1, description="Of intervals.")
    removals: int = Field(10_000, ge=1, description="Random removals of the contamination test.")
    alpha: float = Field(0.01, gt=0, lt=1, description="Of the contamination test (SpeLangy).")


def evaluation_settings(
    path: Path | None = None, overrides: Sequence[str] = ()
) -> EvaluationSettings:
    """The settings of a YAML file (none: the defaults), with `KEY=VALUE` texts applied.

    Raises `SettingsError` with every problem.
    """
    tree = parse("{}", "settings") if path is None else read(path)
    for override in parse_overrides(overrides):
        tree = replace_at(tree, override.address, override.node)
    found, problems = check(tree, EvaluationSettings)
    if found is None:
        raise SettingsError(problems)
    return found


def evaluate(
    model: Any,
    tokenizers: Tokenizers,
    sets: Sequence[EvalSet],
    settings: EvaluationSettings = EvaluationSettings(),  # noqa: B008  frozen
    *,
    device: torch.device | str | None = None,
    flagged: Path | None = None,
    about: Mapping[str, Any] | None = None,
) -> Results:
    """Ask a model every set in every mode.

    `model` is a `trainer.model.Decoder` or alike; its parameters, mode and gradients are left as
    they were. `flagged`: a file of contaminated items' ids. `about` is carried into the results.
    Raises `EvaluationError` for what cannot be asked, with the item's file and line.
    """
    names = [one.name for one in sets]
    if not sets or len(set(names)) < len(names):
        raise EvaluationError(f"needs sets of different names, has {names or 'none'}")
    if model.vocabulary != tokenizers.words:
        raise EvaluationError(
            f"the model has {model.vocabulary}, these tokenizers give {tokenizers.words}: evaluate "
            "with the tokenizers, the order and the lead that it was trained with"
        )
    flags = None
    if flagged is not None:
        flags = read_flags(flagged, {one.name: {i.id for i in one.items} for one in sets})
    asker = Asker(
        model=model,
        words=tokenizers.words,
        device=_device(model) if device is None else torch.device(device),
        budget=settings.budget,
        context=settings.context,
        precision=settings.precision,
    )
    found: list[SetResult] = []
    not_run: dict[str, str] = {}
    with quiet(model):
        for one in sets:
            for mode in one.modes:
                why = _refused(one, mode, tokenizers, settings)
                if why is not None:
                    not_run[f"{one.name}, {mode}"] = why
                    continue
                result = _asked(asker, one, mode, tokenizers, settings)
                if flags is not None and result.chance is not None:
                    tests = _removals(result, flags[one.name], settings)
                    result = dataclasses.replace(result, contamination=tests)
                found.append(result)
    speech = tokenizers.speech
    return Results(
        about=dict(about or {}),
        settings=settings.model_dump(mode="json"),
        text_tokenizer=_named(tokenizers.text),
        speech_tokenizer=None if speech is None else _named(speech),
        sets=tuple(found),
        across=_across(found, settings.level),
        not_run=not_run,
    )


def _asked(
    asker: Asker, one: EvalSet, mode: Mode, tokenizers: Tokenizers, settings: EvaluationSettings
) -> SetResult:
    skip = settings.on_long == "skip"
    skipped: list[str] = []
    chance: float | None = None
    notes: list[str] = []
    if one.kind == "text":
        items = read_texts(asker, one, tokenizers)
        estimates = perplexities(items, settings.level)
    elif one.kind == "gap":
        items, skipped = measure_gap(asker, one, tokenizers, seed=settings.seed, skip_long=skip)
        _some(items, one)
        estimates = gaps(items, settings.level)
    else:
        items, skipped = choose(
            asker,
            one,
            mode,
            tokenizers,
            prefix=settings.answer_prefix,
            seed=settings.seed,
            skip_long=skip,
        )
        _some(items, one)
        estimates, chance = accuracies(items, settings.level)
        if mode in ("S", "S-to-S"):
            notes.append(NOT_ACROSS)
    if skipped:
        notes.append(f"{len(skipped)} of {len(one.items)} items are longer than the context")
    heard = mode not in ("T", "T-to-T")
    spoken = Counter((item.engine, item.voice) for item in items) if heard else Counter()
    return SetResult(
        name=one.name,
        kind=one.kind,
        mode=mode,
        digest=one.digest,
        estimates=estimates,
        items=tuple(items),
        chance=chance,
        skipped=tuple(skipped),
        spoken=tuple(
            (engine, voice, count)
            for (engine, voice), count in sorted(spoken.items(), key=lambda pair: str(pair[0]))
        ),
        notes=tuple(notes),
    )


def _some(items: Sequence[ItemResult], one: EvalSet) -> None:
    if not items:
        raise EvaluationError(f"{one.folder}: no item of {len(one.items)} fits into the context")


def _refused(
    one: EvalSet, mode: Mode, tokenizers: Tokenizers, settings: EvaluationSettings
) -> str | None:
    if settings.modes is not None and mode not in settings.modes:
        return "not asked for"
    if mode in ("S", "S-to-S", "S-to-T", "gap") and tokenizers.speech is None:
        return "the model has no speech tokenizer"
    return None


def _removals(
    result: SetResult, flagged: set[str], settings: EvaluationSettings
) -> dict[str, Removal]:
    marked = np.array([item.id in flagged for item in result.items])
    return {
        score: removal_test(
            [item.correct[score] for item in result.items],
            marked,
            removals=settings.removals,
            alpha=settings.alpha,
            seed=settings.seed,
        )
        for score in result.items[0].correct
    }


def _across(found: Sequence[SetResult], level: float) -> dict[str, Estimate]:
    """The mean of several cloze sets in each mode, and what hearing costs against reading."""
    across: dict[str, Estimate] = {}
    cloze = [one for one in found if one.kind == "cloze"]
    for mode in ("S-to-T", "T-to-T"):
        own = [one for one in cloze if one.mode == mode]
        if len(own) > 1:
            for score in ("sum", "mean", "gain"):
                name = f"mean of {len(own)} cloze sets, {mode}, {score}"
                across[name] = mean_of([one.estimates[f"accuracy.{score}"] for one in own])
    for heard in (one for one in cloze if one.mode == "S-to-T"):
        read = next((o for o in cloze if (o.name, o.mode) == (heard.name, "T-to-T")), None)
        if read is None:
            continue
        text = {item.id: item for item in read.items}
        both = [(item, text[item.id]) for item in heard.items if item.id in text]
        for score in ("sum", "mean", "gain") if both else ():
            across[f"{heard.name}, read less heard, {score}"] = ratio(
                [r.correct[score] - h.correct[score] for h, r in both],
                np.ones(len(both)),
                [h.cluster for h, _ in both],
                level=level,
            )
    return across


def _device(model: Any) -> torch.device:
    parameters = getattr(model, "parameters", None)
    first = None if parameters is None else next(iter(parameters()), None)
    return torch.device("cpu") if first is None else first.device


def _named(tokenizer: Any) -> str:
    name = getattr(tokenizer, "name", type(tokenizer).__name__)
    order = getattr(tokenizer, "order", None)
    digest = getattr(tokenizer, "digest", "")
    said = [str(name), *([f"order {order}"] if order else []), str(digest)[:16]]
    return " ".join(one for one in said if one)


def accuracy(result: SetResult, score: str = "sum") -> float:
    """The accuracy of a set that chooses, for a study's endpoint. Raises `KeyError`."""
    value = result.estimates[f"accuracy.{score}"].value
    assert math.isfinite(value)
    return value
