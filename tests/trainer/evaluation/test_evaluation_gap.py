"""The modality gap and perplexity: against scipy, and against distributions written down."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import rel_entr

from tests.trainer.evaluation.toy_models import Bigram, flac, tokenizers
from trainer.evaluate import EvaluationError, EvaluationSettings, evaluate
from trainer.evaluation.gap import RATIOS, divergence, others
from trainer.evaluation.layout import EvalSet, write_set
from trainer.evaluation.markdown import markdown
from trainer.evaluation.perplexity import windows
from trainer.model import Decoder, ModelSettings

WORDS = ("alpha beta", "gamma", "delta epsilon", "zeta")


def gap_set(folder: Path, count: int = 4, group: str | None = None) -> EvalSet:
    items = []
    for k in range(count):
        chunks: list[dict[str, Any]] = [
            {"text": WORDS[(k + c) % 4], "audio": f"audio/{k}{c}.flac"} for c in range(3)
        ]
        del chunks[-1]["audio"]
        items.append(
            {"kind": "gap", "id": f"g{k}", "speaker": f"s{k % 2}", "chunks": chunks, "group": group}
        )
    audio: dict[str, Path | bytes] = {
        f"audio/{k}{c}.flac": flac(10 * k + c, 2 + c) for k in range(count) for c in range(2)
    }
    return write_set(folder, [{k: v for k, v in i.items() if v is not None} for i in items], audio)


def test_divergence_is_that_of_scipy() -> None:
    chance = torch.Generator().manual_seed(1)
    p = (3 * torch.randn(20, 300, generator=chance, dtype=torch.float64)).log_softmax(-1)
    q = (3 * torch.randn(20, 300, generator=chance, dtype=torch.float64)).log_softmax(-1)
    expected = rel_entr(p.exp().numpy(), q.exp().numpy()).sum(-1)
    assert divergence(p, q).numpy() == pytest.approx(expected, rel=1e-9)
    assert divergence(p, p).abs().max() == 0.0
    certain = torch.full((1, 300), -math.inf, dtype=torch.float64)
    certain[0, 7] = 0.0
    assert float(divergence(certain, q[:1])) == pytest.approx(float(-q[0, 7]))


def test_the_gap_of_a_bigram_lies_in_the_first_token_alone(tmp_path: Path) -> None:
    """Before the first token stands the marker, or the last byte of what was read before; the
    others have the same byte before them on both sides."""
    found = gap_set(tmp_path / "gap")
    own = tokenizers()
    model = Bigram(own.words, seed=1)
    result = evaluate(model, own, [found]).of("gap", "gap")
    table = model.table.double()
    text = table[:, : own.words.text].log_softmax(-1)
    marker = own.words.marker("text")
    for k, item in enumerate(result.items):
        before = ord(WORDS[(k + 1) % 4][-1])
        ids = list(f" {WORDS[(k + 2) % 4]}".encode())
        p_a, p_t = text[marker].exp().numpy(), text[before].exp().numpy()
        forward, backward = rel_entr(p_a, p_t).sum(), rel_entr(p_t, p_a).sum()
        assert item.values["kl_audio_text"] == pytest.approx(forward, rel=1e-6)
        assert item.values["kl_text_audio"] == pytest.approx(backward, rel=1e-6)
        assert item.values["kl_audio_text_first"] == pytest.approx(forward, rel=1e-6)
        assert item.values["tokens"] == len(ids)
        assert item.values["loss_audio"] == pytest.approx(-model.chain(marker, ids), rel=1e-6)
        assert item.values["loss_text"] == pytest.approx(-model.chain(before, ids), rel=1e-6)
        # a bigram does not hear: another document's audio changes nothing
        assert item.values["kl_other_text"] == pytest.approx(forward, rel=1e-6)
        assert item.values["loss_other"] == pytest.approx(item.values["loss_audio"])
        rows = table[[marker, *ids[:-1]]].softmax(-1)
        outside = float(rows[:, own.words.text :].sum())
        assert item.values["outside_audio"] == pytest.approx(outside, rel=1e-6)
    tokens = sum(item.values["tokens"] for item in result.items)
    total = sum(item.values["kl_audio_text"] for item in result.items)
    assert result.estimates["kl_audio_text"].value == pytest.approx(total / tokens)
    assert result.estimates["kl_audio_text_first"].value == pytest.approx(total / 4)


def test_equal_distributions_have_no_gap(tmp_path: Path) -> None:
    found = gap_set(tmp_path / "gap")
    own = tokenizers()
    result = evaluate(Bigram(own.words, seed=None), own, [found]).of("gap", "gap")
    for name in RATIOS:
        value = result.estimates[name].value
        if name.startswith("kl"):
            assert value == 0.0
        elif name.startswith("loss"):
            assert value == pytest.approx(math.log(own.words.size))
        else:
            assert value == pytest.approx(1 - 256 / own.words.size)


def test_mass_outside_text_is_seen_and_taken_out(tmp_path: Path) -> None:
    """Nearly all the mass on markers: the divergence is that of what is left for text."""
    found = gap_set(tmp_path / "gap")
    own = tokenizers()
    model = Bigram(own.words, seed=2)
    before = evaluate(model, own, [found]).of("gap", "gap")
    model.table[:, own.words.marker("end")] += 60.0
    after = evaluate(model, own, [found]).of("gap", "gap")
    for name in ("outside_audio", "outside_text"):
        assert after.estimates[name].value == pytest.approx(1.0)
    for name in ("kl_audio_text", "kl_text_audio_first", "kl_other_text"):
        assert after.estimates[name].value == pytest.approx(before.estimates[name].value)
    assert after.estimates["loss_text"].value > 40


@pytest.mark.parametrize("codebooks", [1, 3])
def test_a_decoder_hears_and_batches_do_not_matter(tmp_path: Path, codebooks: int) -> None:
    found = gap_set(tmp_path / "gap")
    own = tokenizers(codebooks)
    model = Decoder(ModelSettings(depth=2, width=32, heads=2, initial_std=0.3), own.words, seed=2)
    one, two = (
        evaluate(model, own, [found], EvaluationSettings(budget=budget)).of("gap", "gap")
        for budget in (1, 100_000)
    )
    for a, b in zip(one.items, two.items, strict=True):
        assert dict(a.values) == pytest.approx(dict(b.values), abs=1e-5)
        assert a.values["kl_other_text"] != pytest.approx(a.values["kl_audio_text"], rel=1e-3)


def test_the_control_is_of_another_group_and_speaker(tmp_path: Path) -> None:
    found = gap_set(tmp_path / "gap", count=8)
    chosen = others(found, 0)
    for k, other in enumerate(chosen):
        assert other is not None and other != k
        assert found.items[other].speaker != found.items[k].speaker  # type: ignore[union-attr]
    assert chosen == others(found, 0) != others(found, 1)
    alone = gap_set(tmp_path / "alone", group="one document")
    own = tokenizers()
    with pytest.raises(EvaluationError, match=r"items\.jsonl:1: 'g0': a gap needs the audio of an"):
        evaluate(Bigram(own.words), own, [alone])


def test_a_gap_is_printed_with_both_losses_and_the_control(tmp_path: Path) -> None:
    own = tokenizers()
    results = evaluate(Bigram(own.words), own, [gap_set(tmp_path / "gap")])
    row = next(line for line in markdown(results).split("\n") if line.startswith("| gap |"))
    estimates = results.sets[0].estimates
    for name in RATIOS:
        assert f"{estimates[name].value:.4g}" in row


def text_set(folder: Path, *texts: Any) -> EvalSet:
    rows = [{"kind": "text", "id": f"t{k}", "text": text} for k, text in enumerate(texts)]
    return write_set(folder, rows, {})


def test_perplexity_of_a_bigram(tmp_path: Path) -> None:
    found = text_set(tmp_path / "books", "zwei Wörter", ["one", "two three "])
    own = tokenizers()
    model = Bigram(own.words, seed=3)
    result = evaluate(model, own, [found]).of("books", "T")
    marker = own.words.marker("text")
    texts = [" zwei Wörter".encode(), b" one two three"]
    nats = [-model.chain(marker, list(text)) for text in texts]
    assert [item.values["nats"] for item in result.items] == pytest.approx(nats, rel=1e-6)
    assert [item.values["tokens"] for item in result.items] == [13, 14]
    assert [item.values["bytes"] for item in result.items] == [12, 12]  # without leads
    assert [item.values["words"] for item in result.items] == [2, 3]
    total = sum(nats)
    value = {name: one.value for name, one in result.estimates.items()}
    assert value["nats_per_token"] == pytest.approx(total / 27, rel=1e-6)
    assert value["perplexity_per_token"] == pytest.approx(math.exp(total / 27), rel=1e-6)
    assert value["perplexity_per_word"] == pytest.approx(math.exp(total / 5), rel=1e-6)
    assert value["bits_per_byte"] == pytest.approx(total / 24 / math.log(2), rel=1e-6)


def test_long_texts_are_asked_once_in_windows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    text = " ".join("".join(rng.choice(list("abc"), 4)) for _ in range(60))
    found = text_set(tmp_path / "long", text)
    own = tokenizers()
    model = Bigram(own.words, seed=4)
    whole = evaluate(model, own, [found]).of("long", "T").items[0]
    for context in (8, 33, 64):
        parts = evaluate(model, own, [found], EvaluationSettings(context=context))
        item = parts.of("long", "T").items[0]
        assert item.values == pytest.approx(whole.values, rel=1e-6)  # a bigram needs no more


@pytest.mark.parametrize(("tokens", "room"), [(1, 2), (10, 10), (11, 10), (100, 10), (99, 7)])
def test_windows_ask_every_token_once_with_half_a_context_before_it(tokens: int, room: int) -> None:
    found = windows(tokens, room)
    assert [k for _, asked, end in found for k in range(asked, end)] == list(range(tokens))
    assert all(end - first <= room for first, _, end in found)
    assert all(asked - first >= room // 2 for first, asked, _ in found[1:])
