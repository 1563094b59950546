"""The samples that the README's first command runs on are what their README says."""

import json
from pathlib import Path

import av
import pytest

from transforms.gather.crawl import Crawl
from transforms.gather.listing import find

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


def seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        frames = [(f.samples, f.sample_rate) for f in container.decode(audio=0)]
    return sum(samples for samples, _ in frames) / frames[0][1]


def test_the_folder():
    items = list(find(str(SAMPLES), Crawl()))
    left = {item.source.uri: item.drop.reason for item in items if item.drop}
    assert left == dict.fromkeys(
        [
            *("README.md", "clips.csv", "make_samples.py"),
            *("pages/kitchen.jsonl", "pages/tides.html", "texts.json"),
        ],
        "not_audio",
    )
    found = {item.source.uri for item in items if not item.drop}
    assert {name for name in found if not name.startswith("clips/")} == {
        *("broken.flac", "monologue.opus", "music.webm", "podcast.mp3", "station.m4a")
    }
    size = sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file())
    assert size <= 3_000_000


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [
        ("podcast.mp3", 160, 200),
        ("monologue.opus", 50, 60),
        ("station.m4a", 12, 15),
        ("music.webm", 20, 22),
        ("clips/bread.flac", 3, 5),
    ],
)
def test_lengths(name, least, most):
    assert least <= seconds(SAMPLES / name) <= most


def test_the_broken_one_is_broken():
    with pytest.raises(av.FFmpegError):
        seconds(SAMPLES / "broken.flac")


def test_the_table_gives_the_words_that_were_spoken():
    clips = json.loads((SAMPLES / "texts.json").read_text("utf-8"))["clips"]
    texts = {f"clips/{clip['file']}": clip for clip in clips}
    items = list(find(str(SAMPLES / "clips.csv"), Crawl()))
    assert {item.source.uri for item in items} == set(texts) and len(items) == 6
    for item in items:
        assert item.drop is None
        clip = texts[item.source.uri]
        given = (item.source.text, item.source.speaker, item.source.licence, item.source.language)
        assert given == (clip["text"], clip["speaker"], clip["licence"], "en")
    assert len({item.source.speaker for item in items}) == 2
