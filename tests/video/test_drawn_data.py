"""MovingDigits and LongDigits: the same clips for everyone who asks, balanced, and told apart by order alone."""

import collections
import json
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from vmamba_edu.video import MOTIONS, moving_digits, read_clip
from vmamba_edu.video.caption_files import read_captions
from vmamba_edu.video.datasets import VideoDataset
from vmamba_edu.video.digit_images import SPLITS, load_digit_images
from vmamba_edu.video.digit_scene import PAIRS, DigitScene
from vmamba_edu.video.list_files import ListForm, read_list
from vmamba_edu.video.long_digits import LongDigits
from vmamba_edu.video.moving_digits_data import ALL_PAIRS, MovingDigits
from vmamba_edu.video.photo_backgrounds import PHOTO_ATTRIBUTION, sample_photos
from vmamba_edu.video.recipes import training_transform
from vmamba_edu.video.samplers import SparseSampler
from vmamba_edu.video.write_clips import write_clips

SMALL = {"num_frames": 4, "size": 16}


def same(frames, generator=None):
    return frames


class TestMovingDigits:
    def test_a_sample_says_what_it_is(self):
        data = MovingDigits("validation", 50, **SMALL)
        for index in (0, 17, -1):
            sample = data[index]
            digit, motion = data.pair(index % 50)
            assert (sample["clip"].shape, sample["clip"].dtype) == ((3, 4, 16, 16), torch.float32)
            assert (sample["digit"], MOTIONS[sample["label"]], sample["index"]) == (digit, motion, index % 50)
            drawn = data.draw(index % 50)
            assert (drawn.digit, drawn.motion, drawn.caption) == (digit, motion, sample["caption"])
            assert sample["path"] == f"{motion}/{digit}_{index % 50:06}"
            assert drawn.image_index in SPLITS["validation"]

    def test_seed_and_index_settle_a_clip_whatever_was_read_before(self):
        data, again = (MovingDigits(length=30, seed=4, transform=same, **SMALL) for _ in range(2))
        clips = [data[index]["clip"] for index in range(30)]
        for index in (29, 3, 17):
            assert torch.equal(again[index]["clip"], clips[index])
        other = MovingDigits(length=30, seed=5, transform=same, **SMALL)
        assert not torch.equal(other[0]["clip"], clips[0])
        assert len({clip.numpy().tobytes() for clip in clips}) == 30
        data.set_epoch(3)
        assert torch.equal(data[3]["clip"], clips[3]), "an epoch changes what transforms draw, and no clip"

    def test_every_120_hold_each_combination_once(self):
        data = MovingDigits(length=360, **SMALL)
        for start in (0, 120, 240):
            assert sorted(data.pair(index) for index in range(start, start + 120)) == sorted(ALL_PAIRS)
        orders = [[data.pair(index) for index in range(start, start + 120)] for start in (0, 120)]
        assert orders[0] != orders[1]

    def test_combinations_can_be_held_out(self):
        held_out = [(7, "left"), (2, "grow")]
        training = MovingDigits(length=240, exclude=held_out, **SMALL)
        test = MovingDigits("test", length=40, only=held_out, **SMALL)
        assert not {training.pair(index) for index in range(240)} & set(held_out)
        assert {test.pair(index) for index in range(40)} == set(held_out)
        assert {training.pair(index)[0] for index in range(240)} == set(range(10))

    def test_noise_is_as_strong_as_asked_and_its_own_in_every_frame(self):
        plain, noisy = (
            MovingDigits(length=3, noise=noise, background="plain", transform=same, num_frames=3, size=64)
            for noise in (0.0, 0.05)
        )
        for index in range(3):
            clean, added = plain[index]["clip"].float(), noisy[index]["clip"].float()
            inner = (clean > 50) & (clean < 205)  # where nothing is cut off at black or white
            noise = (added - clean)[inner]
            assert noise.std() == pytest.approx(0.05 * 255, rel=0.05)
            assert torch.equal(noisy[index]["clip"], noisy[index]["clip"])
        first, second = (added - clean)[0], (added - clean)[1]
        assert np.corrcoef(first.flatten(), second.flatten())[0, 1] < 0.1

    def test_what_is_kept_is_what_was_drawn(self, monkeypatch):
        data, kept = (MovingDigits(length=6, noise=0.1, keep=keep, transform=same, **SMALL) for keep in (False, True))
        expected = [data[index]["clip"] for index in range(6)]
        for index in range(6):
            assert torch.equal(kept[index]["clip"], expected[index])
        monkeypatch.setattr(DigitScene, "draw", None)
        for index in range(6):
            assert torch.equal(kept[index]["clip"], expected[index])

    def test_transforms_draw_anew_every_epoch(self):
        data = MovingDigits(length=4, transform=training_transform(16, "moving_digits"), **SMALL)
        first = data[1]["clip"]
        assert torch.equal(data[1]["clip"], first)
        data.set_epoch(1)
        assert not torch.equal(data[1]["clip"], first)

    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_workers_draw_what_one_process_draws(self, method):
        data = MovingDigits(length=12, keep=True, **SMALL)
        loader = DataLoader(data, batch_size=3, num_workers=1, multiprocessing_context=method)
        batches = list(loader)
        assert data._is_kept.all(), "what a worker drew is kept for all"
        alone = MovingDigits(length=12, **SMALL)
        expected = torch.stack([alone[index]["clip"] for index in range(12)])
        assert torch.equal(torch.cat([batch["clip"] for batch in batches]), expected)
        assert [caption for batch in batches for caption in batch["caption"]] == [alone.caption(i) for i in range(12)]

    def test_it_can_be_pickled(self):
        data = MovingDigits(length=5, **SMALL)
        assert torch.equal(pickle.loads(pickle.dumps(data))[2]["clip"], data[2]["clip"])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"split": "val"}, "split must be one of train, validation, test, but got 'val'"),
            ({"length": 0}, "length must be a whole number of at least 1"),
            ({"num_frames": 0}, "num_frames must be a whole number"),
            ({"size": 0}, "height must be a whole number"),
            ({"background": "pink"}, "background must be one of soft, plain, photo"),
            ({"noise": -1}, "noise must be at least 0, but got -1"),
            ({"only": [(7, "sideways")]}, "only must hold pairs such as .*; but got .7, 'sideways'"),
            ({"exclude": [(10, "left")]}, "exclude must hold pairs"),
            ({"only": [(7, "left")], "exclude": [(7, "left")]}, "leave no combination"),
        ],
    )
    def test_mistakes_are_named_at_once(self, options, message):
        with pytest.raises(ValueError, match=message):
            MovingDigits(**options)

    def test_an_index_outside_is_an_index_error(self):
        with pytest.raises(IndexError, match="index must be below 5, but got 5"):
            MovingDigits(length=5, **SMALL)[5]
        assert len(list(MovingDigits(length=5, **SMALL))) == 5


