"""An exponential moving average of the weights: smoother than the weights themselves, and often better."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def make_average(model: nn.Module, decay: float | int) -> AveragedModel:
    """A copy of the model whose weights become decay · own + (1 − decay) · the model's at each `update_parameters`.

    Until the first update it holds the model's weights, and the first update copies them. Buffers are copied each time.

    Args:
        decay: 0.999 looks back on about a thousand steps; in (0, 1).
    """
    move = get_ema_multi_avg_fn(decay)

    def move_pieces(averages: Sequence[Tensor], weights: Sequence[Tensor], count: Tensor | int) -> None:
        """All at once is not possible where some weights are cut (`pieces`) and some are whole; of the pieces it is."""
        move([_own(one) for one in averages], [_own(one) for one in weights], count)

    average = AveragedModel(model, multi_avg_fn=move_pieces)
    return average.requires_grad_(False).eval()


def _own(tensor: Any) -> Tensor:
    """What this process holds of a tensor: a DTensor's local part."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor
