"""The pipeline hears as well as its engines do by hand, on a small part of the corpus."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.corpus, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def bench():
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    from benchmarks import through_pipeline

    return through_pipeline


def test_speech_and_speakers_are_those_of_a_direct_call(bench, shared_corpus) -> None:
    folder = shared_corpus / "audio"
    files = [
        *(folder / "conversations" / f"{name}.flac" for name in ("conv01_2spk", "conv02_2spk")),
        *(folder / "ami-pyannote" / f"{name}.wav" for name in ("trn02", "trn05")),
    ]
    found = {pair.name: pair for pair in bench.who_and_when(files)}
    assert len(found) == 3
    frames = found["voice activity: frame error, silero"]
    assert 0.01 < frames.by_hand < 0.3  # the labels were found, and are not trivial
    assert abs(frames.through - frames.by_hand) <= 0.005
    for name in ("conversations", "ami-pyannote"):
        pair = found[f"DER, resemblyzer, {name}"]
        assert 0.01 < pair.by_hand < 0.9
        assert abs(pair.through - pair.by_hand) <= 0.01


def test_words_and_the_vote_are_those_of_a_direct_call(bench, shared_corpus) -> None:
    """Whole files of at most 30 s: what differs is who decoded and resampled them."""
    known = dict(list(bench.toy_files().items())[:3])
    foreign = sorted((shared_corpus / "audio" / "ljspeech").glob("*.*"))
    truth = {**known, **{p: "unknown" for p in foreign if p.suffix in (".wav", ".flac")}}
    truth = dict(list(truth.items())[:6])
    engines = ("pocketsphinx", bench.TOY)
    by_hand = bench.said_directly(truth, engines)
    through = bench.said_curated(truth, whole=True, engines=engines)
    assert set(by_hand) == set(through) == {*engines, bench.VOTE}
    for engine in by_hand:
        assert bench.same(by_hand[engine], through[engine]) >= len(truth) - 1, engine
    hand, pipe = (
        bench.rate(known, {p: said[bench.TOY][p] for p in known}) for said in (by_hand, through)
    )
    assert hand == pipe == 0.0
