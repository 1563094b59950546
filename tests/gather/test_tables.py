"""A table as DATA: rows become sources, mistakes name their line, no row reads a private file."""

import csv
import io
import json
import os
import string
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import source_id
from transforms.gather.crawl import Crawl
from transforms.gather.found import DataError, path_of
from transforms.gather.given import MAX_TEXT
from transforms.gather.listing import find, root_of


def sources(table, **settings):
    items = list(find(str(table), Crawl(**settings)))
    assert all(item.drop is None for item in items)
    return [item.source for item in items]


@pytest.fixture
def refused(put):
    """The error that a table of this content is refused with, before any item is given."""

    def refused(content: str | bytes, name: str = "t.csv", **settings: object) -> DataError:
        put("a.wav")
        table = put(name, content)
        with pytest.raises(DataError) as caught:
            find(str(table), Crawl(**settings))
        assert caught.value.where.startswith(str(table))
        return caught.value

    return refused


FULL = {
    "audio": "a.wav",
    "text": 'Say "hi", then\nleave',
    "speaker": "Ana",
    "licence": "CC0-1.0",
    "language": "pt-BR",
    "channel": 1,
}


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".tsv", ".parquet", ".CSV"])
def test_all_formats_say_the_same(suffix, put, tmp_path):
    put("a.wav")
    put("b.wav")
    rows = [FULL, dict.fromkeys(FULL) | {"audio": "b.wav"}]
    table = tmp_path / f"t{suffix}"
    if suffix == ".jsonl":
        table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), table)
    else:
        with open(table, "w", newline="") as stream:
            writer = csv.DictWriter(stream, FULL, delimiter="\t" if suffix == ".tsv" else ",")
            writer.writeheader()
            writer.writerows(rows)
    first, second = sources(table)
    assert {name: getattr(first, name) for name in FULL if name != "audio"} == {
        name: value for name, value in FULL.items() if name != "audio"
    }
    assert (first.uri, second.uri) == ("a.wav", "b.wav")
    places = {".jsonl": (1, 2), ".parquet": (1, 2)}.get(suffix, (2, 4))  # the text has two lines
    assert (first.provenance, second.provenance) == tuple(f"t{suffix}:{n}" for n in places)
    assert first.id == source_id("a.wav", first.provenance)
    assert second.text is second.speaker is second.licence is second.language is None
    assert second.channel is None


def test_names_of_columns(put):
    put("a.wav")
    for column in ("audio", "path", "uri", "file"):
        (source,) = sources(put("t.csv", f"{column},license,x_note\na.wav,MIT,anything\n"))
        assert (source.uri, source.licence) == ("a.wav", "MIT")
    (source,) = sources(put("t.csv", "audio,id\na.wav,7\n"), ignore_columns=["id"])
    assert source.uri == "a.wav"


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        ("audio,txet\na.wav,b\n", 1, "unknown column 'txet'. Did you mean 'text'"),
        ("audio,sentence\na.wav,b\n", 1, "Did you mean 'text'"),
        ("audio,id\na.wav,b\n", 1, "x_id"),
        ("audio,start,end\na.wav,1,2\n", 1, "never a stretch"),
        ("text\nhello\n", 1, "no column names the files"),
        ("audio,audio\na.wav,a.wav\n", 1, "stands twice"),
        ("audio,path\na.wav,a.wav\n", 1, "mean the same"),
        ("audio,license,licence\na.wav,a,b\n", 1, "mean the same"),
        ("audio;text\na.wav;b\n", 1, "divided by ';'"),
        ("audio,text\na.wav,b\na.wav\n", 3, "1 cells in a table of 2 columns"),
        ("audio,text\na.wav,b,c\n", 2, "3 cells"),
        ('audio,text\n\na.wav,"b" c\n', 3, "cannot be read"),
        ('audio,text\na.wav,"b', 2, "cannot be read"),
        ("audio,text\na.wav,b\n,c\n", 3, "column 'audio' is empty"),
        ("audio,channel\na.wav,left\n", 2, "not a whole number"),
        ("audio,channel\na.wav,-1\n", 2, "not a whole number"),
        ("audio,channel\na.wav,256\n", 2, "not a whole number"),
        ("audio,channel\na.wav,\u0661\n", 2, "not a whole number"),
        ("audio,language\na.wav,English!\n", 2, "not a language code"),
        ("audio\nhttps://example.org/a.wav\n", 2, "not a local path"),
        ("audio\nfile:///a.wav\n", 2, "belongs in the column uri"),
        ("uri\nfile://host/a.wav\n", 2, "not a plain file: uri"),
        ("uri\nfile:///a?b.wav\n", 2, "not a plain file: uri"),
        ("uri\nfile:///a#b.wav\n", 2, "not a plain file: uri"),
        ("uri\nfile:///a%00.wav\n", 2, "NUL"),
        ("audio\na\0.wav\n", 2, "NUL"),
        (f"audio,text\na.wav,{'x' * (MAX_TEXT + 1)}\n", 2, "at most 100000"),
        (f"audio,text\na.wav,{'x' * 200_000}\n", 2, "field larger"),
        ("audio\n" + "x" * (5 << 20), 2, "longer than"),
        (b"audio,text\na.wav,ok\na.wav,caf\xe9\n", 3, "byte 10 of the line, 0xe9, is not UTF-8"),
        ("audio,text\na.wav,b\n".encode("utf-16"), 1, "UTF-16"),
        ("audio,text\n", None, "no rows"),
        ("", None, "no rows"),
    ],
)
def test_mistakes_in_separated_values(content, line, says, refused):
    error = refused(content)
    assert says in str(error)
    assert error.where.endswith("t.csv" if line is None else f"t.csv:{line}")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"audio": "a.wav"', "not a line of JSON"),
        ('{"audio": "a.wav"} {}', "not a line of JSON"),
        ('["a.wav"]', "a row is an object, not list"),
        ("null", "not NoneType"),
        ('{"audio": "a.wav", "channel": NaN}', "NaN"),
        ('{"audio": "a.wav", "channel": 1.0}', "not a whole number"),
        ('{"audio": "a.wav", "channel": true}', "not a whole number"),
        ('{"audio": "a.wav", "text": 7}', "holds int, not a string"),
        ('{"audio": ["a.wav"]}', "holds list"),
        ('{"audio": null}', "is empty"),
        ('{"text": "b"}', "no column names the files"),
        ('{"audio": "a.wav", "speaker": "\\ud800"}', "surrogate"),
        ('{"audio": "a.wav", "text": "a\\u0000"}', "NUL"),
        ('{"audio": "a.wav", "audio": "b.wav"}', "a key twice"),
        ('{"audio": "a.wav", "wrods": []}', "unknown column 'wrods'"),
        ("[" * 100_000, "not a line of JSON"),
    ],
)
def test_mistakes_in_json_lines(line, says, refused):
    error = refused('{"audio": "a.wav"}\n\n' + line + "\n", "t.jsonl")
    assert says in str(error)
    assert error.where.endswith("t.jsonl:3")


