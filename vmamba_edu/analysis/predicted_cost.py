"""What a model costs, from its configuration alone: nothing is built, so a curve over frames is a list comprehension.

    [cost("videomamba_tiny", num_frames=frames).total_flops for frames in (8, 16, 32, 64)]

Operations are those of products, two for each multiply-accumulate (MAC); see `counted_cost`, whose counter agrees to
the last digit. Memory is that of activations, in numbers and bytes; `observed_cost` measures it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any, cast

from vmamba_edu.analysis.mamba_cost import mamba_bill, mamba_peak
from vmamba_edu.analysis.transformer_cost import transformer_bill, transformer_peak
from vmamba_edu.models.configuration import MambaConfig, VideoMambaConfig, VideoMambaImageConfig
from vmamba_edu.models.registry import MODELS
from vmamba_edu.models.transformer_configuration import (
    ClipConfig,
    TimeSformerConfig,
    TransformerConfig,
    ViTConfig,
    ViViTConfig,
)
from vmamba_edu.models.videomamba_pro import VideoMambaProConfig

PUBLISHED = ("patch_embed", "in_proj", "out_proj", "head")  # what the released code's own counter sees
CLASSIFIERS = (VideoMambaConfig, VideoMambaImageConfig, VideoMambaProConfig)


@dataclass(frozen=True)
class Cost:
    """The cost of one forward pass of a batch.

    Args:
        patches: tokens of one sample, [cls] aside.
        parameters: by kind of layer.
        flops: operations of products by kind of layer, for the whole batch.
        attention_weights: how many weights all attentions have, for the whole batch. torch never writes them down;
            whoever does so needs these numbers on top, in training at least once for every block.
        inference_numbers: alive at the worst moment of a forward pass without gradients, parameters and pixels aside.
        training_numbers: kept by a forward pass for the backward pass, parameters and pixels aside. Gradients and the
            optimiser's state come on top: with AdamW three more numbers for each parameter.
        bytes_per_number: 4 for float32.
    """

    patches: int
    parameters: Mapping[str, int]
    flops: Mapping[str, int]
    attention_weights: int
    inference_numbers: int
    training_numbers: int
    bytes_per_number: int = 4

    @property
    def total_parameters(self) -> int:
        """All parameters."""
        return sum(self.parameters.values())

    @property
    def total_flops(self) -> int:
        """All operations counted."""
        return sum(self.flops.values())

    @property
    def scan_flops(self) -> int:
        """Operations of the scans alone, see `counted_cost.scan_flops`."""
        return self.flops.get("scan", 0)

    @property
    def linear_macs(self) -> int:
        """Multiply-accumulates of all linear layers and convolutions: everything but scans and attention."""
        return sum(flops for name, flops in self.flops.items() if name not in ("scan", "attention")) // 2

    @property
    def published_macs(self) -> int:
        """Multiply-accumulates as VideoMamba's released counter reports them.

        It sees the patch embedding, in_proj, out_proj and the head. The convolution, x_proj, dt_proj and the scan run
        inside one fused operator, which is invisible to it.
        """
        return sum(self.flops.get(name, 0) for name in PUBLISHED) // 2

    @property
    def inference_bytes(self) -> int:
        """`inference_numbers` in bytes."""
        return self.inference_numbers * self.bytes_per_number

    @property
    def training_bytes(self) -> int:
        """`training_numbers` in bytes."""
        return self.training_numbers * self.bytes_per_number


def cost(
    model: str | MambaConfig | TransformerConfig, *, batch: int = 1, bytes_per_number: int = 4, **overrides: Any
) -> Cost:
    """The cost of a model from closed formulas.

    Args:
        model: a name of `list_models()`, or a configuration.
        batch: samples at once.
        bytes_per_number: 4 for float32, 8 for float64. With bfloat16 and 2 the result is a little too small: what must
            not be rounded, such as the residual stream, stays in float32.
        overrides: keywords of its configuration, such as num_frames and img_size.

    Raises:
        ValueError, TypeError: there is no such model, or a keyword or its value cannot be; batch is below 1.
    """
    if batch < 1:
        raise ValueError(f"batch: expected at least 1, got {batch}")
    config = config_of(model).with_overrides(**overrides)
    if isinstance(config, MambaConfig):
        grid, bill, peak = config.grid, mamba_bill(config, batch), mamba_peak(config, batch)
    else:
        grid = config.grid if isinstance(config, ClipConfig) else (1, *config.frame_grid)
        bill, peak = transformer_bill(config, batch), transformer_peak(config, batch)
    return Cost(
        patches=prod(grid),
        parameters=MappingProxyType(bill.sums("parameters")),
        flops=MappingProxyType(bill.sums("flops")),
        attention_weights=bill.weights,
        inference_numbers=peak,
        training_numbers=bill.kept,
        bytes_per_number=bytes_per_number,
    )


def config_of(model: object) -> MambaConfig | TransformerConfig:
    """The configuration of a classifier by name, or the one that was given.

    Raises:
        ValueError: there is no model of that name.
        TypeError: it is none of a classifier.
    """
    config = MODELS.get(model) if isinstance(model, str) else model
    if config is None:
        raise ValueError(f"model: no model {model!r}; there are {', '.join(MODELS)}")
    if not isinstance(config, TransformerConfig) and type(config) not in CLASSIFIERS:
        known = ", ".join(kind.__name__ for kind in (*CLASSIFIERS, ViTConfig, ViViTConfig, TimeSformerConfig))
        raise TypeError(
            f"model: expected a name or one of {known}, got {type(config).__name__}; "
            "what a student of masking or distillation costs depends on its mask and teacher"
        )
    return cast(MambaConfig | TransformerConfig, config)
