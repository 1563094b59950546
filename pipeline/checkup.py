"""What `doctor` looks at: is there everything on this machine that a run needs?

Each check is a line with a state, what was found, and, where it is not well, what to do. Packages
are imported in child processes, because a broken one may end the process that imports it. Nothing
is written but one temporary file in the scratch folder.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

from pipeline import device
from pipeline.keys import version_of
from schemas.store import Store, StoreError

State = Literal["ok", "note", "FAIL"]
SETUP = "run `make setup`; if it stays, `make clean` and `make setup`"
WORKER_BYTES = 1_200_000_000  # one worker of the offline recipe, by `pipeline.costs`
DISK_BYTES = 2_000_000_000  # less is soon full: an hour of audio takes about 0.2 GB here and there
OPEN_FILES = 1024  # a part holds one file per recording
IMPORT_SECONDS = 60.0

# Imported in this order, those that share most first; two chains run side by side.
CHAINS = (
    ("numpy", "scipy", "torch", "torchaudio", "onnxruntime", "fasttext", "pocketsphinx"),
    (
        *("pyarrow", "pydantic", "ruamel.yaml", "obstore", "av", "soundfile", "soxr"),
        *("pyloudnorm", "threadpoolctl", "apache_beam"),
    ),
)
# Of which no code is imported: silero-vad lends its model's file, and would import torch.
NOT_IMPORTED = frozenset({"silero-vad"})
MODULES = {"markdown-it-py": "markdown_it", "text2num": "text_to_num"}  # named otherwise

# Digests of the models that this version was measured with.
MODELS = {
    "silero": "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85",
    "resemblyzer": "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
    "lid.176": "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the report."""

    name: str
    state: State
    found: str
    fix: str = ""


def checkup(out: str, scratch: str | None) -> Iterator[Check]:
    """All checks, in the order in which they should be mended."""
    chains = import_chains()
    children = [_start(modules) for modules in chains]
    yield from _python()
    yield from _packages()
    for modules, child in zip(chains, children, strict=True):
        yield from _imports(modules, child)
    yield _fasttext()
    yield _torch_pair()
    yield from _models()
    yield from _machine()
    yield _disk("OUT", out)
    yield _disk("scratch", scratch or tempfile.gettempdir())
    yield _open_files()
    yield _clock(scratch)
    yield from _optional()


# Packages.


def _project() -> tuple[str, list[str]]:
    """Requires-Python and requirements, from pyproject.toml or from the installed package."""
    path = Path(__file__).parents[1] / "pyproject.toml"
    if path.is_file():
        project = tomllib.loads(path.read_text(encoding="utf-8"))["project"]
        return project["requires-python"], list(project["dependencies"])
    found = importlib.metadata.metadata("speechloom")
    asked = importlib.metadata.requires("speechloom") or []
    return found["Requires-Python"], [line for line in asked if "extra ==" not in line]


def import_chains() -> tuple[tuple[str, ...], ...]:
    """The modules of all required packages; one that `CHAINS` does not name goes by its name."""
    from packaging.requirements import Requirement

    known = {module for chain in CHAINS for module in chain}
    asked = [Requirement(line).name for line in _project()[1]]
    others = [
        MODULES.get(name, name.replace("-", "_"))
        for name in asked
        if name not in NOT_IMPORTED | known
    ]
    return (CHAINS[0], (*CHAINS[1], *sorted(set(others) - known)))


def _python() -> Iterator[Check]:
    from packaging.specifiers import SpecifierSet

    wanted = _project()[0]
    version = platform.python_version()
    good = SpecifierSet(wanted).contains(version, prereleases=True)
    yield Check(
        name="python",
        state="ok" if good else "FAIL",
        found=f"{version} ({sys.executable})",
        fix="" if good else f"needs {wanted}: make clean, then make PYTHON=python3.11 setup",
    )
    yield Check(name="device class", state="ok", found=device.device_class())


