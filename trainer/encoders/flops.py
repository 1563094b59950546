"""What a step of pretraining costs, from sizes alone: floating-point operations by part.

A product of matrices counts 2 a weight and position forward and 4 backward. Attention is not
causal here: scores and values are 4 x length x width forward, so 12 with the backward pass. The
projection of log-mel is the front end; log-mel itself, norms, the softmax and the optimizer are
left out. Positions that only fill a clip up cost what others do.
"""

from trainer.encoders.model import CHANNELS
from trainer.encoders.settings import (
    EncoderConfig,
    EncoderSettings,
    HubertSettings,
    Objective,
    TeraSettings,
)

PARTS = ("front_end", "matrices", "attention", "objective")


def parameters(encoder: EncoderSettings) -> dict[str, int]:
    """Weights of the blocks, which shapes are compared at, and of all else."""
    _, hidden = encoder.sizes
    width = encoder.width
    block = 4 * width * width + 3 * width * hidden + 2 * width
    front = CHANNELS * encoder.stack * width + width
    return {"blocks": encoder.depth * block, "front_end": front, "other": 2 * width}


def flops_per_position(
    encoder: EncoderSettings, objective: Objective, length: int, units: int = 0
) -> dict[str, float]:
    """Of one position of a clip of `length`, forward and backward, by the names of `PARTS`.

    `units`: how many k-means units there are (HuBERT).
    """
    _, hidden = encoder.sizes
    width, mel = encoder.width, CHANNELS * encoder.stack
    found = {
        "front_end": 6.0 * mel * width,
        "matrices": 6.0 * encoder.depth * (4 * width * width + 3 * width * hidden),
        "attention": 12.0 * encoder.depth * length * width,
    }
    if isinstance(objective, HubertSettings):
        head = 6.0 * (width * objective.width + objective.width * units)
    elif isinstance(objective, TeraSettings):
        head = 6.0 * width * mel
    else:
        entries = objective.groups * objective.entries
        head = 6.0 * (width * objective.width + mel * entries + entries * objective.width)
        head += 6.0 * (1 + objective.distractors) * objective.width
    return {**found, "objective": head}


def positions_per_clip(config: EncoderConfig) -> int:
    """Of a whole clip of the config."""
    from schemas.token_frames import FrameGrid
    from transforms.engines import dmel

    hop = config.encoder.stride_ms * dmel.RATE // 1000
    grid = FrameGrid(rate=dmel.RATE, hop=hop, stack=config.encoder.stack, centred=True)
    return grid.positions(round(config.seconds * dmel.RATE), dmel.RATE)


def flops_per_step(config: EncoderConfig, units: int = 0) -> float:
    """Of a whole step."""
    length = positions_per_clip(config)
    each = sum(flops_per_position(config.encoder, config.objective, length, units).values())
    return config.clips * length * each


def steps(config: EncoderConfig, units: int = 0) -> int:
    """Updates of a run. Raises `ValueError` where the budget is less than one of them."""
    if config.stop.steps is not None:
        return config.stop.steps
    assert config.stop.flops is not None
    cost = flops_per_step(config, units)
    if config.stop.flops < cost:
        raise ValueError(
            f"stop: the budget of {config.stop.flops:g} is less than one step's {cost:g}"
        )
    return int(config.stop.flops // cost)
