"""Packs from strings, for tests of patches: every position is one letter."""

import numpy as np

from trainer.latent.patching import STRETCH, UNIT
from trainer.pack import MARKER, PADDING, SPEECH, TEXT, Pack, Vocabulary

UNITS = Vocabulary(text=50, levels=30)  # one codebook: units are ids
FRAMES = Vocabulary(text=50, codebooks=6, levels=8)
KINDS = {"t": TEXT, "s": SPEECH, "w": SPEECH, "c": SPEECH, ".": PADDING}


def pack_of(row: str, words: Vocabulary = UNITS, number: int = 0, seed: int = 0) -> Pack:
    """`d`: marker document, `S`, `T`: markers of sides, `e`: end; `t` text; speech: `s` goes on,
    `w` begins a word or a silence, `c` begins a chunk (and a word); `.` padding."""
    chance = np.random.default_rng([seed, number])
    count = len(row)
    modality = np.array([KINDS.get(one, MARKER) for one in row], np.int8)
    ids = chance.integers(0, words.text, count).astype(np.int32)
    markers = {"d": "document", "S": "speech", "T": "text", "e": "end"}
    for at, one in enumerate(row):
        if one in markers:
            ids[at] = words.marker(markers[one])
    spoken = modality == SPEECH
    codes = np.zeros((count, words.codebooks), words.codes)
    if words.codebooks == 1:
        ids[spoken] = words.speech_first + chance.integers(0, words.levels, int(spoken.sum()))
    else:
        ids[spoken] = words.speech_first
        codes[spoken] = chance.integers(0, words.levels, (int(spoken.sum()), words.codebooks))
    ids[modality == PADDING] = 0
    piece = np.cumsum(np.array(list(row)) == "d").astype(np.int32) - 1
    piece[modality == PADDING] = -1
    starts = np.maximum.accumulate(np.where(np.array(list(row)) == "d", np.arange(count), 0))
    flags = {"w": UNIT, "c": STRETCH | UNIT}
    pieces = row.count("d")
    return Pack(
        set_name="made",
        number=number,
        ids=ids,
        codes=codes,
        modality=modality,
        piece=piece,
        place=np.where(piece < 0, 0, np.arange(count) - starts).astype(np.int32),
        documents=tuple(f"document{n}" for n in range(pieces)),
        chunks=((0, 1),) * pieces,
        seconds=0.0,
        words=0,
        withheld=0,
        borders=np.array([flags.get(one, 0) for one in row], np.uint8),
    )
