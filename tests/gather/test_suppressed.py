"""The suppression list: what it names, and nothing else; two writers lose no line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.suppression import FOLDER, add, entries, suppressed
from schemas.records import Source, source_id
from schemas.store import Store, StoreError
from transforms.gather.suppressed import Entry, Suppressed


def host(name: str) -> Suppressed:
    return Suppressed.of([Entry(kind="host", value=name)])


def source(uri: str, feed: str | None = None) -> Source:
    return Source(id=source_id(uri, "x:1"), uri=uri, provenance="x:1", feed=feed)


@pytest.mark.parametrize(
    ("url", "is_named"),
    [
        ("https://pods.example/a.mp3", True),
        ("http://cdn.pods.example:8080/a.mp3", True),
        ("https://pods.example.org/a.mp3", False),
        ("https://mypods.example/a.mp3", False),
        ("https://other.example/pods.example/a.mp3", False),
        ("pods.example/a.mp3", False),  # a path of local DATA
    ],
)
def test_a_host_names_all_below_it_and_nothing_beside_it(url: str, is_named: bool) -> None:
    assert host("pods.example").url(url) == is_named


def test_addresses_are_hosts() -> None:
    assert host("::1").url("http://[::1]:80/a")
    assert host("127.0.0.1").url("http://127.0.0.1:80/a")
    assert not host("0.1").url("http://127.0.0.2:80/a")


def test_a_source_is_named_by_itself_and_by_its_feed() -> None:
    one = source("https://cdn.example/a.mp3", "https://pods.example/feed.xml")
    assert host("pods.example").source(one) and host("cdn.example").source(one)
    assert Suppressed.of([Entry(kind="source", value=one.id)]).source(one)
    assert Suppressed.of([Entry(kind="uri", value="a/b.wav")]).source(source("a/b.wav"))
    assert not Suppressed.of([Entry(kind="uri", value="b.wav")]).source(source("a/b.wav"))
    assert not host("third.example").source(one)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=20))
def test_the_last_line_about_one_thing_stands(lines: list[tuple[str, bool]]) -> None:
    told = [Entry(kind="url", value=v, by="opt_out", lifted=lifted) for v, lifted in lines]
    last = dict(lines)
    assert Suppressed.of(told).opted == {v for v, lifted in last.items() if not lifted}


def test_what_a_user_asked_for_is_not_lifted_by_an_owner_who_opts_in() -> None:
    url = "https://pods.example/a.mp3"
    told = [Entry(kind="url", value=url), Entry(kind="url", value=url, by="opt_out", lifted=True)]
    assert Suppressed.of(told).url(url)


def test_lines_are_appended_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one, two = (Entry(kind="host", value=v) for v in ("a.example", "b.example"))
    assert add(store, [one]) == 1
    assert add(store, [one, two, two]) == 1
    assert add(store, [one]) == 0
    assert entries(store) == [one, two]
    assert len(list((tmp_path / FOLDER).iterdir())) == 2
    assert suppressed(store).host("b.example")


def test_a_line_that_is_none_is_an_error_and_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "000000.jsonl").write_text('{"kind": "hosts", "value": "a.example"}\n')
    with pytest.raises(StoreError, match=r"000000\.jsonl:1 is no line"):
        suppressed(Store(tmp_path))