def test_mistakes_in_parquet(refused, tmp_path):
    def parquet(**columns: object) -> bytes:
        sink = io.BytesIO()
        pq.write_table(pa.table(columns), sink)
        return sink.getvalue()

    for content, says in [
        (b"PAR1 not", "not Parquet"),
        (parquet(audio=[{"bytes": b"x", "path": "a.wav"}]), "column audio is struct"),
        (parquet(audio=["a.wav"], channel=["0"]), "not a whole number"),
        (parquet(audio=["a.wav"], txt=["b"]), "Did you mean 'text'"),
        (parquet(audio=pa.array([], pa.string())), "no rows"),
        (parquet(audio=pa.array(["a.wav", None])), "t.parquet:2: column 'audio' is empty"),
        (parquet(audio=["a.wav"] * 50)[:-30] + b"\0" * 26 + b"PAR1", "not Parquet"),
    ]:
        assert says in str(refused(content, "t.parquet"))
    invalid = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xe9")]
    )
    assert "cannot be read" in str(refused(parquet(audio=invalid), "t.parquet"))
    dictionary = pa.array(["a.wav"]).dictionary_encode()
    (tmp_path / "t.parquet").write_bytes(parquet(audio=dictionary, x_blob=[b"\xff"]))
    assert [s.uri for s in sources(tmp_path / "t.parquet")] == ["a.wav"]


def test_a_mistake_on_the_last_line_comes_first(put):
    put("a.wav")
    table = put("t.csv", "audio,text\n" + "".join(f"a.wav,{n}\n" for n in range(2000)) + "b\n")
    with pytest.raises(DataError, match=r"t\.csv:2002"):
        find(str(table), Crawl())


def test_rows_that_cannot_be_used_are_drops(put, tmp_path, outcome):
    for name in ("a.wav", "notes.txt"):
        put(name, b"ID3" if name == "a.wav" else b"hello")
    put("folder/x.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    names = [
        "a.wav",
        "gone.wav",
        "folder",
        "pipe.wav",
        "loop.wav",
        "notes.txt",
        "a.wav/b",
        "é" * 200,
    ]
    table = put("t.csv", "audio\n" + "".join(f"{name}\n" for name in names))
    assert list(outcome(table).values()) == [
        *("", "missing", "not_a_file", "not_a_file", "link_loop", "not_audio"),
        *("missing", "missing"),
    ]


def test_equal_rows_count_once(put):
    put("a.wav")
    table = put(
        "t.csv", "audio,text\na.wav,one\na.wav,two\na.wav,one\na.wav,\na.wav,  \na.wav,one\n"
    )
    items = list(find(str(table), Crawl()))
    assert [item.drop.reason if item.drop else item.source.text for item in items] == [
        *("one", "two", "duplicate_row", None, "duplicate_row", "duplicate_row")
    ]
    assert [item.drop.detail for item in items if item.drop] == [
        *("the same as row 2", "the same as row 5", "the same as row 2")
    ]
    assert len({item.source.id for item in items}) == 6


