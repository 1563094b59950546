"""What goes into an image is written down by a tool made for it: CycloneDX, from the pins."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    path = tmp_path_factory.mktemp("sbom") / "sbom.json"
    subprocess.run([sys.executable, "-m", "containers.sbom", str(path)], cwd=ROOT, check=True)
    found: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_every_installed_package_is_named_with_its_version(bill: dict[str, object]) -> None:
    assert bill["bomFormat"] == "CycloneDX"
    parts = {one["name"].lower(): one["version"] for one in bill["components"]}  # type: ignore[attr-defined]
    for pin in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        name, _, version = pin.partition("==")
        if name in ("apache-beam", "obstore", "pyarrow", "torch", "pydantic"):
            assert parts[name] == version


def test_nearly_all_say_their_licence(bill: dict[str, object]) -> None:
    parts = bill["components"]
    silent = [one["name"] for one in parts if not one.get("licenses")]  # type: ignore[attr-defined]
    assert len(silent) < 0.05 * len(parts), silent  # type: ignore[arg-type]
