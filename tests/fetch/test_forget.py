"""What is forgotten is never composed again; purged, nothing of it is left, and the rest is as it
would be had it never been there."""

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline import purge as purging
from pipeline import suppression
from pipeline.__main__ import main
from schemas.store import Store
from tests.commands.made import write_data
from tests.fetch.site import allowed, site
from tests.laws.runs import Ran, curate
from transforms.gather.found import DataError
from transforms.gather.suppressed import Entry

WORDS = "recording 1 has"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Ran]:
    """A run over three recordings with text, in parts that hold several."""
    folder = tmp_path_factory.mktemp("forget")
    data = write_data(folder / "data")
    return data, folder / "out", curate(data, folder / "out", part_seconds=600.0)


@pytest.fixture
def mine(local: tuple[Path, Path, Ran], tmp_path: Path) -> tuple[Path, Path, Ran]:
    shutil.copytree(local[1], tmp_path / "out")
    return local[0], tmp_path / "out", local[2]


def forget(what: str, out: Path, *more: str) -> int:
    return main(["forget", what, "--out", str(out), *more])


def recording_of(ran: Ran, uri: str) -> str:
    census = ran.result.streams[0].census
    return next(census.holds[one.id] for one in census.sources if one.uri == uri)


def holding(out: Path, *needles: bytes) -> list[str]:
    """Files that hold one of some bytes, packed Parquet columns unpacked."""
    found = []
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if not path.is_file() or name.startswith(("suppressed/", "logs/")):
            continue
        data = path.read_bytes()
        if path.suffix == ".parquet":
            data = str(
                pq.ParquetFile(io.BytesIO(data)).read(use_threads=False).to_pylist()
            ).encode()
        if any(needle in data or needle in name.encode() for needle in needles):
            found.append(name)
    return found


def never_had(data: Path, out: Path, entries: list[Entry]) -> Ran:
    suppression.add(Store(out), entries)
    return curate(data, out, part_seconds=600.0)


def test_it_says_what_it_would_touch_and_does_nothing_before_it_may(
    mine: tuple[Path, Path, Ran], capsys: pytest.CaptureFixture[str]
) -> None:
    _, out, ran = mine
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    name = recording_of(ran, "a/s1.wav")
    assert forget(name, out, "--purge") == 0
    said = capsys.readouterr().out
    assert f"recording {name}" in said and "1 recordings" in said and "--yes" in said
    assert "1 tasks, 2 clips" in said
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("by", ["recording", "path", "clip"])
def test_a_purge_leaves_nothing_and_all_else_as_if_it_had_never_been(
    by: str,
    mine: tuple[Path, Path, Ran],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, out, ran = mine
    name = recording_of(ran, "a/s1.wav")
    clip = next(
        row["row"]["id"]
        for commit in purging._commits(Store(out), "annotate")
        for row in purging._rows(Store(out), commit)
        if row["row"] is not None and row["row"]["recording"] == name
    )
    needles = (name.encode(), clip.encode(), WORDS.encode())
    assert len(holding(out, *needles)) > 6
    what = {"recording": name, "path": "a/s1.wav", "clip": clip}[by]
    assert forget(what, out, "--yes", "--purge") == 0
    said = capsys.readouterr().out
    assert "hear/" in said and "compose/" in said
    assert holding(out, *needles) == []
    assert main(["validate", str(out)]) == 0
    again = curate(data, out, part_seconds=600.0)
    # the others are not heard, transcribed or measured again
    assert set(again.phases()) <= {"gather", "select", "arrange", "compose"}
    pairs = zip(
        *(getattr(again.result.streams[0].census, n) for n in ("dropped", "drops")), strict=True
    )
    assert ("a/s1.wav", "suppressed") in {(source.uri, drop.reason) for source, drop in pairs}
    fresh = never_had(data, tmp_path / "fresh", suppression.entries(Store(out)))
    assert again.digests == fresh.digests
    assert main(["validate", str(out)]) == 0
    without = tmp_path / "without"
    shutil.copytree(data.parent, without)
    table = without / data.name
    lines = [line for line in table.read_text().splitlines() if "a/s1.wav" not in line]
    table.write_text("\n".join(lines) + "\n")
    bare = curate(table, tmp_path / "bare", part_seconds=600.0)
    tars = {n: d for n, d in again.digests.items() if n != "manifest.json"}
    assert tars == {n: d for n, d in bare.digests.items() if n != "manifest.json"}


def test_a_purge_that_is_killed_anywhere_goes_on_by_the_same_command(
    mine: tuple[Path, Path, Ran], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every write or removal of a purge is made the last one before a kill, one after the other."""
    data, out, ran = mine
    name = recording_of(ran, "a/s1.wav")
    left = {"n": 0}
    names = ("put_if_absent", "take", "replace", "delete")
    real = {one: getattr(Store, one) for one in names}

    class Killed(BaseException):
        pass

    def limited(one: str) -> Callable[..., object]:
        def call(self: Store, *given: object) -> object:
            if left["n"] <= 0:
                raise Killed
            left["n"] -= 1
            return real[one](self, *given)

        return call

    kills = 0
    for one in names:
        monkeypatch.setattr(Store, one, limited(one))
    for _ in range(60):
        left["n"] = 3
        try:
            forget(name, out, "--yes", "--purge")
        except Killed:
            kills += 1
            continue
        break
    else:  # it needs more at once than it may: let it end
        left["n"] = 10_000
        assert forget(name, out, "--yes", "--purge") == 0
    for one in names:
        monkeypatch.setattr(Store, one, real[one])
    assert kills >= 3
    assert holding(out, name.encode(), WORDS.encode()) == []
    assert not [path for path in out.glob("purge/**/*") if path.is_file()]
    again = curate(data, out, part_seconds=600.0)
    fresh = never_had(data, tmp_path / "fresh", suppression.entries(Store(out)))
    assert again.digests == fresh.digests


def test_a_host_is_forgotten_with_its_feed_its_audio_and_its_transcripts(tmp_path: Path) -> None:
    with site() as server:
        data, out = f"{server.url}/feed.xml", tmp_path / "out"
        ran = curate(data, out, allowed(server))
        talk = recording_of(ran, f"{server.url}/talk.mp3")
        assert forget(f"{server.url}/talk.mp3", out, "--yes", "--purge") == 0
        assert not (out / purging.body_name(purging.fetch_key(), talk)).exists()
        bodies = [path.read_bytes() for path in out.glob("fetch/*/bodies/*/*")]
        assert not any(b"words that were published" in body for body in bodies)
        asked = len(server.asked)
        again = curate(data, out, allowed(server))
        paths = [path for _, _, path in server.asked[asked:]]
        assert "/talk.mp3" not in paths and "/alone.opus" not in paths
        census = again.result.streams[0].census
        assert talk not in census.recordings and len(census.recordings) == 1
        assert main(["validate", str(out)]) == 0
        assert forget("127.0.0.2", out, "--yes", "--purge") == 0
        # what was moved to that host came from there, under whatever name
        (alone,) = census.recordings
        assert not (out / purging.body_name(purging.fetch_key(), alone)).exists()
        assert holding(out, alone.encode()) == []
        with pytest.raises(DataError, match="3 suppressed"):
            curate(data, out, allowed(server))


@pytest.mark.parametrize("what", ["ab", "no such file.wav", "a..b"])
def test_what_is_not_known_and_no_host_is_an_error(
    what: str, mine: tuple[Path, Path, Ran], capsys: pytest.CaptureFixture[str]
) -> None:
    assert forget(what, mine[1]) == 2
    assert "nothing of that name is known" in capsys.readouterr().err
