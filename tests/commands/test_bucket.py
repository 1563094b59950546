"""Commands over an OUT in a bucket say and do what they say and do over a folder.

The folder is copied into the bucket as it is; then each command is called on both, and what it
prints and what it leaves are compared.
"""

import dataclasses
import hashlib
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.pointers import read_pointers
from schemas.store import Store
from tests.commands.made import Made
from tests.s3_server import BUCKET, s3_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(100)]

_numbers = itertools.count()


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_server() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield f"s3://{BUCKET}"


@dataclasses.dataclass(frozen=True)
class Twin:
    """One OUT in two places."""

    here: Store
    there: Store
    capture: pytest.CaptureFixture[str]

    def said(self, code: int, *arguments: str) -> str:
        """What a command prints over both, OUT as `OUT`, which must be the same."""
        found = []
        for store in (self.here, self.there):
            given = [one.replace("OUT", store.url) for one in arguments]
            assert main(given) == code, self.capture.readouterr()
            said = self.capture.readouterr()
            found.append((said.out + said.err).replace(store.url, "OUT"))
        assert found[0] == found[1]
        return found[0]

    def left(self) -> set[str]:
        """The names in OUT, where both hold the same bytes but for what says when."""
        names, others = ({e.name for e in one.list("")} for one in (self.here, self.there))
        assert names == others
        for name in names:
            if not {"locks", "suppressed"} & set(name.split("/")):
                here, there = (self.here.get(name), self.there.get(name))
                assert here == there, name
        return names

    def digest(self) -> str:
        """Of all that lies in the bucket."""
        lines = [f"{e.name} {hashlib.sha256(self.there.get(e.name)).hexdigest()}"
                 for e in self.there.list("")]  # fmt: skip
        return "\n".join(lines)


@pytest.fixture
def twin(bucket: str, grown: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Twin:
    """Runs of two recipes, one of which ran before with another filter."""
    shutil.copytree(grown.out, tmp_path / "out")
    found = Twin(Store(tmp_path / "out"), Store(f"{bucket}/out{next(_numbers)}"), capsys)
    for entry in found.here.list(""):
        found.there.put_if_absent(entry.name, found.here.get(entry.name))
    return found


def test_validate_reads_an_out_a_folder_and_a_manifest(twin: Twin) -> None:
    folder = f"compose/{read_pointers(twin.there)[0].compose}"
    assert twin.said(0, "validate", "OUT").count("fine") == 2
    assert "fine" in twin.said(0, "validate", f"OUT/{folder}", "--quick")
    assert "fine" in twin.said(0, "validate", f"OUT/{folder}/manifest.json", "--quick")
    tars = [e.name for e in twin.here.list(folder) if e.name.endswith(".tar")]
    for store in (twin.here, twin.there):
        data = bytearray(store.get(tars[0]))
        data[600] ^= 0xFF  # inside the first FLAC
        store.replace(tars[0], bytes(data))
        store.delete(tars[0].replace(".tar", ".parquet"))
        store.replace(f"{folder}/stale.tar", b"")
    said = twin.said(1, "validate", f"OUT/{folder}")
    assert {"extra", "missing", "altered"} <= {
        line.split(": ")[1] for line in said.splitlines()[1:]
    }
    for store in (twin.here, twin.there):
        store.delete(tars[0])
    assert "missing: the manifest names this shard" in twin.said(1, "validate", f"OUT/{folder}")
    assert "missing: there is no such file" in twin.said(1, "validate", "OUT/hear")


def test_explain_and_diff_read_a_bucket(twin: Twin) -> None:
    told = twin.said(0, "explain", "a/s1.wav", "--out", "OUT", "--all")
    assert "in document" in told and "compose" in told
    assert "not_audio" in twin.said(0, "explain", "a/notes.txt", "--out", "OUT")
    assert "nothing in OUT" in twin.said(2, "explain", "zz/none.wav", "--out", "OUT")
    differ = twin.said(0, "diff", "fast", "other", "--out", "OUT")
    assert "hours" in differ
    named = ("diff", "OUT/runs/fast.json", "OUT/runs/other.json")
    assert twin.said(0, *named, "--out", "nowhere") == differ
    runs = sorted(read_pointers(twin.there), key=lambda one: one.name)
    ledgers = [f"OUT/report/{one.compose}/verdicts.parquet" for one in runs]
    assert twin.said(0, "diff", *ledgers, "--out", "nowhere") == differ
    assert "2 recipes" in twin.said(2, "diff", "OUT", "fast", "--out", "OUT")


def test_gc_removes_the_same(twin: Twin) -> None:
    before = twin.digest()
    would = twin.said(0, "gc", "--out", "OUT", "--dry-run")
    assert twin.digest() == before and "would remove" in would
    names = twin.left()
    did = twin.said(0, "gc", "--out", "OUT")
    assert did == would.replace("would remove", "removed")
    assert twin.left() < names
    twin.said(0, "gc", "--out", "OUT", "--forget", "other")
    assert "fine" in twin.said(0, "validate", "OUT", "--quick")
    assert [one.name for one in read_pointers(twin.there)] == ["fast"]
    twin.left()


def test_retry_forgets_the_same(twin: Twin) -> None:
    assert "decode:" in twin.said(0, "retry", "--dead", "--out", "OUT")
    assert "forgot" in twin.said(0, "retry", "--dead", "all", "--out", "OUT")
    assert "no dead letters" in twin.said(0, "retry", "--dead", "--out", "OUT")
    twin.left()


def test_forget_purges_the_same(twin: Twin) -> None:
    forget = ("forget", "a/s1.wav", "--out", "OUT", "--purge")
    before = twin.digest()
    assert "nothing was done" in twin.said(0, *forget)
    assert twin.digest() == before
    assert "purged" in twin.said(0, *forget, "--yes")
    names = twin.left()
    assert not [name for name in names if name.startswith("purge/")]
    assert "fine" in twin.said(0, "validate", "OUT")
