"""Perplexity by local models that are made here: a backoff n-gram model and a tiny network."""

import gzip
import math
import pathlib

import pydantic
import pytest
from made_sound import RATE, make_clip, make_scope

from transforms.engines.models import ModelError
from transforms.engines.text_model import Arpa, Causal, parse
from transforms.measure.perplexity import Perplexity

ARPA = """\\data\\
ngram 1=5
ngram 2=3

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.5
-0.7\t</s>
-0.6\tthe\t-0.3
-0.8\tsea\t-0.2

\\2-grams:
-0.1\t<s> the
-0.2\tthe sea
-0.3\tsea </s>

\\end\\
"""


@pytest.fixture
def arpa(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "model.arpa"
    path.write_text(ARPA)
    return path


def tens(model: Arpa, text: str) -> float:
    found = model.judge(text)
    assert found is not None
    return found.log_probability / math.log(10)


def test_ngrams_back_off_as_katz_says(arpa: pathlib.Path) -> None:
    model = Arpa(arpa)
    assert model.order == 2
    assert tens(model, "The sea.") == pytest.approx(-0.1 - 0.2 - 0.3)
    # <s> -> sea is not there: backoff of <s>, then the unigram
    assert tens(model, "sea") == pytest.approx(-0.5 - 0.8 - 0.3)
    # the -> <unk>: backoff of the, then <unk>; <unk> -> </s>: no backoff, the unigram
    assert tens(model, "the fish") == pytest.approx(-0.1 - 0.3 - 1.0 - 0.7)
    judged = model.judge("the sea the sea")
    assert judged is not None and judged.tokens == 5
    assert model.judge(" ... ") is None


def test_a_model_without_unk_takes_the_least_likely_word(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "m.arpa.gz"
    with gzip.open(path, "wt") as file:
        file.write(ARPA.replace("-1.0\t<unk>\n", "").replace("-99\t<s>", "-2.0\t<s>"))
    assert tens(Arpa(path), "the fish") == pytest.approx(-0.1 - 0.3 - 2.0 - 0.7)


@pytest.mark.parametrize("text", ["", "hello", "\\1-grams:\nx y z", "\\2-grams:\n-1\tone"])
def test_files_that_are_no_model_are_refused(tmp_path: pathlib.Path, text: str) -> None:
    path = tmp_path / "bad.arpa"
    path.write_text(text)
    with pytest.raises(ModelError, match=r"bad\.arpa"):
        Arpa(path)


def test_missing_files_are_told_before_work(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ModelError, match="no n-gram model"):
        Perplexity(model=f"arpa/{tmp_path}/none.arpa").fingerprint()
    with pytest.raises(ModelError, match="hf download"):
        Perplexity(model=f"hf/{tmp_path}/none").fingerprint()


@pytest.mark.parametrize("spec", ["gpt2", "hf/", "kenlm/x", "arpa"])
def test_names_of_no_model_are_refused(spec: str) -> None:
    with pytest.raises(ValueError, match="hf/FOLDER"):
        parse(spec)
    with pytest.raises(pydantic.ValidationError):
        Perplexity(model=spec)


def rows(step: Perplexity, *texts: str) -> list[dict[str, object]]:
    clips = [make_clip(n * RATE, n * RATE + RATE, text=text) for n, text in enumerate(texts)]
    scores = step(clips, step.load(), make_scope())
    return [dict(zip(step.columns, one.values, strict=True)) for one in scores]


def test_perplexity_is_per_token_and_bits_are_per_character(arpa: pathlib.Path) -> None:
    step = Perplexity(model=f"arpa/{arpa}", min_tokens=3)
    likely, odd, short, empty = rows(step, "the sea", "fish fish", "", "  \ud800")
    assert likely["perplexity"] == pytest.approx(10 ** (0.6 / 3))
    assert likely["bits_per_character"] == pytest.approx(0.6 * math.log2(10) / 7)
    assert likely["tokens"] == 3
    assert odd["perplexity"] > likely["perplexity"]  # type: ignore[operator]
    assert set(short.values()) == {None}
    assert set(empty.values()) == {None}
    assert rows(Perplexity(), "the sea") == [dict.fromkeys(Perplexity.columns)]
    (few,) = rows(Perplexity(model=f"arpa/{arpa}"), "the sea")
    assert (few["perplexity"], few["tokens"]) == (None, 3)
    assert Perplexity().fingerprint() is None
    assert len(step.fingerprint()["arpa"]) == 64  # type: ignore[index]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A tiny causal network with a tokenizer of five words."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    import torch

    path = tmp_path_factory.mktemp("lm")
    words = ["<s>", "<unk>", "the", "sea", "is"]
    table = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="<unk>")
    )
    table.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=table, unk_token="<unk>", bos_token="<s>"
    ).save_pretrained(path)
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=len(words), hidden_size=8, intermediate_size=16, num_hidden_layers=1,
            num_attention_heads=2, max_position_embeddings=9, bos_token_id=0, eos_token_id=None,
        )
    ).save_pretrained(path)  # fmt: skip
    return path


def test_a_network_is_asked_token_by_token(folder: pathlib.Path) -> None:
    import torch
    import transformers

    judged = Causal(folder).judge("the sea is")
    assert judged is not None and judged.tokens == 3
    network = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        chances = torch.log_softmax(network(torch.tensor([[0, 2, 3, 4]])).logits[0], -1)
    expected = sum(float(chances[n, token]) for n, token in enumerate([2, 3, 4]))
    assert judged.log_probability == pytest.approx(expected, rel=1e-5)


def test_long_texts_are_judged_in_windows(folder: pathlib.Path) -> None:
    model = Causal(folder)
    window, twice = model.judge("the sea " * 4), model.judge("the sea " * 8)
    assert window is not None and twice is not None
    assert (window.tokens, twice.tokens) == (8, 16)
    assert twice.log_probability == pytest.approx(2 * window.log_probability)
    (row,) = rows(Perplexity(model=f"hf/{folder}"), "the sea " * 40)
    assert row["tokens"] == 80
    assert row["perplexity"] == pytest.approx(math.exp(-window.log_probability / 8))


def test_answers_do_not_depend_on_neighbours(folder: pathlib.Path) -> None:
    step = Perplexity(model=f"hf/{folder}", min_tokens=1)
    together = rows(step, "the sea is", "is the", "sea")
    alone = [rows(step, text)[0] for text in ("the sea is", "is the", "sea")]
    assert together == alone
    assert set(step.fingerprint()) == {"files", "torch", "transformers"}  # type: ignore[arg-type]
