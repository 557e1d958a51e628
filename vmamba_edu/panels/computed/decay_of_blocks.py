"""The steps and decay rates that a block has on a clip, for each direction in which it reads."""

import numpy as np
from torch import Tensor, nn

from vmamba_edu.analysis import decay_of
from vmamba_edu.models import VideoMamba
from vmamba_edu.panels.computed.arguments import frames_of
from vmamba_edu.panels.computed.decay_shares import Steps
from vmamba_edu.panels.computed.memory_of_readings import memory_of
from vmamba_edu.panels.computed.scan_order_readings import tokens_of
from vmamba_edu.scan_orders import Direction


def steps_of_block(
    clip: Tensor | np.ndarray,
    model: nn.Module | None = None,
    *,
    patch_size: int = 16,
    tubelet_size: int = 1,
    block: int = 0,
    direction: Direction = "forward",
) -> Steps:
    """The steps and decay rates of a block's scan on a clip; of a small fresh model if none is given.

    Tokens stand in the order of the forward scan, [cls] where the model has it.

    Raises:
        ValueError: the clip cannot be cut so, the model has no scans, or no such block or direction.
    """
    cut = {"patch_size": patch_size, "tubelet_size": tubelet_size, "block": block}
    found = steps_of_directions(clip, model, **cut)
    if direction not in found:
        raise ValueError(f"direction: expected one of {', '.join(map(repr, found))}, got {direction!r}")
    return found[direction]


def steps_of_directions(
    clip: Tensor | np.ndarray,
    model: nn.Module | None = None,
    *,
    patch_size: int = 16,
    tubelet_size: int = 1,
    block: int = 0,
) -> dict[Direction, Steps]:
    """`steps_of_block` for each direction in which the block reads: a backward scan has a Δ of its own.

    Raises:
        ValueError: as `steps_of_block`.
    """
    if isinstance(model, VideoMamba):
        patch_size, tubelet_size = model.config.patch_size, model.config.tubelet_size
    frames = frames_of(clip)
    grid = tokens_of(frames, patch_size, tubelet_size)
    memory = memory_of(frames, grid, model, block, patch_size=patch_size, tubelet_size=tubelet_size)
    words = f"the Δ of a clip in block {block} of {memory.described}"
    found: dict[Direction, Steps] = {}
    for direction in memory.model.block(block).mixer.directions:
        decay = decay_of(memory.model, memory.pixels, block, direction=direction)
        found[direction] = Steps(decay.step[0].float().cpu(), decay.A.float().cpu(), words, direction)
    return found
