"""The data of a study: shards that are there, or raw data made and curated by the product itself.

Curation runs as the command it is, in a process of its own: the trainer knows shards, not
pipelines. What a script makes lies in OUT/data/NAME/made; OUT/curated is shared by all recipes,
so that two recipes over the same data transcribe it once. Both go on where they were stopped: the
script is run again unless it ended, curate skips what it committed.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from schemas.store import StoreError
from trainer.ablation.plan import REFERENCE
from trainer.ablation.study import DataEntry
from trainer.data_settings import DataSettings, SetSettings
from trainer.evaluate import read_set
from trainer.failures import SetupError, TrainingError
from trainer.shard_sets import open_manifest

MADE, CURATED, ENDED = "made", "curated", "made.json"


class Sources:
    """Where the data of a study lie; made on the first use of each."""

    def __init__(
        self,
        data: Mapping[str, DataEntry],
        path: Path,
        out: Path,
        say: Callable[[str], None],
        items: Mapping[str, str] | None = None,
    ) -> None:
        """`items`: folders of evaluation sets by name; `path`: of the file that names all this."""
        self._data, self._items = data, items or {}
        self._near, self._out, self._say = path.parent, out / "data", say
        self._curate_out = (out / CURATED).resolve()

    def make(self) -> None:
        """Make and curate what the study says. Raises `TrainingError` where a command fails."""
        for name, entry in self._data.items():
            if entry.recipe is not None:
                self._made(name, entry)
                self._curated(name, entry)

    def place(self, reference: str) -> str:
        """What `data:NAME` or `data:NAME/path` stands for: shards, or a file that was made."""
        name, slash, below = reference.partition("/")
        entry = self._data[name]
        if entry.shards is not None:
            return f"{entry.shards.rstrip('/')}/{below}" if slash else entry.shards
        if slash:
            return str((self._out / name / MADE / below).resolve())
        pointer = self._curate_out / "runs" / f"{name}.json"
        key = json.loads(pointer.read_text("utf-8"))["compose"]
        return str(self._curate_out / "compose" / str(key))

    def folder(self, text: str) -> Path:
        """The folder of an evaluation set: a reference, or a path from the study's file."""
        if text.startswith(REFERENCE):
            return Path(self.place(text.removeprefix(REFERENCE)))
        return self._near / text

    def facts(self, shards: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Digests of everything that arms read: `shards` as configs name them, and the items."""
        for name in shards:
            own = name.removeprefix(REFERENCE)
            yield f"shards of {own}", shards_digest(name if own == name else self.place(own))
        for name, folder in sorted(self._items.items()):
            yield f"items of {name}", read_set(self.folder(folder), name).digest

    def _made(self, name: str, entry: DataEntry) -> None:
        if entry.make is None:
            return
        script, folder = self._near / entry.make, self._out / name / MADE
        command = [str(script), *entry.options]
        ended = self._out / name / ENDED
        stamp = {"command": [entry.make, *entry.options], "files": _digest_of(script.parent)}
        if ended.is_file() and json.loads(ended.read_text("utf-8")) == stamp:
            return
        self._say(f"making data {name}: {entry.make} {' '.join(entry.options)}")
        folder.mkdir(parents=True, exist_ok=True)
        _run([sys.executable, command[0], str(folder), *command[1:]], f"data {name}: {entry.make}")
        ended.write_text(json.dumps(stamp), "utf-8")

    def _curated(self, name: str, entry: DataEntry) -> None:
        assert entry.data is not None and entry.recipe is not None
        made = entry.make is not None
        data = self._out / name / MADE / entry.data if made else self._near / entry.data
        recipe = self._near / entry.recipe
        self._say(f"curating data {name} by {entry.recipe}")
        command = [sys.executable, "-m", "pipeline", "curate", "--data", str(data)]
        command += ["--recipe", str(recipe), "--out", str(self._curate_out)]
        command += ["--set", f"name={name}"]  # one pointer for each entry of the study's data
        _run(command, f"data {name}: curate")


def told(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)


def shards_digest(address: str) -> str:
    """Of the shards that a manifest names, wherever they lie. Raises `SetupError`."""
    one = SetSettings(shards=address)
    try:
        _, manifest = open_manifest(one, DataSettings(sets={"one": one}))
    except (OSError, ValueError, StoreError) as error:
        raise SetupError(f"shards {address}: {error}") from error
    shards = sorted((entry.name, entry.sha256) for entry in manifest.shards)
    return hashlib.sha256(json.dumps(shards).encode()).hexdigest()


def _digest_of(folder: Path) -> str:
    """Of the Python files of a script's folder: another script makes other data."""
    found = hashlib.sha256()
    for path in sorted(folder.glob("*.py")):
        found.update(path.name.encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def _run(command: list[str], what: str) -> None:
    """A command whose output is shown only where it fails."""
    environment: Mapping[str, str] = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        tail = done.stdout.decode("utf-8", "replace").strip().splitlines()[-12:]
        raise TrainingError(f"{what} failed with exit code {done.returncode}:\n" + "\n".join(tail))
