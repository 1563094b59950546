"""Forced alignment: answers made by hand, a real model of a language of tones, broken folders."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.engines import tone_model
from transforms.engines import aligner, ctc_model
from transforms.engines.models import ModelError

FRAME = tone_model.STRIDE / tone_model.RATE


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tone_model.write(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def model(folder) -> ctc_model.CtcModel:
    return ctc_model.load(str(folder))


def lay(model, pcm, text, cells=aligner.CELLS):
    words = [aligner.spelled(word, model.vocabulary) for word in text.split()]
    columns = aligner.needed(words, model.blank, None)
    number = {token: column for column, token in enumerate(columns)}
    answers = model.log_probabilities(pcm)[:, columns]
    return aligner.align(answers, [[number[t] for t in word] for word in words], None, cells)


def answers(path: str, letters: str = "_ab|"):
    """Log probabilities that say, frame by frame, the letters of `path` ("_" is the blank)."""
    import torch

    rows = [[0.97 if sign == letter else 0.01 for letter in letters] for sign in path]
    return torch.tensor(rows).log()


def spans(laid) -> list:
    return [word and (word.first, word.end) for word in laid.words]


# -- by hand --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "words", "delimiter", "expected"),
    [
        ("__aa_b__", [[1, 2]], None, [(2, 6)]),
        ("_a_b_a_", [[1], [2], [1]], None, [(1, 2), (3, 4), (5, 6)]),
        ("aab_a", [[1, 2], [1]], None, [(0, 3), (4, 5)]),
        ("a_a_", [[1, 1]], None, [(0, 3)]),  # a doubled letter needs a blank between
        ("_ab||ba_", [[1, 2], [2, 1]], 3, [(1, 3), (5, 7)]),
        ("_a_b_", [[1], [], [2]], None, [(1, 2), None, (3, 4)]),
        ("_a_", [[], [1], []], None, [None, (1, 2), None]),
    ],
)
def test_words_are_laid_where_their_letters_are(path, words, delimiter, expected):
    laid = aligner.align(answers(path), words, delimiter)
    assert spans(laid) == expected
    assert laid.confidence == pytest.approx(0.97, abs=1e-4)
    sure = [word.confidence for word in laid.words if word]
    assert sure == pytest.approx([0.97] * len(sure), abs=1e-4)


def test_sound_that_the_text_leaves_out_counts_against_it_and_pauses_do_not():
    whole = aligner.align(answers("_ab__"), [[1, 2]], None).confidence
    paused = aligner.align(answers("_ab" + "_" * 90), [[1, 2]], None).confidence
    short = aligner.align(answers("_abbbb"), [[1]], None).confidence
    assert whole == pytest.approx(paused)
    assert short < 0.1


@pytest.mark.parametrize("words", [[], [[]], [[1, 1, 1]], [[1, 2, 1, 2, 1, 2]]])
def test_what_does_not_fit_is_not_laid(words):
    assert aligner.align(answers("_ab_"), words, None) is None


def test_answers_that_are_no_numbers_are_not_laid():
    broken = answers("_ab_")
    broken[1, 1] = float("nan")
    assert aligner.align(broken, [[1]], None) is None


def test_a_long_text_in_blocks_is_laid_as_in_one_piece():
    rng = np.random.default_rng(2)
    path, words = "", []
    for _ in range(400):
        word = rng.choice([1, 2], rng.integers(1, 5)).tolist()
        path += "_" * int(rng.integers(1, 9)) + "".join("_ab"[token] + "_" for token in word)
        words.append(word)
    whole = aligner.align(answers(path), words, None)
    for cells in (2**20, 2**18):
        blocks = aligner.align(answers(path), words, None, cells)
        assert spans(blocks) == spans(whole)
        assert blocks.confidence == pytest.approx(whole.confidence)


def test_a_block_keeps_to_its_cells():
    for frames, lengths in [(10_000, [4] * 2_000), (1_000_000, [5] * 90_000), (100, [3] * 9)]:
        count, span = aligner._block(lengths, frames, 2**20)
        assert count == len(lengths) or span * (2 * sum(lengths[:count]) + 1) <= 2**20
        assert 1 <= count <= len(lengths)


# -- spelling -------------------------------------------------------------------------------

UPPER = {"<pad>": 0, "|": 4, "A": 5, "E": 6, "S": 7, "'": 8}


@pytest.mark.parametrize(
    ("word", "tokens"),
    [
        ("sea", (7, 6, 5)),
        ("Séa!", (7, 6, 5)),
        ("ßA's", (7, 7, 5, 8, 7)),
        ("1984", ()),
        ("|", ()),
        ("海", ()),
        ("", ()),
    ],
)
def test_letters_are_found_in_any_case_and_without_accents(word, tokens):
    assert aligner.spelled(word, UPPER) == tokens


@given(word=st.text())
def test_any_word_can_be_spelt(word):
    assert set(aligner.spelled(word, UPPER)) <= set(UPPER.values()) - {0, 4}


# -- a real model ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "pauses"),
    [
        ("abc face bad cab hgf edd bee", {}),
        ("abc face bad aa cab hgf edd' bbb", {3: 1.0, 8: 0.7}),
        ("h a b", {1: 2.5}),
    ],
)
def test_times_are_within_a_frame_of_what_was_said(model, text, pauses):
    pcm, said = tone_model.say(text, pauses)
    laid = lay(model, pcm, text)
    assert laid.confidence > 0.5
    for word, (start, end) in zip(laid.words, said, strict=True):
        assert abs(model.time_of(word.first) - start) <= FRAME
        assert abs(model.time_of(word.end) - end) <= FRAME


def test_a_text_that_was_not_said_is_unlikely(model):
    pcm, _ = tone_model.say("abc face bad cab")
    assert lay(model, pcm, "hhh ggg hgh ghg").confidence < 0.1


def test_windows_give_the_answers_of_one_piece(model, monkeypatch):
    pcm, _ = tone_model.say("abc face bad cab hgf", {2: 2.0})
    whole = model.log_probabilities(pcm)
    monkeypatch.setattr(ctc_model, "WINDOW", 1.0)
    monkeypatch.setattr(ctc_model, "CONTEXT", 0.2)
    parts = model.log_probabilities(pcm)
    assert parts.shape == whole.shape
    assert float((parts - whole).abs().max()) < 1e-4


@pytest.mark.parametrize("samples", [0, 1, 399, 400, 719, 720])
def test_however_short_there_is_an_answer(model, samples):
    assert len(model.log_probabilities(np.zeros(samples, np.int16))) == max(
        1, (samples - 80) // 320
    )


def test_a_model_is_loaded_once(folder, model):
    assert ctc_model.load(str(folder)) is model


# -- folders --------------------------------------------------------------------------------


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def configured(folder: Path, **changes) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: shutil.rmtree(f), r"lacks config.json, vocab.json, model.safetensors or"),
        (lambda f: (f / "vocab.json").unlink(), r"lacks vocab.json"),
        (lambda f: (f / "model.safetensors").unlink(), r"lacks model.safetensors or"),
        (lambda f: (f / "config.json").write_text("{"), r"config.json cannot be read"),
        (lambda f: (f / "vocab.json").write_text("[1]"), r"vocab.json is no JSON object"),
        (lambda f: (f / "vocab.json").write_text('{"a": "b"}'), r"each token a number"),
        (lambda f: (f / "vocab.json").write_text('{"a": 99}'), r"numbers beyond the 12"),
        (lambda f: configured(f, model_type="whisper"), r"only 'wav2vec2' is known"),
        (lambda f: configured(f, adapter_attn_dim=16), r"has adapters"),
        (lambda f: configured(f, pad_token_id=12), r"the blank, is 12 of 12"),
        (lambda f: configured(f, conv_dim=[]), r"no usable conv_dim"),
        (lambda f: configured(f, conv_stride=[5, 2]), r"no usable conv_dim, conv_kernel"),
        (lambda f: configured(f, hidden_act="relu"), r"no usable hidden_act"),
        (
            lambda f: (f / "preprocessor_config.json").write_text('{"sampling_rate": "x"}'),
            r"sampling_rate of preprocessor_config.json is 'x'",
        ),
    ],
)
def test_a_broken_folder_is_refused_before_the_weights_are_read(copy, spoil, said):
    spoil(copy)
    with pytest.raises(ModelError, match=said):
        ctc_model.describe(str(copy))
    with pytest.raises(ModelError, match=said):
        ctc_model.digest(str(copy))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda f: (f / "model.safetensors").write_bytes(b"no"), r"model.safetensors cannot be"),
        (lambda f: configured(f, num_hidden_layers=2), r"does not fit config.json: .*layers.1"),
        (lambda f: configured(f, intermediate_size=8), r"does not fit config.json: .*size"),
        (lambda f: configured(f, num_attention_heads=5), r"does not fit config.json"),
    ],
)
def test_weights_that_do_not_fit_are_refused(copy, spoil, said):
    spoil(copy)
    with pytest.raises(ModelError, match=said):
        ctc_model.CtcModel(str(copy))


def test_weights_of_older_files_and_of_pytorch_are_read(copy, model):
    import torch
    from safetensors.torch import load_file

    weights = load_file(copy / "model.safetensors")
    older = {
        name.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): value
        for name, value in weights.items()
    }
    assert len(set(older) - set(weights)) == 2
    torch.save(older | {"wav2vec2.masked_spec_embed": torch.zeros(3)}, copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    pcm, _ = tone_model.say("abc")
    again = ctc_model.CtcModel(str(copy)).log_probabilities(pcm)
    assert torch.equal(again, model.log_probabilities(pcm))
    (copy / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ModelError, match=r"pytorch_model.bin cannot be read"):
        ctc_model.CtcModel(str(copy))


def test_the_digest_is_that_of_what_decides(copy):
    before = ctc_model.digest(str(copy))
    (copy / "README.md").write_text("irrelevant")
    assert ctc_model.digest(str(copy)) == before
    (copy / "preprocessor_config.json").write_text('{"do_normalize": false}')
    assert ctc_model.digest(str(copy)) != before


@pytest.mark.parametrize(
    "kind",
    [
        {"feat_extract_norm": "group", "do_stable_layer_norm": False, "conv_bias": False},
        {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True},
    ],
)
def test_answers_are_those_of_transformers(tmp_path, kind):
    transformers = pytest.importorskip("transformers")
    import torch

    torch.manual_seed(1)
    config = transformers.Wav2Vec2Config(
        vocab_size=12, hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, conv_dim=[16, 16], conv_kernel=[10, 4], conv_stride=[8, 4],
        num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, **kind,
    )  # fmt: skip
    theirs = transformers.Wav2Vec2ForCTC(config).eval()
    theirs.save_pretrained(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps(tone_model.VOCABULARY))
    pcm, _ = tone_model.say("abc")
    wave = torch.from_numpy(pcm.astype(np.float32) / 32768)
    wave = (wave - wave.mean()) / torch.sqrt(wave.var(correction=0) + 1e-7)
    with torch.inference_mode():
        expected = theirs(wave[None]).logits[0].log_softmax(-1)
    ours = ctc_model.CtcModel(str(tmp_path)).log_probabilities(pcm)
    assert float((ours - expected).abs().max()) < 1e-4
