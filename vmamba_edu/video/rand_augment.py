"""RandAugment for clips: a few random changes, each drawn once and applied to all frames alike (arXiv 1909.13719).

The published recipe is written "rand-m7-n4-mstd0.5-inc1": 4 changes a clip, of magnitude 7 out of 10 with a standard
deviation of 0.5, on the scale on which more is stronger. Source: VideoMamba, video_sm/datasets/rand_augment.py.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from vmamba_edu.video import pixel_ops
from vmamba_edu.video.resizing import Number, check_frames

_TOP = 10.0  # magnitudes reach from 0 to this
_APPLIED = 0.5  # the chance of each change to be made, as published
Op = Callable[[Tensor, float, float, tuple[int, ...]], Tensor]  # of frames, strength from 0 to 1, a sign and the fill

# Factors move away from 1 by up to 0.9; turns reach 30 degrees, shears 0.3, shifts 0.45 of the side. At strength 0
# nothing changes but for auto contrast, equalize and invert, which have no strength, and posterize, which the
# published scale starts at 4 bits.
OPS: dict[str, Op] = {
    "auto_contrast": lambda x, strength, sign, fill: pixel_ops.auto_contrast(x),
    "equalize": lambda x, strength, sign, fill: pixel_ops.equalize(x),
    "invert": lambda x, strength, sign, fill: pixel_ops.invert(x),
    "rotate": lambda x, strength, sign, fill: pixel_ops.rotate(x, sign * 30 * strength, fill),
    "posterize": lambda x, strength, sign, fill: pixel_ops.posterize(x, 4 - int(4 * strength)),
    "solarize": lambda x, strength, sign, fill: pixel_ops.solarize(x, 256 - int(256 * strength)),
    "solarize_add": lambda x, strength, sign, fill: pixel_ops.solarize_add(x, int(110 * strength)),
    "colour": lambda x, strength, sign, fill: pixel_ops.colour(x, 1 + sign * 0.9 * strength),
    "contrast": lambda x, strength, sign, fill: pixel_ops.contrast(x, 1 + sign * 0.9 * strength),
    "brightness": lambda x, strength, sign, fill: pixel_ops.brightness(x, 1 + sign * 0.9 * strength),
    "sharpness": lambda x, strength, sign, fill: pixel_ops.sharpness(x, 1 + sign * 0.9 * strength),
    "shear_x": lambda x, strength, sign, fill: pixel_ops.shear(x, x=sign * 0.3 * strength, fill=fill),
    "shear_y": lambda x, strength, sign, fill: pixel_ops.shear(x, y=sign * 0.3 * strength, fill=fill),
    "translate_x": lambda x, strength, sign, fill: pixel_ops.translate(x, x=sign * 0.45 * strength, fill=fill),
    "translate_y": lambda x, strength, sign, fill: pixel_ops.translate(x, y=sign * 0.45 * strength, fill=fill),
}


@dataclass(frozen=True)
class RandAugment:
    """Change a clip at random.

    Attributes:
        num_ops: how many changes are drawn, with replacement; each is made with a chance of one half, as published.
        magnitude: from 0 to 10.
        magnitude_std: of a Gaussian about it, drawn for each change anew.
        fill: colour of what a turn or shift leaves empty.
    """

    num_ops: int = 4
    magnitude: Number = 7
    magnitude_std: Number = 0.5
    fill: tuple[int, ...] = pixel_ops.GREY

    def __post_init__(self) -> None:
        if self.num_ops < 0 or not 0 <= self.magnitude <= _TOP or self.magnitude_std < 0:
            got = f"num_ops={self.num_ops}, magnitude={self.magnitude}, magnitude_std={self.magnitude_std}"
            raise ValueError(f"RandAugment needs num_ops ≥ 0, magnitude from 0 to 10 and magnitude_std ≥ 0; got {got}")

    @classmethod
    def from_name(cls, name: str, fill: tuple[int, ...] = pixel_ops.GREY) -> "RandAugment":
        """From its published notation, "rand-m7-n4-mstd0.5-inc1" (n is 2 and mstd 0 where they are not given)."""
        parts = dict(re.findall(r"-(mstd|inc|m|n)(\d+(?:\.\d+)?)", name))
        if not re.fullmatch(r"rand(-(mstd|inc|m|n)\d+(\.\d+)?)+", name) or parts.get("inc") != "1" or "m" not in parts:
            raise ValueError(f'name must be like "rand-m7-n4-mstd0.5-inc1", with inc1, but got {name!r}')
        return cls(int(parts.get("n", 2)), float(parts["m"]), float(parts.get("mstd", 0)), fill)

    def __call__(
        self, frames: UInt8[Tensor, "time height width 3"], generator: torch.Generator
    ) -> UInt8[Tensor, "time height width 3"]:
        check_frames(frames)
        for name, strength, sign in self.draw(generator):
            frames = OPS[name](frames, strength, sign, self.fill)
        return frames

    def draw(self, generator: torch.Generator) -> list[tuple[str, float, float]]:
        """The changes that are made: name, strength from 0 to 1, and the sign of those that have one."""
        names, drawn = list(OPS), []
        for _ in range(self.num_ops):
            which = int(torch.randint(len(names), (), generator=generator))
            chance, side = torch.rand(2, generator=generator).tolist()
            level = self.magnitude + self.magnitude_std * float(torch.randn((), generator=generator))
            if chance < _APPLIED:
                drawn.append((names[which], min(max(level, 0.0), _TOP) / _TOP, 1.0 if side < 0.5 else -1.0))
        return drawn
