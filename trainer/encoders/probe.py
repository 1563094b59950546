"""What a linear reader finds in frozen features: a speaker, a word, whatever a table says.

Clips are represented by the mean of their states; a softmax regression with a small penalty is
fitted on the training rows in float64 and asked on the others. It has one optimum, so the same
features give the same accuracy on any machine, and no layer is flattered by a lucky draw. Chance is
the share of the commonest label among the rows that are asked.
"""

import csv
import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trainer.failures import SetupError

COLUMNS = ("audio", "label", "split")
PENALTY = 1e-3  # of squared weights of standardised features (ours)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One clip of a table."""

    audio: Path
    label: str
    split: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Probed:
    """One layer's answers."""

    layer: str
    accuracy: float
    chance: float
    labels: int
    trained: int
    asked: int


def read_table(path: Path) -> list[Row]:
    """Rows of a CSV with audio (a path beside it), label, split (train or test).

    Raises `SetupError` for what is missing, with its line.
    """
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            held = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SetupError(f"{path}: {error}") from error
    found = []
    for number, row in enumerate(held, 2):
        for name in COLUMNS:
            if not (row.get(name) or "").strip():
                raise SetupError(
                    f"{path}:{number}: no {name}; the columns are {', '.join(COLUMNS)}"
                )
        if row["split"] not in ("train", "test"):
            raise SetupError(f"{path}:{number}: split {row['split']!r} is neither train nor test")
        audio = path.parent / row["audio"]
        if not audio.is_file():
            raise SetupError(f"{path}:{number}: {audio}: no such file")
        found.append(Row(audio=audio, label=row["label"].strip(), split=row["split"]))
    _fits(found, path)
    return found


def _fits(rows: Sequence[Row], path: Path) -> None:
    taught = {row.label for row in rows if row.split == "train"}
    asked = {row.label for row in rows if row.split == "test"}
    if len(taught) < 2:
        raise SetupError(f"{path}: needs training rows of two labels, has {len(taught)}")
    if not asked or asked - taught:
        strange = sorted(asked - taught)
        what = f"test rows of {strange[0]!r}, which is never taught" if strange else "no test rows"
        raise SetupError(f"{path}: {what}")


def pooled(rows: Sequence[Row], features: Any) -> npt.NDArray[np.float64]:
    """The mean state of every clip, [rows, width]. `features` as `kmeans.Features`."""
    import soundfile

    found = []
    for row in rows:
        try:
            pcm, rate = soundfile.read(row.audio, dtype="int16")
        except soundfile.LibsndfileError as error:
            raise SetupError(f"{row.audio}: {error}") from error
        if pcm.ndim != 1 or not len(pcm):
            raise SetupError(f"{row.audio}: needs mono samples, has {pcm.shape}")
        found.append(features(pcm, rate).astype(np.float64).mean(axis=0))
    return np.stack(found)


def accuracy(vectors: npt.NDArray[np.float64], rows: Sequence[Row], layer: str) -> Probed:
    """Fit on the training rows, ask the others."""
    taught = np.array([row.split == "train" for row in rows])
    names = sorted({row.label for row in rows})
    wanted = np.array([names.index(row.label) for row in rows])
    middle, spread = vectors[taught].mean(0), vectors[taught].std(0)
    scaled = (vectors - middle) / np.where(spread > 1e-9, spread, 1.0)
    scaled = np.concatenate([scaled, np.ones((len(scaled), 1))], axis=1)
    weights = _fitted(scaled[taught], wanted[taught], len(names))
    said = (scaled[~taught] @ weights).argmax(axis=1)
    commonest = Counter(wanted[~taught].tolist()).most_common(1)[0][1]
    return Probed(
        layer=layer,
        accuracy=float((said == wanted[~taught]).mean()),
        chance=commonest / int((~taught).sum()),
        labels=len(names),
        trained=int(taught.sum()),
        asked=int((~taught).sum()),
    )


def _fitted(
    x: npt.NDArray[np.float64], wanted: npt.NDArray[np.int64], count: int
) -> npt.NDArray[np.float64]:
    """Weights [width, labels] of the softmax regression."""
    from scipy.optimize import minimize
    from scipy.special import log_softmax, softmax

    hot = np.eye(count)[wanted]
    shape = (x.shape[1], count)

    def loss(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        weights = flat.reshape(shape)
        logits = x @ weights
        value = -(hot * log_softmax(logits, axis=1)).sum() / len(x)
        slope = x.T @ (softmax(logits, axis=1) - hot) / len(x)
        free = weights.copy()
        free[-1] = 0  # the offset is not held back
        slope += 2 * PENALTY * free
        return float(value + PENALTY * np.square(free).sum()), slope.ravel()

    done = minimize(
        loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 500}
    )
    found: npt.NDArray[np.float64] = done.x.reshape(shape)
    return found


def probe(rows: Sequence[Row], encoder: Path | None, stride_ms: int, stack: int) -> list[Probed]:
    """Every layer of an encoder's folder, and log-mel beside it (None: log-mel alone)."""
    from transforms.engines.kmeans import LogMelFeatures, encoder_features
    from transforms.engines.models import ModelError

    found = []
    try:
        if encoder is not None:
            depth = _depth(encoder)
            for layer in range(depth + 1):
                vectors = pooled(rows, encoder_features(encoder, layer))
                found.append(accuracy(vectors, rows, str(layer)))
    except ModelError as error:
        raise SetupError(str(error)) from error
    vectors = pooled(rows, LogMelFeatures(stride_ms, stack))
    return [*found, accuracy(vectors, rows, "log-mel")]


def _depth(encoder: Path) -> int:
    import json

    try:
        about = json.loads((encoder / "config.json").read_bytes())
        return int(about.get("depth", about.get("num_hidden_layers")))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise SetupError(f"{encoder}: no folder of an encoder: {error}") from error
