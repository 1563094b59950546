"""What a config costs: FLOPs of a step by part, and what a budget buys of it.

Without shards the vocabulary is that of the config (`text.size`, or its tokenizer, and the speech
tokenizer); with shards it is what a run would open, and steps are also told as passes.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from trainer.beginning import initial_decoder
from trainer.config import Config
from trainer.data import Data
from trainer.distributed import ranks
from trainer.failures import SetupError
from trainer.flops import by_part, parameters_of
from trainer.latent.accounting import cost_per_position
from trainer.opening import opened, opened_speech
from trainer.pack import Vocabulary
from trainer.text import load_text_tokenizer


def steps_of(budget: float, config: Config, per_position: float) -> int:
    """Whole updates that a budget buys. Raises `ValueError` where it is less than one."""
    stop = config.stop.model_copy(update={"steps": None, "positions": None, "flops": budget})
    return config.model_copy(update={"stop": stop}).steps(per_position)


def vocabulary_of(config: Config) -> Vocabulary:
    """Of a config's tokenizers; a text tokenizer that is still to be trained counts `text.size`."""
    named = config.text.tokenizer
    text = config.text.size if named is None else load_text_tokenizer(named).size
    speech = opened_speech(config)
    if speech is None:
        return Vocabulary(text=text)
    return Vocabulary(
        text=text,
        codebooks=speech.codebooks,
        levels=speech.levels,
        pad=getattr(speech, "pad", None),
    )


def priced(config: Config, budgets: Sequence[float] = (), *, with_data: bool = False) -> str:
    """A config's prices as text for people. `with_data`: its shards are opened."""
    if config.model is None:
        raise SetupError("the sizes of initial.folder are priced when it trains: see its log")
    if config.model.latent is not None and not with_data:
        raise SetupError("what a latent model costs depends on how its speech is cut: --shards")
    if not with_data:
        try:
            words = vocabulary_of(config)
        except (ValueError, FileNotFoundError) as error:
            advice = "with --shards the tokens that they store are known"
            raise SetupError(f"{error}; {advice}") from error
        return "\n".join(_lines(config, words, budgets, None)) + "\n"
    with TemporaryDirectory() as folder:
        data = _data(config, Path(folder))
        return "\n".join(_lines(config, data.vocabulary, budgets, data)) + "\n"


def _data(config: Config, out: Path) -> Data:
    try:
        with ranks("cpu") as group:
            return opened(config, out, group, again=False).data
    except (ValueError, FileNotFoundError) as error:
        raise SetupError(str(error)) from error


def _lines(
    config: Config, words: Vocabulary, budgets: Sequence[float], data: Data | None
) -> Iterator[str]:
    assert config.model is not None
    length = config.data.length
    positions = config.data.packs * length
    if config.model.latent is None:
        parts = by_part(config.model, words, length)
        sizes = parameters_of(config.model, words)
        whole, tables = sum(sizes.values()), sizes["embeddings"]
    else:
        assert data is not None
        decoder = initial_decoder(config, words)
        parts = {"all modules": cost_per_position(config, decoder, data)}
        held = decoder.parameters_by_part()
        whole, tables = sum(held.values()), held["embedding"]
    total = sum(parts.values())
    yield f"{config.name}: {whole:,} weights, {tables:,} of them in tables"
    yield f"a step has {positions:,} positions and costs {total * positions:.4g} FLOPs:"
    for name, value in parts.items():
        shown = name.replace("_", " ")
        yield f"  {shown:<11} {value * positions:>10.4g}  {value / total:6.1%}"
    if config.contrastive is not None:
        yield "  what contrastive pairs go through the model for comes on top: see the run's log"
    if data is not None:
        for name, one in data.about().items():
            hours = one["seconds"] / 3600
            yield f"set {name}: {one['documents']:,} documents, {hours:.4g} hours"
    for budget in budgets:
        try:
            steps = steps_of(budget, config, total)
        except ValueError:
            yield f"{budget:.4g} FLOPs buy less than one step"
            continue
        yield f"{budget:.4g} FLOPs buy {steps:,} steps, {steps * positions:,} positions"
