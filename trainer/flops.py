"""Floating-point operations of one position of training, part by part, from sizes alone.

The model counts itself with this, budgets are planned with it, and no weight is needed: a run of
any size is priced at once. A product of matrices counts 2 a weight forward and 4 backward. Norms,
rotation, activations and the optimizer are left out, as is usual (Kaplan et al., arXiv 2001.08361);
looking up an embedding counts nothing.
"""

from trainer.model_settings import ModelSettings
from trainer.pack import Vocabulary

PARTS = ("front_end", "matrices", "attention", "text_head", "code_heads")


def by_part(
    settings: ModelSettings,
    vocabulary: Vocabulary,
    length: int,
    text_share: float = 1.0,
    speech_share: float = 1.0,
) -> dict[str, float]:
    """Operations of a position, forward and backward, by the names of `PARTS`.

    - matrices: 6 x the weights of the blocks' matrices;
    - attention: 6 x depth x heads x head_width x length (scores and values, half of them masked by
      causality; document masks that skip more are not deducted);
    - text_head: 6 x size x width x text_share;
    - code_heads: 6 x codebooks x levels x width x speech_share;
    - front_end: 2 x codebooks x width x speech_share, for adding the code tables' rows.

    The shares are those of positions that each head is asked for; 1 counts them everywhere.
    """
    width, heads, kv_heads, head, hidden = settings.sizes
    block = width * head * (2 * heads + 2 * kv_heads) + 3 * width * hidden
    several = vocabulary.codebooks > 1
    books = vocabulary.codebooks if several else 0
    return {
        "front_end": 2.0 * books * width * speech_share,
        "matrices": 6.0 * settings.depth * block,
        "attention": 6.0 * settings.depth * heads * head * length,
        "text_head": 6.0 * vocabulary.size * width * text_share,
        "code_heads": 6.0 * books * vocabulary.levels * width * speech_share,
    }


def parameters_of(settings: ModelSettings, vocabulary: Vocabulary) -> dict[str, int]:
    """Weights by part: `embeddings` (tables and heads), and `blocks` (all between them).

    Laws of scaling take the blocks alone (Kaplan et al.) or everything; say which.
    """
    width, heads, kv_heads, head, hidden = settings.sizes
    block = width * head * (2 * heads + 2 * kv_heads) + 3 * width * hidden + 2 * width
    if settings.qkv_bias:
        block += head * (heads + 2 * kv_heads)
    tables = vocabulary.size * width * (1 if settings.tie_embeddings else 2)
    if vocabulary.codebooks > 1:
        tables += 2 * vocabulary.codebooks * vocabulary.levels * width
    return {"embeddings": tables, "blocks": settings.depth * block + width}
