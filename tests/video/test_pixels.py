"""What is done to pixels is what Pillow does, and RandAugment draws as published."""

import colorsys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps
from video.pictures import photo, seeded

from vmamba_edu.video import pixel_ops
from vmamba_edu.video.rand_augment import OPS, RandAugment


def pillow(change):
    return lambda frames: torch.stack([torch.from_numpy(np.array(change(Image.fromarray(f.numpy())))) for f in frames])


def transformed(image: Image.Image, inverse: tuple[float, ...]) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR, fillcolor=(128,) * 3)


AS_PILLOW = {
    "brightness": (
        lambda frames: pixel_ops.brightness(frames, 1.6),
        pillow(lambda image: ImageEnhance.Brightness(image).enhance(1.6)),
    ),
    "darkness": (
        lambda frames: pixel_ops.brightness(frames, 0.3),
        pillow(lambda image: ImageEnhance.Brightness(image).enhance(0.3)),
    ),
    "colour": (
        lambda frames: pixel_ops.colour(frames, 0.4),
        pillow(lambda image: ImageEnhance.Color(image).enhance(0.4)),
    ),
    "contrast": (
        lambda frames: pixel_ops.contrast(frames, 1.5),
        pillow(lambda image: ImageEnhance.Contrast(image).enhance(1.5)),
    ),
    "sharpness": (
        lambda frames: pixel_ops.sharpness(frames, 1.8),
        pillow(lambda image: ImageEnhance.Sharpness(image).enhance(1.8)),
    ),
    "smoothness": (
        lambda frames: pixel_ops.sharpness(frames, 0.2),
        pillow(lambda image: ImageEnhance.Sharpness(image).enhance(0.2)),
    ),
    "auto contrast": (pixel_ops.auto_contrast, pillow(ImageOps.autocontrast)),
    "equalize": (pixel_ops.equalize, pillow(ImageOps.equalize)),
    "invert": (pixel_ops.invert, pillow(ImageOps.invert)),
    "posterize": (lambda frames: pixel_ops.posterize(frames, 3), pillow(lambda image: ImageOps.posterize(image, 3))),
    "solarize": (lambda frames: pixel_ops.solarize(frames, 90), pillow(lambda image: ImageOps.solarize(image, 90))),
}
EXACT = {"equalize", "invert", "posterize", "solarize"}


