"""The handwritten digits of scikit-learn, split by writers.

`load_digits` has 1,797 images of 8×8, from the optical recognition set of E. Alpaydin and C. Kaynak (UCI Machine
Learning Repository); it comes with that package and needs no network.
"""

from functools import cache

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from vmamba_edu.video.digit_ink import ink_heights

# Images that follow each other in the set come in runs of about 128 in which every digit comes up equally often, it
# seems one writer after another. Cutting between runs keeps the splits' hands apart as well as their images.
SPLITS = {"train": range(0, 1157), "validation": range(1157, 1415), "test": range(1415, 1797)}


@cache
def load_digit_images() -> tuple[np.ndarray, list[int]]:
    """The images, (1797, 8, 8) float32 from 0 to 1, and which digit each shows.

    Raises:
        ImportError: scikit-learn is not installed (extra `video`).
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("moving digits need scikit-learn: pip install 'vmamba-edu[video]'") from error
    data = load_digits()
    return (data.images / 16).astype(np.float32), data.target.tolist()


@cache
def images_of(digit: int, split: str) -> tuple[int, ...]:
    """The numbers of the images of a split that show this digit."""
    _, digits = load_digit_images()
    return tuple(number for number in SPLITS[split] if digits[number] == digit)


@cache
def heights_of(image_index: int) -> Float32[Tensor, "12 12"]:
    """The heights from which this image's ink is drawn, found once."""
    images, _ = load_digit_images()
    return ink_heights(torch.from_numpy(images[image_index]))
