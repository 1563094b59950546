"""Recipes with streams of pages: what fits, and what is told where something does not."""

import pytest

from pipeline.halves import at_the_end, before_speech
from pipeline.kinds import taken, wanted
from schemas.records import Source, source_id
from schemas.settings import SettingsError
from tests.synthesize import runs
from transforms.gather.found import Found, dropped

WEB = (
    "[crawl, segment: {engine: energy}, diarize: {engine: one}, transcribe: {engines: [given]}, "
    "interleave]"
).replace("segment: {engine: energy}", "{segment: {engine: energy}}")
WEB = WEB.replace("diarize: {engine: one}", "{diarize: {engine: one}}")
WEB = WEB.replace("transcribe: {engines: [given]}", "{transcribe: {engines: [given]}}")


def told(**streams: str) -> str:
    with pytest.raises(SettingsError) as caught:
        runs.recipe(**streams)
    return "\n".join(str(one) for one in caught.value.problems)


def test_each_half_has_its_own_measures_and_filters() -> None:
    made = runs.recipe(krist=runs.KRIST, text=runs.TEXT, web=WEB)
    steps = made.streams["krist"]
    assert [s.name() for s in before_speech(steps, "measure")] == ["text_rate"]
    assert [s.name() for s in at_the_end(steps, "measure")] == ["loudness", "text_rate"]
    assert [s.name() for s in made.steps("krist", "select")] == ["split"]
    assert [s.name() for s in made.before_speech("krist", "select")] == ["filter"]
    assert made.before_speech("text", "select") == ()
    assert [s.name() for s in made.steps("text", "select")] == ["dedup", "split"]
    assert [made.kind(name) for name in ("krist", "text", "web")] == ["page", "page", "audio"]
    assert made.steps("web", "hear")[0].name() == "decode"
    assert not made.steps("krist", "hear")  # nothing is decoded


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ("[crawl, extract, loudness, interleave]", "measures sound, and here there are only pages"),
        ("[crawl, extract, chunk, interleave]", "the stream lacks speak (it gives it a voice)"),
        ("[crawl, extract, speak, interleave]", "the stream lacks chunk"),
        ("[extract, interleave]", "the stream lacks crawl (it finds the files)"),
        ("[crawl, extract, speak, chunk, interleave]", "stands before chunk"),
        ("[crawl, extract, {segment: {}}, interleave]", "the phase hear is about recordings"),
        (
            "[crawl, extract, {filter: {min_words: 3}}, chunk, speak, text_rate, interleave]",
            "reads text_rate.words, but the stream does not measure it",
        ),
        (
            "[crawl, extract, text_rate, chunk, speak, {filter: {min_words: 3}}, interleave]",
            "reads text_rate.words, but the stream does not measure it",
        ),
        ("[crawl, extract, chunk, speak, question, interleave]", "stands before question"),
        ("[crawl, extract, chunk, speak, loudness, loudness, interleave]", "stands here twice"),
        ("[crawl, extract, chunk, speak, loudness, chunk, interleave]", "stands here twice"),
    ],
)
def test_what_does_not_fit_is_told(steps: str, message: str) -> None:
    assert message in told(pages=steps)


def test_a_step_of_pages_among_recordings_is_told() -> None:
    message = told(web=WEB.replace("interleave", "chunk, interleave"))
    assert "the phase synthesize is about pages, and this stream is of recordings" in message


def test_pages_cannot_be_split_in_two_ways() -> None:
    other = runs.TEXT.replace(
        "interleave", "{split: {train: 0.5, valid: 0.25, test: 0.25}}, interleave"
    )
    assert "splits pages otherwise than the stream text" in told(text=runs.TEXT, more=other)
    runs.recipe(text=runs.TEXT, web=WEB.replace("interleave", "{split: {by: speaker}}, interleave"))


def item(name: str, kind: str, reason: str = "") -> Found:
    source = Source(id=source_id(name), uri=name, kind=kind)  # type: ignore[arg-type]
    if reason:
        return Found(source=source, drop=dropped(source, reason))
    return Found(source=source, path=f"/data/{name}")


def test_each_file_is_listed_by_the_streams_of_its_kind() -> None:
    found = [item("a.wav", "audio"), item("b.html", "page"), item("c.bin", "audio", "not_audio")]
    both = wanted(runs.recipe(text=runs.TEXT, web=WEB))
    names = {
        kind: [(one.source.uri, one.drop and one.drop.reason) for one in taken(found, kind, both)]
        for kind in ("audio", "page")
    }
    assert names == {
        "audio": [("a.wav", None), ("c.bin", "not_audio")],
        "page": [("b.html", None)],
    }
    alone = wanted(runs.recipe(text=runs.TEXT))
    assert [(one.source.uri, one.drop and one.drop.reason) for one in taken(found, "page", alone)]
    assert [one.drop and one.drop.reason for one in taken(found, "page", alone)] == [
        "not_page",
        None,
        "not_audio",
    ]
