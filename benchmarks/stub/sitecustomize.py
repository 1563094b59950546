"""Adds the stub recognizer to the steps: found by Python at start where this folder is on
PYTHONPATH, as it is in the processes that `phase_costs.py` starts.
"""

from pathlib import Path

import transforms.annotate

transforms.annotate.__path__.append(str(Path(__file__).parent / "annotate"))
