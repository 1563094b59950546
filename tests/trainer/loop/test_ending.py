"""How a process of a run ends: exit code, exit handlers and streams, alone and as a rank."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import atexit, sys, threading, time
from trainer.ending import end
atexit.register(lambda: print("handler", flush=True))
threading.Thread(target=time.sleep, args=(600,), daemon={daemon}).start()
sys.stdout.write("unflushed ")
end({code})
"""


@pytest.mark.parametrize("world", ["1", "2"])
@pytest.mark.parametrize("code", [0, 3])
def test_an_ended_process_has_said_everything(root: Path, world: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(code=code, daemon=True)],
        cwd=root,
        env={"WORLD_SIZE": world},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, "unflushed handler\n", "")


def test_a_rank_waits_for_no_thread(root: Path) -> None:
    """A thread that never ends would hold up the end of an interpreter for ever."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(code=0, daemon=False)],
        cwd=root,
        env={"WORLD_SIZE": "2"},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0
