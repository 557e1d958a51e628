"""The digits move as their captions say, reverse exactly, and are drawn as smoothly as they move."""

import dataclasses

import numpy as np
import pytest
import torch

from vmamba_edu.video import MOTIONS, SPLITS, moving_digits
from vmamba_edu.video.digit_ink import Poses, coverage, ink_field, ink_heights
from vmamba_edu.video.digit_scene import BACKGROUNDS, PAIRS

SMALL = {"num_frames": 8, "size": 48, "background": "plain"}
SEEDS = range(6)


def ink_share(frames: torch.Tensor) -> torch.Tensor:
    """(time, height, width): how much each pixel differs from the paper, whose colour is that of the corner."""
    frames = frames.double()
    return (frames - frames[:, :1, :1]).abs().sum(-1)


def middle(ink: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The mean place of the ink in each frame, x and y in pixels."""
    weight = ink / ink.sum((1, 2), keepdim=True)
    x = (weight.sum(1) * torch.arange(ink.shape[2])).sum(1)
    y = (weight.sum(2) * torch.arange(ink.shape[1])).sum(1)
    return x.numpy(), y.numpy()


def spread(ink: torch.Tensor, axis: int) -> np.ndarray:
    """Standard deviation of the ink along x (axis 1) or y (axis 0), in pixels."""
    weight = (ink / ink.sum((1, 2), keepdim=True)).sum(2 - axis)
    place = torch.arange(weight.shape[1], dtype=torch.float64)
    mean = (weight * place).sum(1, keepdim=True)
    return (weight * (place - mean) ** 2).sum(1).sqrt().numpy()


class TestMotions:
    @pytest.mark.parametrize("background", BACKGROUNDS)
    @pytest.mark.parametrize(("forward", "backward"), PAIRS)
    def test_a_pair_is_one_clip_in_both_directions(self, forward, backward, background):
        for seed in SEEDS:
            options = {**SMALL, "background": background, "seed": seed}
            there, back = moving_digits(motion=forward, **options), moving_digits(motion=backward, **options)
            assert torch.equal(there.frames.flip(0), back.frames)
            assert (there.digit, there.image_index) == (back.digit, back.image_index)
            assert not torch.equal(there.frames, back.frames)

    @pytest.mark.parametrize(
        ("motion", "axis", "sign"), [("left", 0, -1), ("right", 0, 1), ("up", 1, -1), ("down", 1, 1)]
    )
    def test_it_goes_where_it_says_evenly(self, motion, axis, sign):
        for seed in SEEDS:
            place = middle(ink_share(moving_digits(motion=motion, seed=seed, **SMALL).frames))
            steps = np.diff(place[axis])
            assert (sign * steps > 1).all()
            # Every step is the same to a tenth of a pixel (edges are exact to first order): none is a whole one.
            np.testing.assert_allclose(steps, steps.mean(), atol=0.1)
            np.testing.assert_allclose(place[1 - axis], place[1 - axis].mean(), atol=0.1)

    @pytest.mark.parametrize(("motion", "sign"), [("grow", 1), ("shrink", -1)])
    def test_it_changes_size(self, motion, sign):
        for seed in SEEDS:
            ink = ink_share(moving_digits(motion=motion, seed=seed, **SMALL).frames)
            for axis in (0, 1):
                factors = np.log(spread(ink, axis))
                assert (sign * np.diff(factors) > 0.05).all()
            place = middle(ink)
            assert np.ptp(place[0]) < 4  # about the middle of its box, which need not be that of its ink
            assert np.ptp(place[1]) < 4

    @pytest.mark.parametrize(("motion", "sign"), [("open", 1), ("close", -1)])
    def test_it_opens_in_width_alone(self, motion, sign):
        for seed in SEEDS:
            frames = moving_digits(digit=0, motion=motion, seed=seed, **{**SMALL, "size": 96}).frames
            ink = ink_share(frames)
            assert (sign * np.diff(ink.sum((1, 2))) > 0).all()
            assert np.ptp(spread(ink, 0)) < 0.12 * spread(ink, 0).mean()
            assert spread(ink, 1).max() > 3 * spread(ink, 1).min()

    @pytest.mark.parametrize(("motion", "sign"), [("appear", 1), ("disappear", -1)])
    def test_its_ink_comes_and_goes(self, motion, sign):
        for seed in SEEDS:
            total = ink_share(moving_digits(motion=motion, seed=seed, **SMALL).frames).sum((1, 2)).numpy()
            steps = sign * np.diff(total)
            np.testing.assert_allclose(steps, steps.mean(), rtol=0.05)  # colours are rounded to whole levels
            assert min(total[0], total[-1]) == 0

    @pytest.mark.parametrize(("motion", "sign"), [("clockwise", 1), ("counterclockwise", -1)])
    def test_it_turns(self, motion, sign):
        """The longest axis of a one turns by as much in every frame; clockwise is from x to y, as y points down."""
        for seed in SEEDS:
            ink = ink_share(
                moving_digits(digit=1, motion=motion, seed=seed, **{**SMALL, "num_frames": 16, "size": 96}).frames
            )
            x, y = middle(ink)
            weight = ink / ink.sum((1, 2), keepdim=True)
            dx = torch.arange(96)[None, None, :] - torch.tensor(x)[:, None, None]
            dy = torch.arange(96)[None, :, None] - torch.tensor(y)[:, None, None]
            xx, yy, xy = ((weight * a * b).sum((1, 2)) for a, b in ((dx, dx), (dy, dy), (dx, dy)))
            steps = np.diff(np.unwrap(torch.atan2(2 * xy, xx - yy).numpy())) / 2  # of the principal axis
            assert (sign * steps > 0).all()
            np.testing.assert_allclose(steps, steps.mean(), atol=0.02)
            assert 2 < abs(steps.sum()) < 3  # radians: more than a right angle, less than half a turn

    @pytest.mark.parametrize("motion", MOTIONS)
    @pytest.mark.parametrize("size", [(32, 32), (40, 72), (72, 40)])
    def test_it_stays_in_the_picture(self, motion, size):
        for seed in SEEDS:
            frames = moving_digits(motion=motion, seed=seed, num_frames=5, size=size, background="plain").frames
            assert frames.shape == (5, *size, 3)
            ink = ink_share(frames)
            border = torch.cat([ink[:, 0], ink[:, -1], ink[:, :, 0], ink[:, :, -1]], dim=1)
            assert border.max() == 0


class TestTheSample:
    def test_it_is_settled_by_the_seed(self):
        assert torch.equal(moving_digits(seed=5, **SMALL).frames, moving_digits(seed=5, **SMALL).frames)
        assert len({moving_digits(seed=seed, **SMALL).image_index for seed in range(20)}) > 10

    def test_the_global_random_state_is_neither_read_nor_changed(self):
        torch.manual_seed(0)
        first, state = moving_digits(seed=5, **SMALL).frames, torch.get_rng_state()
        torch.manual_seed(1)
        assert torch.equal(moving_digits(seed=5, **SMALL).frames, first)
        torch.manual_seed(0)
        assert torch.equal(torch.get_rng_state(), state)

    def test_the_default_dtype_changes_nothing(self):
        for motion in MOTIONS[::2]:
            options = {"motion": motion, "num_frames": 3, "size": 24}
            expected = moving_digits(**options).frames
            torch.set_default_dtype(torch.float64)
            try:
                assert torch.equal(moving_digits(**options).frames, expected)
            finally:
                torch.set_default_dtype(torch.float32)

    def test_length_changes_the_pace_and_not_the_path(self):
        for motion in MOTIONS:
            short, long = (moving_digits(motion=motion, seed=2, num_frames=n, size=32).frames for n in (9, 65))
            # Drawn in one piece and in three, so that the last bit of a float may differ, hence one level of 255.
            assert (short.int() - long[::8].int()).abs().max() <= 1

    @pytest.mark.parametrize(
        ("digit", "motion", "caption"),
        [
            (7, "left", "a seven moves left"),
            (8, "grow", "an eight grows"),
            (0, "counterclockwise", "a zero turns counterclockwise"),
            (1, "disappear", "a one disappears"),
            (3, "open", "a three opens"),
            (5, "close", "a five closes"),
        ],
    )
    def test_it_is_told_in_a_sentence(self, digit, motion, caption):
        sample = moving_digits(digit, motion, **SMALL)
        assert (sample.caption, sample.digit, sample.motion) == (caption, digit, motion)
        assert MOTIONS[sample.label] == motion

    def test_there_are_twelve_motions_and_a_sentence_for_each(self):
        assert len(set(MOTIONS)) == 12
        assert len({moving_digits(4, motion, **SMALL).caption for motion in MOTIONS}) == 12

    def test_the_splits_share_no_image_and_have_every_digit(self):
        from sklearn.datasets import load_digits

        digits = load_digits().target
        assert sorted(number for images in SPLITS.values() for number in images) == list(range(len(digits)))
        for name, images in SPLITS.items():
            assert np.bincount(digits[list(images)], minlength=10).min() >= 20, name
            for seed in SEEDS:
                sample = moving_digits(split=name, seed=seed, **SMALL)
                assert sample.image_index in images
                assert digits[sample.image_index] == sample.digit

    def test_ink_and_paper_are_told_apart_easily(self):
        """Their contrast (WCAG 2.2) is at least 4.5 for every pair of colours, in the last frame of an appearance."""
        for seed in range(40):
            frame = moving_digits(digit=0, motion="appear", seed=seed, num_frames=2, size=32).frames[-1].double() / 255
            linear = torch.where(frame <= 0.04045, frame / 12.92, ((frame + 0.055) / 1.055) ** 2.4)
            luminance = linear @ torch.tensor([0.2126, 0.7152, 0.0722], dtype=torch.float64)
            corner = luminance[:3, :3].mean()
            ink = luminance.flatten()[(luminance - corner).abs().argmax()]
            light, dark = max(ink, corner), min(ink, corner)
            assert (light + 0.05) / (dark + 0.05) > 4.5

    def test_it_cannot_be_changed(self):
        with pytest.raises(dataclasses.FrozenInstanceError):
            moving_digits(**SMALL).digit = 3

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"digit": 10}, "digit must be one of"),
            ({"motion": "sideways"}, "motion must be one of .*left.*but got 'sideways'"),
            ({"num_frames": 0}, "num_frames must be a whole number of at least 1"),
            ({"size": 0}, "height must be a whole number"),
            ({"size": (32, -1)}, "width must be a whole number"),
            ({"background": "pink"}, "background must be one of soft, plain, photo"),
            ({"split": "tests"}, "split must be one of train, validation, test"),
        ],
    )
    def test_what_is_not_offered_is_named(self, options, message):
        with pytest.raises(ValueError, match=message):
            moving_digits(**options)


class TestInk:
    """The drawing itself, against shapes whose truth is known."""

    def poses(self, **changes: float) -> Poses:
        still = {"x": 0.0, "y": 0.0, "turn": 0.0, "half_width": 0.6, "half_height": 0.6, "opacity": 1.0}
        return Poses(**{name: torch.tensor([value]) for name, value in (still | changes).items()})

    def digit(self, number: int = 0) -> torch.Tensor:
        from sklearn.datasets import load_digits

        return torch.tensor(load_digits().images[number] / 16, dtype=torch.float32)

    def test_each_cell_is_covered_as_the_data_set_says(self):
        """The mean error of a cell's share of ink over ten digits; a plain threshold's is three times as large."""
        errors, naive = [], []
        for number in range(10):
            image = self.digit(number)
            drawn = coverage(ink_field(ink_heights(image)), self.poses(half_width=1.0, half_height=1.0), 160, 160)[0]
            share = drawn.unflatten(1, (8, 20)).unflatten(0, (8, 20)).mean((1, 3))
            errors.append((share - image).abs().mean())
            naive.append(((image > 0.5).float() - image).abs().mean())
        assert torch.stack(errors).mean() < 0.04
        assert torch.stack(errors).mean() < torch.stack(naive).mean() / 3

    @pytest.mark.parametrize("change", [{"x": 0.013}, {"y": -0.021}, {"turn": 0.3}, {"half_width": 0.45}])
    def test_a_coarse_picture_is_the_mean_of_a_fine_one(self, change):
        """Antialiasing: a pixel holds the share of it that ink covers, here measured with 64 points a pixel."""
        field = ink_field(ink_heights(self.digit(3)))
        poses = self.poses(**change)
        fine = coverage(field, poses, 8 * 64, 8 * 64)[0].unflatten(1, (64, 8)).unflatten(0, (64, 8)).mean((1, 3))
        difference = (coverage(field, poses, 64, 64)[0] - fine).abs()
        # The edge is taken as straight within a pixel: few pixels, at bends, are off by much.
        assert difference.mean() < 0.004
        assert difference.max() < 0.3

    def test_a_tenth_of_a_pixel_is_a_tenth_of_a_step(self):
        field = ink_field(ink_heights(self.digit(2)))
        pixel = 2 / 64
        place = [middle(coverage(field, self.poses(x=pixel * step / 10), 64, 64).double())[0][0] for step in range(11)]
        np.testing.assert_allclose(np.diff(place), 0.1, atol=0.01)

    def test_a_whole_pixel_is_the_same_picture_moved(self):
        field = ink_field(ink_heights(self.digit(2)))
        here, there = (coverage(field, self.poses(x=2 / 64 * step), 64, 64)[0] for step in (0, 1))
        torch.testing.assert_close(here[:, :-1], there[:, 1:], atol=1e-3, rtol=0)  # float32 of the coordinates

    def test_a_quarter_turn_is_exact(self):
        field = ink_field(ink_heights(self.digit(4)))
        upright, turned = (coverage(field, self.poses(turn=turn), 64, 64)[0] for turn in (0.0, torch.pi / 2))
        torch.testing.assert_close(turned, upright.rot90(-1), atol=1e-3, rtol=0)  # clockwise

    def test_edges_are_one_pixel_wide_at_every_size(self):
        for size in (32, 64, 224, 448):
            drawn = coverage(ink_field(ink_heights(self.digit(0))), self.poses(), size, size)[0]
            partly = ((drawn > 0.02) & (drawn < 0.98)).sum()
            along_edge = (drawn[1:] - drawn[:-1]).abs().sum() + (drawn[:, 1:] - drawn[:, :-1]).abs().sum()
            assert partly < 1.5 * along_edge
