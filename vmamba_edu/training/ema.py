"""An exponential moving average of the weights: smoother than the weights themselves, and often better."""

from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def make_average(model: nn.Module, decay: float | int) -> AveragedModel:
    """A copy of the model whose weights become decay · own + (1 − decay) · the model's at each `update_parameters`.

    Until the first update it holds the model's weights, and the first update copies them. Buffers are copied each time.

    Args:
        decay: 0.999 looks back on about a thousand steps; in (0, 1).
    """
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay))
    return average.requires_grad_(False).eval()
