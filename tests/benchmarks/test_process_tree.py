"""A watched command: its peak is that of its children too, and its failure is told."""

import sys

import pytest

from benchmarks import process_tree

HOLD = "x = bytearray({mb} << 20); import time; time.sleep({seconds})"


def test_the_peak_counts_children() -> None:
    child = HOLD.format(mb=80, seconds=0.5)
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    seen = process_tree.watch([sys.executable, "-c", parent], label=lambda: "now")
    assert 80e6 < seen.peak < 200e6
    assert 80e6 < seen.peak_pss <= seen.peak
    assert len(seen.at_peak) == 2
    assert seen.doing == "now"
    assert seen.wall > 0.5 and seen.samples >= 5


def test_a_failure_is_told_with_its_last_words() -> None:
    with pytest.raises(process_tree.CommandFailed, match="no such luck"):
        process_tree.watch([sys.executable, "-c", "raise SystemExit('no such luck')"])


def test_processor_time_is_that_of_the_command() -> None:
    spin = "import time\nwhile time.process_time() < 0.4: pass"
    assert 0.4 <= process_tree.watch([sys.executable, "-c", spin], memory=False).cpu < 2
