"""What Hugging Face's Llama and Qwen2 call the decoder's weights, and what an export's files are
called. Shapes are the same in both."""

import re

CODES = "speech_codes.safetensors"  # what they have no name for: tables and heads of codes
LAYOUT = "speechloom.json"  # the vocabulary of an export
SPEECH_DIGEST = "speech_tokenizer_digest"  # in it

PARTS = {
    "attention_norm": "input_layernorm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.out": "self_attn.o_proj",
    "feed_norm": "post_attention_layernorm",
    "feed.gate": "mlp.gate_proj",
    "feed.up": "mlp.up_proj",
    "feed.down": "mlp.down_proj",
}

WHOLE = {
    "embedding.weight": "model.embed_tokens.weight",
    "norm.weight": "model.norm.weight",
    "text_head.weight": "lm_head.weight",
}


def hugging_face_name(name: str) -> str | None:
    """Their name of our weight; None for the tables and heads of codes, which they have not."""
    if name in WHOLE:
        return WHOLE[name]
    found = re.fullmatch(r"blocks\.(\d+)\.(.+)\.(weight|bias)", name)
    if found is None or found[2] not in PARTS:
        return None
    return f"model.layers.{found[1]}.{PARTS[found[2]]}.{found[3]}"
