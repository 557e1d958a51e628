"""The receptive field of an output: how strongly each frame, and each patch of each frame, moves it.

What a model *could* hear of follows from its architecture. What it does hear of, with these weights and this clip, its
gradient tells: |∂ output / ∂ pixels|. It shows at one glance that the [cls] of a bidirectional scan, read last by the
backward scan when it stands first, hears almost nothing of late frames before training: the product of all Ā between
them is next to zero.

Our own measure of influence. Effective receptive fields are those of arXiv 1701.04128, found here for a token, for what
the head is told, or for a logit.
"""

from typing import Any, cast

import torch
from einops import reduce
from jaxtyping import Float
from torch import Tensor, nn

from vmamba_edu.models.backbone import Backbone
from vmamba_edu.models.timesformer import TimeSformer


def receptive_field(
    model: nn.Module,
    clip: Tensor,
    *,
    token: int | None = None,
    logit: int | None = None,
    by: str = "frame",
    relative: bool = True,
    probes: int | None = 8,
    seed: int = 0,
) -> Tensor:
    """How strongly each frame or patch of a clip moves one output of a model.

    Args:
        model: VideoMamba, VideoMambaPro, ViViT, TimeSformer or an image model; is run as it stands: call `model.eval()`
            first. Its parameters and their gradients are left alone.
        clip: as for the model.
        token: the output is this token after the last norm, as `forward_features` returns it.
        logit: the output is the score of this class. If neither is given it is the vector that the head is told: [cls],
            or the mean of the patches.
        by: "frame", or "token": boxes of patch_size × patch_size pixels and tubelet_size frames, which are those of the
            tokens unless patches overlap.
        relative: divide by the largest value of each sample, unless all are zero.
        probes: a vector of outputs has as many gradients as channels. The norm of all is estimated without bias (of its
            square) from this many random sums of them, with signs drawn from `seed`; None takes every channel, exactly.
            A logit needs neither.

    Returns:
        The norm of the gradient with respect to the pixels: (batch, frames), or (batch, time, height, width) of the
        grid of tokens.

    Raises:
        ValueError: token and logit are both given or out of range, or `by` or `probes` cannot be.
    """
    if token is not None and logit is not None:
        raise ValueError(f"token, logit: expected one of them or none, got {token} and {logit}")
    if by not in ("frame", "token"):
        raise ValueError(f"by: expected 'frame' or 'token', got {by!r}")
    if probes is not None and probes < 1:
        raise ValueError(f"probes: expected at least 1, or None for all channels, got {probes}")
    pixels = clip.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        output = output_of(model, pixels, token, logit)
        squares = _squared_gradient(output, pixels, probes, seed)
    field = _in_boxes(squares, model, by).sqrt()
    if not relative:
        return field
    largest = field.flatten(1).amax(1).clamp_min(torch.finfo(field.dtype).tiny)
    return field / largest.reshape(-1, *[1] * (field.dim() - 1))


def output_of(
    model: nn.Module, pixels: Tensor, token: int | None, logit: int | None
) -> Float[Tensor, "batch channels"]:
    """One logit, one token, or what the head is told."""
    if logit is not None:
        scores = model(pixels)
        if logit not in range(scores.shape[1]):
            raise ValueError(f"logit: expected 0 to {scores.shape[1] - 1}, got {logit}")
        return scores[:, logit, None]
    tokens = model.forward_features(pixels)  # type: ignore[operator]
    if token is not None:
        if token not in range(tokens.shape[1]):
            raise ValueError(f"token: expected 0 to {tokens.shape[1] - 1}, got {token}")
        return tokens[:, token]
    if isinstance(model, Backbone):
        return model.pool(tokens)
    return tokens[:, 0] if isinstance(model, TimeSformer) else model.encoder.pool(tokens)  # type: ignore[union-attr, operator]


def _squared_gradient(output: Tensor, pixels: Tensor, probes: int | None, seed: int) -> Tensor:
    """Σ_c (∂ output_c / ∂ pixel)², exactly or as the mean over random sums of the outputs; in float64."""
    channels = output.shape[1]
    exact = probes is None or channels <= probes
    weights = torch.eye(channels) if exact else _signs(probes or 0, channels, seed)
    squares = torch.zeros_like(pixels, dtype=torch.float64)
    for row in weights.to(output):
        total = (output * row).sum()
        (gradient,) = torch.autograd.grad(total, pixels, retain_graph=True, allow_unused=True)
        if gradient is not None:  # none if nothing leads from these pixels to this output
            squares += gradient.double().square()
    return squares if exact else squares / len(weights)


def _signs(probes: int, channels: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (probes, channels), generator=generator) * 2.0 - 1.0


def _in_boxes(squares: Tensor, model: nn.Module, by: str) -> Tensor:
    """Sums over all pixels of a frame, or of a token."""
    if squares.dim() == 4:  # an image is a clip of one frame
        squares = squares[:, :, None]
    if by == "frame":
        return reduce(squares, "b channel t h w -> b t", "sum")
    config = cast(Any, model.config)
    side, frames = config.patch_size, getattr(config, "tubelet_size", 1)
    whole = squares[..., : squares.shape[-2] // side * side, : squares.shape[-1] // side * side]
    pattern = "b channel (t box_t) (h box_h) (w box_w) -> b t h w"
    return reduce(whole, pattern, "sum", box_t=frames, box_h=side, box_w=side)
