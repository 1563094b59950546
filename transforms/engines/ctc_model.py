"""CTC acoustic models in a local folder: what each 20 ms of sound could be a letter of.

The folder is that of a `Wav2Vec2ForCTC` as the transformers library saves it: config.json,
vocab.json, model.safetensors (or pytorch_model.bin, read as weights only), and, where present,
preprocessor_config.json. It is rebuilt with torchaudio's own wav2vec2, so transformers need not be
installed; the names of its weights differ only in their beginnings. Models with adapters (MMS) or
of another architecture are refused: half a model would align, badly and silently.
"""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from transforms.engines.models import ModelError, files_digest
from transforms.step import Pcm16

CONFIG, VOCABULARY, PREPROCESSOR = "config.json", "vocab.json", "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
WINDOW = 30.0  # seconds that pass through the model at once: bounds its memory
CONTEXT = 1.0  # seconds heard on both sides of a window, and not answered for

_PREFIXES = {  # transformers' names of weights, torchaudio's
    "wav2vec2.feature_extractor.": "feature_extractor.",
    "wav2vec2.feature_projection.": "encoder.feature_projection.",
    "wav2vec2.encoder.": "encoder.transformer.",
    "lm_head.": "aux.",
}
_POSITIONS = "encoder.transformer.pos_conv_embed.conv."
_OLDER = {  # older files keep the weight norm of the position layer under other names
    _POSITIONS + "weight_g": _POSITIONS + "parametrizations.weight.original0",
    _POSITIONS + "weight_v": _POSITIONS + "parametrizations.weight.original1",
}
_IGNORED = ("wav2vec2.masked_spec_embed",)  # for training only

_NUMBERS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "num_conv_pos_embeddings",
    "num_conv_pos_embedding_groups",
)
_LISTS = ("conv_dim", "conv_kernel", "conv_stride")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """What the small files of a model's folder say."""

    folder: Path
    config: dict[str, Any]
    vocabulary: dict[str, int]
    weights: str  # file name
    rate: int  # hertz of the sound it wants
    normalise: bool  # the sound is given zero mean and unit variance


def describe(variant: str) -> Description:
    """The model in folder `variant`. Raises `ModelError` for all that can be wrong but weights."""
    folder = Path(variant).expanduser()
    weights = next((name for name in WEIGHTS if (folder / name).is_file()), "")
    missing = [name for name in (CONFIG, VOCABULARY) if not (folder / name).is_file()]
    if missing or not weights:
        lacking = ", ".join([*missing, *([] if weights else [" or ".join(WEIGHTS)])])
        raise ModelError(
            variant,
            f"the folder {folder.absolute()} lacks {lacking}. Put a CTC model there as "
            f"transformers saves a Wav2Vec2ForCTC: `hf download ORG/NAME --local-dir {variant}`",
        )
    config, vocabulary = (_mapping(variant, folder / name) for name in (CONFIG, VOCABULARY))
    sound = _mapping(variant, folder / PREPROCESSOR) if (folder / PREPROCESSOR).is_file() else {}
    _check_config(variant, config)
    if not all(type(number) is int and number >= 0 for number in vocabulary.values()):
        raise ModelError(variant, f"{VOCABULARY} does not give each token a number from 0 on")
    size, blank = config.get("vocab_size", len(vocabulary)), config.get("pad_token_id", 0)
    if type(size) is not int or max(vocabulary.values(), default=0) >= size:
        raise ModelError(variant, f"{VOCABULARY} has numbers beyond the {size} of {CONFIG}")
    if type(blank) is not int or not 0 <= blank < size:
        raise ModelError(variant, f"pad_token_id of {CONFIG}, the blank, is {blank!r} of {size}")
    rate = sound.get("sampling_rate", 16_000)
    if type(rate) is not int or rate <= 0:
        raise ModelError(variant, f"sampling_rate of {PREPROCESSOR} is {rate!r}")
    return Description(
        folder=folder,
        config={**config, "vocab_size": size, "pad_token_id": blank},
        vocabulary=vocabulary,
        weights=weights,
        rate=rate,
        normalise=bool(sound.get("do_normalize", True)),
    )


def digest(variant: str) -> str:
    """The sha256 over the files that decide the answers."""
    found = describe(variant)
    names = [CONFIG, VOCABULARY, found.weights]
    return files_digest(
        found.folder, names + [PREPROCESSOR] * (found.folder / PREPROCESSOR).is_file()
    )