class TestLeadingOut:
    """A table may name only what lies in its own folder, unless the recipe says otherwise."""

    @pytest.fixture
    def secret(self, put, tmp_path):
        path = put("private/secret.wav")
        put("data/in.wav")
        (tmp_path / "data" / "link.wav").symlink_to("../private/secret.wav")
        (tmp_path / "data" / "folder").symlink_to("../private")
        return path

    def spellings(self, secret):
        return [
            "/etc/passwd",
            str(secret),
            "../private/secret.wav",
            "link.wav",
            "folder/secret.wav",
            "x/../../private/secret.wav",
        ]

    def test_refused(self, put, secret, tmp_path):
        rows = "".join(f"{spelling}\n" for spelling in ["in.wav", *self.spellings(secret)])
        (tmp_path / "data" / "x").mkdir()
        items = list(find(str(put("data/t.csv", "audio\n" + rows)), Crawl()))
        assert [item.drop.reason if item.drop else "" for item in items] == [""] + ["link_out"] * 6
        uri = put("data/u.csv", f"uri\nin.wav\nfile://{secret}\nfile:///etc/passwd\n")
        items = list(find(str(uri), Crawl()))
        assert [item.drop is None for item in items] == [True, False, False]

    def test_allowed_on_demand(self, put, secret, tmp_path):
        (tmp_path / "data" / "x").mkdir()
        spellings = self.spellings(secret)[1:]
        table = put("data/t.csv", "audio\n" + "".join(f"{s}\n" for s in spellings))
        found = sources(table, follow_links=True)
        for source in found:
            assert os.path.samefile(path_of(root_of(str(table)), source.uri), secret)
        assert [source.uri for source in found[1:]] == [
            *("../private/secret.wav", "link.wav", "folder/secret.wav", "../private/secret.wav")
        ]
        assert found[0].uri == f"file://{secret}"

    def test_nothing_else_is_an_error(self, put, secret):
        table = put("data/t.csv", f"audio\n{secret}\n")
        with pytest.raises(DataError, match=r"1 link_out.*follow_links"):
            list(find(str(table), Crawl()))

    def test_absolute_paths_inside_are_relative_uris(self, put, tmp_path, monkeypatch):
        inside = put("data/sub/ä.wav")
        (tmp_path / "alias").symlink_to("data")
        rows = f"audio\n{inside}\n{tmp_path}/alias/sub/ä.wav\n./sub//ä.wav\nsub/../sub/ä.wav\n"
        put("data/t.csv", rows)
        for table in (tmp_path / "data" / "t.csv", tmp_path / "alias" / "t.csv"):
            assert {source.uri for source in sources(table)} == {"sub/%C3%A4.wav"}
        monkeypatch.chdir(tmp_path / "data")
        assert {source.uri for source in sources("t.csv")} == {"sub/%C3%A4.wav"}


def test_other_bytes_in_a_name(put):
    path = put(b"caf\xe9 ?.wav")
    folder = os.path.dirname(path)
    (item,) = find(str(put("t.csv", f"uri\nfile://{folder}/caf%E9%20%3F.wav\n")), Crawl())
    assert item.drop is None
    assert os.fsencode(item.path).endswith(b"/caf\xe9 ?.wav")
    assert item.source.uri == "caf%E9%20%3F.wav"


# Text without the characters that a table cannot hold, and that is more than blanks.
_TEXT = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30
).filter(str.strip)
_CELL = st.none() | _TEXT
_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "audio": st.sampled_from(["a.wav", "sub/b.wav"]),
            "text": _CELL,
            "speaker": _CELL,
            "licence": _CELL,
            "channel": st.none() | st.integers(0, 255),
        }
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(rows=_ROWS)
def test_what_is_written_is_read(rows):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sub").mkdir()
        for name in ("a.wav", "sub/b.wav"):
            Path(folder, name).write_bytes(b"fLaC")
        unique = list({json.dumps(row, sort_keys=True): row for row in rows}.values())
        Path(folder, "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        pq.write_table(
            pa.Table.from_pylist(rows).cast(
                pa.schema(
                    [(n, pa.int64() if n == "channel" else pa.string()) for n in rows[0]],
                )
            ),
            Path(folder, "t.parquet"),
        )
        with open(Path(folder, "t.csv"), "w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, rows[0], quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(rows)
        for name in ("t.jsonl", "t.csv", "t.parquet"):
            items = list(find(str(Path(folder, name)), Crawl()))
            assert len(items) == len(rows)
            kept = [item.source for item in items if item.drop is None]
            assert [
                {"audio": s.uri, "text": s.text, "speaker": s.speaker}
                | {"licence": s.licence, "channel": s.channel}
                for s in kept
            ] == unique


@settings(max_examples=150, deadline=None)
@given(
    content=st.binary(max_size=200)
    | st.text(string.printable, max_size=200).map(str.encode)
    | st.text('audio,text\n"\t;{}[]:\\u0', max_size=80).map(lambda s: b"audio,text\n" + s.encode()),
    suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet"]),
)
def test_any_bytes_are_a_table_or_an_error(content, suffix):
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "t" + suffix)
        table.write_bytes(content)
        try:
            for item in find(str(table), Crawl()):
                assert item.drop is not None and item.drop.reason in Crawl.reasons
        except DataError as error:
            assert str(error).startswith(str(table))
