"""OUT in a bucket, and DATA too: no disk is shared, and the bytes are those of a local OUT.

The bucket is moto's server (tests/s3_server.py). A proxy before it can be cut.
"""

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest

from schemas.store import Store
from tests.cut_way import Cut
from tests.laws import runs
from tests.laws.runs import Ran
from tests.s3_server import BUCKET, s3_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cut]:
    with s3_server() as environment:
        way = Cut(int(environment["AWS_ENDPOINT_URL"].rpartition(":")[2]))
        environment["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{way.port}"
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield way
        way.close()


def fetched(out: str, key: str, folder: Path) -> dict[str, str]:
    """The digests of a composition in a bucket."""
    store = Store(out)
    for entry in store.list(f"compose/{key}"):
        path = folder / entry.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(store.get(entry.name))
    return runs.shard_digests(folder, key)


def run(data: str, out: str, *more: str) -> "subprocess.Popen[str]":
    command = runs.command(data, Path("unused"), *more)
    command[command.index("unused")] = out
    return subprocess.Popen(
        command,
        cwd=runs.ROOT,
        env=dict(os.environ, PYTHONPATH=str(runs.ROOT)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: "subprocess.Popen[str]") -> None:
    _, said = process.communicate(timeout=110)
    assert process.returncode == 0, said


def composition(out: str) -> str:
    (name,) = {e.name.split("/")[1] for e in Store(out).list("compose") if "manifest" in e.name}
    return name


def test_a_bucket_holds_the_same_bytes_though_the_way_to_it_is_cut(
    corpus: Path, undisturbed: Ran, bucket: Cut, tmp_path: Path
) -> None:
    out = f"s3://{BUCKET}/out"
    process = run(str(corpus), out)
    while process.poll() is None:
        with contextlib.suppress(Exception):  # the way may be cut for us as well
            if Store(out).list("hear"):
                break
        time.sleep(0.1)
    bucket.cut(2.0)
    time.sleep(1.0)
    bucket.cut(1.0)
    finished(process)
    assert fetched(out, composition(out), tmp_path / "copy") == undisturbed.digests


def test_data_in_a_bucket_are_read_from_out_alone(
    corpus: Path, bucket: Cut, tmp_path: Path
) -> None:
    """What hear opens is a copy of an object in OUT: so another machine could open it."""
    names = sorted(path.name for path in corpus.parent.glob("talk*.wav"))[:4]
    assert len(names) == 4
    place: Any = obstore.store.from_url(f"s3://{BUCKET}/data")
    (tmp_path / "data").mkdir()
    for name in names:
        obstore.put(place, name, (corpus.parent / name).read_bytes())
        shutil.copy(corpus.parent / name, tmp_path / "data")
    data, out = f"s3://{BUCKET}/data/", f"s3://{BUCKET}/out"
    finished(run(data, out))
    finished(run(data, str(tmp_path / "local")))
    stored = [
        {entry.name for entry in Store(place).list("hear") if entry.name.endswith(".tar")}
        for place in (out, tmp_path / "local")
    ]
    assert stored[0] == stored[1] and stored[0]  # tars are named by their bytes
