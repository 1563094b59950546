"""The shipped configs: every number says where it is from, and the budgets are what they claim."""

import re
from collections.abc import Iterator

import pytest

from schemas.settings import Node, SettingsError, read
from tests.trainer.loop.made_runs import shipped
from trainer.config import CONFIGS, load_config
from trainer.model import Decoder
from trainer.model_settings import ModelSettings
from trainer.tokens import speech_tokenizer, vocabulary

PAPERS = {
    "spelangy": ("text", "web", "quest"),
    "lst": ("text", "interleaved"),
    "zeng": ("text", "interleaved", "speech", "asr", "tts"),
    "contrastive": ("must_c",),
}
SIZES = {"124m": 124e6, "400m": 400e6, "1b": 1e9}
TAG = re.compile(r"# (paper|derived|ours)\b")


def numbers(node: Node) -> Iterator[Node]:
    """The leaves that are numbers."""
    if isinstance(node.value, dict):
        for child in node.value.values():
            yield from numbers(child)
    elif isinstance(node.value, list):
        for child in node.value:
            yield from numbers(child)
    elif isinstance(node.value, int | float) and not isinstance(node.value, bool):
        yield node


def untagged(name: str) -> list[str]:
    """Lines of a config with a number that does not say where it is from."""
    path = CONFIGS / f"{name}.yaml"
    lines = path.read_text().splitlines()
    found = {node.place.line or 0 for node in numbers(read(path))}
    return [
        lines[n - 1]
        for n in sorted(found)
        if not re.search(r"# (paper|derived|ours)\b", lines[n - 1])
    ]


def test_every_config_is_tested() -> None:
    names = {path.stem for path in CONFIGS.glob("*.yaml")}
    assert names == {*PAPERS, *SIZES, "smoke"}


@pytest.mark.parametrize("name", PAPERS)
def test_every_number_of_a_paper_says_where_it_is_from(name: str) -> None:
    assert untagged(name) == []
    assert len(list(numbers(read(CONFIGS / f"{name}.yaml")))) > 10


@pytest.mark.parametrize("name", PAPERS)
def test_what_a_file_needs_is_done_or_refused(name: str) -> None:
    shards = [f"{one}=x" for one in PAPERS[name]]
    assert load_config(name, shards=shards).name == name
    with pytest.raises(SettingsError, match=r"the trainer does not do this.*--set needs=\[\]"):
        load_config(name, ["needs=[telepathy]"], shards)


def test_the_budget_of_spelangy() -> None:
    config = shipped("spelangy", PAPERS["spelangy"])
    data = config.data
    assert data.packs * data.length * config.steps(1.0) == 1_677_721_600_000
    shares = {name: one.share for name, one in data.sets.items()}
    assert sum(shares.values()) == pytest.approx(100)
    assert shares["text"] == 60
    assert shares["web"] / (shares["web"] + shares["quest"]) == pytest.approx(0.66)
    assert (config.loss.text, config.loss.speech) == (1.0, 0.0)
    policies = {one.policy.kind for one in data.sets.values() if one.policy is not None}
    assert policies == {"deterministic"}
    assert speech_tokenizer("dmel/20x4").frames_per_second == 12.5


def test_the_budget_of_lst() -> None:
    config = shipped("lst", PAPERS["lst"], "needs=[]")
    assert config.data.packs * config.data.length == 524_288
    assert config.data.packs * config.data.length * config.steps(1.0) == pytest.approx(
        105e9, rel=2e-3
    )
    assert config.optimizer.lr * config.schedule.end == pytest.approx(4e-6)
    model = config.model
    assert model is not None
    assert weights(model, 32_000, 501, 1) == pytest.approx(1.0e9, rel=0.05)


def test_the_budget_of_zeng() -> None:
    config = shipped("zeng", PAPERS["zeng"])
    total = sum(one.share for one in config.data.sets.values())
    assert total == pytest.approx(300 + 455 + 279 + 31 + 11 + 3.5)
    assert config.data.sets["text"].share / total == pytest.approx(0.3, abs=0.03)
    steps = config.steps(1.0)
    assert steps * config.data.packs * config.data.length == pytest.approx(1e12, rel=1e-4)
    assert config.optimizer.lr * config.schedule.end == pytest.approx(6e-6)


def test_the_budget_of_contrastive() -> None:
    config = shipped("contrastive", PAPERS["contrastive"])
    spoken, words = 400 * 3600 * 16_000 / 1333, 400 * 60 * 150
    markers = 400 * 3600 / 6.3 * 2
    positions = 5 * (spoken + words * 1.3 + markers)
    per_step = config.data.packs * config.data.length
    assert config.steps(1.0) == pytest.approx(positions / per_step, abs=1)
    assert config.schedule.warmup == round(0.03 * config.steps(1.0))
    assert config.data.sets["must_c"].epochs == 5
    assert config.adapter is not None and config.contrastive is not None
    assert (config.adapter.layers, config.adapter.train) == (4, "adapter")
    assert config.contrastive.chosen(32) == (0, 5, 10, 15, 20, 25, 32)
    # about 10 pairs share their negatives: a clip of 6.3 s, its words and two markers
    pair = 6.3 * 16_000 / 1333 + 6.3 / 60 * 150 * 1.3 + 2
    assert config.data.length * (config.compute.micro_packs or 0) / pair == pytest.approx(10, abs=1)


@pytest.mark.parametrize(("name", "wanted"), SIZES.items())
def test_the_sizes_and_their_budgets(name: str, wanted: float) -> None:
    config = shipped(name, ("text", "speech"))
    assert config.model is not None
    found = weights(config.model, config.text.size, 16, 320)
    assert found == pytest.approx(wanted, rel=0.03)
    positions = config.steps(1.0) * config.data.packs * config.data.length
    assert positions == pytest.approx(20 * wanted, rel=0.01)


def weights(model: ModelSettings, text: int, levels: int, codebooks: int) -> int:
    """Weights of a decoder, counted by a formula of its own: none of these is built here."""
    width, heads, kv_heads, head, hidden = model.sizes
    block = width * head * (2 * heads + 2 * kv_heads) + 3 * width * hidden + 2 * width
    ids = text + 4 + (levels if codebooks == 1 else 1)
    codes = 2 * codebooks * levels * width if codebooks > 1 else 0
    return model.depth * block + width + ids * width + codes


def test_the_formula_counts_what_a_decoder_has() -> None:
    settings = ModelSettings(depth=2, width=64, heads=2, kv_heads=1)
    speech = speech_tokenizer("dmel/20x4")
    built = Decoder(settings, vocabulary(300, speech))
    count = sum(weight.numel() for weight in built.parameters())
    assert weights(settings, 300, speech.levels, speech.codebooks) == count
