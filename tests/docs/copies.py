"""A copy of the repository to run commands in, as somebody who has just cloned it would.

Only set-up is spared: the copy's `.venv` consists of links into the environment that runs the
tests, and a fresh stamp tells `make` that it is complete. Everything else is real: `make`, the
Makefile, the command line, the workers.
"""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LEFT = shutil.ignore_patterns(
    *(".git", ".venv", "out", "out-*", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")
)


@dataclasses.dataclass(frozen=True)
class Copy:
    """A repository of its own."""

    folder: Path

    def run(self, command: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """Run a block of shell there; both outputs as one text."""
        bin_folder = self.folder / ".venv" / "bin"
        gone = ("PYTEST_CURRENT_TEST", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHONPATH")
        kept = {name: value for name, value in os.environ.items() if name not in gone}
        return subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", command],
            cwd=self.folder,
            env=kept | {"PATH": f"{bin_folder}:{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
        )


def make_copy(folder: Path) -> Copy:
    """A copy of the working tree whose `make` finds its set-up done."""
    shutil.copytree(ROOT, folder, ignore=LEFT, dirs_exist_ok=True)
    environment = folder / ".venv"
    environment.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if entry.name not in (".stamp", "setup.log"):
            (environment / entry.name).symlink_to(entry)
    (environment / ".stamp").touch()
    return Copy(folder)
