"""Phase keys: what must be equal for stored results to be taken instead of made again.

A key is the digest of the steps' settings and fingerprints (model files, library versions), the
format version, the device class and the key upstream. Set-wise phases (select, compose, report)
add the digest of the ids they see, because one item more may change the verdict on another.
"""

import importlib.metadata
from collections.abc import Sequence
from typing import Any

from pipeline.commits import FORMAT
from schemas.ids import digest_of
from transforms.step import Step


def step_key(step: Step) -> list[Any]:
    """One step's share of a key: its name, the settings that decide results, its fingerprint."""
    settings = step.model_dump(mode="json", exclude=set(step.unkeyed))
    return [step.name(), settings, _fingerprint(step)]


def settings_digest(step: Step) -> str:
    """An id of a step and its settings; steps with lists among them cannot be hashed."""
    return digest_of(step.name(), step.model_dump(mode="json"))


_fingerprints: dict[str, Any] = {}  # models are digested once per process


def _fingerprint(step: Step) -> Any:
    key = settings_digest(step) + repr(step.__pydantic_private__)
    if key not in _fingerprints:
        _fingerprints[key] = step.fingerprint()
    return _fingerprints[key]


def phase_key(
    phase: str,
    steps: Sequence[Step],
    *,
    device: str,
    upstream: Sequence[str] = (),
    extra: Sequence[object] = (),
) -> str:
    """The key of a phase: 32 hex digits."""
    return digest_of(
        phase, FORMAT, [step_key(step) for step in steps], device, list(upstream), list(extra)
    )


def version_of(distribution: str) -> str:
    """The installed version of a package; "absent" where it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
