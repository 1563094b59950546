"""Measures on recorded speech whose nature is known."""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from made_sound import RATE, value

from transforms.engines.classifier import Tones
from transforms.measure.bandwidth import Bandwidth
from transforms.step import Pcm16

pytestmark = pytest.mark.corpus


def read(path: pathlib.Path) -> Pcm16:
    import soundfile
    import soxr

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = soxr.resample(samples.mean(axis=1), rate, RATE) * 32768
    return np.clip(np.rint(mono), -32768, 32767).astype(np.int16)


def rows(corpus: pathlib.Path, *sources: str) -> Iterator[dict[str, Any]]:
    for line in (corpus / "manifest.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        if row["source"] in sources:
            yield row


def test_telephone_speech_is_narrow_and_other_speech_is_not(shared_corpus: pathlib.Path) -> None:
    telephone = [
        value(Bandwidth(), read(shared_corpus / row["audio"]))
        for row in [*rows(shared_corpus, "asterisk-en", "asterisk-es", "asterisk-fr")][::5]
    ]
    assert len(telephone) == 33
    assert all(3500 < hertz <= 4000 for hertz in telephone)
    wide = [
        value(Bandwidth(), read(shared_corpus / row["audio"]))
        for row in rows(shared_corpus, "ljspeech", "librispeech-train-clean-100")
    ]
    assert len(wide) == 33
    assert min(wide) > 4200
    assert np.median(wide) > 7000


@pytest.mark.slow
def test_music_and_steady_noise_by_the_second(shared_corpus: pathlib.Path) -> None:
    folder = shared_corpus / "audio" / "long"
    told = json.loads((folder / "long20.regions.json").read_text("utf-8"))
    pcm = read(folder / told["audio"])
    counts: dict[str, list[str]] = {}
    for region in told["regions"]:
        part = pcm[round(region["start"] * RATE) : round(region["end"] * RATE)]
        counts.setdefault(region["kind"], []).extend(Tones().seconds(part))
    assert counts["music"].count("music") >= 0.9 * len(counts["music"])
    assert counts["speech"].count("music") <= 0.01 * len(counts["speech"])
    assert counts["speech"].count("noise") <= 0.01 * len(counts["speech"])
    assert counts["noise"].count("noise") >= 0.6 * len(counts["noise"])
    assert set(counts["silence"]) <= {"silence", "noise", "speech"}