def _mapping(variant: str, path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(variant, f"{path.name} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise ModelError(variant, f"{path.name} is no JSON object")
    return value


def _check_config(variant: str, config: dict[str, Any]) -> None:
    kind = config.get("model_type")
    if kind != "wav2vec2":
        raise ModelError(variant, f"{CONFIG} says model_type {kind!r}; only 'wav2vec2' is known")
    if config.get("adapter_attn_dim") is not None or config.get("add_adapter"):
        raise ModelError(
            variant,
            "the model has adapters (as MMS has), which are not supported; take one without",
        )
    wrong = [name for name in _NUMBERS if type(config.get(name)) is not int or config[name] < 0]
    wrong += [
        name
        for name in _LISTS
        if not isinstance(config.get(name), list)
        or not config[name]
        or any(type(number) is not int or number <= 0 for number in config[name])
    ]
    if not wrong and len({len(config[name]) for name in _LISTS}) > 1:
        wrong = list(_LISTS)
    if config.get("feat_extract_norm") not in ("group", "layer"):
        wrong.append("feat_extract_norm")
    wrong += [
        name
        for name in ("hidden_act", "feat_extract_activation")
        if config.get(name, "gelu") != "gelu"
    ]
    if wrong:
        raise ModelError(variant, f"{CONFIG} has no usable {', '.join(wrong)}")


class CtcModel:
    """A model that is loaded: shared by threads, never changed."""

    def __init__(self, variant: str, device: str = "cpu") -> None:
        """Raises `ModelError` where the folder is not a whole model."""
        import torch

        found = describe(variant)
        if device != "cpu" and not torch.cuda.is_available():
            raise ModelError(variant, f"device {device} is asked for, and there is none here")
        self.name = variant
        self.rate = found.rate
        self.vocabulary = found.vocabulary
        self.blank = int(found.config["pad_token_id"])
        self._normalise = found.normalise
        self._device = torch.device(device)
        self._model = _built(variant, found).to(self._device).eval()
        self.stride, self._reach = _field(found.config)

    def time_of(self, frame: int) -> float:
        """When an answer begins, in seconds: frames lie around the middle of what they hear."""
        return max(0.0, (frame * self.stride + (self._reach - self.stride) / 2) / self.rate)

    def log_probabilities(self, pcm: Pcm16) -> Any:
        """The log probability of each token for each stride of one clip: a tensor [T, tokens].

        `pcm` is PCM16, shape [samples], at `rate`. A clip shorter than what one answer hears is
        filled up with silence. Windows of `WINDOW` seconds bound the memory.
        """
        import torch

        wave = np.asarray(pcm, np.float32) / 32768
        if self._normalise and len(wave):
            wave = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
        wave = np.pad(wave, (0, max(0, self._reach - len(wave)))).astype(np.float32)
        hop = max(1, round(WINDOW * self.rate / self.stride)) * self.stride
        context = round(CONTEXT * self.rate / self.stride) * self.stride
        parts = []
        for start in range(0, len(wave), hop):
            begin, end = max(0, start - context), min(len(wave), start + hop + context)
            last = len(wave) - start <= hop + context
            if last:
                end = len(wave)
            with torch.inference_mode():
                sound = torch.from_numpy(wave[begin:end].copy())[None].to(self._device)
                logits = self._model(sound)[0][0]
                answers = torch.log_softmax(logits.float(), -1).cpu()
            skipped = (start - begin) // self.stride
            parts.append(answers[skipped:] if last else answers[skipped:][: hop // self.stride])
            if last:
                break
        return torch.cat(parts)


def _field(config: dict[str, Any]) -> tuple[int, int]:
    """Samples from one answer to the next, and samples that one answer hears."""
    stride, reach = 1, 1
    for kernel, step in zip(config["conv_kernel"], config["conv_stride"], strict=True):
        reach += (kernel - 1) * stride
        stride *= step
    return stride, reach


def _built(variant: str, found: Description) -> Any:
    """The torchaudio module with the folder's weights. Raises `ModelError` if they do not fit."""
    from torchaudio.models import wav2vec2_model

    config = found.config
    try:
        model = wav2vec2_model(
            extractor_mode=f"{config['feat_extract_norm']}_norm",
            extractor_conv_layer_config=list(zip(*(config[name] for name in _LISTS), strict=True)),
            extractor_conv_bias=bool(config.get("conv_bias", False)),
            encoder_embed_dim=config["hidden_size"],
            encoder_projection_dropout=0.0,
            encoder_pos_conv_kernel=config["num_conv_pos_embeddings"],
            encoder_pos_conv_groups=config["num_conv_pos_embedding_groups"],
            encoder_num_layers=config["num_hidden_layers"],
            encoder_num_heads=config["num_attention_heads"],
            encoder_attention_dropout=0.0,
            encoder_ff_interm_features=config["intermediate_size"],
            encoder_ff_interm_dropout=0.0,
            encoder_dropout=0.0,
            encoder_layer_norm_first=bool(config.get("do_stable_layer_norm", False)),
            encoder_layer_drop=0.0,
            aux_num_out=config["vocab_size"],
        )
        model.load_state_dict(_renamed(_weights(variant, found)))
    except (ValueError, RuntimeError) as error:  # also weights that are missing, or of other shapes
        said = " ".join(str(error).split())
        raise ModelError(variant, f"{found.weights} does not fit {CONFIG}: {said[:400]}") from error
    return model


def _renamed(weights: dict[str, Any]) -> dict[str, Any]:
    """Weights under torchaudio's names; what is unknown keeps its own and is refused."""
    renamed = {}
    for name, value in weights.items():
        if name in _IGNORED:
            continue
        known = next((prefix for prefix in _PREFIXES if name.startswith(prefix)), "")
        own = _PREFIXES.get(known, "") + name[len(known) :]
        renamed[_OLDER.get(own, own)] = value
    return renamed


def _weights(variant: str, found: Description) -> dict[str, Any]:
    path = found.folder / found.weights
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return dict(load_file(path))
        except (SafetensorError, OSError) as error:
            raise ModelError(variant, f"{path.name} cannot be read: {error}") from error
    import pickle

    import torch

    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (RuntimeError, OSError, EOFError, TypeError, pickle.UnpicklingError) as error:
        said = str(error).partition("\n")[0]
        raise ModelError(variant, f"{path.name} cannot be read: {said}") from error


@functools.lru_cache(maxsize=4)
def load(variant: str, device: str = "cpu") -> CtcModel:
    """The model of a folder, loaded once per process."""
    return CtcModel(variant, device)
