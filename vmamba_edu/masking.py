"""Which tokens of a clip a student does not get to see, and what is left for its convolution.

A mask is boolean, (batch, tokens), True where a token is dropped. Tokens run frame by frame, row by row, and [cls] is
not among them: it is never dropped. Every sample drops as many tokens as the others, so that what is left is again a
batch.

Mamba's convolution looks at tokens that follow each other in what is left. Random holes give it neighbours that never
were; whole rows keep them. Hence the masks by rows (VideoMamba §3.3, figure 5), and `visible_runs`, which counts.

Source: VideoMamba (arXiv 2403.06977) §3.3; `TubeMaskingGenerator`, `RandomMaskingGenerator`, `TubeRowMaskingGenerator`
and `RandomRowMaskingGenerator` (videomamba/video_sm/datasets/masking_generator.py); the attention mask of
videomamba/video_sm/engines/engine_for_pretraining_videomamba.py. Those draw from NumPy's global generator, these from
torch's or a given one: the same laws, other draws.
"""

from collections.abc import Callable, Mapping
from numbers import Real
from types import MappingProxyType

import torch
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int64
from torch import Tensor

Grid = tuple[int, int, int]
"""How many tokens a clip has in time, height and width."""

Ratio = float | int
Mask = Bool[Tensor, "batch tokens"]


def random_mask(grid: Grid, ratio: Ratio, batch: int = 1, *, generator: torch.Generator | None = None) -> Mask:
    """Drop int(ratio · T · H · W) tokens of the clip, wherever they are: frames lose different numbers of them.

    Args:
        grid: (time, height, width) in tokens.
        ratio: from 0 to 1; the product with the number of tokens is cut to an integer, as in the published code.
        batch: how many masks; each is drawn by itself.
        generator: what to draw from, on the device where the mask shall be; None stands for torch's own on the CPU.

    Raises:
        ValueError: the grid, the ratio or the batch cannot be.
    """
    time, height, width = check_grid(grid)
    return _draw(time * height * width, check_ratio(ratio), (check_batch(batch),), generator)


def tube_mask(grid: Grid, ratio: Ratio, batch: int = 1, *, generator: torch.Generator | None = None) -> Mask:
    """Drop int(ratio · H · W) tokens of a frame, at the same places in all frames. Arguments as for `random_mask`."""
    time, height, width = check_grid(grid)
    frame = _draw(height * width, check_ratio(ratio), (check_batch(batch),), generator)
    return repeat(frame, "b hw -> b (t hw)", t=time)


def clip_row_mask(grid: Grid, ratio: Ratio, batch: int = 1, *, generator: torch.Generator | None = None) -> Mask:
    """Drop T · int(ratio · H) whole rows of the clip: a frame may lose all of its rows, or none.

    Arguments as for `random_mask`. Published as `RandomRowMaskingGenerator`, "random_row".
    """
    time, height, width = check_grid(grid)
    check_ratio(ratio)
    rows = _draw_exactly(time * int(ratio * height), time * height, (check_batch(batch),), generator)
    return repeat(rows, "b th -> b (th w)", w=width)


def frame_row_mask(grid: Grid, ratio: Ratio, batch: int = 1, *, generator: torch.Generator | None = None) -> Mask:
    """Drop int(ratio · H) whole rows of each frame, other rows in other frames.

    Arguments as for `random_mask`. Published as `TubeRowMaskingGenerator`, "tube_row", though nothing is a tube in it.
    """
    time, height, width = check_grid(grid)
    rows = _draw(height, check_ratio(ratio), (check_batch(batch), time), generator)
    return repeat(rows, "b t h -> b (t h w)", w=width)


def attention_mask(
    attention: Float[Tensor, "batch time hw"], ratio: Ratio, *, generator: torch.Generator | None = None
) -> Mask:
    """Drop int(ratio · H · W) tokens of each frame, mostly those that a teacher did not look at.

    The others are drawn one after the other, each with a probability proportional to the attention it gets: what the
    teacher looks at tends to stay visible, so that the student is taught where there is something to learn.

    Args:
        attention: (batch, time, height · width), not negative, such as the last row of weights from [cls]; its scale
            does not matter. Tokens with no attention at all stay only if there are too few others.
        ratio: as for `random_mask`.
        generator: what to draw from; the mask is on its device, or on that of the attention if it is None.

    Raises:
        ValueError: the ratio cannot be, or the attention is negative or not finite somewhere.
    """
    check_ratio(ratio)
    if not bool(torch.isfinite(attention).all()) or bool((attention < 0).any()):
        raise ValueError("attention: expected finite weights of at least 0; take them after the softmax")
    device = attention.device if generator is None else generator.device
    weight = attention.detach().to(device, torch.float64).clamp_min(1e-290)
    # A race of exponential clocks: in the order of arrival, tokens are drawn one by one in proportion to their rates.
    arrival = torch.empty_like(weight).exponential_(generator=generator) / weight
    dropped = int(ratio * attention.shape[-1])
    return rearrange(_ranks(arrival) >= attention.shape[-1] - dropped, "b t hw -> b (t hw)")


