"""Topics by stream: shares side by side, and what one stream lacks, in words."""

import dataclasses

from pipeline.report import topics
from pipeline.report.content import Limits, Share, StreamTopics
from pipeline.report.page import render_html
from tests.report.example import example

WEB = StreamTopics(
    stream="web",
    topics=(
        Share(name="sport", items=9, seconds=900.0),
        Share(name="health", items=1, seconds=1.0),
        Share(name="", items=1, seconds=99.0),
    ),
)
KRIST = StreamTopics(stream="krist", topics=(Share(name="health", items=2, seconds=300.0),))


def test_what_the_first_stream_lacks_is_named() -> None:
    assert topics.words((WEB, KRIST))[1] == "The other streams bring what web hardly has: health."
    assert len(topics.words((KRIST, WEB))) == 2  # sport
    assert len(topics.words((WEB, WEB))) == 1


def test_a_report_shows_them_where_several_streams_have_topics() -> None:
    summary = dataclasses.replace(example(), topics=(WEB, KRIST))
    page = render_html(summary)
    assert "Topics by stream" in page and "90.0" in page and "no label" in page
    alone = dataclasses.replace(example(), topics=(WEB,))
    assert "Topics by stream" not in render_html(alone)
    assert topics.tables_of((WEB, KRIST), Limits())
