"""Transforms treat all frames alike, are settled by their generator, and do to pixels what Pillow does."""

import colorsys
import dataclasses
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from video.pictures import photo, seeded

from vmamba_edu.video.batch_mixing import soft_targets
from vmamba_edu.video.jitter import ColourJitter, RandomErasing, TemporalJitter
from vmamba_edu.video.multi_scale_crop import MultiScaleCrop
from vmamba_edu.video.normalisation import NORMALISATIONS
from vmamba_edu.video.rand_augment import RandAugment
from vmamba_edu.video.recipes import (
    TRAINING_RECIPES,
    Compose,
    SquareResize,
    TrainingRecipe,
    test_transform,
    training_transform,
    validation_transform,
)
from vmamba_edu.video.resizing import (
    CentreCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    ShortSideResize,
    resize,
    resize_short_side,
)
from vmamba_edu.video.views import view_crop

SAME_SIZE = {
    "flip": RandomHorizontalFlip(),
    "colour jitter": ColourJitter(),
    "colour jitter, hue too": ColourJitter(hue=0.5),
    "erasing": RandomErasing(1.0),
    "rand augment": RandAugment.from_name("rand-m7-n4-mstd0.5-inc1"),
    "rand augment, strong": RandAugment(8, 10, 0),
}
TO_SQUARE = {
    "random resized crop": RandomResizedCrop(24),
    "bicubic crop": RandomResizedCrop(24, interpolation="bicubic"),
    "multi-scale crop": MultiScaleCrop(24),
    "square": SquareResize(24),
    "short side and centre": Compose((ShortSideResize(28), CentreCrop(24))),
}
ALL = SAME_SIZE | TO_SQUARE | {"temporal jitter": TemporalJitter(2)}


class TestLawsOfAll:
    @pytest.mark.parametrize("name", SAME_SIZE | TO_SQUARE)
    def test_they_commute_with_time_reversal(self, name):
        """What is drawn holds for all frames: a clip played backwards is changed alike."""
        frames = photo()
        for seed in range(8):
            there = ALL[name](frames, seeded(seed))
            assert torch.equal(ALL[name](frames.flip(0), seeded(seed)), there.flip(0))

    @pytest.mark.parametrize("name", ALL)
    @given(height=st.integers(24, 70), width=st.integers(24, 70), time=st.integers(1, 5), seed=st.integers(0, 9999))
    def test_they_give_frames(self, name, height, width, time, seed):
        frames = photo(time, height, width)
        changed = ALL[name](frames, seeded(seed))
        assert changed.dtype == torch.uint8
        assert changed.shape == (time, *((24, 24) if name in TO_SQUARE else (height, width)), 3)

    @pytest.mark.parametrize("name", ALL)
    def test_the_generator_settles_them_and_their_input_stays(self, name):
        frames, kept = photo(), photo()
        torch.manual_seed(0)
        before = torch.get_rng_state()
        first = ALL[name](frames, seeded(5))
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(1)
        assert torch.equal(ALL[name](frames, seeded(5)), first)
        assert torch.equal(frames, kept)

    @pytest.mark.parametrize("name", sorted(ALL.keys() - {"square", "short side and centre"}))
    def test_they_are_random(self, name):
        draws = [ALL[name](photo(), seeded(seed)) for seed in range(12)]
        assert any(not torch.equal(draws[0], draw) for draw in draws)

    @pytest.mark.parametrize("name", ALL)
    def test_they_are_frozen_and_can_be_pickled(self, name):
        again = pickle.loads(pickle.dumps(ALL[name]))
        assert again == ALL[name]
        with pytest.raises(dataclasses.FrozenInstanceError):
            again.__setattr__(dataclasses.fields(again)[0].name, 3)

    @pytest.mark.parametrize("name", ALL)
    def test_other_frames_are_refused(self, name):
        with pytest.raises((TypeError, ValueError)):
            ALL[name](torch.zeros(4, 40, 56, 3), seeded())

    @pytest.mark.parametrize(
        "nothing",
        [
            RandomHorizontalFlip(0.0),
            ColourJitter(0, 0, 0, 0),
            RandomErasing(0.0),
            RandAugment(0),
            TemporalJitter(0),
            Compose(),
            ShortSideResize(40),
        ],
        ids=lambda transform: type(transform).__name__,
    )
    def test_none_of_it_changes_nothing(self, nothing):
        for seed in range(5):
            assert torch.equal(nothing(photo(), seeded(seed)), photo())


