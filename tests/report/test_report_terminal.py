import dataclasses

from pipeline.report.content import RunSummary
from pipeline.report.terminal import render_funnel


def test_every_step_and_reason_with_items_and_hours(run: RunSummary) -> None:
    lines = [line.split() for line in render_funnel(run).splitlines()]
    assert ["segment", "37", "channels", "412", "segments", "6.400", "5.050"] in lines
    assert ["non_speech", "-449", "-1.350"] in lines
    assert ["not_audio", "-2", "0"] in lines
    assert ["text_too_fast", "-15", "-0.027"] in lines
    assert lines[0][:4] == ["harbour-demo:", "38", "recordings,", "6.417"]


def test_the_mean_length_of_chunks_is_said(run: RunSummary) -> None:
    row = run.funnel[-1]
    assert row.step == "interleave" and row.items_in == 2871 and not row.drops
    mean = row.seconds_out / 2871
    assert f", {mean:.1f} s on average" in render_funnel(run)
    empty = dataclasses.replace(row, items_in=0, items_out=0, seconds_in=0.0, seconds_out=0.0)
    assert "on average" not in render_funnel(
        dataclasses.replace(run, funnel=(*run.funnel[:-1], empty))
    )


def test_columns_are_aligned(run: RunSummary) -> None:
    lines = render_funnel(run).splitlines()
    ends = {len(line) for line in lines if line.endswith(("5.050", "4.990", "-1.350", "-0.027"))}
    assert len(ends) == 1


def test_smoke_text_is_warned_of(run: RunSummary) -> None:
    assert "the text of 971 clips is smoke quality" in render_funnel(run)


def test_a_loss_without_a_reason_is_named(run: RunSummary) -> None:
    broken = dataclasses.replace(run.funnel[-1], seconds_out=0.0)
    text = render_funnel(dataclasses.replace(run, funnel=(*run.funnel[:-1], broken)))
    assert "UNEXPLAINED: compose interleave" in text
    assert "every second is accounted for" not in text
