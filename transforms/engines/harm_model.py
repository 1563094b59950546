"""A judge of harm in a local folder: any text classifier whose labels name harm and level.

Labels are read from the folder's `config.json` (`id2label`): `hate_violence:toxic`,
`Hate-Violence_Topical`, `self inflicted safe`; or they are mapped by the setting `labels`
(`{LABEL_1: "sexual:toxic"}`). The levels of one harm are set against each other (softmax); a harm
with one label alone answers by itself (sigmoid, toxic from 0.5 on). A long text is judged in
windows, and each harm takes the window with the highest toxicity. What is not mapped is not used.
"""

import importlib.metadata
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transforms.engines.harm import HARMS, LEVELS, Judgement, Level
from transforms.engines.models import ModelError
from transforms.engines.text_model import TextFolder

_KIND = "AutoModelForSequenceClassification"
_WINDOW = 512  # tokens, unless the network takes fewer


def folder_of(spec: str) -> Path:
    """The folder of "hf/FOLDER". Raises `ValueError`."""
    family, slash, path = spec.partition("/")
    if family != "hf" or not slash or not path:
        raise ValueError(f"{spec!r} names no judge of harm: write words, or hf/FOLDER")
    return Path(path).expanduser()


def fingerprint(spec: str) -> dict[str, str]:
    """The digest of the files, and the libraries."""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "transformers")}
    return {"files": TextFolder(folder_of(spec), "hf", _KIND).digest(), **versions}


def meaning(label: str) -> tuple[str, Level] | None:
    """Harm and level of "hate_violence:toxic" however it is spelt; None where it says neither."""
    plain = re.sub(r"[^a-z]+", "_", label.lower()).strip("_")
    for harm in HARMS:
        for level in LEVELS:
            if plain in (f"{harm}_{level}", f"{level}_{harm}"):
                return harm, level
    return None


class Classifier:
    """A sequence classifier, on one thread and one window of one text at a time."""

    def __init__(self, spec: str, labels: Mapping[str, str]) -> None:
        files = TextFolder(folder_of(spec), "hf", _KIND)
        self._tokenizer, self._network = files.tokenizer(), files.network()
        names: Mapping[int, str] = self._network.config.id2label
        unknown = sorted(set(labels) - set(names.values()))
        if unknown:
            raise files.wrong(
                f"has no label {unknown[0]!r}: it has {', '.join(names.values())}. Correct the "
                "setting `labels`"
            )
        self._places: dict[str, dict[Level, int]] = {}
        for place, name in sorted(names.items()):
            found = meaning(labels.get(name, name))
            if found is not None:
                self._places.setdefault(found[0], {})[found[1]] = int(place)
        if not any("toxic" in levels for levels in self._places.values()):
            raise files.wrong(
                f"has the labels {', '.join(names.values())}, and none of them names a harm "
                f"({', '.join(HARMS)}) that is toxic: map them by the setting `labels`"
            )
        most = getattr(self._network.config, "max_position_embeddings", None) or _WINDOW
        self._window = min(_WINDOW, int(most))

    def judge(self, text: str, language: str | None) -> Mapping[str, Judgement]:
        text = text.encode("utf-8", "replace").decode("utf-8").strip()
        if not text:
            return {}
        windows: Any = self._tokenizer(
            text, truncation=True, max_length=self._window, return_overflowing_tokens=True
        )["input_ids"]
        found: dict[str, Judgement] = {}
        for ids in windows:
            numbers = self._numbers(ids)
            for harm, places in self._places.items():
                judged = judgement({level: numbers[place] for level, place in places.items()})
                if harm not in found or judged.toxic > found[harm].toxic:
                    found[harm] = judged
        return found

    def _numbers(self, ids: Sequence[int]) -> list[float]:
        import torch

        from transforms.engines.voice import one_thread

        with one_thread(), torch.inference_mode():
            logits = self._network(input_ids=torch.tensor([list(ids)])).logits[0]
        numbers: list[float] = logits.double().tolist()
        if not all(map(math.isfinite, numbers)):
            raise ModelError("hf", "the judge of harm answers with numbers that are not finite")
        return numbers


def judgement(numbers: Mapping[Level, float]) -> Judgement:
    """From the logits of one harm's levels to a level and its scores."""
    if len(numbers) == 1:
        ((level, number),) = numbers.items()
        chance = 0.5 * (1 + math.tanh(number / 2))
        if level != "toxic":
            chance = 1 - chance if level == "safe" else 0.0
        return Judgement("toxic" if chance >= 0.5 else "safe", chance, 0.0)
    top = max(numbers.values())
    weights = {level: math.exp(number - top) for level, number in numbers.items()}
    total = math.fsum(weights.values())
    likeliest = max(weights, key=lambda level: (weights[level], LEVELS.index(level)))
    return Judgement(
        likeliest, weights.get("toxic", 0.0) / total, weights.get("topical", 0.0) / total
    )
