"""The keywords of VideoMamba, their defaults, what they must satisfy, and the other names people know them by."""

import difflib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeVar, get_args, no_type_check

from vmamba_edu.models.normalisation import NormName
from vmamba_edu.models.published_keywords import PUBLISHED, Translation, check_bool, in_our_words, renamed
from vmamba_edu.scan_orders import PLANS, Grid

Pool = Literal["cls", "mean"]
ClsPosition = Literal["first", "middle"]
Config = TypeVar("Config", bound="MambaConfig")

CHOICES = {"norm": get_args(NormName), "pool": get_args(Pool), "cls_position": get_args(ClsPosition)}
SCAN_ORDERS = tuple(PLANS)


@no_type_check  # for checkers at run time: __post_init__ checks every value, and its messages say more
@dataclass(frozen=True)
class MambaConfig(ABC):
    """What the models for pictures and for clips have in common. The defaults are those of "tiny".

    Args:
        img_size: height and width of a frame in pixels; one number for both. Other sizes can be read too, see
            `interpolation`.
        patch_size: side of a patch in pixels; divides height and width.
        num_classes: outputs of the head; with 0 there is no head and the model returns what is pooled.
        depth: blocks.
        embed_dim: channels of a token.
        d_state, d_conv, expand, dt_rank: of the mixer, see `Mixer`.
        drop_path_rate: of the last addition in training; the blocks rise to it from 0, see `drop_path`.
        norm: "rms" or "layer".
        bidirectional: whether every block reads in both directions. Without it no token hears of a later one, and a
            [cls] that stands first hears of nothing.
        pool: what the head is told: "cls", the normed [cls] token, or "mean", the mean of the normed patches. [cls] is
            in the sequence in both cases, so that the weights of one serve the other.
        cls_position: "first", as released, or "middle": between the two halves of the patches, as in Vim
            (arXiv 2401.09417), where both directions have patches to tell it of. Its position embedding is row 0 of
            `pos_embed` wherever it stands; Vim's own weights have that row in the middle too, and would have to be
            reordered.
        checkpoint_blocks: how many blocks, from the first, keep no activations for the backward pass and are computed
            again there: less memory, more time, the same gradients.
        pos_embed_std: spread with which `pos_embed` is drawn at first, 0.02 as published. That is little beside the
            patches; a small model that is trained from scratch for a minute learns faster with 0.3.

    Raises:
        ValueError, TypeError: a value cannot be; the message names it, what was expected and what came.
    """

    img_size: int | tuple[int, int] = 224
    patch_size: int = 16
    num_classes: int = 400
    depth: int = 24
    embed_dim: int = 192
    d_state: int = 16
    d_conv: int = 4
    expand: int = 2
    dt_rank: int | Literal["auto"] = "auto"
    drop_path_rate: float = 0.1
    norm: NormName = "rms"
    bidirectional: bool = True
    pool: Pool = "cls"
    cls_position: ClsPosition = "first"
    checkpoint_blocks: int = 0
    pos_embed_std: float = 0.02

    published: ClassVar[Mapping[str, Translation]] = MappingProxyType({**PUBLISHED})

    def __post_init__(self) -> None:
        if isinstance(self.img_size, list):  # as configuration files have it
            object.__setattr__(self, "img_size", tuple(self.img_size))
        for name in ("patch_size", "depth", "embed_dim", "d_state", "expand"):
            check_integer(name, getattr(self, name), least=1)
        for name in ("num_classes", "checkpoint_blocks"):
            check_integer(name, getattr(self, name), least=0)
        if self.checkpoint_blocks > self.depth:
            raise ValueError(f"checkpoint_blocks: expected at most depth = {self.depth}, got {self.checkpoint_blocks}")
        if self.dt_rank != "auto":
            check_integer("dt_rank", self.dt_rank, least=1, otherwise='"auto" or ')
        if self.d_conv not in (2, 3, 4):
            raise ValueError(f"d_conv: expected 2, 3 or 4, got {self.d_conv!r}")
        if not isinstance(self.drop_path_rate, Real) or not 0 <= self.drop_path_rate < 1:
            raise ValueError(f"drop_path_rate: expected a number in [0, 1), got {self.drop_path_rate!r}")
        object.__setattr__(self, "drop_path_rate", float(self.drop_path_rate))
        spread = self.pos_embed_std
        if not isinstance(spread, Real) or isinstance(spread, bool) or not 0 < spread <= 1:
            raise ValueError(f"pos_embed_std: expected a number above 0 and at most 1, got {spread!r}")
        check_bool("bidirectional", self.bidirectional)
        for name, choices in CHOICES.items():
            check_choice(name, getattr(self, name), choices)

    @property
    @abstractmethod
    def grid(self) -> Grid:
        """(time, height, width) in tokens of what the model is made for; [cls] comes on top."""

    @property
    def frame_size(self) -> tuple[int, int]:
        """(height, width) of a frame in pixels."""
        return self.img_size if isinstance(self.img_size, tuple) else (self.img_size, self.img_size)

    def with_overrides(self: Config, **overrides: Any) -> Config:
        """A copy with other values, under our names or the published ones.

        The published names are kernel_size (tubelet_size), rms_norm (norm), bimamba (bidirectional) and ssm_cfg, a
        mapping of d_state, d_conv, expand and dt_rank; and those that a configuration for training adds (`published`).

        Raises:
            TypeError: a keyword is not known, or is given under two names.
            ValueError: as the class itself.
        """
        overrides = in_our_words(overrides, self.published)
        known = [field.name for field in fields(self)]
        if unknown := [name for name in overrides if name not in known]:
            raise TypeError(_unknown_keyword(unknown[0], known, list(self.published)))
        return replace(self, **overrides)


