"""Weights of one shape for a model of another: kernels of pictures for clips, positions of other grids, other classes.

All of it is pure: tensors in, tensors out.

Source: `inflate_weight` in videomamba.py and clip.py (videomamba/video_sm/models), and the loading of checkpoints in
videomamba/video_sm/run_class_finetuning.py.
"""

from collections.abc import Mapping, Sequence
from math import isqrt
from typing import Literal

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor

from vmamba_edu.models.checkpoints.report import first_few
from vmamba_edu.models.configuration import check_choice
from vmamba_edu.models.interpolation import Size, interpolate_positions

Inflation = Literal["center", "mean"]
INFLATIONS = ("center", "mean")
KINETICS_710, KINETICS_400 = 710, 400


def inflate_patch_kernel(
    kernel: Float[Tensor, "dim channel height width"], tubelet_size: int, inflation: str = "center"
) -> Float[Tensor, "dim channel tubelet_size height width"]:
    """A kernel for tubelets from one for patches.

    Args:
        kernel: of the image model.
        tubelet_size: frames of a tubelet.
        inflation: "center" puts the kernel at frame tubelet_size // 2 and zeros elsewhere, so that this frame alone is
            seen; "mean" divides it over all frames, so that a still clip gives what its picture gave.

    Raises:
        ValueError: there is no such inflation.

    `image_initialisation.inflate_kernel` has ViViT's rules, the same two among them.
    """
    check_choice("inflation", inflation, INFLATIONS)
    if inflation == "mean":
        return repeat(kernel, "dim channel h w -> dim channel t h w", t=tubelet_size) / tubelet_size
    inflated = kernel.new_zeros(*kernel.shape[:2], tubelet_size, *kernel.shape[2:])
    inflated[:, :, tubelet_size // 2] = kernel
    return inflated


def adapt_clip_weights(
    state_dict: Mapping[str, Tensor], grid: Size, tubelet_size: int = 1, inflation: str = "center"
) -> dict[str, Tensor]:
    """OpenAI's visual tower for frames of another size, with a kernel that spans frames as VideoMamba's teacher has it.

    Args:
        state_dict: with `conv1.weight` (dim, 3, height, width) and `positional_embedding` (1 + grid², dim), row 0 for
            [cls]; the other weights are handed on as they are. A kernel that has a time axis already stays.
        grid: (height, width) in patches that the positions are for afterwards.
        tubelet_size: frames that the kernel spans afterwards.
        inflation: as for `inflate_patch_kernel`.

    Raises:
        ValueError: one of the two weights is missing, the positions are not those of a square, or there is no such
            inflation.
    """
    for name in ("conv1.weight", "positional_embedding"):
        if name not in state_dict:
            raise ValueError(f"state_dict: expected the weights of OpenAI's visual tower, but {name!r} is missing")
    kernel, positions = state_dict["conv1.weight"], state_dict["positional_embedding"]
    if kernel.dim() == 4:
        kernel = inflate_patch_kernel(kernel, tubelet_size, inflation)
    old = square_grid("positional_embedding", len(positions) - 1)
    resized = interpolate_positions(rearrange(positions, "rows dim -> 1 rows dim"), old, grid)
    return {**state_dict, "conv1.weight": kernel, "positional_embedding": resized[0]}


def square_grid(name: str, patches: int) -> Size:
    """(height, width) of a square grid, which is all that a number of patches can tell.

    Raises:
        ValueError: the number is no square.
    """
    side = isqrt(patches)
    if side * side != patches:
        raise ValueError(
            f"{name}: expected the positions of a square grid, got {patches} patches; resize them yourself"
        )
    return side, side


def rows_of_classes(had: int, wanted: int, classes: Sequence[int] | None) -> list[int] | None:
    """Which rows of a head with `had` classes make one with `wanted`; None if that cannot be known.

    Of the 710 classes of Kinetics-400, 600 and 700 together the first 400 are those of Kinetics-400. The maps to the
    other two are data that the published code reads from files which are not part of this project.

    Args:
        had, wanted: numbers of classes.
        classes: the row for each wanted class, where it is known.

    Raises:
        ValueError: `classes` does not fit.
    """
    if classes is not None:
        if len(classes) != wanted or not all(0 <= row < had for row in classes):
            expected = f"{wanted} rows, one for each class of the model, each from 0 to {had - 1}"
            raise ValueError(f"classes: expected {expected}; got {len(classes)}: {first_few(map(str, classes))}")
        return list(classes)
    if had == wanted:
        return list(range(wanted))
    return list(range(KINETICS_400)) if (had, wanted) == (KINETICS_710, KINETICS_400) else None


def take_rows(head: Float[Tensor, " classes *dim"], rows: Sequence[int]) -> Float[Tensor, " chosen *dim"]:
    """The rows of a head's weight or bias, in this order."""
    return head[torch.as_tensor(list(rows), dtype=torch.long)]