class TestSizes:
    @pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
    @pytest.mark.parametrize("size", [(20, 28), (33, 47), (80, 90)])
    def test_resizing_is_pillows(self, size, interpolation):
        """Pillow resizes along one side and then the other, rounding in between: a level, where both round unlike."""
        frames = photo(1)
        filtered = getattr(Image.Resampling, interpolation.upper())
        expected = np.asarray(Image.fromarray(frames[0].numpy()).resize(size[::-1], filtered))
        resized = resize(frames, *size, interpolation)[0].int()
        assert (resized - torch.from_numpy(expected.astype(int))).abs().max() <= 1

    def test_the_short_side_is_met_and_the_long_one_cut_to_whole_pixels(self):
        assert resize_short_side(photo(1, 40, 57), 30).shape == (1, 30, 42, 3)
        assert resize_short_side(photo(1, 57, 40), 30).shape == (1, 42, 30, 3)

    @given(height=st.integers(1, 300), width=st.integers(1, 300), seed=st.integers(0, 10**6))
    def test_a_random_crop_lies_inside_and_has_an_allowed_shape(self, height, width, seed):
        crop = RandomResizedCrop(24)
        top, left, h, w = crop.box(height, width, seeded(seed))
        assert min(top, left) >= 0
        assert top + h <= height
        assert left + w <= width
        # Sides are whole pixels: a ratio is met to half a pixel of each.
        low, high = crop.ratio
        assert (w + 1) / max(h - 1, 0.01) >= low
        assert max(w - 1, 0) / (h + 1) <= high

    def test_its_area_and_shape_spread_as_published(self):
        """Over many draws in a wide frame: areas even from 0.08 to 1, ratios even in their logarithm."""
        boxes = np.array(
            [RandomResizedCrop(8).box(600, 800, generator) for generator in [seeded(1)] for _ in range(4000)]
        )
        areas, ratios = boxes[:, 2] * boxes[:, 3] / 480_000, np.log(boxes[:, 3] / boxes[:, 2])
        assert 0.079 < areas.min() < 0.1
        assert areas.max() > 0.85
        small = areas < 0.4  # those always fit, so that none is drawn again
        assert abs(areas[small].mean() - 0.24) < 0.01
        assert abs(ratios[small].mean()) < 0.02
        assert abs(np.abs(ratios).max() - np.log(4 / 3)) < 0.02

    def test_a_crop_of_everything_is_the_frame(self):
        frames = photo(2, 24, 24)
        assert torch.equal(RandomResizedCrop(24, scale=(1, 1), ratio=(1, 1))(frames, seeded()), frames)

    def test_a_flip_mirrors_half_of_the_clips_and_twice_is_nothing(self):
        frames = photo()
        flipped = [torch.equal(RandomHorizontalFlip()(frames, seeded(seed)), frames.flip(2)) for seed in range(200)]
        assert 70 < sum(flipped) < 130  # 100 and more than four standard deviations
        always = RandomHorizontalFlip(1.0)
        assert torch.equal(always(always(frames, seeded()), seeded()), frames)

    def test_the_boxes_of_pretraining(self):
        """Short side 256: shares 1, .875, .75, .66 are 256, 224, 192, 168; neighbours may pair: 4 + 6 boxes."""
        boxes = MultiScaleCrop(224).boxes(256, 340)
        assert len(boxes) == 10
        assert set(boxes) >= {(256, 256), (224, 224), (192, 168), (168, 192)}
        assert MultiScaleCrop(224).boxes(240, 300)[0] == (240, 240)
        assert (224, 224) in MultiScaleCrop(224).boxes(254, 300), "222 is so near to 224 that it is cut at 224"

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda: CentreCrop(50)(photo()), r"size: a square of 50 does not fit into frames of 40×56"),
            (lambda: RandomResizedCrop(0), "size must be at least 1 pixel"),
            (lambda: RandomResizedCrop(8, scale=(0.5, 0.2)), "scale must be two shares"),
            (lambda: RandomResizedCrop(8, ratio=(0.0, 2.0)), "ratio must be two positive ratios"),
            (lambda: resize(photo(), 8, 8, "lanczos"), "interpolation must be one of bilinear, bicubic"),
            (lambda: training_transform(24, "kinetic"), "recipe must be one of kinetics, ssv2"),
            (lambda: training_transform(24, normalisation="image"), "normalisation must be one of imagenet, clip"),
            (lambda: RandAugment.from_name("rand-m7-n4"), r'name must be like "rand-m7-n4-mstd0.5-inc1", with inc1'),
            (lambda: RandAugment.from_name("augmix-m3-inc1"), "name must be like"),
            (lambda: RandAugment(4, 11), "magnitude from 0 to 10"),
            (lambda: soft_targets(torch.tensor([0]), 3, 1.0), "smoothing must be a share"),
        ],
    )
    def test_mistakes_are_named(self, make, message):
        with pytest.raises(ValueError, match=message):
            make()