def _packages() -> Iterator[Check]:
    from packaging.requirements import Requirement

    for line in _project()[1]:
        asked = Requirement(line)
        version = version_of(asked.name)
        good = version != "absent" and asked.specifier.contains(version, prereleases=True)
        yield Check(
            name=asked.name,
            state="ok" if good else "FAIL",
            found=version,
            fix="" if good else f"needs {asked.name}{asked.specifier}: {SETUP}",
        )


_IMPORT = """
import importlib, sys
for name in sys.argv[1:]:
    print("begin", name, flush=True)
    try:
        importlib.import_module(name)
    except Exception as error:
        said = str(error).split(chr(10))[0]
        print("failed", name, type(error).__name__ + ": " + said, flush=True)
    else:
        print("done", name, flush=True)
"""


def _start(modules: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _IMPORT, *modules],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, **device.pins()},
    )


def _imports(modules: Sequence[str], child: subprocess.Popen[str]) -> Iterator[Check]:
    """What a child said of its imports; where it died, the rest goes to another child."""
    try:
        said, _ = child.communicate(timeout=IMPORT_SECONDS)
        how = f"ended the process (exit code {child.returncode})"
    except subprocess.TimeoutExpired:
        child.kill()
        said, _ = child.communicate()
        how = f"did not finish in {IMPORT_SECONDS:.0f} s"
    lines = [line.split(" ", 2) for line in said.splitlines()]
    done = [line[1] for line in lines if line[0] == "done"]
    failed = {line[1]: line[2] for line in lines if line[0] == "failed"}
    begun = [line[1] for line in lines if line[0] == "begin"]
    for name in begun:
        if name not in done:
            why = failed.get(name, how)
            yield Check(name=f"import {name}", state="FAIL", found=why, fix=SETUP)
    if done:
        yield Check(name="imports", state="ok", found=" ".join(done))
    left = modules[len(begun) :]
    if left and begun:
        yield from _imports(left, _start(left))
    elif left:
        yield Check(
            name="imports", state="FAIL", found=f"no child process starts: {how}", fix=SETUP
        )


def _fasttext() -> Check:
    """fasttext-predict installs a module of the same name, which lacks what we call."""
    owner = version_of("fasttext-predict")
    if owner != "absent":
        return Check(
            name="fasttext",
            state="FAIL",
            found=f"shadowed by fasttext-predict {owner}",
            fix="pip uninstall fasttext-predict; pip install --force-reinstall --no-deps fasttext",
        )
    return Check(name="fasttext", state="ok", found="not shadowed by fasttext-predict")


def _torch_pair() -> Check:
    torch, audio = version_of("torch"), version_of("torchaudio")
    pair = [version.split("+")[0].split(".")[:2] for version in (torch, audio)]
    good = pair[0] == pair[1]
    return Check(
        name="torch pair",
        state="ok" if good else "FAIL",
        found=f"torch {torch}, torchaudio {audio}",
        fix="" if good else f"the two must be of one release: {SETUP}",
    )


# Models.


def _models() -> Iterator[Check]:
    from transforms.engines import language, vad, voice

    files: dict[str, Callable[[], Path]] = {
        "silero": vad.Silero.model_path,
        "resemblyzer": voice.weights_path,
        "lid.176": language._model_file,
    }
    for name, find in files.items():
        try:
            path = find()
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
        except (RuntimeError, ImportError, OSError) as error:
            first = str(error).split("\n", 1)[0]
            yield Check(name=f"model {name}", state="FAIL", found="missing", fix=first)
            continue
        known = MODELS[name] == digest
        yield Check(
            name=f"model {name}",
            state="ok" if known else "note",
            found=f"{path.name}, {path.stat().st_size / 1e6:.1f} MB, sha256 {digest}",
            fix="" if known else "another file than this version was measured with",
        )
    yield _pocketsphinx()


def _pocketsphinx() -> Check:
    distribution = version_of("pocketsphinx")
    files = importlib.metadata.files("pocketsphinx") if distribution != "absent" else None
    model = [file for file in files or [] if "/en-us/" in file.as_posix()]
    here = bool(model) and all(Path(str(file.locate())).is_file() for file in model)
    return Check(
        name="model pocketsphinx",
        state="ok" if here else "FAIL",
        found=f"en-us of pocketsphinx {distribution}, {len(model)} files" if here else "missing",
        fix="" if here else SETUP,
    )


# The machine.


def _machine() -> Iterator[Check]:
    cores = len(os.sched_getaffinity(0))
    yield Check(name="cores", state="ok", found=str(cores))
    memory = memory_bytes()
    workers = max(1, memory // WORKER_BYTES)
    state: State = "FAIL" if memory < WORKER_BYTES else "note" if workers < cores else "ok"
    fix = f"enough for {workers} workers of {cores} cores: give curate --workers {workers}"
    if state == "FAIL":
        fix = f"a worker takes {WORKER_BYTES / 1e9:.1f} GB: end other programs, or use less of them"
    yield Check(
        name="memory",
        state=state,
        found=f"{memory / 1e9:.1f} GB available",
        fix="" if state == "ok" else fix,
    )


def memory_bytes() -> int:
    """Memory that is to be had now: of the machine, or of the container where it is bounded."""
    available = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                available = int(line.split()[1]) * 1024
    except OSError:
        pass  # no /proc: all there is
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        try:
            most = Path(limit).read_text(encoding="ascii").strip()
            now = Path(used).read_text(encoding="ascii").strip()
        except OSError:
            continue
        if most.isdigit():
            available = min(available, max(0, int(most) - int(now)))
    return available


def _disk(what: str, place: str) -> Check:
    name = f"disk of {what}"
    try:
        store = Store(place)
        if store.remote:
            store.list("runs")
            return Check(name=name, state="ok", found=f"{place} answers")
        free = store.free() or 0
    except StoreError as error:
        return Check(name=name, state="FAIL", found="cannot be used", fix=str(error))
    folder = Path(store.url)
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        fix = "name another folder" if what == "OUT" else "set TMPDIR, or give --scratch"
        return Check(name=name, state="FAIL", found=f"{folder} cannot be written to", fix=fix)
    good = free >= DISK_BYTES
    return Check(
        name=name,
        state="ok" if good else "FAIL",
        found=f"{free / 1e9:.1f} GB free in {folder}",
        fix="" if good else f"free some: at least {DISK_BYTES / 1e9:.0f} GB; `speechloom gc` may",
    )


def _open_files() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    good = hard == resource.RLIM_INFINITY or hard >= OPEN_FILES
    return Check(
        name="open files",
        state="ok" if good else "FAIL",
        found=f"{soft}, may be raised to {hard}",
        fix="" if good else f"raise the hard limit to {OPEN_FILES}: ulimit -Hn",
    )


def _clock(scratch: str | None) -> Check:
    """Locks and unsettled files compare file times with this clock."""
    try:
        with tempfile.NamedTemporaryFile(prefix="speechloom-", dir=scratch) as file:
            file.write(b"x")
            file.flush()
            apart = abs(os.fstat(file.fileno()).st_mtime - time.time())
    except OSError as error:
        return Check(name="clock", state="FAIL", found=f"no file in scratch: {error}", fix="TMPDIR")
    now = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
    built = Path(__file__).stat().st_mtime
    good = apart < 5 and time.time() > built - 86400
    return Check(
        name="clock",
        state="ok" if good else "FAIL",
        found=f"{now}, {apart:.1f} s from the file system's",
        fix="" if good else "set the clock: changed files are known by their times",
    )


def _optional() -> Iterator[Check]:
    for program, use in (
        ("flite", "speaks text where a recipe asks for it; makes samples/ anew"),
        ("espeak-ng", "makes samples/ anew"),
        ("chromium", "the browser test of the report"),
    ):
        path = shutil.which(program)
        yield Check(
            name=f"({program})",
            state="ok" if path else "note",
            found=path or "not installed",
            fix="" if path else f"not needed to curate; for {use}",
        )


def as_json(checks: Sequence[Check]) -> str:
    return json.dumps([dataclasses.asdict(check) for check in checks], indent=2)
