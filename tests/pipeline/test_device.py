import os
import subprocess
import sys

import pytest

from pipeline import device


@pytest.fixture(autouse=True)
def fresh() -> None:
    device.instruction_set.cache_clear()


def test_this_machine_has_a_class() -> None:
    accelerator, level, threads = device.device_class().split("/")
    assert accelerator == "cpu" and threads == "1-thread"
    assert level == device.instruction_set()
    assert device.device_class("cuda").startswith("cuda/")


def cpuinfo(monkeypatch: pytest.MonkeyPatch, flags: str) -> None:
    monkeypatch.setattr(device.platform, "machine", lambda: "x86_64")
    text = f"processor : 0\nflags\t\t: {flags}\n"
    monkeypatch.setattr(device.Path, "read_text", lambda *a, **k: text)


V2 = "cx16 popcnt sse4_1 sse4_2 ssse3"
V3 = f"{V2} avx avx2 bmi1 bmi2 f16c fma movbe"
V4 = f"{V3} avx512f avx512bw avx512cd avx512dq avx512vl"


@pytest.mark.parametrize(
    ("flags", "level"),
    [("sse2", "x86-64"), (V2, "x86-64-v2"), (V3, "x86-64-v3"), (V4, "x86-64-v4")],
)
def test_levels_by_flags(monkeypatch: pytest.MonkeyPatch, flags: str, level: str) -> None:
    cpuinfo(monkeypatch, flags)
    assert device.instruction_set() == level
    pins = device.pins()
    assert pins["OMP_NUM_THREADS"] == "1"
    if level == "x86-64-v3":
        assert pins["ATEN_CPU_CAPABILITY"] == "avx2" and pins["CT2_FORCE_CPU_ISA"] == "AVX2"


def test_another_architecture_is_its_own_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.platform, "machine", lambda: "aarch64")
    assert device.instruction_set() == "aarch64"


def test_a_worker_of_another_class_refuses() -> None:
    device.require(device.device_class())
    with pytest.raises(device.DeviceClassError, match="mixing them would mix results"):
        device.require("cpu/x86-64-v9/1-thread")


def test_pins_reach_children() -> None:
    said = subprocess.run(
        [sys.executable, "-c", "import os; print(os.environ['OMP_NUM_THREADS'])"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **device.pins()},
    )
    assert said.stdout.strip() == "1"
