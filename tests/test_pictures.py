"""Pictures: each has its words, and shows the numbers it was given."""

import base64
import io

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread

from vmamba_edu.pictures import cut_into_patches, filmstrip, ladder, show, state_maps


def test_a_picture_is_shown_with_its_text_alternative() -> None:
    picture = show(Figure(figsize=(1, 1)), alt='A square that is "empty" & small.')
    data = picture._repr_mimebundle_()
    assert 'alt="A square that is &quot;empty&quot; &amp; small."' in data["text/html"]
    assert data["text/plain"] == picture.alt
    assert imread(io.BytesIO(base64.b64decode(data["image/png"]))).ndim == 3


@pytest.mark.parametrize("alt", ["", "a figure"])
def test_a_picture_without_words_is_refused(alt: str) -> None:
    with pytest.raises(ValueError, match="alt: expected a sentence"):
        show(Figure(), alt=alt)


def test_a_filmstrip_shows_every_frame_with_its_label() -> None:
    frames = torch.randint(0, 255, (5, 8, 12, 3), dtype=torch.uint8)
    axes = filmstrip(frames, [f"frame {i}" for i in range(5)]).axes
    assert [ax.get_xlabel() for ax in axes] == [f"frame {i}" for i in range(5)]
    for ax, frame in zip(axes, frames, strict=True):
        assert np.array_equal(ax.images[0].get_array(), frame.numpy())


def test_patches_are_pulled_apart_and_none_is_lost() -> None:
    frame = torch.randint(0, 250, (32, 48, 3), dtype=torch.uint8)
    figure = cut_into_patches(frame, 16)
    whole, pieces = (ax.images[0].get_array() for ax in figure.axes)
    assert np.array_equal(whole, frame.numpy())
    step = pieces.shape[0] // 2
    for row in range(2):
        for column in range(3):
            patch = pieces[row * step : row * step + 16, column * step : column * step + 16]
            assert np.array_equal(patch, frame.numpy()[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16])
    assert [text.get_text() for text in figure.axes[1].texts] == ["0", "5"]
    with pytest.raises(ValueError, match="patch_size: expected a divisor of 32 and 48, got 20"):
        cut_into_patches(frame, 20)


def test_state_maps_have_a_symmetric_scale_for_each_row() -> None:
    maps = torch.randn(3, 4, 2, 2) * torch.tensor([1.0, 10.0, 0.0])[:, None, None, None]
    figure = state_maps(maps, ["one", "two", "three"])
    images = [ax.images[0] for ax in figure.axes]
    for row in range(3):
        limits = {image.get_clim() for image in images[4 * row : 4 * row + 4]}
        assert len(limits) == 1
        low, high = limits.pop()
        assert low == -high
        assert high == pytest.approx(float(np.quantile(maps[row].abs(), 0.99)) or 1.0)


def test_the_ladder_says_times_and_factors_and_refuses_what_has_no_logarithm():
    drawing = ladder({"slow": 1234.0, "fast": 2.0}, floor=0.5)
    words = [text.get_text() for text in drawing.axes[0].texts]
    assert words == ["1,234 ms", "2 ms, 617×", "floor 0.5 ms"]
    with pytest.raises(ValueError, match="expected positive times"):
        ladder({"none": 0.0})
