"""The hallucination guard on the made set: what is invented leaves, what is genuine stays."""

import sys

import pyarrow as pa
import pytest

pytest.importorskip("espeakng_loader", reason="speaks with the wheel espeakng-loader")

from benchmarks.guard import COMPRESSION, GUARD, joined, reasons, summary
from benchmarks.guard_set import KINDS, Case, make
from benchmarks.guard_texts import TEXTS
from transforms.select.conditions import CONDITIONS

Judged = tuple[list[Case], pa.Table]


def judged(per_kind: int) -> Judged:
    cases = [case for case in make(per_kind) if case.half == "test"]
    return cases, joined([(case.clip, case.pcm) for case in cases])


@pytest.fixture(scope="module")
def small() -> Judged:
    return judged(4)


def test_the_set_has_every_kind_in_six_languages(small: Judged) -> None:
    cases, _ = small
    assert len(TEXTS) == 6
    assert len(cases) == len(KINDS) * len(TEXTS) * 2
    assert {case.clip.times for case in cases} == {"measured", "estimated", "none"}
    halves = [{text for texts in TEXTS.values() for text in texts.sentences[h::2]} for h in (0, 1)]
    assert not halves[0] & halves[1]
    said = " ".join(case.clip.text for case in cases if case.kind == "ordinary")
    assert not any(text in said for text in halves[0])  # the limits were chosen on these


def test_no_genuine_clip_of_a_small_set_leaves(small: Judged) -> None:
    cases, table = small
    left = [
        (case.kind, case.clip.text, reason)
        for case, reason in zip(cases, reasons(GUARD, table), strict=True)
        if case.genuine and reason is not None
    ]
    assert not left


def test_each_kind_of_invention_leaves_by_its_own_reason(small: Judged) -> None:
    cases, table = small
    expected = {
        "loop": {"text_loops", "text_without_speech", "words_outside_speech"},
        "confident loop": {"text_loops", "text_without_speech", "words_outside_speech"},
        "on nothing": {"text_without_speech", "words_outside_speech", "boilerplate"},
        "broken off": {"speech_without_text", "speech_uncovered"},
    }
    found: dict[str, list[str | None]] = {kind: [] for kind in expected}
    for case, reason in zip(cases, reasons(GUARD, table), strict=True):
        if not case.genuine:
            found[case.kind].append(reason)
    for kind, allowed in expected.items():
        assert set(found[kind]) <= allowed | {None}
        assert sum(reason is not None for reason in found[kind]) >= 0.8 * len(found[kind])


def test_genuine_repetition_survives_what_the_compression_ratio_refuses(small: Judged) -> None:
    cases, table = small
    repeating = [i for i, case in enumerate(cases) if case.kind == "repeating"]
    guard, ratio = reasons(GUARD, table), reasons(COMPRESSION, table)
    assert not any(guard[i] for i in repeating)
    assert any(ratio[i] for i in repeating)


def test_the_guard_uses_no_word_of_the_recognizer_about_itself() -> None:
    columns = {
        column for _, setting, column in CONDITIONS if getattr(GUARD, setting, None) is not None
    }
    assert {column.partition(".")[0] for column in columns} == {
        "repetition",
        "coverage",
        "boilerplate",
    }


@pytest.mark.slow
def test_recall_and_loss_on_the_test_half() -> None:
    cases, table = judged(20)
    recall, loss, seconds = summary(cases, reasons(GUARD, table))
    sys.stdout.write(f"recall {recall:.3f}, loss {loss:.4f} of clips, {seconds:.4f} of seconds\n")
    assert recall >= 0.95
    assert loss <= 0.01
    assert seconds <= 0.01
