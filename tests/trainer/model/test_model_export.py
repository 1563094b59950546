"""An export is loaded by transformers and says what the decoder says."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.model.hugging_face import logits_of
from tests.trainer.model.made_models import decoder, pack
from tests.trainer.model.made_text import bpe_file, made_texts, sentencepiece_file
from trainer import export as exporting
from trainer.export import ExportError, export
from trainer.initialize import InitializationError, initialized
from trainer.model import Decoder, RopeScaling
from trainer.pack import Vocabulary
from trainer.text import FileTokenizer, load_text_tokenizer
from trainer.weight_names import CODES, LAYOUT

SCALED = RopeScaling(factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_length=32)
WORDS = Vocabulary(text=320)
UNITS = Vocabulary(text=320, codebooks=1, levels=30)
FRAMES = Vocabulary(text=320, codebooks=4, levels=16)
DELAYED = Vocabulary(text=320, codebooks=2, levels=17, pad=16)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> FileTokenizer:
    return bpe_file(tmp_path_factory.mktemp("text"))


def loaded(folder: Path) -> Any:
    import transformers

    return transformers.AutoModelForCausalLM.from_pretrained(folder).eval()


def shaken(vocabulary: Vocabulary, **settings: Any) -> Decoder:
    """A decoder none of whose weights are alike, as after training."""
    model = decoder(vocabulary, **settings)
    chance = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=chance))
    return model


def items(vocabulary: Vocabulary) -> list[Any]:
    spoken = [(5,), (29,), (0,)] if vocabulary.codebooks == 1 and vocabulary.levels else []
    runs = ["speech", *spoken] if spoken else []
    return ["document", "text", 7, 300, 45, *runs, "text", 319, 2, "end"]


@pytest.mark.parametrize("vocabulary", (WORDS, UNITS, FRAMES, DELAYED))
@pytest.mark.parametrize(
    "settings",
    (
        {"tie_embeddings": True},
        {"tie_embeddings": False, "qkv_bias": True},
        {"tie_embeddings": False, "rope_scaling": SCALED, "rope_theta": 5e5, "head_width": 16},
        {"tie_embeddings": True, "qkv_bias": True, "norm_eps": 1e-3, "kv_heads": 4},
    ),
    ids=("llama-tied", "qwen2", "llama-scaled", "qwen2-tied"),
)
def test_logits_are_the_decoders(
    tmp_path: Path, text: FileTokenizer, vocabulary: Vocabulary, settings: dict[str, Any]
) -> None:
    model = shaken(vocabulary, **settings)
    export(model, text, tmp_path / "out", length=64)
    held = pack(vocabulary, len(items(vocabulary)), items(vocabulary))
    with torch.no_grad():
        wanted = model.text_logits(model(held))
    found = logits_of(loaded(tmp_path / "out"), held.ids)
    assert found.shape == wanted.shape
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    assert float(wanted.abs().max()) > 1


@pytest.mark.parametrize("vocabulary", (WORDS, UNITS, FRAMES))
def test_ids_of_the_tokenizer_are_those_it_was_trained_with(
    tmp_path: Path, text: FileTokenizer, vocabulary: Vocabulary
) -> None:
    import transformers

    export(decoder(vocabulary), text, tmp_path / "out", length=64)
    found = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert len(found) == vocabulary.size
    said = made_texts(1, seed=8)[0] + " <|speechloom-speech|"
    assert found.encode(said, add_special_tokens=False) == text.encode(said)
    start = [vocabulary.marker("document"), vocabulary.marker("text")]
    assert found.encode(said) == start + text.encode(said)
    assert found.decode(text.encode(said)) == said
    for name in ("document", "speech", "text", "end"):
        token = f"<|speechloom-{name}|>"
        assert found.convert_tokens_to_ids(token) == vocabulary.marker(name)
    assert (found.bos_token_id, found.eos_token_id) == (320, 323)
    if vocabulary is UNITS:
        tokens = [f"<|speechloom-unit-{unit}|>" for unit in (0, 29)]
        assert found.convert_tokens_to_ids(tokens) == [324, 353]
        assert found.encode("".join(tokens), add_special_tokens=False) == [324, 353]
    if vocabulary is FRAMES:
        assert found.convert_tokens_to_ids("<|speechloom-frame|>") == 324


def test_a_sentencepiece_tokenizer_is_extended_too(tmp_path: Path) -> None:
    import transformers

    text = sentencepiece_file(tmp_path)
    out = tmp_path / "out"
    export(decoder(UNITS), text, out, length=64)
    again = load_text_tokenizer(out / "tokenizer.model")
    assert again.size == UNITS.size
    said = made_texts(1, seed=8)[0]
    assert again.encode(said + " <|speechloom-end|>") == text.encode(said + " <|speechloom-end|>")
    found = transformers.AutoTokenizer.from_pretrained(out)
    assert len(found) == UNITS.size
    assert found.encode(said, add_special_tokens=False) == text.encode(said)
    assert found.convert_tokens_to_ids("<|speechloom-end|>") == 323
    assert found.convert_tokens_to_ids("<|speechloom-unit-29|>") == 353
    assert "SentencePiece" in (out / "README.md").read_text()


def test_an_export_generates_up_to_the_end_marker(tmp_path: Path, text: FileTokenizer) -> None:
    model = decoder(WORDS)
    with torch.no_grad():
        model.embedding.weight.zero_()
        model.embedding.weight[:, 0] = 1
        model.embedding.weight[WORDS.marker("end"), 0] = 5
    export(model, text, tmp_path / "out", length=64)
    made = loaded(tmp_path / "out").generate(torch.tensor([[320, 322, 5]]), max_new_tokens=8)
    assert made.tolist() == [[320, 322, 5, 323]]


def test_codes_are_in_a_file_of_their_own_and_the_readme_says_so(
    tmp_path: Path, text: FileTokenizer
) -> None:
    from safetensors.torch import load_file

    model = decoder(FRAMES)
    export(model, text, tmp_path / "out", length=64, about={"speech_tokenizer": "made"})
    codes = load_file(tmp_path / "out" / CODES)
    assert set(codes) == {"code_tables.weight", "code_heads.weight"}
    assert all(torch.equal(codes[name], model.state_dict()[name]) for name in codes)
    plain = load_file(tmp_path / "out" / "model.safetensors")
    assert not any("code" in name for name in plain)
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "**Speech is not in what `AutoModelForCausalLM` loads.**" in readme
    assert "[4 x 16, width]" in readme
    layout = json.loads((tmp_path / "out" / LAYOUT).read_text())
    assert layout["vocabulary"] == {
        "text": 320, "codebooks": 4, "levels": 16, "pad": None
    }  # fmt: skip
    assert layout["markers"] == {"document": 320, "speech": 321, "text": 322, "end": 323}
    assert (layout["speech_first"], layout["speech_tokenizer"]) == (324, "made")
    assert layout["text_tokenizer"] == text.digest

    export(decoder(UNITS), text, tmp_path / "units", length=64)
    assert not (tmp_path / "units" / CODES).exists()
    readme = (tmp_path / "units" / "README.md").read_text()
    assert "Speech is not in" not in readme
    assert "| 324 to 353 | `<|speechloom-unit-0|>` to `<|speechloom-unit-29|>`" in readme


SPEECH = "a" * 64  # digest of a speech tokenizer


@pytest.mark.parametrize("tied", (True, False))
@pytest.mark.parametrize("vocabulary", (WORDS, UNITS, FRAMES, DELAYED))
def test_an_export_can_be_the_beginning_of_a_run(
    tmp_path: Path, text: FileTokenizer, tied: bool, vocabulary: Vocabulary
) -> None:
    """What was written is read back bit for bit: speech too, where it is the same speech."""
    model = shaken(vocabulary, tie_embeddings=tied, rope_scaling=SCALED)
    about = {"speech_tokenizer_digest": SPEECH}
    export(model, text, tmp_path / "out", length=64, about=about)
    again = initialized(tmp_path / "out", vocabulary, 9, text=text, speech=SPEECH)
    assert again.settings == model.settings.model_copy(update={"initial_std": 0.02})
    for name, weight in again.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name


def test_other_speech_begins_anew_and_markers_go_on(tmp_path: Path, text: FileTokenizer) -> None:
    for number, (vocabulary, other) in enumerate(
        ((UNITS, UNITS), (FRAMES, FRAMES), (WORDS, UNITS))
    ):
        model, out = shaken(vocabulary), tmp_path / str(number)
        export(model, text, out, length=64, about={"speech_tokenizer_digest": SPEECH})
        again = initialized(out, other, 9, text=text, speech="b" * 64)
        rows = vocabulary.speech_first
        one, two = model.embedding.weight, again.embedding.weight
        assert torch.equal(one[:rows], two[:rows])
        assert not torch.equal(one[rows:], two[rows:])
        if again.code_heads is not None and model.code_heads is not None:
            assert not torch.equal(again.code_heads.weight, model.code_heads.weight)


def test_an_export_goes_on_with_its_own_text_tokenizer(tmp_path: Path, text: FileTokenizer) -> None:
    out = tmp_path / "out"
    export(shaken(WORDS), text, out, length=64)
    initialized(out, WORDS, 0, text=load_text_tokenizer(out / "text_tokenizer.json"))
    exported = load_text_tokenizer(out)  # holds the markers, and would count them as text
    with pytest.raises(InitializationError, match="trained with 320 text ids"):
        initialized(out, Vocabulary(text=exported.size), 0, text=exported)
    other = tmp_path / "other"
    other.mkdir()
    bpe_file(other, 321)
    with pytest.raises(InitializationError, match="Give the file that it was trained with"):
        initialized(out, WORDS, 0, text=load_text_tokenizer(other))
    (out / LAYOUT).write_text("{}")
    with pytest.raises(InitializationError, match="not as an export writes it"):
        initialized(out, WORDS, 0)


def test_half_precision_when_asked(tmp_path: Path, text: FileTokenizer) -> None:
    from safetensors.torch import load_file

    export(decoder(FRAMES), text, tmp_path / "out", length=64, dtype="bfloat16")
    for name in ("model.safetensors", CODES):
        kinds = {weight.dtype for weight in load_file(tmp_path / "out" / name).values()}
        assert kinds == {torch.bfloat16}
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"


def test_nothing_is_written_over(tmp_path: Path, text: FileTokenizer) -> None:
    out = tmp_path / "out"
    out.mkdir()
    export(decoder(WORDS), text, out, length=64)  # an empty folder is no model
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(ExportError, match="models are never written over"):
        export(decoder(WORDS, seed=5), text, out, length=64)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_an_export_appears_whole_or_not_at_all(
    tmp_path: Path, text: FileTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporting, "_readme", full)
    with pytest.raises(OSError, match="No space left"):
        export(decoder(WORDS), text, tmp_path / "deep" / "out", length=64)
    assert list((tmp_path / "deep").iterdir()) == []


def test_the_same_model_gives_the_same_bytes(tmp_path: Path, text: FileTokenizer) -> None:
    held = []
    for name in ("one", "two"):
        export(decoder(UNITS), text, tmp_path / name, length=64)
        held.append({p.name: p.read_bytes() for p in sorted((tmp_path / name).iterdir())})
    assert held[0] == held[1]
    assert sorted(held[0]) == [
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "speechloom.json",
        "text_tokenizer.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_another_tokenizer_is_refused(tmp_path: Path, text: FileTokenizer) -> None:
    with pytest.raises(ExportError, match="has 320 ids, the model's vocabulary 321"):
        export(decoder(Vocabulary(text=321)), text, tmp_path / "out", length=64)
    assert not (tmp_path / "out").exists()


def test_a_tokenizer_that_knows_the_markers_is_refused(tmp_path: Path, text: FileTokenizer) -> None:
    content = json.loads(text.path.read_text("utf-8"))
    token = "<|speechloom-speech|>"
    content["added_tokens"] = [
        {"id": 320, "content": token, "special": True, "single_word": False}
        | dict.fromkeys(("lstrip", "rstrip", "normalized"), False)
    ]
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match="it knows the token already"):
        export(
            decoder(Vocabulary(text=321)), load_text_tokenizer(path), tmp_path / "out", length=64
        )
    assert [p.name for p in tmp_path.iterdir()] == ["tokenizer.json"]