class TestJitter:
    def test_colour_jitter_stays_between_its_bounds(self):
        grey = torch.full((1, 4, 4, 3), 100, dtype=torch.uint8)
        levels = [int(ColourJitter(0.4, 0, 0)(grey, seeded(seed))[0, 0, 0, 0]) for seed in range(300)]
        assert 60 <= min(levels) < 66
        assert 134 < max(levels) <= 140

    def test_hue_jitter_reaches_its_bounds_and_stays_between_them(self):
        red = torch.tensor([200, 0, 0], dtype=torch.uint8).expand(1, 2, 2, 3)
        turns = []
        for seed in range(200):
            colour = ColourJitter(0, 0, 0, 0.1)(red, seeded(seed))[0, 0, 0] / 255
            turned = colorsys.rgb_to_hsv(*colour.tolist())[0]
            turns.append(turned - round(turned))
        assert -0.1005 < min(turns) < -0.09  # rounding to a level may add 1/2 of 200 to a sixth of the circle: 0.0004
        assert 0.09 < max(turns) < 0.1005

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("hue", 0.6, r"hue must be from 0 to 0.5, half the circle of colours, but got 0.6"),
            ("hue", -0.1, r"hue must be from 0 to 0.5"),
            ("contrast", -1, r"contrast must be at least 0, but got -1; 0 changes nothing"),
        ],
    )
    def test_a_jitter_that_cannot_be_is_refused(self, name, value, message):
        with pytest.raises(ValueError, match=message):
            ColourJitter(**{name: value})

    def test_erasing_covers_one_box_with_noise(self):
        frames = photo(3, 60, 80)
        shares = []
        for seed in range(60):
            changed = (RandomErasing(1.0)(frames, seeded(seed)) != frames).any(-1).any(0)
            rows, columns = changed.any(1).nonzero().flatten(), changed.any(0).nonzero().flatten()
            box = changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            assert box.float().mean() > 0.95, "noise hits the old level now and then, by chance"
            shares.append(float(box.numel()) / 4800)
        assert 0.015 < min(shares) < 0.08
        assert 0.25 < max(shares) < 0.35
        erased = sum(not torch.equal(RandomErasing()(frames, seeded(seed)), frames) for seed in range(400))
        assert 65 < erased < 135  # a quarter of 400, and four standard deviations

    def test_temporal_jitter_keeps_the_order_and_stays_near(self):
        frames = torch.arange(20, dtype=torch.uint8)[:, None, None, None].expand(20, 2, 2, 3)
        seen = set()
        for seed in range(50):
            places = TemporalJitter(2)(frames, seeded(seed))[:, 0, 0, 0].int()
            assert (places.diff() >= 0).all()
            assert (places - torch.arange(20)).abs().max() <= 2
            seen.add(tuple(places.tolist()))
        assert len(seen) > 40


class TestRecipes:
    @pytest.mark.parametrize("name", TRAINING_RECIPES)
    @pytest.mark.parametrize("normalisation", NORMALISATIONS)
    def test_they_give_what_a_model_takes(self, name, normalisation):
        clip = training_transform(24, name, normalisation)(photo(), seeded())
        assert (clip.shape, clip.dtype) == ((3, 4, 24, 24), torch.float32)
        mean, std = NORMALISATIONS[normalisation]
        levels = 255 * (clip * torch.tensor(std)[:, None, None, None] + torch.tensor(mean)[:, None, None, None])
        torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)  # whole levels, in float32

    def test_the_published_recipe_is_spelled_out(self):
        names = [type(step).__name__ for step in training_transform(224).transforms.transforms]
        assert names == ["RandAugment", "RandomResizedCrop", "RandomHorizontalFlip", "RandomErasing"]
        recipe = TRAINING_RECIPES["kinetics"]
        assert (recipe.scale, recipe.ratio, recipe.flip, recipe.erasing) == ((0.08, 1.0), (0.75, 1.3333), 0.5, 0.25)
        assert recipe.rand_augment == "rand-m7-n4-mstd0.5-inc1"

    def test_labels_that_tell_left_from_right_are_not_mirrored(self):
        for name in ("ssv2", "moving_digits"):
            steps = training_transform(224, name).transforms.transforms
            assert not any(isinstance(step, RandomHorizontalFlip) for step in steps)

    def test_ones_own_recipe(self):
        nothing = TrainingRecipe("", scale=(1, 1), ratio=(1.4, 1.4), flip=0, erasing=0)
        clip = training_transform(40, nothing)(photo(), seeded())
        torch.testing.assert_close(clip, validation_transform(40)(resize(photo(), 40, 40)))

    def test_the_middle_view_of_a_test_is_the_validation(self):
        frames = photo(3, 40, 60)
        torch.testing.assert_close(test_transform(32)(frames), validation_transform(32)(frames))
        three = test_transform(32)(frames, crop=2, num_crops=3)
        torch.testing.assert_close(three, validation_transform(32)(view_crop(frames, 32, 2, 3)))
        assert not torch.equal(three, test_transform(32)(frames))
