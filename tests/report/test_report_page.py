import base64
import dataclasses
import hashlib
import io
import os
import re
import subprocess
import sys
from itertools import pairwise

import pytest
import soundfile

from pipeline.report import cards
from pipeline.report.content import Limits, RunSummary, ShardRow, Share, Totals
from pipeline.report.page import POLICY, render_html
from tests.report import example as made
from tests.report.reading import Page


@pytest.fixture(scope="module")
def page(run: RunSummary) -> Page:
    return Page(render_html(run))


def rows_of(page: Page, class_: str) -> list[str]:
    return page.texts("tr", class_)


def test_the_funnel_shows_every_step_and_reason_in_items_and_hours(page: Page) -> None:
    steps = [re.match("[a-z]+", row)[0] for row in rows_of(page, "step")]
    assert steps == [
        "crawl", "decode", "segment", "diarize", "transcribe", "filter", "dedup", "interleave",
    ]  # fmt: skip
    reasons = rows_of(page, "reason")
    assert len(reasons) == 8
    low = next(text for text in reasons if text.startswith("snr_low"))
    assert low == "snr_lowToo much noise for the speech in it.\u2212171\u22120.210"
    segment = next(text for text in rows_of(page, "step") if text.startswith("segment"))
    assert segment == "segment37 channels412 segments6.4005.050"


def test_hours_cells_carry_the_exact_seconds(page: Page) -> None:
    titles = [cell.get("title") for cell in page.all("td", "number")]
    assert "95.500 s" in titles and "61.500 s" in titles


def test_bars_of_losses_stand_where_the_kept_part_ends(run: RunSummary) -> None:
    page = Page(render_html(run))
    kept = 100 * 5.05 * 3600 / (6.4 * 3600 + 61.5)
    lost = [rect for rect in page.all("rect", "lost") if rect["x"] == f"{kept:.2f}%"]
    left = 100 * 1.35 * 3600 / (6.4 * 3600 + 61.5)
    # in the bar of segment and in that of its only reason
    assert [rect["width"] for rect in lost] == [f"{left:.2f}%"] * 2


def test_an_unexplained_second_is_a_fault_that_is_named(run: RunSummary) -> None:
    assert "Every second is accounted for" in Page(render_html(run)).text()
    broken = dataclasses.replace(run.funnel[4], seconds_out=run.funnel[4].seconds_out - 1.5)
    faulty = dataclasses.replace(run, funnel=(*run.funnel[:4], broken, *run.funnel[5:]))
    page = Page(render_html(faulty))
    assert "annotate transcribe: 1.5000 s" in page.texts("p", "fault")[0]
    assert "Every second is accounted for" not in page.text()


def test_histograms_name_their_thresholds_and_colour_what_lies_beyond(page: Page) -> None:
    labels = page.texts("text", "limit")
    assert labels == [
        "filter.min_snr_db: at least 5 dB",
        "filter.min_characters_per_second: at least 4 characters/s",
        "filter.max_characters_per_second: at most 30 characters/s",
    ]
    assert len(page.all("line", "threshold")) == 3
    images = [svg["aria-label"] or "" for svg in page.all("svg", "histogram")]
    assert len(images) == 3
    assert images[0].startswith("Histogram of snr.db: 3,120 clips, drawn from 0\u202fdB to ")
    assert "filter.min_snr_db is at least 5\u202fdB" in images[0]


def test_shares_are_sorted_summed_and_cut_with_a_rest(page: Page, run: RunSummary) -> None:
    text = page.text()
    assert "speaker 0042" in text  # "speaker 00" beside its 421 clips
    assert "8 more760" in text
    assert "not given171" in text  # a licence that nobody stated
    names = [s.name for s in run.speakers]
    assert len(names) == 23 and "speaker 22" not in text


