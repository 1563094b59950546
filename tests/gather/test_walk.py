"""A folder as DATA: every file below it answers once, whatever it is and whatever it is called."""

import json
import os
import shutil
import socket
import tempfile
import unicodedata
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import source_id
from transforms.gather.crawl import Crawl
from transforms.gather.found import DataError, path_of
from transforms.gather.listing import find, root_of

ODD_NAMES = [
    b"new\nline.wav",
    b"-rf.wav",
    b" .wav",
    b"caf\xe9.wav",  # Latin-1
    b"\xff\xfe\x80",
    b"x" * 251 + b".wav",  # 255 bytes, the most a file system takes
    "\u0645\u0648\u062c\u202etxt.wav".encode(),  # right to left, and an override
    b"a/b\\c:d?e#f%00.wav",
    b"...wav",
    b"..%2f..%2fetc%2fpasswd",
    b"\x1b[31mred.wav",
    b"<img onerror=x>.wav",
    b"file:/a.wav",
    b"CON",
]


def test_every_file_is_accounted_for(tmp_path, put, outcome):
    put("a.wav")
    put("deep/er/b.FLAC")
    put("deep/no_suffix")
    put("deep/notes.txt", "hello")
    put("deep/utf16.txt", b"\xff\xfeh\x00i\x00")
    put("deep/list.m3u8", "#EXTM3U\nfile:///etc/passwd\n")
    put("deep/table.csv", "audio\na.wav\n")
    put("page.wav", "<html>")
    put("nothing.wav", b"")
    put(".hidden.wav")
    put(".git/x.wav")
    (tmp_path / "void").mkdir()
    assert outcome(tmp_path) == {
        "a.wav": "",
        "deep/er/b.FLAC": "",
        "deep/no_suffix": "",  # its first bytes say audio
        "deep/notes.txt": "not_audio",
        "deep/utf16.txt": "not_audio",
        "deep/list.m3u8": "not_audio",
        "deep/table.csv": "not_audio",
        "page.wav": "",  # for decode to judge
        "nothing.wav": "empty",
        ".hidden.wav": "hidden",
        ".git": "hidden",
    }
    assert outcome(tmp_path, hidden=True)[".git/x.wav"] == ""
    assert outcome(tmp_path, max_bytes=20)["a.wav"] == "too_large"
    assert outcome(tmp_path, audio_suffixes=[".flac"])["page.wav"] == "not_audio"


def test_order_does_not_depend_on_creation(put, tmp_path):
    for name in ("b/z.wav", "a.wav", "c.wav", "b/a.wav", "B.wav"):
        put(name)
    uris = [item.source.uri for item in find(str(tmp_path), Crawl())]
    assert uris == ["B.wav", "a.wav", "c.wav", "b/a.wav", "b/z.wav"]


def test_a_moved_folder_keeps_its_ids(put, tmp_path):
    put("one/x/ä.wav")
    before = [item.source for item in find(str(tmp_path / "one"), Crawl())]
    (tmp_path / "one").rename(tmp_path / "two")
    after = [item.source for item in find(str(tmp_path / "two") + "/", Crawl())]
    assert before == after
    assert before[0].id == source_id("x/%C3%A4.wav")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names(name, tmp_path, put):
    raw = os.fsencode(name)
    path = put(raw)
    (item,) = find(str(tmp_path), Crawl(hidden=True))
    assert item.drop is None
    assert item.source.uri.isascii() and item.source.uri.isprintable()
    assert urllib.parse.unquote_to_bytes(item.source.uri) == raw
    assert os.fsencode(item.path) == os.fsencode(path)
    assert path_of(root_of(str(tmp_path)), item.source.uri) == item.path


def test_names_that_differ_little_stay_apart(tmp_path, put, outcome):
    for name in ("a.wav", "A.wav", "a.WAV", "a%2Ewav.wav"):
        put(name)
    for form in ("NFC", "NFD"):
        put(unicodedata.normalize(form, "é.wav"))
    assert len(outcome(tmp_path)) == 6


