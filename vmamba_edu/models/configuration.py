"""The keywords of VideoMamba, their defaults, what they must satisfy, and the other names people know them by."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from numbers import Integral, Real
from typing import Any, Literal, no_type_check

from vmamba_edu.models.normalisation import NormName


@no_type_check  # for checkers at run time: __post_init__ checks every value, and its messages say more
@dataclass(frozen=True)
class VideoMambaConfig:
    """Everything that decides the shape of a VideoMamba. The defaults are those of videomamba_tiny on Kinetics-400.

    Args:
        img_size: height and width of a frame in pixels; one number for both.
        patch_size: side of a patch in pixels; divides height and width.
        tubelet_size: frames that share a token; divides num_frames.
        num_frames: frames of a clip.
        num_classes: outputs of the head; with 0 there is no head and the model returns the normed [cls] token.
        depth: blocks.
        embed_dim: channels of a token.
        d_state, d_conv, expand, dt_rank: of the mixer, see `Mixer`.
        drop_path_rate: of the last addition in training; the blocks rise to it from 0, see `drop_path`.
        norm: "rms" or "layer".
        bidirectional: whether every block reads in both directions. Without it [cls], which stands first, sees nothing.

    Raises:
        ValueError, TypeError: a value cannot be; the message names it, what was expected and what came.
    """

    img_size: int | tuple[int, int] = 224
    patch_size: int = 16
    tubelet_size: int = 1
    num_frames: int = 8
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

    def __post_init__(self) -> None:
        if isinstance(self.img_size, list):  # as configuration files have it
            object.__setattr__(self, "img_size", tuple(self.img_size))
        for name in ("patch_size", "tubelet_size", "num_frames", "depth", "embed_dim", "d_state", "expand"):
            check_integer(name, getattr(self, name), least=1)
        check_integer("num_classes", self.num_classes, least=0)
        if self.dt_rank != "auto":
            check_integer("dt_rank", self.dt_rank, least=1, otherwise='"auto" or ')
        check_frame(self.img_size, self.patch_size)
        if self.num_frames % self.tubelet_size:
            expected = f"a multiple of tubelet_size = {self.tubelet_size}"
            raise ValueError(f"num_frames: expected {expected}, got {self.num_frames}")
        if self.d_conv not in (2, 3, 4):
            raise ValueError(f"d_conv: expected 2, 3 or 4, got {self.d_conv!r}")
        if not isinstance(self.drop_path_rate, Real) or not 0 <= self.drop_path_rate < 1:
            raise ValueError(f"drop_path_rate: expected a number in [0, 1), got {self.drop_path_rate!r}")
        object.__setattr__(self, "drop_path_rate", float(self.drop_path_rate))
        if self.norm not in ("rms", "layer"):
            raise ValueError(f"norm: expected 'rms' or 'layer', got {self.norm!r}")
        _check_bool("bidirectional", self.bidirectional)

    @property
    def frame_size(self) -> tuple[int, int]:
        """(height, width) of a frame in pixels."""
        return self.img_size if isinstance(self.img_size, tuple) else (self.img_size, self.img_size)

    @property
    def grid(self) -> tuple[int, int, int]:
        """(time, height, width) of a clip in tokens; [cls] comes on top."""
        height, width = self.frame_size
        return self.num_frames // self.tubelet_size, height // self.patch_size, width // self.patch_size

    def with_overrides(self, **overrides: Any) -> "VideoMambaConfig":
        """A copy with other values, under our names or the published ones.

        The published names are kernel_size (tubelet_size), rms_norm (norm), bimamba (bidirectional) and ssm_cfg, a
        mapping of d_state, d_conv, expand and dt_rank.

        Raises:
            TypeError: a keyword is not known, or is given under two names.
            ValueError: as the class itself.
        """
        overrides = _in_our_words(overrides)
        known = [field.name for field in fields(self)]
        if unknown := [name for name in overrides if name not in known]:
            raise TypeError(_unknown_keyword(unknown[0], known))
        return replace(self, **overrides)


PUBLISHED = ("kernel_size", "rms_norm", "bimamba", "ssm_cfg")
SSM_ENTRIES = ("d_state", "d_conv", "expand", "dt_rank")


def _in_our_words(keywords: Mapping[str, Any]) -> dict[str, Any]:
    """The same keywords with the published names replaced by ours."""
    ours = {name: value for name, value in keywords.items() if name not in PUBLISHED}
    for name in PUBLISHED:
        if name not in keywords:
            continue
        translated = _translate(name, keywords[name])
        if twice := [key for key in translated if key in ours]:
            raise TypeError(f"{twice[0]}: given twice, once by {name}; leave one of them out")
        ours |= translated
    return ours


def _translate(name: str, value: Any) -> dict[str, Any]:
    """One published keyword as ours."""
    if name == "kernel_size":
        return {"tubelet_size": value}
    if name == "ssm_cfg":
        return _ssm_entries(value)
    _check_bool(name, value)
    return {"norm": "rms" if value else "layer"} if name == "rms_norm" else {"bidirectional": value}


def _ssm_entries(value: Any) -> dict[str, Any]:
    if value is None:  # the published default
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"ssm_cfg: expected a mapping of {', '.join(SSM_ENTRIES)}, got {type(value).__name__}")
    if unknown := [entry for entry in value if entry not in SSM_ENTRIES]:
        raise TypeError(f"ssm_cfg: unexpected entry {unknown[0]!r}; known are {', '.join(SSM_ENTRIES)}")
    return dict(value)


def _unknown_keyword(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, [*known, *PUBLISHED], n=1)
    guess = f"did you mean {close[0]}? " if close else ""
    return (
        f"unexpected keyword {name!r}: {guess}known are {', '.join(known)}; "
        f"and the published names {', '.join(PUBLISHED)}"
    )


def check_integer(name: str, value: object, *, least: int, otherwise: str = "") -> None:
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name}: expected {otherwise}an integer of at least {least}, got {value!r}")


def _check_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected True or False, got {value!r}")


def check_frame(img_size: object, patch_size: int) -> None:
    sides = img_size if isinstance(img_size, tuple) else (img_size, img_size)
    if len(sides) != 2:
        raise ValueError(f"img_size: expected an integer or (height, width), got {img_size!r}")
    for side in sides:
        check_integer("img_size", side, least=1)
        if side % patch_size:
            raise ValueError(f"img_size: expected multiples of patch_size = {patch_size}, got {img_size!r}")
