"""Timed text from side files: what is read, what is refused, and how a table names it."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import Cue, source_id, task_id
from transforms.gather.crawl import Crawl
from transforms.gather.cue_files import CueError, joined, read_cues
from transforms.gather.found import DataError
from transforms.gather.listing import find

VTT = """\ufeffWEBVTT - of a talk

STYLE
::cue { color: lime }

NOTE nothing to hear

1
00:00:01.000 --> 00:00:02.500 align:start
<v.loud Ana Lima>Bread &amp; <i>water</i>
and time.

01:00:00.000 --> 01:00:01.000
"""
SRT = (
    "1\r\n00:00:00,5 --> 00:00:01,250\r\nBread.\r\n\r\n2\r\n00:01:01,250 --> 00:01:02,000\r\nSalt."
)


def written(tmp_path, text: str, name: str = "a.vtt"):
    (tmp_path / name).write_bytes(text.encode())
    return str(tmp_path / name)


def test_webvtt_gives_times_text_and_speaker(tmp_path):
    assert read_cues(written(tmp_path, VTT)) == (
        Cue(start=1.0, end=2.5, text="Bread & water and time.", speaker="Ana Lima"),
    )


def test_subrip_gives_times_and_text(tmp_path):
    assert read_cues(written(tmp_path, SRT, "a.SRT")) == (
        Cue(start=0.5, end=1.25, text="Bread."),
        Cue(start=61.25, end=62.0, text="Salt."),
    )


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("1\n00:01 --> 00:02\nx", "a.vtt", "1: a WebVTT file begins with WEBVTT"),
        ("WEBVTT\n\n00:01.0 -> 00:02.0\nx", "a.vtt", "no cues in it"),
        ("WEBVTT\n\n00:01 --> 00:02.0\nx", "a.vtt", "3: times cannot be read: '00:01 --> 00:02.0'"),
        ("WEBVTT\n\n00:02.0 --> 00:02.0\nx", "a.vtt", "3: the cue ends (2 s) before it begins"),
        ("WEBVTT\n\n00:01.0 --> 00:02.0\nx\n00:03.0 --> 00:04.0\ny", "a.vtt", "3: two lines"),
        ("", "a.srt", "no cues in it"),
        ("x", "a.txt", "ends in .vtt or .srt"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(tmp_path, text, name, said):
    with pytest.raises(CueError, match=said.replace("(", r"\(").replace(")", r"\)")):
        read_cues(written(tmp_path, text, name))


def test_bytes_that_are_not_utf8_are_refused(tmp_path):
    (tmp_path / "a.vtt").write_bytes(b"WEBVTT\n\n00:01.0 --> 00:02.0\n\xff")
    with pytest.raises(CueError, match="4: not UTF-8"):
        read_cues(str(tmp_path / "a.vtt"))


def test_cues_that_overlap_become_one_and_keep_a_speaker_that_both_have():
    one = Cue(start=0, end=2, text="a", speaker="x")
    two = Cue(start=1, end=3, text="b", speaker="x")
    assert joined([two, one]) == (Cue(start=0, end=3, text="a b", speaker="x"),)
    other = Cue(start=1, end=1.5, text="b", speaker="y")
    assert joined([one, other]) == (Cue(start=0, end=2, text="a b", speaker=None),)
    assert joined([one, Cue(start=2, end=3, text="b")]) == (one, Cue(start=2, end=3, text="b"))


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9), st.sampled_from(["", "a", "b"]))))
def test_joined_cues_never_overlap_and_keep_every_word(spans):
    cues = [Cue(start=a, end=a + n, text=text) for a, n, text in spans]
    found = joined(cues)
    assert all(one.end <= two.start for one, two in itertools.pairwise(found))
    words = sorted("".join(cue.text for cue in found).replace(" ", ""))
    assert words == sorted("".join(text for _, _, text in spans))


def test_a_row_names_its_cues(put, tmp_path):
    put("a.wav")
    put("b.wav")
    written(tmp_path, SRT, "a.srt")
    table = put("t.csv", "audio,cues,text\na.wav,a.srt,\nb.wav,,plain\n")
    first, second = (item.source for item in find(str(table), Crawl()))
    assert [cue.text for cue in first.cues] == ["Bread.", "Salt."]
    assert first.id == source_id("a.wav", "t.csv:2") and first.text is None
    assert second.cues == () and second.text == "plain"


def test_changed_cues_make_another_task_and_no_cues_the_one_it_was():
    cue = Cue(start=0, end=1, text="a")
    plain = task_id("ab" * 32, None, None, None, None)
    assert task_id("ab" * 32, None, None, None, None, ()) == plain
    timed = task_id("ab" * 32, None, None, None, None, (cue,))
    later = task_id("ab" * 32, None, None, None, None, (Cue(start=0, end=2, text="a"),))
    assert len({plain, timed, later}) == 3


@pytest.mark.parametrize(
    ("cell", "reason"),
    [("no.srt", "missing"), ("../out.srt", "link_out"), ("bad.srt", "bad_cues")],
)
def test_a_row_whose_cues_cannot_be_read_leaves_with_its_reason(put, tmp_path, cell, reason):
    folder = tmp_path / "data"
    folder.mkdir()
    written(tmp_path, SRT, "out.srt")
    written(folder, "nothing", "bad.srt")
    for name in ("a.wav", "b.wav"):
        (folder / name).write_bytes(b"RIFF")
    (folder / "t.csv").write_text(f"audio,cues\na.wav,{cell}\nb.wav,\n")
    dropped, kept = find(str(folder / "t.csv"), Crawl())
    assert dropped.drop is not None and dropped.drop.reason == reason
    assert kept.drop is None


def test_text_and_cues_for_one_file_are_refused(put, tmp_path):
    put("a.wav")
    table = put("t.csv", "audio,text,cues\na.wav,hello,a.srt\n")
    with pytest.raises(DataError, match="both text and cues are given"):
        list(find(str(table), Crawl()))