MASKS: Mapping[str, Callable[..., Tensor]] = MappingProxyType(
    {"random": random_mask, "tube": tube_mask, "clip_row": clip_row_mask, "frame_row": frame_row_mask}
)
NAMES = (*MASKS, "attention")


def make_mask(
    name: str,
    grid: Grid,
    ratio: Ratio,
    batch: int = 1,
    *,
    attention: Float[Tensor, "batch time hw"] | None = None,
    generator: torch.Generator | None = None,
) -> Mask:
    """The mask of that name: "random", "tube", "clip_row", "frame_row", or "attention", which needs the attention.

    Raises:
        ValueError: there is no such mask, an argument cannot be, or the attention is missing or of another grid.
    """
    if name not in NAMES:
        raise ValueError(f"name: expected one of {', '.join(map(repr, NAMES))}, got {name!r}")
    if name != "attention":
        return MASKS[name](grid, ratio, batch, generator=generator)
    time, height, width = check_grid(grid)
    expected = (check_batch(batch), time, height * width)
    if attention is None:
        raise ValueError("attention: this mask follows a teacher; give its weights as (batch, time, height · width)")
    if attention.shape != expected:
        raise ValueError(
            f"attention: expected (batch, time, height · width) = {expected}, got {tuple(attention.shape)}"
        )
    return attention_mask(attention, ratio, generator=generator)


def with_cls(mask: Mask) -> Bool[Tensor, "batch tokens_and_cls"]:
    """The same mask for tokens with [cls] in front, which stays."""
    return torch.cat([mask.new_zeros(len(mask), 1), mask], dim=1)


def visible_runs(mask: Mask) -> list[Int64[Tensor, "runs 2"]]:
    """The stretches of tokens that stay: for each sample, (first token, number of tokens) of one after the other.

    Within a run the convolution sees true neighbours. At the start of each run its window reaches over the gap.
    """
    runs = []
    for visible in ~mask:
        edge = torch.diff(visible.long(), prepend=visible.new_zeros(1).long(), append=visible.new_zeros(1).long())
        first, after_last = (edge == 1).nonzero().flatten(), (edge == -1).nonzero().flatten()
        runs.append(torch.stack([first, after_last - first], dim=1))
    return runs


def unbroken_windows(mask: Mask, width: int = 4) -> Float[Tensor, " batch"]:
    """The share of visible tokens that the convolution sees with their true predecessors only.

    Args:
        mask: (batch, tokens).
        width: of the convolution; a window is a token and the `width - 1` tokens before it in the shortened sequence.
            Fewer at the very beginning, where the sequence is padded, are no break.

    Returns:
        From 0 to 1 for each sample; 1 where nothing is visible, since nothing is broken.

    Raises:
        ValueError: the width is not a positive integer.
    """
    if isinstance(width, bool) or not isinstance(width, int) or width < 1:
        raise ValueError(f"width: expected an integer of at least 1, got {width!r}")
    shares = []
    for sample in visible_runs(mask):
        # The first run of all is whole: before it there is only padding. Each other one begins with width - 1 breaks.
        lengths = sample[:, 1]
        broken = lengths[1:].clamp_max(width - 1).sum()
        shares.append(1 - broken / lengths.sum().clamp_min(1))
    return torch.stack(shares)


def check_grid(grid: Grid) -> Grid:
    """The grid, if it is one.

    Raises:
        ValueError: it is not (time, height, width), each an integer of at least 1.
    """
    if len(grid) != 3 or any(not isinstance(side, int) or isinstance(side, bool) or side < 1 for side in grid):
        raise ValueError(f"grid: expected (time, height, width), each an integer of at least 1, got {tuple(grid)}")
    return grid


def check_ratio(ratio: Ratio) -> float:
    """The ratio, if it is one.

    Raises:
        ValueError: it is not a number from 0 to 1.
    """
    if not isinstance(ratio, Real) or isinstance(ratio, bool) or not 0 <= ratio <= 1:
        raise ValueError(f"ratio: expected the share of tokens to drop, a number from 0 to 1, got {ratio!r}")
    return float(ratio)


def check_batch(batch: int) -> int:
    """The batch size, if it is one.

    Raises:
        ValueError: it is not an integer of at least 1.
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise ValueError(f"batch: expected an integer of at least 1, got {batch!r}")
    return batch


def _draw(candidates: int, ratio: Ratio, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    """int(ratio · candidates) of the candidates on the last axis, drawn anew for each of `shape`."""
    return _draw_exactly(int(ratio * candidates), candidates, shape, generator)


def _draw_exactly(count: int, candidates: int, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
    device = generator.device if generator is not None else None
    return _ranks(torch.rand(*shape, candidates, generator=generator, device=device, dtype=torch.float64)) < count


def _ranks(values: Tensor) -> Tensor:
    """The place of each value on the last axis if they were sorted: a permutation, ties or not."""
    return values.argsort(dim=-1).argsort(dim=-1)
