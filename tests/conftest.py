"""What every test shares: a pinned process, and the shared speech corpus where there is one.

Pinned means: one thread per model and the kernels of this machine's device class, exactly as
`python -m pipeline` sets them, before any test imports something numerical. So a figure that a test
computes in its own process can be compared, bit for bit, with what a worker computed.
"""

import os
from pathlib import Path

import pytest

from pipeline import device

device.pin()

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_corpus() -> Path:
    """The shared speech corpus. A test that asks for it is marked `corpus`."""
    folder = Path(os.environ.get("SPEECHLOOM_CORPUS", ROOT.parent / "shared" / "corpus"))
    if not (folder / "audio").is_dir():
        pytest.skip("no speech corpus: set SPEECHLOOM_CORPUS")
    return folder
