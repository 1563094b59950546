"""Results as Markdown: one table a kind, every value with its interval and chance.

A gap is one row with both losses and the control beside it; there is no way to print it without.
"""

from collections.abc import Iterator, Sequence

from trainer.evaluation.intervals import Estimate
from trainer.evaluation.results import Results, SetResult

SCORES = ("sum", "mean", "gain")


def markdown(results: Results) -> str:
    """The whole report."""
    return "\n".join(_lines(results)) + "\n"


def figure(estimate: Estimate | None, percent: bool = False) -> str:
    """`71.2 [65.0, 77.4]`, or without brackets where no interval can be given."""
    if estimate is None:
        return "-"

    def one(value: float) -> str:
        return f"{100 * value:.1f}" if percent else f"{value:.4g}"

    if estimate.low is None or estimate.high is None:
        return one(estimate.value)
    return f"{one(estimate.value)} [{one(estimate.low)}, {one(estimate.high)}]"


def _lines(results: Results) -> Iterator[str]:
    yield "# Evaluation"
    yield ""
    for key, value in results.about.items():
        yield f"- {key}: {_cell(str(value))}"
    yield f"- text tokenizer: {_cell(results.text_tokenizer)}"
    yield f"- speech tokenizer: {_cell(results.speech_tokenizer or 'none')}"
    for key, value in results.settings.items():
        yield f"- {key}: {_cell(repr(value))}"
    yield ""
    yield (
        "In brackets: intervals over items of this one model, clustered by group; they say nothing "
        "about another seed."
    )
    choosing = [one for one in results.sets if one.chance is not None]
    if choosing:
        yield from _choosing(results, choosing)
    texts = [one for one in results.sets if one.kind == "text"]
    if texts:
        yield from _texts(texts)
    gaps = [one for one in results.sets if one.kind == "gap"]
    if gaps:
        yield from _gaps(gaps)
    tested = [one for one in results.sets if one.contamination]
    if tested:
        yield from _tested(tested)
    if results.not_run:
        yield from ("", "## Not run", "")
        yield from (f"- {_cell(name)}: {_cell(why)}" for name, why in results.not_run.items())
    notes = [(one, note) for one in results.sets for note in one.notes]
    if notes:
        yield from ("", "## Notes", "")
        yield from (f"- {_cell(one.name)}, {one.mode}: {_cell(note)}" for one, note in notes)


def _choosing(results: Results, sets: Sequence[SetResult]) -> Iterator[str]:
    yield from ("", "## Accuracy (%)", "")
    yield "| set | mode | items | clusters | chance | sum | per-token mean | gain | spoken by |"
    yield "|---|---|--:|--:|--:|--:|--:|--:|---|"
    for one in sets:
        first = next(iter(one.estimates.values()))
        scores = " | ".join(figure(one.estimates.get(f"accuracy.{s}"), True) for s in SCORES)
        yield (
            f"| {_cell(one.name)} | {one.mode} | {first.items} | {first.clusters} | "
            f"{100 * (one.chance or 0):.1f} | {scores} | {_spoken(one)} |"
        )
    if results.across:
        yield from ("", "| over several sets | value |", "|---|--:|")
        for name, estimate in results.across.items():
            yield f"| {_cell(name)} | {figure(estimate, True)} |"
    yield ""
    yield (
        "sum: log p of the option after the question. Mean: divided by its positions. Gain: less "
        "log p of the option without the question. Ties share."
    )


def _texts(sets: Sequence[SetResult]) -> Iterator[str]:
    yield from ("", "## Perplexity", "")
    yield "| set | texts | nats per token | per token | per word | bits per byte |"
    yield "|---|--:|--:|--:|--:|--:|"
    names = ("nats_per_token", "perplexity_per_token", "perplexity_per_word", "bits_per_byte")
    for one in sets:
        cells = " | ".join(figure(one.estimates[name]) for name in names)
        yield f"| {_cell(one.name)} | {len(one.items)} | {cells} |"


def _gaps(sets: Sequence[SetResult]) -> Iterator[str]:
    yield from ("", "## Modality gap (nats)", "")
    yield (
        "| set | items | KL(audio, text) | KL(text, audio) | first token | | loss after audio | "
        "loss after text | outside text, audio | text | other audio: KL(o, text) | KL(text, o) | "
        "loss |"
    )
    yield "|---|" + "--:|" * 12
    names = (
        "kl_audio_text",
        "kl_text_audio",
        "kl_audio_text_first",
        "kl_text_audio_first",
        "loss_audio",
        "loss_text",
        "outside_audio",
        "outside_text",
        "kl_other_text",
        "kl_text_other",
        "loss_other",
    )
    for one in sets:
        cells = " | ".join(figure(one.estimates[name]) for name in names)
        yield f"| {_cell(one.name)} | {len(one.items)} | {cells} |"


def _tested(sets: Sequence[SetResult]) -> Iterator[str]:
    yield from ("", "## Without the flagged items (%)", "")
    yield "| set | mode | score | items | flagged | all | without | random removal | p | |"
    yield "|---|---|---|--:|--:|--:|--:|--:|--:|---|"
    for one in sets:
        for name, test in one.contamination.items():
            if test.p is None:
                cells = "- | - | - | nothing to compare"
            else:
                spread = (
                    f"{100 * (test.random_mean or 0):.1f} [{100 * (test.random_low or 0):.1f}, "
                    f"{100 * (test.random_high or 0):.1f}]"
                )
                said = "lower than chance" if test.significant else "as chance would have it"
                cells = f"{100 * (test.clean or 0):.1f} | {spread} | {test.p:.4f} | {said}"
            yield (
                f"| {_cell(one.name)} | {one.mode} | {name} | {test.items} | {test.flagged} | "
                f"{100 * test.all:.1f} | {cells} |"
            )


def _spoken(one: SetResult) -> str:
    said = [f"{engine or '?'}/{voice or '?'} x {count}" for engine, voice, count in one.spoken]
    return _cell("; ".join(said[:4]) + ("; …" if len(said) > 4 else "")) if said else "-"


def _cell(text: str) -> str:
    """Text from files, so that it stays inside its cell."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
