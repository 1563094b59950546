"""What must agree in a config that has patches, told where the file is read."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trainer.config import Config


def check_latent(config: "Config") -> None:
    """Refuse a config whose parts do not agree on patches. Raises `ValueError`."""
    patches = config.data.patches
    latent = None if config.model is None else config.model.latent
    if (patches is None) != (latent is None):
        given = "data.patches" if latent is None else "model.latent"
        missing = "model.latent" if latent is None else "data.patches"
        raise ValueError(
            f"{given} is given and {missing} is not: how speech is cut and the model that reads "
            "patches go together"
        )
    if patches is None or latent is None:
        return
    if patches.size != latent.size:
        raise ValueError(
            f"data.patches.size is {patches.size} and model.latent.size {latent.size}: evaluation "
            "cuts as the model says, so write the same number"
        )
    if config.speech.tokenizer is None:
        raise ValueError("model.latent cuts speech, and speech.tokenizer is null: text alone")
    if config.adapter is not None:
        raise ValueError("model.latent cuts speech tokens, and an adapter reads features instead")
    if config.contrastive is not None:
        raise ValueError(
            "contrastive compares hidden states by position, and a latent model's blocks have one "
            "a patch: use one of the two"
        )
    if config.speech.pieces is not None:
        raise ValueError(
            "speech.pieces and data.patches both make speech shorter: use one of the two"
        )
    if patches.cut != "static" and config.speech.order not in ("parallel", "first"):
        raise ValueError(
            f"data.patches.cut {patches.cut} needs a position a frame, and speech.order "
            f"{config.speech.order} has others: take parallel or first, or cut: static"
        )
    if patches.count == "patches" and config.stop.positions is not None:
        raise ValueError(
            "stop.positions counts what data.patches.count: patches does not: give stop.steps or "
            "stop.flops, or count: positions"
        )