class TestPhotographs:
    def test_a_photograph_lies_behind_still_and_dark(self):
        """The first frame of an appearance is the paper alone: a piece of a photograph, at most 0.32 bright."""
        papers = [
            moving_digits(motion="appear", num_frames=2, size=48, background="photo", seed=s).frames for s in range(8)
        ]
        for frames in papers:
            assert frames[0].max() <= 0.32 * 255 + 1
            assert frames[0].float().std() > 3, "a photograph is not plain"
            assert frames[1].max() > 200, "light ink upon it"
        assert len({frames[0].numpy().tobytes() for frames in papers}) == 8

    def test_both_come(self):
        means = {round(float(photo.float().mean())) for photo in sample_photos()}
        assert len(means) == 2
        assert "danielbuechele" in PHOTO_ATTRIBUTION
        assert "CC BY 2.0" in PHOTO_ATTRIBUTION

    def test_everything_else_is_as_with_other_backgrounds(self):
        for seed in range(4):
            one, other = (moving_digits(seed=seed, background=name, **SMALL) for name in ("photo", "soft"))
            assert (one.digit, one.motion, one.image_index) == (other.digit, other.motion, other.image_index)


LONG = {"minutes": 0.5, "fps": 8, "size": 16}


class TestLongDigits:
    def test_frames_are_drawn_where_one_looks(self, monkeypatch):
        film = LongDigits("train", 4, **LONG).film(1)
        whole = torch.stack(list(film))
        assert len(whole) == film.num_frames == 240
        numbers = torch.tensor([3, 200, 3, 77, 239, 0])
        assert torch.equal(film.frames(numbers), whole[numbers])
        drawn = []
        real = DigitScene.draw
        monkeypatch.setattr(
            DigitScene, "draw", lambda scene, progress: drawn.append(len(progress)) or real(scene, progress)
        )
        LongDigits("train", 4, minutes=10, fps=25, size=16, sampler=SparseSampler(32))[0]
        assert sum(drawn) == 32, "of 15,000 frames"

    def test_twins_show_the_same_scenes_in_another_order(self):
        data = LongDigits("train", 24, **LONG)
        for index in range(0, 24, 2):
            one, other = data.film(index), data.film(index + 1)
            first, then = data.classes[one.label].split(" before ")
            assert data.classes[other.label] == f"{then} before {first}"
            assert one.borders == other.borders
            assert sorted(one.digits) == sorted(other.digits)
            shown = [
                collections.Counter((scene.image_index, scene.motion, scene.half) for scene in film.scenes)
                for film in (one, other)
            ]
            assert shown[0] == shown[1]
            moved = [place for place in range(6) if one.digits[place] != other.digits[place]]
            assert len(moved) == 2
            assert moved[1] - moved[0] >= 3, "two scenes or more lie between"

    def test_the_label_is_which_key_comes_first(self):
        data = LongDigits("test", 60, keys=(2, 5, 9), **LONG)
        assert len(data.classes) == 6
        for index in range(60):
            film = data.film(index)
            keys = [digit for digit in film.digits if digit in (2, 5, 9)]
            assert len(keys) == 2
            truth = load_digit_images()[1]
            assert [truth[scene.image_index] for scene in film.scenes] == list(film.digits), "what the scenes show"
            names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
            assert data.classes[film.label] == f"{names[keys[0]]} before {names[keys[1]]}"
        counts = collections.Counter(data.label(index) for index in range(60))
        assert sum(counts.values()) == 60
        assert len(counts) == 6

    def test_scenes_last_from_half_to_thrice_each_other(self):
        for index in range(10):
            lengths = np.diff(LongDigits("train", 10, **LONG).film(index).borders)
            assert lengths.sum() == 240
            assert lengths.max() <= 3 * lengths.min() + 3  # each is rounded to whole frames
            assert lengths.min() > 240 / 6 / 3 - 2

    def test_a_sample_says_what_it_is(self):
        data = LongDigits("train", 8, sampler=SparseSampler(10), **LONG)
        sample = data[5]
        assert sample["clip"].shape == (3, 10, 16, 16)
        assert set(sample) == {"clip", "label", "caption", "index", "path"}
        assert sample["caption"].count(", then ") == 5
        assert torch.equal(data[5]["clip"], sample["clip"])
        data.set_epoch(1)
        assert not torch.equal(data[5]["clip"], sample["clip"]), "other frames of the same film"
        fixed = LongDigits("train", 8, mode="validation", **LONG)
        first = fixed[5]["clip"]
        fixed.set_epoch(1)
        assert torch.equal(fixed[5]["clip"], first)
        assert first.shape[1] == 32
        assert torch.equal(pickle.loads(pickle.dumps(fixed))[5]["clip"], first)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"num_scenes": 2}, "num_scenes must leave at least 3 scenes of 4 frames, but got 2"),
            ({"minutes": 0.01}, "in 5 frames; make the film longer"),
            ({"keys": (1,)}, "keys must be from two to nine different digits"),
            ({"keys": (1, 1)}, "keys must be"),
            ({"keys": (1, 12)}, "keys must be"),
            ({"mode": "test"}, "mode must be one of train, validation"),
            ({"split": "dev"}, "split must be one of"),
        ],
    )
    def test_mistakes_are_named(self, options, message):
        with pytest.raises(ValueError, match=message):
            LongDigits(**options)

    def test_frames_outside_are_refused(self):
        film = LongDigits("train", 2, **LONG).film(0)
        for numbers in ([240], [-1]):
            with pytest.raises(IndexError, match="indices must be from 0 to 239"):
                film.frames(numbers)


