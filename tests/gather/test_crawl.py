"""The crawl step: one answer per item, ids from bytes, and claims that never decide."""

import dataclasses
import hashlib
import math
import os

import pydantic
import pytest

from schemas.records import Drop
from transforms.gather.crawl import Crawl, recordings
from transforms.gather.digests import DigestMemory
from transforms.gather.found import Fetched
from transforms.gather.listing import find
from transforms.step import registry


@dataclasses.dataclass(frozen=True)
class Says:
    seconds: float = 2.5
    rate: int = 16_000
    channels: int = 1
    codec: str = "pcm_s16le"
    container: str = "wav"


class BadMedia(Exception):
    def __init__(self, code: str, detail: str) -> None:
        self.code, self.detail = code, detail


def says(path: str) -> Says:
    return Says()


def crawled(data, probe=says):
    crawl = Crawl()
    return list(crawl(list(find(str(data), crawl)), probe, DigestMemory()))


def test_one_answer_per_item(put, tmp_path):
    put("a.wav", b"one")
    put("b.wav", b"two")
    put("b_again.flac", b"two")
    put("notes.txt", b"hello")
    answers = crawled(tmp_path)
    assert [type(answer) for answer in answers] == [Fetched, Fetched, Fetched, Drop]
    fetched = [answer for answer in answers if isinstance(answer, Fetched)]
    assert [item.recording.id for item in fetched] == [
        hashlib.sha256(data).hexdigest() for data in (b"one", b"two", b"two")
    ]
    recording = fetched[0].recording
    assert (recording.uri, recording.size, recording.seconds) == ("a.wav", 3, 2.5)
    assert (recording.rate, recording.channels) == (16_000, 1)
    assert (recording.codec, recording.container) == ("pcm_s16le", "wav")
    kept = recordings(list(reversed(fetched)))
    assert kept == recordings(fetched)
    assert sorted(item.uri for item in kept) == ["a.wav", "b.wav"]
    assert [item.id for item in kept] == sorted(item.id for item in kept)


def test_a_failed_probe_only_leaves_the_claims_empty(put, tmp_path):
    def bad(path: str) -> Says:
        raise BadMedia("not_audio", "no stream")

    put("a.wav")
    (answer,) = crawled(tmp_path, bad)
    assert isinstance(answer, Fetched)
    assert (answer.recording.seconds, answer.recording.rate, answer.recording.codec) == (0, 0, "")
    assert answer.recording.size > 0


def test_a_bug_in_the_probe_raises(put, tmp_path):
    def bug(path: str) -> Says:
        raise KeyError("x")

    put("a.wav")
    with pytest.raises(KeyError):
        crawled(tmp_path, bug)


@pytest.mark.parametrize("seconds", [math.nan, math.inf, -1.0])
def test_claims_that_make_no_sense_are_none(seconds, put, tmp_path):
    put("a.wav")
    (answer,) = crawled(tmp_path, lambda path: Says(seconds=seconds, rate=-1, channels=-2))
    assert isinstance(answer, Fetched)
    recording = answer.recording
    assert (recording.seconds, recording.rate, recording.channels) == (0.0, 0, 0)


def test_files_that_change_between_finding_and_reading(put, tmp_path, nobody):
    for name in ("gone.wav", "pipe.wav", "ok.wav"):
        put(name)
    crawl = Crawl()
    items = list(find(str(tmp_path), crawl))
    for name in ("gone.wav", "pipe.wav"):
        (tmp_path / name).unlink()
    os.mkfifo(tmp_path / "pipe.wav")
    answers = list(crawl(items, says, DigestMemory()))
    assert [a.reason if isinstance(a, Drop) else "" for a in answers] == [
        *("missing", "", "unreadable")
    ]
    (tmp_path / "ok.wav").chmod(0)
    with nobody():
        (locked,) = crawl(items[1:2], says, DigestMemory())
    assert isinstance(locked, Drop)
    assert (locked.reason, locked.root) == ("unreadable", items[1].source.id)


def test_settings():
    assert registry()["crawl"] is Crawl
    assert Crawl.name() == "crawl"
    assert Crawl(audio_suffixes=[".wav"]).audio_suffixes == (".wav",)  # as a recipe's list
    for wrong in ({"audio_suffixes": ["wav"]}, {"audio_suffixes": [".WAV"]}, {"max_bytes": 0}):
        with pytest.raises(pydantic.ValidationError):
            Crawl(**wrong)
    for wrong in ({"follow_links": 1}, {"audio_suffixes": [1]}, {"depth": 3}):
        with pytest.raises(pydantic.ValidationError):
            Crawl(**wrong)
    assert all(field.description for field in Crawl.model_fields.values())
