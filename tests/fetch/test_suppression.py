"""What is on the suppression list is not asked for, and leaves by that name; opt-outs get on it."""

from pathlib import Path

from pipeline import suppression
from pipeline.phases.fetch import fetch_key
from schemas.store import Store
from tests.fetch.site import allowed, asked_for, site
from tests.gather.web.bad_server import whole
from tests.laws.runs import ROOT, Ran, curate
from transforms.gather.suppressed import Entry


def reasons(ran: Ran) -> dict[str, str]:
    (stream,) = ran.result.streams
    pairs = zip(stream.census.dropped, stream.census.drops, strict=True)
    return {source.provenance: drop.reason for source, drop in pairs}


def test_a_url_and_a_host_on_the_list_are_not_asked(tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    with site() as server:
        talk = f"{server.url}/talk.mp3"
        suppression.add(
            store, [Entry(kind="url", value=talk), Entry(kind="host", value="127.0.0.2")]
        )
        (tmp_path / "urls.txt").write_text(
            f"{talk}\n{server.url}/moved.opus\n"
            f"http://127.0.0.2:{server.port}/alone.opus\n{server.url}/fine.opus\n"
        )
        server.routes["/fine.opus"] = server.routes["/alone.opus"]
        ran = curate(tmp_path / "urls.txt", tmp_path / "out", allowed(server))
        again = curate(tmp_path / "urls.txt", tmp_path / "out", allowed(server), refetch=True)
        paths = asked_for(server)
    wanted = {f"urls.txt:{n}": "suppressed" for n in (1, 2, 3)}
    assert reasons(ran) == reasons(again) == wanted
    assert set(paths) == {"/moved.opus", "/fine.opus"}
    assert not any(host == "127.0.0.2" for _, host, _ in server.asked)


def test_an_opt_out_is_listed_and_heeded_until_a_refetch_finds_it_withdrawn(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path / "out")
    with site() as server:
        (tmp_path / "urls.txt").write_text(f"{server.url}/reserved.mp3\n{server.url}/talk.mp3\n")
        first = curate(tmp_path / "urls.txt", tmp_path / "out", allowed(server))
        assert reasons(first) == {"urls.txt:1": "opt_out"}
        (line,) = suppression.entries(store)
        assert (line.value, line.by, line.lifted) == (
            f"{server.url}/reserved.mp3",
            "opt_out",
            False,
        )
        assert "noai" in line.why
        # known from the list alone, where the frontier was lost
        for entry in store.list(f"fetch/{fetch_key()}"):
            store.delete(entry.name)
        server.routes["/reserved.mp3"] = server.routes["/talk.mp3"]
        again = curate(tmp_path / "urls.txt", tmp_path / "out", allowed(server))
        assert reasons(again) == {"urls.txt:1": "suppressed"}
        assert asked_for(server).count("/reserved.mp3") == 1
        last = curate(tmp_path / "urls.txt", tmp_path / "out", allowed(server), refetch=True)
        assert reasons(last) == {}
        assert [one.lifted for one in suppression.entries(store)] == [False, True]
        server.routes["/reserved.mp3"] = whole(b"", X_Robots_Tag="noai")
        gone = curate(tmp_path / "urls.txt", tmp_path / "out", allowed(server), refetch=True)
        assert reasons(gone) == {"urls.txt:1": "opt_out"}
        assert [one.lifted for one in suppression.entries(store)] == [False, True, False]


def test_local_data_is_suppressed_by_uri_and_by_its_bytes(tmp_path: Path) -> None:
    data = ROOT / "samples"
    whole_run = curate(data / "monologue.opus", tmp_path / "all")
    (recording,) = whole_run.result.streams[0].census.recordings
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("monologue.opus", "podcast.mp3", "music.webm"):
        (folder / name).write_bytes((data / name).read_bytes())
    store = Store(tmp_path / "out")
    suppression.add(store, [Entry(kind="recording", value=recording)])
    suppression.add(store, [Entry(kind="uri", value="music.webm")])
    ran = curate(folder, tmp_path / "out")
    (stream,) = ran.result.streams
    assert {
        s.uri: d.reason for s, d in zip(stream.census.dropped, stream.census.drops, strict=True)
    } == {
        "monologue.opus": "suppressed",
        "music.webm": "suppressed",
    }
    assert [source.uri for source in stream.census.sources] == ["podcast.mp3"]