def test_smoke_text_is_marked_at_the_top_and_on_each_card(page: Page) -> None:
    notice = page.texts("p", "notice")
    assert len(notice) == 1 and notice[0].startswith("Smoke-quality text: 971 clips")
    assert "34.0 %" in notice[0]
    assert len(page.all("article", "smoke")) == 5  # two kept, three dropped
    assert page.texts("span", "badge").count("smoke-quality text") == 6  # and one document


def test_no_smoke_text_no_notice(run: RunSummary) -> None:
    clean = dataclasses.replace(run, qualities=(Share(name="given", items=9, seconds=9.0),))
    assert Page(render_html(clean)).texts("p", "notice") == []


def test_cards_play_the_very_bytes_they_were_given(page: Page, run: RunSummary) -> None:
    players = page.all("audio")
    assert len(players) == 7 + 6
    assert all(p["preload"] == "none" and "controls" in p for p in players)
    prefix = "data:audio/flac;base64,"
    source = players[0]["src"] or ""
    assert source.startswith(prefix)
    data = base64.b64decode(source.removeprefix(prefix), validate=True)
    assert data == run.kept[0].audio
    samples, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    assert rate == 16000 and (samples == made.tone(2.0, 110.0)).all()


def test_verdicts_compare_score_and_limit(page: Page) -> None:
    verdicts = [text for text in page.texts("p", "verdict")]
    assert "score 4.31 dB, needs at least 5 dB" in verdicts
    assert "score 66.7 1/s, needs at most 30 1/s" in verdicts
    assert any(text.startswith("the same samples as ") for text in verdicts)


def test_dropped_groups_follow_the_funnel_and_say_how_many_there_were(page: Page) -> None:
    titles = [text for text in page.texts("summary")]
    assert titles[0].startswith("segment · non_speech 1 shown of 449, 1.350 h in all")
    assert titles[1].startswith("filter · snr_low 3 shown of 171")
    assert [t.split()[0] for t in titles[:4]] == ["segment", "filter", "filter", "dedup"]


def test_documents_show_the_policy_by_modality(page: Page, run: RunSummary) -> None:
    first, second = run.documents
    strips = page.all("svg", "strip")
    assert len(strips) == 2
    assert (strips[0]["aria-label"] or "").endswith("in 6 chunks")
    assert len(page.all("rect", "chunk-speech")) == 3 + 16
    assert len(page.all("rect", "chunk-text")) == 3 + 15
    shown = page.texts("li", "speech") + page.texts("li", "text")
    assert len(shown) == 6 + 24  # the second is cut, and says so
    assert "7 more chunks, drawn in the strip above" in page.texts("li", "more")
    assert page.texts("li", "gap") == ["3.84 s of the recording left out here"]
    assert first.chunks[0].text in page.texts("li", "speech")[0]
    assert len(second.chunks) == 31


def test_strip_lengths_are_shares_of_the_document(page: Page) -> None:
    first = page.all("rect", "chunk-speech")[0]
    assert first["x"] == "0.000%" and first["width"] == f"{100 * 2.5 / 18.2:.3f}%"


def test_the_page_is_alone_in_the_world(run: RunSummary) -> None:
    text = render_html(run)
    page = Page(text)
    policies = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policies == [POLICY] and "default-src 'none'" in POLICY
    assert "http://" not in text and "https://" not in text and "url(" not in text
    for tag, attributes, _ in page.elements:
        assert tag not in ("script", "iframe", "object", "form", "img", "base"), tag
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name == "src":
                assert (value or "").startswith("data:audio/flac;base64,")
            if name == "href":
                assert re.fullmatch(r"#[a-z]+|data:,", value or ""), value
    assert page.comments == []


