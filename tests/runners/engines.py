"""Engines for tests: where they are, how to get them, and why there is none.

`python -m tests.runners.engines` (`make engines`) gets what can be had into a cache outside the
repository and says what cannot: Prism by `go install`, Flink by pip (the package
apache-flink-libraries holds a whole distribution), Beam's Flink job server by Maven. Tests never
fetch; they skip with the reason.
"""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

BEAM = "2.77.0"
FLINK = "2.2.1"
PRISM = f"github.com/apache/beam/sdks/v2/go/cmd/prism@v{BEAM}"
JOB_SERVER = f"org.apache.beam:beam-runners-flink-2.2-job-server:{BEAM}"


def cache() -> Path:
    """The folder that engines are kept in."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "speechloom" / "engines"


def prism() -> Path | None:
    """The binary of Beam's portable runner for one machine."""
    kept = cache() / f"prism-{BEAM}" / "prism"
    found = shutil.which("prism")
    return kept if kept.exists() else Path(found) if found else None


def flink() -> Path | None:
    """The folder with the `lib/` of a Flink distribution."""
    kept = cache() / f"flink-{FLINK}" / "pyflink"
    return kept if (kept / "lib").is_dir() else None


def job_server() -> Path | None:
    """The jar that translates Beam's graphs for Flink."""
    _, artifact, version = JOB_SERVER.split(":")
    kept = cache() / f"{artifact}-{version}.jar"
    return kept if kept.exists() else None


def _get_prism() -> str:
    if prism() is not None:
        return "prism: here"
    if shutil.which("go") is None:
        return "prism: no, `go` is not installed"
    folder = cache() / f"prism-{BEAM}"
    folder.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "GOBIN": str(folder)}
    return _tried("prism", ["go", "install", PRISM], env)


def _get_flink() -> str:
    if flink() is not None:
        return "flink: here"
    folder = cache() / f"flink-{FLINK}"
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder)]
    said = _tried("flink", [*command, f"apache-flink-libraries=={FLINK}"])
    for wheel in folder.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder, [n for n in archive.namelist() if n.startswith("pyflink/")])
        wheel.unlink()
    return said


def _get_job_server() -> str:
    if job_server() is not None:
        return "flink job server: here"
    if shutil.which("mvn") is None:
        return "flink job server: no, `mvn` is not installed"
    command = ["mvn", "-q", "-B", "dependency:copy", f"-Dartifact={JOB_SERVER}"]
    return _tried("flink job server", [*command, f"-DoutputDirectory={cache()}"])


def _tried(name: str, command: list[str], env: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=600, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{name}: no, {type(error).__name__}"
    if done.returncode == 0:
        return f"{name}: fetched"
    lines = (done.stdout + done.stderr).strip().splitlines()
    said = next((line for line in lines if "ERROR" in line or "not" in line), "no reason given")
    return f"{name}: no, {said[:300]}"


def main() -> None:
    cache().mkdir(parents=True, exist_ok=True)
    for get in (_get_prism, _get_flink, _get_job_server):
        print(get(), flush=True)


if __name__ == "__main__":
    main()