@no_type_check
@dataclass(frozen=True)
class VideoMambaConfig(MambaConfig):
    """Everything that decides the shape of a VideoMamba. The defaults are those of videomamba_tiny on Kinetics-400.

    Args:
        tubelet_size: frames that share a token; divides num_frames.
        num_frames: frames of a clip. Other numbers can be read too, see `interpolation`.
        scan_order: in which order every block reads the tokens: "spatial_first", as released, "temporal_first",
            "spatiotemporal_v1" or "spatiotemporal_v2", see `vmamba_edu.scan_orders`. The weights are the same for all.
        The others: as for `MambaConfig`.
    """

    tubelet_size: int = 1
    num_frames: int = 8
    scan_order: str = "spatial_first"

    published: ClassVar[Mapping[str, Translation]] = MappingProxyType(
        {"kernel_size": renamed("tubelet_size"), **PUBLISHED}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_frame(self.img_size, self.patch_size)
        for name in ("tubelet_size", "num_frames"):
            check_integer(name, getattr(self, name), least=1)
        if self.num_frames % self.tubelet_size:
            expected = f"a multiple of tubelet_size = {self.tubelet_size}"
            raise ValueError(f"num_frames: expected {expected}, got {self.num_frames}")
        check_choice("scan_order", self.scan_order, SCAN_ORDERS)
        if self.scan_order == "spatiotemporal_v1" and not self.bidirectional:
            reason = "as 'spatiotemporal_v1' reads forward in space and backward in time"
            raise ValueError(f"bidirectional: expected True, {reason}, got False")

    @property
    def grid(self) -> Grid:
        """(time, height, width) of a clip in tokens; [cls] comes on top."""
        return self.grid_of(self.num_frames, *self.frame_size)

    def grid_of(self, frames: int, height: int, width: int) -> Grid:
        """(time, height, width) in tokens of a clip of other sizes."""
        return frames // self.tubelet_size, height // self.patch_size, width // self.patch_size


@no_type_check
@dataclass(frozen=True)
class VideoMambaImageConfig(MambaConfig):
    """Everything that decides the shape of the model for pictures. The defaults are those of tiny on ImageNet.

    Args:
        stride: pixels from one patch to the next; patch_size if not given. With a smaller one patches overlap, and what
            is left at the right and at the bottom, less than a stride, is not read.
        The others: as for `MambaConfig`.
    """

    num_classes: int = 1000
    stride: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stride is not None:
            check_integer("stride", self.stride, least=1)
        check_frame(self.img_size, self.patch_size, self.step)

    @property
    def step(self) -> int:
        """Pixels from one patch to the next."""
        return self.patch_size if self.stride is None else self.stride

    @property
    def grid(self) -> Grid:
        """(1, height, width) of a picture in tokens, as that of a clip of one frame; [cls] comes on top."""
        return self.grid_of(*self.frame_size)

    def grid_of(self, height: int, width: int) -> Grid:
        """(1, height, width) in tokens of a picture of another size."""
        return 1, (height - self.patch_size) // self.step + 1, (width - self.patch_size) // self.step + 1


def _unknown_keyword(name: str, known: list[str], published: list[str]) -> str:
    close = difflib.get_close_matches(name, [*known, *published], n=1)
    guess = f"did you mean {close[0]}? " if close else ""
    return (
        f"unexpected keyword {name!r}: {guess}known are {', '.join(known)}; "
        f"and the published names {', '.join(published)}"
    )


def check_integer(name: str, value: object, *, least: int, otherwise: str = "") -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: expected {otherwise}an integer of at least {least}, got {value!r}")


def check_choice(name: str, value: object, choices: tuple) -> None:
    """Raise unless the value is one of the choices.

    Raises:
        ValueError: it is not.
    """
    if value not in choices:
        raise ValueError(f"{name}: expected {' or '.join(map(repr, choices))}, got {value!r}")


def check_frame(img_size: object, patch_size: int, step: int | None = None) -> None:
    """Raise unless frames of this size can be cut into patches, `step` pixels apart.

    Raises:
        ValueError: they cannot.
    """
    sides = img_size if isinstance(img_size, tuple) else (img_size, img_size)
    if len(sides) != 2:
        raise ValueError(f"img_size: expected an integer or (height, width), got {img_size!r}")
    for side in sides:
        check_integer("img_size", side, least=1)
        if not cuts_into_patches(side, patch_size, step):
            raise ValueError(f"img_size: expected {wanted_side(patch_size, step)}, got {img_size!r}")


def cuts_into_patches(side: int, patch_size: int, step: int | None = None) -> bool:
    """Whether there is a patch on `side` pixels and, where patches do not overlap, nothing is left over."""
    return side >= patch_size and (step not in (None, patch_size) or side % patch_size == 0)


def wanted_side(patch_size: int, step: int | None = None) -> str:
    """What `cuts_into_patches` asks for, in words."""
    if step in (None, patch_size):
        return f"multiples of patch_size = {patch_size}"
    return f"at least patch_size = {patch_size}"
