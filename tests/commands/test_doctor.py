"""doctor finds what is broken, says what to do, and is quick."""

import json
import time
from pathlib import Path

import pytest

from pipeline import checkup
from pipeline.checkup import Check
from tests.commands.made import ROOT, speechloom


def test_this_machine_is_ready_and_quickly_so(tmp_path: Path) -> None:
    began = time.monotonic()
    said = speechloom("doctor", "--json", "--out", tmp_path / "out")
    assert time.monotonic() - began < 60  # 2 s alone; other tests run beside
    checks = {check["name"]: check for check in json.loads(said.out)}
    assert said.code == (1 if any(c["state"] == "FAIL" for c in checks.values()) else 0)
    for name in ("python", "apache-beam", "pyarrow", "fasttext", "torch pair", "open files"):
        assert checks[name]["state"] == "ok", checks[name]
    assert not [name for name in checks if name.startswith("import ")]
    for name in ("silero", "resemblyzer", "lid.176", "pocketsphinx"):
        assert checks[f"model {name}"]["state"] == "ok", checks[f"model {name}"]
    assert not (tmp_path / "out").exists()


def test_imports_that_fail_or_end_the_process_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weak.py").write_text("raise RuntimeError('no such kernel')\n")
    (tmp_path / "deadly.py").write_text("import os\nos.kill(os.getpid(), 11)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    modules = ("json", "weak", "deadly", "string")
    found = list(checkup._imports(modules, checkup._start(modules)))
    states = [(check.name, check.state, check.found) for check in found]
    assert states == [
        ("import weak", "FAIL", "RuntimeError: no such kernel"),
        ("import deadly", "FAIL", "ended the process (exit code -11)"),
        ("imports", "ok", "json"),
        ("imports", "ok", "string"),
    ]
    assert all(check.fix for check in found if check.state == "FAIL")


def test_an_import_that_hangs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "asleep.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(checkup, "IMPORT_SECONDS", 1.0)
    (found,) = checkup._imports(("asleep",), checkup._start(("asleep",)))
    assert (found.name, found.state) == ("import asleep", "FAIL")
    assert "did not finish in 1 s" in found.found


def versions(monkeypatch: pytest.MonkeyPatch, **given: str) -> None:
    real = checkup.version_of
    names = {name.replace("_", "-"): version for name, version in given.items()}
    monkeypatch.setattr(checkup, "version_of", lambda name: names.get(name) or real(name))


def failing(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks if check.state == "FAIL"}


def test_packages_that_are_absent_or_of_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert failing(list(checkup._packages())) == {}
    versions(monkeypatch, torch="2.15.0", av="absent")
    found = failing(list(checkup._packages()))
    assert set(found) == {"torch", "av"}
    assert "make setup" in found["torch"].fix and "<2.12" in found["torch"].fix


def test_every_required_package_is_checked_and_imported() -> None:
    named = {check.name for check in checkup._packages()}
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert {"obstore", "fasttext", "torchaudio"} <= named and all(n in text for n in named)
    imported = {module for chain in checkup.import_chains() for module in chain}
    asked = named - {"apache-beam", "silero-vad"}
    modules = {checkup.MODULES.get(name, name.replace("-", "_")) for name in asked}
    assert modules | {"apache_beam"} == imported


def test_a_torch_pair_that_does_not_match(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, torch="2.15.0+cpu", torchaudio="2.11.0")
    assert checkup._torch_pair().state == "FAIL"
    versions(monkeypatch, torch="2.11.1+cpu", torchaudio="2.11.0")
    assert checkup._torch_pair().state == "ok"


def test_a_shadowed_fasttext(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkup._fasttext().state == "ok"
    versions(monkeypatch, fasttext_predict="0.9.2.4")
    found = checkup._fasttext()
    assert found.state == "FAIL" and "fasttext-predict" in found.fix


def test_a_disk_without_room_and_a_place_that_is_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert checkup._disk("OUT", str(tmp_path / "new" / "out")).state == "ok"
    file = tmp_path / "file"
    file.write_text("")
    assert checkup._disk("OUT", str(file)).state == "FAIL"
    assert checkup._disk("OUT", "ftp://host/out").state == "FAIL"
    monkeypatch.setattr(checkup, "DISK_BYTES", 1 << 60)
    assert "gc" in checkup._disk("OUT", str(tmp_path)).fix


def test_too_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    for memory in (100_000_000, checkup.WORKER_BYTES, 1 << 50):
        monkeypatch.setattr(checkup, "memory_bytes", lambda memory=memory: memory)
        monkeypatch.setattr(checkup.os, "sched_getaffinity", lambda pid: {0, 1})
        (found,) = [check for check in checkup._machine() if check.name == "memory"]
        states.append((found.state, "--workers 1" in found.fix))
    assert states == [("FAIL", False), ("note", True), ("ok", False)]