class TestWriting:
    def test_a_written_data_set_is_read_again(self, tmp_path, capfd):
        drawn = MovingDigits("train", 5, num_frames=6, size=32, transform=same)
        path = write_clips(drawn, tmp_path / "digits", codec="ffv1", fps=8)
        assert "writing train" in capfd.readouterr().err
        records = read_list(path, "moving_digits", prefix=tmp_path / "digits")
        written = VideoDataset(records, SparseSampler(6), same, mode="validation")
        for index in range(5):
            clip = read_clip(records[index].path)
            assert torch.equal(clip.frames, drawn[index]["clip"])
            assert clip.fps == 8
            assert written[index]["label"] == drawn[index]["label"]
        captions = read_captions(tmp_path / "digits" / "train.json", prefix=tmp_path / "digits")
        assert [record.captions for record in captions] == [(drawn.caption(index),) for index in range(5)]
        assert [record.path for record in captions] == [record.path for record in records]
        assert (tmp_path / "digits" / "classes.txt").read_text().split() == list(MOTIONS)

    def test_photographs_keep_their_attribution(self, tmp_path, capfd):
        data = MovingDigits("test", 1, num_frames=2, size=32, background="photo")
        write_clips(data, tmp_path, progress=False)
        assert (tmp_path / "ATTRIBUTION.txt").read_text().strip() == PHOTO_ATTRIBUTION
        assert capfd.readouterr() == ("", "")

    def test_long_films_are_written_with_durations(self, tmp_path):
        data = LongDigits("test", 2, **LONG)
        path = write_clips(data, tmp_path, fps=8, durations=True, progress=False)
        records = read_list(path, ListForm(("path", "label", "duration"), 6), prefix=tmp_path)
        assert [(record.label, record.duration) for record in records] == [(data.label(i), 30.0) for i in range(2)]
        clip = read_clip(records[0].path, [0, 120, 239])
        difference = clip.frames.float() - data.film(0).frames([0, 120, 239]).float()
        assert difference.abs().mean() < 6  # H.264 at crf 18, colours at half resolution

    def test_a_failure_leaves_no_list(self, tmp_path):
        odd = MovingDigits("train", 2, num_frames=2, size=(31, 33))
        with pytest.raises(ValueError, match="h264 needs even sides"):
            write_clips(odd, tmp_path, progress=False)
        assert not list(tmp_path.rglob("*.csv"))
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]

    def test_the_lists_are_plain(self, tmp_path):
        write_clips(MovingDigits("train", 2, only=[(7, "left")], **SMALL), tmp_path, progress=False)
        assert (tmp_path / "train.csv").read_text() == "train/left/7_000000.mp4,1\ntrain/left/7_000001.mp4,1\n"
        entry = {"video": "train/left/7_000000.mp4", "caption": "a seven moves left"}
        assert json.loads((tmp_path / "train.json").read_text())[0] == entry
        assert MOTIONS[1] == PAIRS[0][1] == "left"