def test_every_link_has_its_place_and_headings_do_not_jump(page: Page) -> None:
    places = {a["id"] for _, a, _ in page.elements if "id" in a}
    links = {(a["href"] or "")[1:] for a in page.all("a")}
    assert links and links <= places
    levels = [int(t[1]) for t, _, _ in page.elements if re.fullmatch("h[1-6]", t)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert all("scope" in th for th in page.all("th"))


def test_audio_beyond_the_budget_is_left_out_evenly_and_said(run: RunSummary) -> None:
    one = max(len(c.audio or b"") for c in (*run.kept, *(d.clip for d in run.dropped)))
    tight = dataclasses.replace(run, limits=Limits(audio_bytes=6 * one))
    page = Page(render_html(tight))
    assert 6 <= len(page.all("audio")) < 13
    left_out = page.texts("p", "quiet").count("no preview: the report's room for audio is used up")
    assert len(page.all("audio")) + left_out == 13
    assert f"{left_out} clips below have no preview" in page.text()
    sized = sum(len(g[0].clip.audio or b"") for g in cards.groups(run.dropped, 1).values())
    sized += len(run.kept[0].audio or b"")
    chosen, _ = cards.playable(dataclasses.replace(run, limits=Limits(audio_bytes=sized)))
    first = {id(g[0].clip) for g in cards.groups(run.dropped, 1).values()}
    assert chosen == first | {id(run.kept[0])}  # one of the kept and one of each reason
    none = dataclasses.replace(run, limits=Limits(audio_bytes=0))
    assert Page(render_html(none)).all("audio") == []


def test_only_so_many_cards_of_each_kind_are_shown(run: RunSummary) -> None:
    few = dataclasses.replace(
        run, limits=Limits(kept=2, dropped_per_reason=1, documents=1, shards=2)
    )
    page = Page(render_html(few))
    assert len(page.all("article", "card")) == 2 + 4
    assert len(page.all("article", "document")) == 1
    assert "1 shown of 171" in page.text()
    assert "2 of 5; manifest.json lists the rest" in page.text()


def test_an_empty_run_still_renders() -> None:
    totals = Totals(
        sources=0, recordings=0, recorded_seconds=0.0, clips=0, clip_seconds=0.0, documents=0,
        document_seconds=0.0, dropped_items=0, dropped_seconds=0.0,
    )  # fmt: skip
    page = Page(render_html(RunSummary(name="nothing", recipe="", totals=totals, funnel=())))
    assert page.texts("h1") == ["nothing"]
    assert page.all("audio") == [] and "0 B" in page.text()


def test_the_order_of_speakers_and_equal_input_does_not_change_a_byte(run: RunSummary) -> None:
    turned = dataclasses.replace(run, speakers=run.speakers[::-1], languages=run.languages[::-1])
    assert render_html(turned) == render_html(run)
    shard = ShardRow(
        path="a/web-1.tar", stream="web", split="train", documents=1, seconds=1.0, size=1, sha256=""
    )
    assert render_html(dataclasses.replace(run, shards=(shard,))) != render_html(run)


def test_bytes_do_not_depend_on_hash_seed_zone_or_locale() -> None:
    code = (
        "import hashlib;from tests.report.example import example;"
        "from pipeline.report import page,card,croissant,terminal;r=example();"
        "print([hashlib.sha256(f(r).encode()).hexdigest() for f in (page.render_html,"
        "card.render_card,croissant.render_croissant,terminal.render_funnel)])"
    )
    answers = set()
    for seed, zone, locale in (("0", "UTC", "C"), ("7", "Asia/Tokyo", "C.UTF-8")):
        env = {**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": locale}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
        answers.add(done.stdout)
    assert len(answers) == 1
    assert hashlib.sha256(render_html(made.example()).encode()).hexdigest() in answers.pop()


def test_speech_from_pages_is_told_apart_from_recordings(run: RunSummary) -> None:
    """More is in documents than was recorded, and still no more than all of that was kept."""
    totals = dataclasses.replace(
        run.totals, recorded_seconds=3600.0, document_seconds=5400.0, spoken_seconds=3600.0
    )
    text = render_html(dataclasses.replace(run, totals=totals))
    tiles = re.sub(r"<[^>]+>", " ", text[text.index("<dl") : text.index("</dl>")])
    words = " ".join(tiles.split())
    assert "Share of recorded audio kept 50.0" in words
    assert "Of it spoken from pages 1.0" in words
    assert "Of it spoken from pages" not in render_html(run)
