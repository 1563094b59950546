from typing import Any, ClassVar

import pytest

from pipeline import keys
from pipeline.keys import phase_key
from transforms.step import Phase, Step


class Made(Step):
    phase: ClassVar[Phase] = "hear"
    number: int = 1
    fingerprints: ClassVar[list[Any]] = ["weights 1"]

    def fingerprint(self) -> Any:
        return self.fingerprints[0]


class Other(Made):
    __module__ = "made.other"


def key(*steps: Step, **changes: Any) -> str:
    given = {"device": "cpu", "upstream": ["u"], "extra": [1]}
    return phase_key("hear", steps, **{**given, **changes})


def test_equal_steps_have_equal_keys() -> None:
    assert key(Made()) == key(Made(number=1))
    assert len(key(Made())) == 32


def test_whatever_may_change_a_result_changes_the_key() -> None:
    found = [
        key(Made()),
        key(Made(number=2)),
        key(Other()),
        key(Made(), Made(number=2)),
        key(Made(number=2), Made()),
        key(Made(), device="cuda"),
        key(Made(), upstream=["v"]),
        key(Made(), upstream=[]),
        key(Made(), extra=[2]),
        phase_key("annotate", [Made()], device="cpu", upstream=["u"], extra=[1]),
        key(),
    ]
    assert len(set(found)) == len(found)


def test_another_model_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(Made())
    monkeypatch.setattr(Made, "fingerprints", ["weights 2"])
    monkeypatch.setattr(keys, "_fingerprints", {})  # as in a new process
    assert key(Made()) != before


def test_another_format_is_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key(Made())
    monkeypatch.setattr(keys, "FORMAT", keys.FORMAT + 1)
    assert key(Made()) != before


def test_versions() -> None:
    assert keys.version_of("numpy")[0].isdigit()
    assert keys.version_of("no such package") == "absent"
