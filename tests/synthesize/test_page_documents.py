"""Documents of pages: no word lost or doubled, whatever is spoken and whatever is dropped."""

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import digest_of
from schemas.records import AudioRef, Clip, Document, Drop
from schemas.shard import check, from_json, to_json
from transforms.compose.documents import About, Borders, build, paragraphs
from transforms.compose.interleave import Interleave
from transforms.compose.policies import SpeechOnly

PAGE = digest_of("page") * 2
ABOUT = About(stream="krist", split="train", licence="", source="a.html", pages=True)
WORD = st.text("abc", min_size=1, max_size=4)
SAID = st.tuples(st.integers(0, 2), st.lists(WORD, min_size=1, max_size=5), st.booleans())


def clips_of(said: list[tuple[int, list[str], bool]]) -> list[Clip]:
    """Clips of a page's scripts, one after the other, some of them text alone."""
    found: list[Clip] = []
    ends: dict[int, int] = {}
    for index, (script, words, spoken) in enumerate(sorted(said, key=lambda one: one[0])):
        at = ends.get(script, 0)
        length = 160 * len(words) if spoken else 0
        ends[script] = at + length
        ref = AudioRef(tar="0" * 64, offset=0, size=9, start=0, end=length, rate=16000)
        found.append(
            Clip(
                id=digest_of("clip", index),
                task=PAGE,
                recording=PAGE,
                channel=script,
                index=index,
                start=at / 16000,
                end=(at + length) / 16000,
                rate=16000,
                speaker="made",
                speaker_given=True,
                text=" ".join(words),
                audio=ref if spoken else None,
            )
        )
    return found


@given(st.lists(SAID, min_size=1, max_size=12), st.data())
def test_every_kept_clip_is_in_one_document_in_its_place(
    said: list[tuple[int, list[str], bool]], data: st.DataObject
) -> None:
    clips = clips_of(said)
    kept = {clip.id for clip in clips if data.draw(st.integers(0, 4))}
    borders = Borders(max_seconds=600.0, on_drop="end", max_gap=None, min_chunks=1)
    found = list(build(clips[::-1], kept, ABOUT, borders))
    documents = [one for one in found if isinstance(one, Document)]
    assert not [one for one in found if isinstance(one, Drop)]
    chunks = [chunk for document in documents for chunk in document.chunks]
    assert [chunk.clip for chunk in chunks] == [clip.id for clip in clips if clip.id in kept]
    assert [chunk.text for chunk in chunks] == [clip.text for clip in clips if clip.id in kept]
    script = {clip.id: clip.channel for clip in clips}
    for document in documents:
        assert check(document) is None
        assert len({script[chunk.clip] for chunk in document.chunks}) == 1
        plain = dataclasses.replace(
            document,
            chunks=tuple(dataclasses.replace(c, audio=None) for c in document.chunks),
        )
        assert from_json(to_json(document), "here") == plain


@given(st.lists(st.text(" \nab", max_size=9), max_size=6).map("\n\n".join))
def test_paragraphs_together_are_the_text(text: str) -> None:
    found = paragraphs(text)
    assert "".join(found) == text
    assert all(one.strip() or len(found) == 1 for one in found[1:])


def test_spans_can_be_fixed_in_the_shard() -> None:
    """Materialised, what was spoken is speech and what was not is text, as it was before."""
    clips = clips_of([(0, ["one"], True), (0, ["two"], False), (0, ["three"], True)])
    step = Interleave(policy=SpeechOnly(), materialize=True)
    (document,) = step.documents(clips, {clip.id for clip in clips}, ABOUT)
    assert isinstance(document, Document)
    assert [chunk.modality for chunk in document.chunks] == ["speech", "text", "speech"]
    assert check(document) is None
