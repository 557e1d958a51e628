"""Real photographs to move digits over: the two that scikit-learn carries, under CC BY 2.0.

Whoever shows a picture with them keeps PHOTO_ATTRIBUTION beside it; the folders that `write_clips` makes hold it.
"""

from functools import cache

import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from vmamba_edu.video.resizing import resize

PHOTO_ATTRIBUTION = (
    'Photographs "china.jpg" by danielbuechele (flickr.com/photos/danielbuechele/6061409035) and "flower.jpg" by '
    "vultilion (flickr.com/photos/vultilion/6056698931), both CC BY 2.0 (creativecommons.org/licenses/by/2.0), "
    "distributed with scikit-learn; cropped, resized and darkened."
)
_LIGHT = 0.32  # of the photograph that is left: then the palest ink still has a contrast of 4.5 (WCAG 2.2) to white


def photo_paper(choice: Float32[Tensor, " numbers"], height: int, width: int) -> Float32[Tensor, "height width 3"]:
    """A darkened piece of one of the photographs.

    Args:
        choice: numbers from 0 to 1 that settle which photograph, how large a piece and from where: the first four.
    """
    which, size, down, right = choice[:4].clamp(0, 0.999).tolist()
    photo = sample_photos()[int(which * 2)]
    rows, columns = photo.shape[:2]
    scale = (0.5 + 0.5 * size) * min(rows / height, columns / width)  # half to all of what fits
    h, w = max(1, int(height * scale)), max(1, int(width * scale))
    top, left = int(down * (rows - h + 1)), int(right * (columns - w + 1))
    piece = photo[None, top : top + h, left : left + w]
    return resize(piece, height, width)[0].to(torch.float32) / 255 * _LIGHT


@cache
def sample_photos() -> tuple[UInt8[Tensor, "height width 3"], ...]:
    """scikit-learn's photographs of a temple and of a flower, (427, 640, 3) each.

    Raises:
        ImportError: scikit-learn (extra `video`) or Pillow (extra `lab`) is not installed.
    """
    try:
        import PIL  # noqa: F401  (scikit-learn reads the photographs with it)
        from sklearn.datasets import load_sample_images
    except ImportError as error:
        raise ImportError("photo backgrounds need scikit-learn and Pillow: pip install 'vmamba-edu[lab]'") from error
    return tuple(torch.tensor(image) for image in load_sample_images().images)