def test_no_regular_file(tmp_path, put, outcome):
    put("a.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    short = Path(tempfile.mkdtemp(dir="/tmp"))  # a socket's path is at most 107 bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(short / "s.wav"))
        (short / "s.wav").rename(tmp_path / "socket.wav")
    short.rmdir()
    (tmp_path / "zero.wav").symlink_to("/dev/zero")
    assert outcome(tmp_path, follow_links=True) == {
        "a.wav": "",
        "pipe.wav": "not_a_file",
        "socket.wav": "not_a_file",
        "zero.wav": "not_a_file",
    }


class TestLinks:
    @pytest.fixture
    def tree(self, tmp_path, put):
        put("data/in/a.wav")
        put("out/secret.wav")
        put("data_next_door/n.wav")  # its path begins as DATA's does
        data = tmp_path / "data"
        (data / "file_in").symlink_to("in/a.wav")
        (data / "folder_in").symlink_to("in")
        (data / "file_out.wav").symlink_to("../out/secret.wav")
        (data / "folder_out").symlink_to("../out")
        (data / "next").symlink_to("../data_next_door/n.wav")
        (data / "in" / "up").symlink_to("..")
        (data / "self.wav").symlink_to("self.wav")
        (data / "broken.wav").symlink_to("gone.wav")
        return data

    def test_links_out_are_named_and_not_followed(self, tree, outcome):
        assert outcome(tree) == {
            "in/a.wav": "",
            "file_in": "",
            "folder_in": "link_repeat",
            "file_out.wav": "link_out",
            "folder_out": "link_out",
            "next": "link_out",
            "in/up": "link_loop",
            "self.wav": "link_loop",
            "broken.wav": "missing",
        }

    def test_links_out_are_followed_on_demand(self, tree, outcome):
        answers = outcome(tree, follow_links=True)
        assert answers["file_out.wav"] == answers["folder_out/secret.wav"] == answers["next"] == ""
        assert answers["in/up"] == answers["self.wav"] == "link_loop"
        assert answers["folder_in"] == "link_repeat"

    def test_a_link_as_data_is_followed(self, tree, tmp_path, outcome):
        (tmp_path / "alias").symlink_to("data")
        assert outcome(tmp_path / "alias") == outcome(tree)

    def test_many_links_do_not_multiply(self, tmp_path, put, outcome):
        """Two links per folder to the next, 24 deep: 2^24 paths to one file."""
        put("data/a.wav")
        put("out/24/deep.wav")
        for depth in range(24):
            folder = tmp_path / "out" / str(depth)
            folder.mkdir()
            for name in ("x", "y"):
                (folder / name).symlink_to(f"../{depth + 1}")
        (tmp_path / "data" / "way").symlink_to("../out/0")
        answers = outcome(tmp_path / "data", follow_links=True)
        assert len(answers) == 2 + 24
        assert sorted(set(answers.values())) == ["", "link_repeat"]

    def test_a_link_to_a_folder_above_data(self, tmp_path, put, outcome):
        put("data/a.wav")
        put("b.wav")
        (tmp_path / "data" / "top").symlink_to("..")
        assert outcome(tmp_path / "data") == {"a.wav": "", "top": "link_loop"}
        assert outcome(tmp_path / "data", follow_links=True)["top"] == "link_loop"


def test_what_cannot_be_read_is_named(nobody, outcome):
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        for name in ("a.wav", "locked/b.wav", "c.bin"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"fLaC")
        folder.chmod(0o755)
        (folder / "c.bin").chmod(0)
        (folder / "locked").chmod(0)
        with nobody():
            assert outcome(folder) == {
                "a.wav": "",
                "locked": "unreadable",
                "c.bin": "unreadable",
            }
            with pytest.raises(DataError, match="cannot be read"):
                find(str(folder / "locked"), Crawl())
    finally:
        (folder / "locked").chmod(0o700)
        shutil.rmtree(folder)


def test_a_folder_too_deep_to_open(tmp_path, outcome, put):
    put("a.wav")
    place = os.open(tmp_path, os.O_RDONLY)
    for _ in range(25):  # 25 * 201 bytes: past the 4096 of a path
        os.mkdir("d" * 200, dir_fd=place)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(place)
    answers = outcome(tmp_path)
    assert sorted(answers.values()) == ["", "missing"]


@pytest.mark.corpus
def test_the_corpus_is_accounted_for(outcome):
    here = Path(__file__).resolve().parents[2]
    corpus = Path(os.environ.get("SPEECHLOOM_CORPUS", here.parent / "shared" / "corpus"))
    if not (corpus / "manifest.jsonl").is_file():
        pytest.skip(f"no corpus at {corpus}")
    lines = (corpus / "manifest.jsonl").read_text("utf-8").splitlines()
    listed = [json.loads(line)["audio"] for line in lines]
    answers = outcome(corpus / "audio")
    found = {f"audio/{urllib.parse.unquote(uri)}" for uri, why in answers.items() if not why}
    assert found == set(listed)
    assert set(answers.values()) == {"", "not_audio"}
    ignored = ["source", "origin", "rttm", "duration_s", "sample_rate", "channels", "kind"]
    ignored += ["note", "text_origin"]
    rows = outcome(corpus / "manifest.jsonl", ignore_columns=ignored)
    assert len(rows) == len(listed) and set(rows.values()) == {""}


class TestErrors:
    @pytest.mark.parametrize(
        ("data", "says"),
        [
            ("", "it is empty"),
            ("  ", "it is empty"),
            ("a\0b", "NUL"),
            ("gone", "does not exist"),
            ("gone/*.wav", "cannot be read"),
            ("empty", "empty folder"),
            ("notes.txt", "neither its suffix"),
            ("pipe.wav", "a folder, pipe"),
            ("s3://bucket/audio", "local disk"),
            ("*.wav/../x", "after a wildcard"),
            ("*.nothing", "nothing matches"),
            ("x" * 5000, "does not exist|too long"),
        ],
    )
    def test_before_work(self, data, says, tmp_path, put, monkeypatch):
        put("notes.txt", "hello")
        (tmp_path / "empty").mkdir()
        os.mkfifo(tmp_path / "pipe.wav")
        monkeypatch.chdir(tmp_path)
        with pytest.raises(DataError, match=says) as caught:
            find(data, Crawl())  # not even asked for the first item
        assert caught.value.fix

    def test_nothing_but_drops(self, tmp_path, put):
        put("notes.txt", "hello")
        put("b.txt", "hello")
        items = find(str(tmp_path), Crawl())
        assert [next(items).source.uri, next(items).source.uri] == ["b.txt", "notes.txt"]
        with pytest.raises(DataError, match=r"2 not_audio, first b\.txt"):
            next(items)

    def test_one_file(self, tmp_path, put):
        path = put("sub/a.wav")
        (item,) = find(str(path), Crawl())
        assert (item.source.uri, item.path) == ("a.wav", str(path))
        assert path_of(root_of(str(path)), "a.wav") == str(path)


class TestGlobs:
    @pytest.fixture
    def tree(self, tmp_path, put):
        for name in ("a.wav", "b.flac", "x/a.wav", "x/y/a.wav", "x/y/c.mp3", "z[1]/a.wav"):
            put(name)
        put("x/.h/a.wav")
        put(".top.wav")
        put("x/notes.txt", "hello")
        return tmp_path

    @pytest.mark.parametrize(
        ("pattern", "found"),
        [
            ("*.wav", {"a.wav"}),
            ("?.flac", {"b.flac"}),
            ("[ab].*", {"a.wav", "b.flac"}),
            ("*/a.wav", {"x/a.wav", "z%5B1%5D/a.wav"}),
            ("**/a.wav", {"a.wav", "x/a.wav", "x/y/a.wav", "z%5B1%5D/a.wav"}),
            ("**/y/**/*.mp3", {"x/y/c.mp3"}),
            ("**/x/**/**/a.wav", {"x/a.wav", "x/y/a.wav"}),
            ("x*", {"x/a.wav", "x/y/a.wav", "x/y/c.mp3", "x/notes.txt", "x/.h"}),
            (".*", {".top.wav"}),
            ("./*.flac", {"b.flac"}),
        ],
    )
    def test_matches(self, pattern, found, tree, outcome):
        assert set(outcome(f"{tree}/{pattern}")) == found

    def test_uris_start_before_the_first_wildcard(self, tree, outcome, monkeypatch):
        assert set(outcome(f"{tree}/x/*/a.wav")) == {"y/a.wav"}
        assert path_of(root_of(f"{tree}/x/*/a.wav"), "y/a.wav") == f"{tree}/x/y/a.wav"
        monkeypatch.chdir(tree)
        assert set(outcome("*.wav")) == {"a.wav"}

    def test_a_name_with_brackets_is_itself(self, tree, outcome):
        assert outcome(tree / "z[1]") == {"a.wav": ""}

    def test_hidden(self, tree, outcome):
        assert set(outcome(f"{tree}/**/*.wav", hidden=True)) >= {".top.wav", "x/.h/a.wav"}

    def test_a_link_to_an_ancestor_ends(self, tree, outcome):
        (tree / "x" / "up").symlink_to("..")
        assert outcome(f"{tree}/**/c.mp3") == {"x/y/c.mp3": "", "x/up": "link_loop"}


_NAME = st.binary(min_size=1, max_size=40).filter(
    lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b"..")
)


@settings(max_examples=40, deadline=None)
@given(names=st.sets(_NAME, min_size=1, max_size=6))
def test_any_names(names):
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            with open(os.path.join(os.fsencode(folder), name), "wb") as stream:
                stream.write(b"fLaC")
        items = list(find(folder, Crawl(hidden=True)))
        assert {urllib.parse.unquote_to_bytes(item.source.uri) for item in items} == names
        assert len({item.source.id for item in items}) == len(names)
        for item in items:
            assert os.path.exists(path_of(folder, item.source.uri))
