"""The keywords of the transformers: one base, and what an image model, ViViT and TimeSformer each add to it."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any, Literal, TypeVar, cast, no_type_check

from torch import Tensor

from vmamba_edu.models.configuration import check_choice, check_frame, check_integer

Pool = Literal["cls", "mean"]
Axis = Literal["time", "space"]
Config = TypeVar("Config", bound="TransformerConfig")


@no_type_check  # for checkers at run time: __post_init__ checks every value, and its messages say more
@dataclass(frozen=True)
class TransformerConfig:
    """What every transformer here has; the defaults are those of "base" (ViT-B/16).

    Args:
        img_size: height and width of a frame in pixels; one number for both.
        patch_size: side of a patch in pixels; divides height and width.
        num_classes: outputs of the head; with 0 there is no head and the model returns the pooled tokens.
        depth: blocks.
        embed_dim: channels of a token.
        num_heads: heads of every attention; divides embed_dim.
        mlp_ratio: hidden channels of an MLP as a multiple of embed_dim.
        dropout: of the embedded tokens, of what an attention says, and twice in every MLP.
        attention_dropout: of the attention weights.
        drop_path_rate: of the last block; the blocks before it rise to it from 0.
        gelu: "exact", or "tanh", the approximation that ViViT was trained with.

    Raises:
        ValueError, TypeError: a value cannot be; the message names it, what was expected and what came.
    """

    img_size: int | tuple[int, int] = 224
    patch_size: int = 16
    num_classes: int = 400
    depth: int = 12
    embed_dim: int = 768
    num_heads: int = 12
    mlp_ratio: float = 4.0
    dropout: float = 0.0
    attention_dropout: float = 0.0
    drop_path_rate: float = 0.0
    gelu: Literal["exact", "tanh"] = "exact"

    def __post_init__(self) -> None:
        if isinstance(self.img_size, list):  # as configuration files have it
            object.__setattr__(self, "img_size", tuple(self.img_size))
        for name in ("patch_size", "depth", "embed_dim", "num_heads"):
            check_integer(name, getattr(self, name), least=1)
        check_integer("num_classes", self.num_classes, least=0)
        check_frame(self.img_size, self.patch_size)
        if self.embed_dim % self.num_heads:
            raise ValueError(f"num_heads: expected a divisor of embed_dim = {self.embed_dim}, got {self.num_heads}")
        for name in ("dropout", "attention_dropout", "drop_path_rate"):
            rate: Any = getattr(self, name)
            if not isinstance(rate, Real) or not 0 <= cast(float, rate) < 1:
                raise ValueError(f"{name}: expected a number in [0, 1), got {rate!r}")
            object.__setattr__(self, name, float(rate))
        if not isinstance(self.mlp_ratio, Real) or self.mlp_dim < 1:
            expected = f"a number of at least 1 / embed_dim = 1 / {self.embed_dim}"
            raise ValueError(f"mlp_ratio: expected {expected}, got {self.mlp_ratio!r}")
        check_choice("gelu", self.gelu, ("exact", "tanh"))

    @property
    def mlp_dim(self) -> int:
        """Hidden channels of an MLP."""
        return int(self.embed_dim * self.mlp_ratio)

    @property
    def frame_size(self) -> tuple[int, int]:
        """(height, width) of a frame in pixels."""
        return self.img_size if isinstance(self.img_size, tuple) else (self.img_size, self.img_size)

    @property
    def frame_grid(self) -> tuple[int, int]:
        """(height, width) of a frame in patches."""
        height, width = self.frame_size
        return height // self.patch_size, width // self.patch_size

    def with_overrides(self: Config, **overrides: Any) -> Config:
        """A copy with other values.

        Raises:
            TypeError: a keyword is not known.
            ValueError: as the class itself.
        """
        known = [field.name for field in fields(self)]
        for name in overrides:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                guess = f"did you mean {close[0]}? " if close else ""
                raise TypeError(f"unexpected keyword {name!r}: {guess}known are {', '.join(known)}")
        return replace(self, **overrides)


@no_type_check
@dataclass(frozen=True)
class ViTConfig(TransformerConfig):
    """An image model.

    Args:
        pool: "cls" puts a token in front that gathers what the head is told; "mean" averages the patches instead.
    """

    num_classes: int = 1000
    pool: Pool = "cls"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("pool", self.pool, ("cls", "mean"))


class ClipConfig(TransformerConfig):
    """What the configurations of clips share. They have `num_frames` and `tubelet_size`."""

    num_frames: int
    tubelet_size: int

    def check_frames(self) -> None:
        """Raise unless the tubelets fill the clip."""
        for name in ("num_frames", "tubelet_size"):
            check_integer(name, getattr(self, name), least=1)
        if self.num_frames % self.tubelet_size:
            expected = f"a multiple of tubelet_size = {self.tubelet_size}"
            raise ValueError(f"num_frames: expected {expected}, got {self.num_frames}")

    @property
    def grid(self) -> tuple[int, int, int]:
        """(time, height, width) of a clip in tokens; [cls] comes on top."""
        return self.num_frames // self.tubelet_size, *self.frame_grid


@no_type_check
@dataclass(frozen=True)
class ViViTConfig(ClipConfig):
    """ViViT; the defaults are those of ViViT-B/16x2, model 1.

    Args:
        model: 1 joint space-time attention, 2 factorised encoder, 3 factorised self-attention, 4 factorised dot-product
            attention (ViViT §3.3).
        num_frames: frames of a clip.
        tubelet_size: frames that become one token; divides num_frames.
        tokeniser: "tubelet" embeds all of these frames, "frame" only the one in the middle (uniform frame sampling).
        temporal_depth: blocks of model 2's second encoder, which reads frames; depth is that of the first.
        first_axis: what comes first in the factorised models: which attention of a block of model 3, whose half of the
            heads in model 4. "time" is the released code; "space" is the order in which the paper writes model 3.
        pool: "cls" or "mean"; models 3 and 4 have no [cls], since it has no place in space and time to attend from.
            None stands for "cls" in models 1 and 2 and for "mean" in 3 and 4.
    """

    model: Literal[1, 2, 3, 4] = 1
    num_frames: int = 32
    tubelet_size: int = 2
    tokeniser: Literal["tubelet", "frame"] = "tubelet"
    temporal_depth: int = 4
    first_axis: Axis = "time"
    pool: Pool | None = None
    gelu: Literal["exact", "tanh"] = "tanh"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_frames()
        check_choice("model", self.model, (1, 2, 3, 4))
        check_choice("tokeniser", self.tokeniser, ("tubelet", "frame"))
        check_choice("first_axis", self.first_axis, ("time", "space"))
        check_integer("temporal_depth", self.temporal_depth, least=1)
        check_choice("pool", self.pool, ("cls", "mean", None) if self.model in (1, 2) else ("mean", None))
        if self.model == 4 and self.num_heads % 2:
            raise ValueError(f"num_heads: expected an even number, half for time, half for space, got {self.num_heads}")

    @property
    def pooling(self) -> Pool:
        """`pool`, with None spelled out."""
        return self.pool or ("cls" if self.model in (1, 2) else "mean")


AttentionType = Literal["divided_space_time", "joint_space_time", "space_only"]


@no_type_check
@dataclass(frozen=True)
class TimeSformerConfig(ClipConfig):
    """TimeSformer; the defaults are those of the released model for 8 frames.

    Args:
        num_frames: frames of a clip; every one is embedded, there are no tubelets.
        attention_type: "divided_space_time", "joint_space_time" or "space_only".
    """

    num_frames: int = 8
    attention_type: AttentionType = "divided_space_time"
    drop_path_rate: float = 0.1

    tubelet_size = 1  # without an annotation, hence no field: it cannot be chosen

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_frames()
        check_choice("attention_type", self.attention_type, ("divided_space_time", "joint_space_time", "space_only"))


def check_pixels(name: str, pixels: object, expected: Mapping[str, int]) -> None:
    """Raise unless these are pixels of the axes and sizes that a model reads, after the axis of the batch.

    Raises:
        TypeError: they are not a floating-point tensor.
        ValueError: rank or a size does not fit.
    """
    if not isinstance(pixels, Tensor) or not pixels.is_floating_point():
        kind = pixels.dtype if isinstance(pixels, Tensor) else type(pixels).__name__
        raise TypeError(f"{name}: expected a floating-point tensor, got {kind}; scale bytes to 0…1 and normalise them")
    if pixels.dim() != 1 + len(expected):
        raise ValueError(f"{name}: expected (batch, {', '.join(expected)}), got {tuple(pixels.shape)}")
    wrong = [axis for (axis, size), came in zip(expected.items(), pixels.shape[1:], strict=True) if size != came]
    if wrong:
        wanted = ", ".join(f"{axis} = {size}" for axis, size in expected.items())
        raise ValueError(
            f"{name}: expected (batch, {wanted}), got {tuple(pixels.shape)}; look at {' and '.join(wrong)}"
        )


def check_clip_fits(clip: object, config: ClipConfig) -> None:
    """Raise unless the clip is (batch, 3, num_frames, height, width) as the configuration says.

    Raises:
        TypeError, ValueError: as `check_pixels`.
    """
    height, width = config.frame_size
    expected = {"channel": 3, "num_frames": config.num_frames, "height": height, "width": width}
    check_pixels("clip", clip, expected)
