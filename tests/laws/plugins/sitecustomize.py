"""Adds made steps to the wings: found by Python at start where this folder is on PYTHONPATH."""

from pathlib import Path

import transforms.annotate
import transforms.hear
import transforms.measure

for wing in (transforms.hear, transforms.annotate, transforms.measure):
    wing.__path__.append(str(Path(__file__).parent / wing.__name__.rsplit(".", 1)[-1]))
