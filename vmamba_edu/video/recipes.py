"""Transforms put together: from frames as read to the tensor that a model takes, by the published recipes.

training_transform(224, "kinetics")(frames, generator)   # (3, time, 224, 224) float32
test_transform(224)(frames, crop=1, num_crops=3)
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from vmamba_edu.video.jitter import ColourJitter, RandomErasing
from vmamba_edu.video.multi_scale_crop import MultiScaleCrop
from vmamba_edu.video.normalisation import NORMALISATIONS
from vmamba_edu.video.rand_augment import RandAugment
from vmamba_edu.video.resizing import (
    CentreCrop,
    Number,
    RandomHorizontalFlip,
    RandomResizedCrop,
    ShortSideResize,
    check_side,
    resize,
)
from vmamba_edu.video.transforms import clip_to_tensor
from vmamba_edu.video.views import view_crop

Transform = Callable[[Tensor, torch.Generator], Tensor]


@dataclass(frozen=True)
class Compose:
    """One transform after the other, drawing from one generator."""

    transforms: tuple[Transform, ...] = ()

    def __call__(
        self, frames: UInt8[Tensor, "time height width 3"], generator: torch.Generator | None = None
    ) -> UInt8[Tensor, "new_time new_height new_width 3"]:
        for transform in self.transforms:
            frames = transform(frames, generator)  # type: ignore[arg-type]  # those that draw nothing take None
        return frames


@dataclass(frozen=True)
class ToModel:
    """Transforms, then scaling and normalisation.

    Attributes:
        transforms: on uint8 frames.
        normalisation: a name in NORMALISATIONS.
    """

    transforms: Compose = field(default_factory=Compose)
    normalisation: str = "imagenet"

    def __post_init__(self) -> None:
        if self.normalisation not in NORMALISATIONS:
            names = ", ".join(NORMALISATIONS)
            raise ValueError(f"normalisation must be one of {names}, but got {self.normalisation!r}")

    def __call__(
        self, frames: UInt8[Tensor, "time height width 3"], generator: torch.Generator | None = None
    ) -> Float32[Tensor, "3 new_time new_height new_width"]:
        mean, std = NORMALISATIONS[self.normalisation]
        return clip_to_tensor(self.transforms(frames, generator), mean=mean, std=std)


@dataclass(frozen=True)
class SquareResize:
    """Resize to a square, whatever the proportions, as video-text tests do."""

    size: int

    def __call__(
        self, frames: UInt8[Tensor, "time height width 3"], generator: torch.Generator | None = None
    ) -> UInt8[Tensor, "time size size 3"]:
        return resize(frames, self.size, self.size, "bicubic")


@dataclass(frozen=True)
class TestTransform:
    """Resize the short side to `size` and cut the view's square out (VideoMamba's tests), then normalise."""

    __test__ = False  # pytest would take the name for a test's

    size: int
    normalisation: str = "imagenet"

    def __call__(
        self,
        frames: UInt8[Tensor, "time height width 3"],
        generator: torch.Generator | None = None,
        *,
        crop: int = 0,
        num_crops: int = 1,
    ) -> Float32[Tensor, "3 time size size"]:
        square = view_crop(frames, self.size, crop, num_crops)
        return ToModel(normalisation=self.normalisation)(square)


@dataclass(frozen=True)
class TrainingRecipe:
    """What is done at random in training; the defaults are those of Kinetics (VideoMamba, exp/k400 scripts).

    Attributes:
        rand_augment: in its published notation, "" for none.
        fill: colour of what RandAugment leaves empty.
        scale, ratio: of the random resized crop.
        interpolation: of that crop.
        flip: probability of mirroring.
        erasing: probability of erasing.
        crop_first: crop before RandAugment (images) or after it (videos).
        multi_scale: take MultiScaleCrop in place of the random resized crop.
        colour_jitter: of brightness, contrast and saturation each.
    """

    rand_augment: str = "rand-m7-n4-mstd0.5-inc1"
    fill: tuple[int, ...] = (128, 128, 128)
    scale: tuple[Number, Number] = (0.08, 1.0)
    ratio: tuple[Number, Number] = (0.75, 1.3333)
    interpolation: str = "bilinear"
    flip: Number = 0.5
    erasing: Number = 0.25
    crop_first: bool = False
    multi_scale: bool = False
    colour_jitter: Number = 0.0

    def transforms(self, size: int) -> Compose:
        """In the published order, for squares of `size` pixels."""
        crop: Transform = RandomResizedCrop(size, self.scale, self.ratio, self.interpolation)
        crop = MultiScaleCrop(size) if self.multi_scale else crop
        colours: list[Transform] = [ColourJitter(*[self.colour_jitter] * 3)] if self.colour_jitter else []
        colours += [RandAugment.from_name(self.rand_augment, self.fill)] if self.rand_augment else []
        flip: list[Transform] = [RandomHorizontalFlip(self.flip)] if self.flip else []
        erase: list[Transform] = [RandomErasing(self.erasing)] if self.erasing else []
        return Compose((*([crop, *flip, *colours] if self.crop_first else [*colours, crop, *flip]), *erase))


# Breakfast, COIN and LVU are trained as Kinetics; SSv2's labels speak of left and right, so it is not mirrored.
TRAINING_RECIPES = {
    "kinetics": TrainingRecipe(),
    "ssv2": TrainingRecipe(flip=0.0),
    "pretraining": TrainingRecipe(rand_augment="", erasing=0.0, multi_scale=True),
    "captions": TrainingRecipe(rand_augment="", erasing=0.0, scale=(0.5, 1.0), interpolation="bicubic"),
    "imagenet": TrainingRecipe("rand-m9-mstd0.5-inc1", (124, 116, 104), interpolation="bicubic", crop_first=True),
    # Our own: mirrored, turned or faded digits would be other motions, and small ones are hidden by a hard crop.
    "moving_digits": TrainingRecipe(rand_augment="", flip=0.0, erasing=0.0, scale=(0.8, 1.0), colour_jitter=0.2),
}


def training_transform(
    size: int, recipe: str | TrainingRecipe = "kinetics", normalisation: str = "imagenet"
) -> ToModel:
    """The random transforms of a published training, then normalisation.

    Args:
        size: side of the squares, in pixels.
        recipe: a name in TRAINING_RECIPES, or one of your own.
        normalisation: a name in NORMALISATIONS.
    """
    check_side("size", size)
    if isinstance(recipe, str):
        if recipe not in TRAINING_RECIPES:
            raise ValueError(f"recipe must be one of {', '.join(TRAINING_RECIPES)}, but got {recipe!r}")
        recipe = TRAINING_RECIPES[recipe]
    return ToModel(recipe.transforms(size), normalisation)


def validation_transform(size: int, short_side: int | None = None, normalisation: str = "imagenet") -> ToModel:
    """Resize the short side to `short_side` (as `size`, if not given), cut the middle square out, normalise."""
    return ToModel(Compose((ShortSideResize(short_side or size), CentreCrop(size))), normalisation)


def test_transform(size: int, normalisation: str = "imagenet") -> TestTransform:  # noqa: PT028
    """What a multi-view test applies: called with `crop` and `num_crops`, without them the middle square."""
    check_side("size", size)
    return TestTransform(size, normalisation)


test_transform.__test__ = False  # type: ignore[attr-defined]  # pytest would take the name for a test's
