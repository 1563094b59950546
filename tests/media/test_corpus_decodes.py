"""Real files: every one of the corpus decodes to the length its manifest states."""

import json
from pathlib import Path

import pytest

from transforms.door import Door, MediaError
from transforms.spool import FileSpool


@pytest.mark.corpus
def test_every_file_decodes_to_its_length(door: Door, corpus: Path, tmp_path: Path) -> None:
    """NIST SPHERE is not allowed. Opus is always decoded at 48 kHz, whatever it was made from."""
    refused: dict[str, str] = {}
    decoded = 0
    for line in (corpus / "manifest.jsonl").read_text().splitlines():
        stated = json.loads(line)
        path = corpus / stated["audio"]
        with FileSpool(tmp_path, 16000, 1 << 30) as spool:
            try:
                found = door.decode(path, 16000, "mix", spool)
            except MediaError as error:
                refused[path.suffix] = error.code
                continue
            claims = door.probe(path)
        decoded += 1
        assert abs(found.seconds - stated["duration_s"]) < 0.05, path.name
        assert abs(claims.seconds - stated["duration_s"]) < 0.1, path.name
        assert found.source_channels == stated["channels"], path.name
        assert not found.partial, path.name
        if found.codec != "opus":
            assert found.source_rate == stated["sample_rate"], path.name
    assert refused == {".sph": "format_not_allowed"}
    assert decoded == 463
    assert door.restarts == 0
