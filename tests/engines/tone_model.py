"""A language of tones and a CTC model that hears it: made here in seconds, known to the sample.

Each letter is a tone of 120 ms; 20 ms part letters, and more parts words. So where every word is
said is known exactly. The model is a wav2vec2 in the folder layout of the transformers library: its
first layer is a fixed bank of filters at the letters' pitches, the rest is fitted to tell them.
"""

import json
from pathlib import Path

import numpy as np

RATE = 16_000
LETTERS = "abcdefgh'"
LETTER = 0.12  # seconds
GAP = 0.02
VOCABULARY = {"<pad>": 0, "<s>": 1, "<unk>": 2, **{c: 3 + i for i, c in enumerate(LETTERS)}}
STRIDE, KERNEL = 320, 400
_HERTZ = [400 + 350 * i for i in range(len(LETTERS))]
CONFIG = {
    "model_type": "wav2vec2",
    "architectures": ["Wav2Vec2ForCTC"],
    "conv_dim": [4 * len(LETTERS)],
    "conv_kernel": [KERNEL],
    "conv_stride": [STRIDE],
    "conv_bias": False,
    "feat_extract_norm": "layer",
    "hidden_size": 4 * len(LETTERS),
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "do_stable_layer_norm": True,
    "vocab_size": len(VOCABULARY),
    "pad_token_id": 0,
}


def say(text: str, pauses: dict[int, float] | None = None, lead: float = 0.3, seed: int = 1):
    """PCM16 of a text, and the start and end of each word in seconds.

    0.2 s part words; `pauses` are longer ones before some words, and before the end.
    """
    pauses = pauses or {}
    words = text.split()
    at, spans, tones = lead, [], []
    for place, word in enumerate(words):
        at += pauses.get(place, 0.0)
        start = at
        for letter in word:
            if letter in LETTERS:
                tones.append((at, _HERTZ[LETTERS.index(letter)]))
            at += LETTER + GAP  # a letter the model does not know is silence
        spans.append((start, at - GAP))
        at += 0.2 - GAP
    at += 0.1 + pauses.get(len(words), 0.0)
    wave = np.random.default_rng(seed).normal(0, 0.003, round(at * RATE))
    for start, hertz in tones:
        first, count = round(start * RATE), round(LETTER * RATE)
        time = np.arange(count) / RATE
        wave[first : first + count] += 0.3 * np.sin(2 * np.pi * hertz * time)
    return np.clip(np.rint(wave * 32767), -32768, 32767).astype(np.int16), spans


def write(folder: Path) -> Path:
    """Fit the model and save it as transformers would."""
    import torch
    from safetensors.torch import save_file
    from torchaudio.models import wav2vec2_model

    from transforms.engines import ctc_model

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "vocab.json").write_text(json.dumps(VOCABULARY))
    torch.manual_seed(3)
    width = CONFIG["hidden_size"]
    model = wav2vec2_model(
        "layer_norm", [(width, KERNEL, STRIDE)], False, width, 0.0, 4, 2, 1, 2, 0.0,
        16, 0.0, 0.0, True, 0.0, len(VOCABULARY),
    )  # fmt: skip
    time = torch.arange(KERNEL) / RATE
    window = torch.hann_window(KERNEL)
    bank = [
        sign * window * wave(2 * torch.pi * hertz * time)
        for hertz in _HERTZ
        for wave in (torch.sin, torch.cos)
        for sign in (1, -1)
    ]
    first = model.feature_extractor.conv_layers[0].conv.weight
    first.data = torch.stack(bank)[:, None] / 10
    # The rest lets its input through, but for the last layer, which is fitted.
    projection = model.encoder.feature_projection.projection
    transformer = model.encoder.transformer
    torch.nn.init.eye_(projection.weight)
    quiet = [projection.bias, transformer.pos_conv_embed.conv.bias]
    quiet.append(transformer.pos_conv_embed.conv.parametrizations.weight.original0)
    for last in (transformer.layers[0].attention.out_proj, transformer.layers[0].feed_forward):
        quiet += getattr(last, "output_dense", last).parameters()
    for weights in quiet:
        torch.nn.init.zeros_(weights)
    waves, labels = _lessons()
    with torch.no_grad():
        heard = model.encoder(model.feature_extractor(waves, None)[0])
    fit = torch.optim.Adam(model.aux.parameters(), lr=0.3)
    for _ in range(400):
        fit.zero_grad()
        torch.nn.functional.cross_entropy(
            model.aux(heard).flatten(0, 1), labels.flatten()
        ).backward()
        fit.step()
    back = {new: old for old, new in ctc_model._PREFIXES.items()}
    state = {
        next(back[p] + name[len(p) :] for p in back if name.startswith(p)): value.contiguous()
        for name, value in model.state_dict().items()
    }
    save_file(state, folder / "model.safetensors")
    return folder


def _lessons():
    """Random words with the letter of each frame: that which fills most of what the frame hears."""
    import torch

    rng = np.random.default_rng(11)
    waves, labels = [], []
    for lesson in range(24):
        words = ["".join(rng.choice(list(LETTERS), 4)) for _ in range(6)]
        pcm, spans = say(" ".join(words), lead=0.2 + 0.013 * lesson, seed=lesson)
        pcm = np.pad(pcm, (0, max(0, 6 * RATE - len(pcm))))[: 6 * RATE]
        wave = pcm / 32768
        waves.append((wave - wave.mean()) / np.sqrt(wave.var() + 1e-7))
        heard = np.zeros((len(pcm) - KERNEL) // STRIDE + 1, np.int64)
        for word, (start, _) in zip(words, spans, strict=True):
            for place, letter in enumerate(word):
                low = (start + place * (LETTER + GAP)) * RATE
                begins = np.arange(len(heard)) * STRIDE + (KERNEL - STRIDE) / 2
                inside = np.minimum(begins + STRIDE, low + LETTER * RATE) - np.maximum(begins, low)
                heard[inside > STRIDE / 2] = VOCABULARY[letter]
        labels.append(heard)
    return torch.tensor(np.array(waves), dtype=torch.float32), torch.tensor(np.array(labels))
