"""Measures behind a local ONNX file, with tiny models that are built here."""

import pathlib
from collections.abc import Callable

import numpy as np
import pydantic
import pytest
from made_sound import RATE, make_clip, make_scope, score, to_pcm, value

from schemas.records import Score
from transforms.engines.onnx_model import OnnxModel, OnnxModelError
from transforms.engines.quality_model import OnnxQuality
from transforms.measure.mos import Mos
from transforms.measure.music import Music

onnx = pytest.importorskip("onnx", reason="builds its models with the package onnx")

Build = Callable[..., str]


@pytest.fixture
def build(tmp_path: pathlib.Path) -> Build:
    """`build(factors, samples)`: a model whose outputs are the mean of |x| times each factor."""

    def builder(
        factors: list[float],
        samples: int | str = "n",
        batched: bool = True,
        rows: int = 1,
        element: int = onnx.TensorProto.FLOAT,
    ) -> str:
        helper = onnx.helper
        axes = [1] if batched else [0]
        nodes = [
            helper.make_node("Abs", ["sound"], ["loud"]),
            helper.make_node("ReduceMean", ["loud"], ["mean"], axes=axes, keepdims=1),
            helper.make_node("Mul", ["mean", "factors"], ["scores"]),
        ]
        shape = [1, samples] if batched else [samples]
        values = np.tile(factors, (rows, 1)).astype(onnx.helper.tensor_dtype_to_np_dtype(element))
        graph = helper.make_graph(
            nodes,
            "loudness",
            [helper.make_tensor_value_info("sound", element, shape)],
            [helper.make_tensor_value_info("scores", element, None)],
            [onnx.numpy_helper.from_array(values, "factors")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.onnx"
        onnx.save(model, path)
        return str(path)

    return builder


def steps(*levels: float, samples: int = 1000) -> np.ndarray:
    """Stretches of alternating samples of constant absolute value."""
    signs = np.where(np.arange(samples) % 2, -1.0, 1.0)
    return to_pcm(np.concatenate([level * signs for level in levels]))


def test_a_model_answers_with_the_mean_over_its_rows(build: Build) -> None:
    sound = np.full(100, -0.5, np.float32)
    for arguments in ({}, {"batched": False}, {"rows": 3}, {"samples": 100}):
        numbers = OnnxModel(build([1.0, 2.0, 4.0], **arguments))(sound)
        assert numbers.dtype == np.float64
        assert numbers.tolist() == pytest.approx([0.5, 1.0, 2.0])


def test_windows_follow_each_other_and_the_last_ends_with_the_clip(build: Build) -> None:
    engine = OnnxQuality(build([1.0], samples=1000), 1000)
    assert engine.scores(steps(0.25)).tolist() == pytest.approx([0.25])
    assert engine.scores(steps(0.25, 0.75)).tolist() == pytest.approx([0.5])
    pcm = np.concatenate([steps(0.25, 0.75), steps(0.25, samples=500)])
    # 0.25, 0.75, and a third that is half of each
    assert engine.scores(pcm).tolist() == pytest.approx([0.5])
    short = np.concatenate([steps(0.25, samples=300), steps(0.75, samples=100)])
    assert engine.scores(short).tolist() == pytest.approx([(600 * 0.25 + 200 * 0.75 + 50) / 1000])


def test_the_score_is_the_chosen_output_of_the_resampled_clip(build: Build) -> None:
    path = build([1.0, 2.0, 4.0], samples=8000)
    step = Mos(model=path, window_seconds=0.5)
    assert value(step, steps(0.25, samples=16_000)) == pytest.approx(1.0, abs=1e-3)
    assert value(Mos(model=path, window_seconds=0.5, output=0), steps(0.25, samples=9000)) == (
        pytest.approx(0.25, abs=1e-3)
    )
    tone = to_pcm(0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * 24_000) / 24_000))
    assert value(step, tone, 24_000) == pytest.approx(4 * 0.5 * 2 / np.pi, rel=0.01)
    assert value(step, np.zeros(0, np.int16)) is None
    assert value(step, np.zeros(RATE, np.int16)) == 0.0


def test_without_a_model_there_is_no_score() -> None:
    assert value(Mos(), steps(0.25)) is None
    assert Mos().fingerprint() is None


def test_the_fingerprint_is_that_of_the_file(build: Build) -> None:
    one, two = build([1.0]), build([2.0])
    assert Mos(model=one).fingerprint() != Mos(model=two).fingerprint()
    assert len(Mos(model=one).fingerprint()["model"]) == 64
    assert Mos(model=one).fingerprint() == Mos(model=one).fingerprint()


def test_what_is_wrong_with_a_model_is_said(build: Build, tmp_path: pathlib.Path) -> None:
    missing = str(tmp_path / "none.onnx")
    for ask in (Mos(model=missing).load, Mos(model=missing).fingerprint):
        with pytest.raises(
            OnnxModelError, match=r"no ONNX model at .*none\.onnx.*leave the setting"
        ):
            ask()
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"this is no model")
    with pytest.raises(OnnxModelError, match="cannot be opened as an ONNX model"):
        Mos(model=str(broken)).load()
    with pytest.raises(OnnxModelError, match="1 numbers, so it has no number 2"):
        value(Mos(model=build([1.0], samples=1000), window_seconds=0.0625), steps(0.25))
    with pytest.raises(OnnxModelError, match="window_seconds"):
        value(Mos(model=build([1.0] * 3, samples=999)), steps(0.25))
    with pytest.raises(OnnxModelError, match="answered"):
        value(Mos(model=build([1.0, 1.0, float("nan")])), steps(0.25))
    with pytest.raises(OnnxModelError, match="must take one float input"):
        Mos(model=build([1.0], element=onnx.TensorProto.DOUBLE)).load()


def shares(step: Music, pcm: np.ndarray) -> tuple[Score, ...]:
    (scores,) = score(step, [make_clip(0, len(pcm))], make_scope(pcm))
    return scores.values


def test_a_classifier_sums_its_classes(build: Build) -> None:
    path = build([0.4, 0.8, 1.2, 100.0])
    step = Music(engine="onnx", model=path, music_classes=[0, 2], noise_classes=[1])
    pcm = steps(0.25, samples=RATE)
    assert shares(step, pcm) == pytest.approx((0.4, 0.2), abs=1e-3)
    assert shares(Music(engine="onnx", model=path, music_classes=[3]), pcm) == (1.0, 0.0)
    assert shares(step, pcm[:-1]) == (None, None)
    with pytest.raises(OnnxModelError, match="4 classes, so it has no class 4"):
        shares(Music(engine="onnx", model=path, noise_classes=[4]), pcm)


@pytest.mark.parametrize(
    "settings",
    [
        {"engine": "onnx"},
        {"engine": "onnx", "model": "m.onnx"},
        {"engine": "onnx", "model": "m.onnx", "music_classes": [-1]},
        {"model": "m.onnx"},
        {"music_classes": [1]},
        {"engine": "yamnet"},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(pydantic.ValidationError):
        Music(**settings)