class TestPixels:
    @pytest.mark.parametrize("name", AS_PILLOW)
    def test_they_are_pillows(self, name):
        """One level where Pillow cuts and we round; two where it cuts twice (sharpness beyond 1 doubles the first)."""
        ours, theirs = (change(photo()) for change in AS_PILLOW[name])
        most = 0 if name in EXACT else 2 if name == "sharpness" else 1
        assert (ours.int() - theirs.int()).abs().max() <= most

    @pytest.mark.parametrize(
        ("ours", "inverse"),
        [
            (lambda frames: pixel_ops.shear(frames, x=0.2), (1, 0.2, 0, 0, 1, 0)),
            (lambda frames: pixel_ops.shear(frames, y=-0.2), (1, 0, 0, -0.2, 1, 0)),
            (lambda frames: pixel_ops.translate(frames, x=0.25), (1, 0, 14, 0, 1, 0)),
            (lambda frames: pixel_ops.translate(frames, y=-0.2), (1, 0, 0, 0, 1, -8)),
        ],
        ids=["shear x", "shear y", "translate x", "translate y"],
    )
    def test_shears_and_shifts_are_pillows(self, ours, inverse):
        """Away from the edge of what is left empty, where Pillow makes a hard border and ours fades over a pixel."""
        frames = photo()
        difference = (ours(frames).int() - pillow(lambda image: transformed(image, inverse))(frames).int()).abs()
        assert difference.float().mean() < 1
        assert (difference > 2).float().mean() < 0.04

    def test_a_turn_is_pillows_way_round(self):
        frames = photo()
        turned = pixel_ops.rotate(frames, 20).int()
        theirs = [
            pillow(lambda image, d=degrees: image.rotate(d, Image.Resampling.BILINEAR, fillcolor=(128,) * 3))(frames)
            for degrees in (20, -20)
        ]
        same, other = ((turned - their.int()).abs().float().mean() for their in theirs)
        assert same < 1 < other

    def test_a_quarter_turn_of_a_square_is_exact(self):
        frames = photo(2, 32, 32)
        difference = pixel_ops.rotate(frames, 90).int() - frames.rot90(1, (1, 2)).int()
        assert difference.abs().max() <= 1  # float32 of the coordinates

    @pytest.mark.parametrize("name", sorted(OPS.keys() - {"auto_contrast", "equalize", "invert", "posterize"}))
    def test_at_strength_zero_nothing_changes(self, name):
        for sign in (-1.0, 1.0):
            assert torch.equal(OPS[name](photo(), 0.0, sign, pixel_ops.GREY), photo())

    @given(
        colours=st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=20),
        turns=st.floats(-2, 2),
    )
    def test_hues_are_turned_as_in_the_standard_library(self, colours, turns):
        """To half a level, by which we round, and float32's share of that: 255 levels times 1e-6 of a turn."""
        frames = torch.tensor(colours, dtype=torch.uint8)[None, None]
        expected = []
        for colour in colours:
            hue, saturation, value = colorsys.rgb_to_hsv(*(level / 255 for level in colour))
            expected.append([255 * part for part in colorsys.hsv_to_rgb((hue + turns) % 1, saturation, value)])
        turned = pixel_ops.hue(frames, turns)[0, 0].double()
        assert (turned - torch.tensor(expected, dtype=torch.float64)).abs().max() < 0.51

    def test_a_third_of_the_circle_makes_red_green_and_a_whole_one_nothing(self):
        red = torch.tensor([[[[250, 10, 40]]]], dtype=torch.uint8)
        assert pixel_ops.hue(red, 1 / 3).tolist() == [[[[40, 250, 10]]]]
        assert torch.equal(pixel_ops.hue(photo(), 1), photo())
        assert torch.equal(pixel_ops.hue(photo(), 0), photo())
        grey = photo(2)[..., :1].expand(-1, -1, -1, 3)
        assert torch.equal(pixel_ops.hue(grey, 0.37), grey)

    def test_posterize_starts_at_four_bits_as_published(self):
        assert torch.equal(OPS["posterize"](photo(), 0.0, 1.0, pixel_ops.GREY), photo() & 0xF0)
        assert torch.equal(pixel_ops.posterize(photo(), 8), photo())
        assert pixel_ops.posterize(photo(), 0).max() == 0

    def test_solarize_add_touches_the_dark_half_alone(self):
        frames = photo()
        changed = pixel_ops.solarize_add(frames, 60)
        assert torch.equal(changed[frames >= 128], frames[frames >= 128])
        assert torch.equal(changed[frames < 128], frames[frames < 128] + 60)

    @pytest.mark.parametrize("name", OPS)
    def test_every_op_takes_any_strength_and_a_plain_picture(self, name):
        for frames in (photo(), torch.full((2, 9, 5, 3), 70, dtype=torch.uint8), photo(1, 2, 2)):
            for strength in (0.0, 0.37, 1.0):
                changed = OPS[name](frames, strength, -1.0, pixel_ops.GREY)
                assert (changed.shape, changed.dtype) == (frames.shape, torch.uint8)


class TestRandAugment:
    def test_its_name_says_what_it_does(self):
        assert RandAugment.from_name("rand-m7-n4-mstd0.5-inc1") == RandAugment(4, 7.0, 0.5)
        assert RandAugment.from_name("rand-m9-mstd0.5-inc1", (1, 2, 3)) == RandAugment(2, 9.0, 0.5, (1, 2, 3))

    def test_what_is_drawn_is_as_published(self):
        """Each of 4 changes is made with a chance of one half, each kind as often, at 0.7 with a spread of 0.05."""
        augment, generator = RandAugment.from_name("rand-m7-n4-mstd0.5-inc1"), seeded(7)
        draws = [augment.draw(generator) for _ in range(3000)]
        made = [change for draw in draws for change in draw]
        assert len(OPS) == 15
        assert abs(len(made) / 12000 - 0.5) < 0.02  # four standard deviations of a coin thrown 12,000 times
        counts = np.unique([name for name, _, _ in made], return_counts=True)[1]
        assert len(counts) == 15
        assert (np.abs(counts / len(made) - 1 / 15) < 0.014).all()
        strengths = np.array([strength for _, strength, _ in made])
        assert abs(strengths.mean() - 0.7) < 0.003
        assert abs(strengths.std() - 0.05) < 0.003
        assert abs(np.mean([sign for _, _, sign in made])) < 0.06

    def test_strengths_stay_on_the_scale(self):
        strengths = [s for seed in range(50) for _, s, _ in RandAugment(8, 9.8, 3).draw(seeded(seed))]
        assert max(strengths) == 1.0
        assert min(strengths) >= 0
