"""Samples are what their records say, the same in any worker, and broken files are reported once and counted."""

import pickle
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from video.films import LENGTH, numbered_frame, numbers_in

from vmamba_edu.video import VideoReadError, sampling
from vmamba_edu.video.caption_files import parse_captions
from vmamba_edu.video.datasets import VideoDataset, collate_samples, sample_generator
from vmamba_edu.video.list_files import LIST_FORMS, parse_list, read_list
from vmamba_edu.video.recipes import test_transform, training_transform
from vmamba_edu.video.records import Record
from vmamba_edu.video.samplers import (
    CaptionSampler,
    DenseSampler,
    PretrainingSampler,
    Sampler,
    SparseSampler,
    SSv2FramesSampler,
    SSv2Sampler,
)
from vmamba_edu.video.windows import cut_into_windows

SAMPLERS = [
    SparseSampler(4),
    DenseSampler(4, 3),
    SSv2Sampler(4),
    SSv2FramesSampler(4),
    PretrainingSampler(4),
    CaptionSampler(4),
]


def frames_as_they_are(frames, generator=None, *, crop=0, num_crops=1):
    return frames


@pytest.fixture
def kinetics(films, tmp_path) -> Path:
    """A list of two good videos and, in lines 2 and 4, two that cannot be read."""
    (tmp_path / "text.mp4").write_text("not a video", "utf-8")
    lines = [f"{films('h264.mp4')},3", "text.mp4,5", f"{films('h264.mkv')},7", "missing.mp4,1"]
    (tmp_path / "train.csv").write_text("\n".join(lines), "utf-8")
    return tmp_path / "train.csv"


def good(kinetics: Path) -> list[Record]:
    return read_list(kinetics, "kinetics400", prefix=kinetics.parent)[::2]


class TestSamplers:
    @pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: type(sampler).__name__)
    def test_they_stay_in_the_window(self, sampler: Sampler):
        views = {"num_chunks": 2 if isinstance(sampler, SSv2Sampler) else 1}
        for mode in ("train", "validation", "test"):
            generator = torch.Generator().manual_seed(0)
            indices = sampler.indices(mode, 100, generator=generator, window=(30, 70), **views)
            assert indices.shape == (4,)
            assert indices.min() >= 30
            assert indices.max() <= 70

    def test_a_sparse_window_is_the_published_one(self, reference):
        _, description = reference("10_frame_sampling")
        for case in description["frame_indices"]["lvu"]:
            views = {"chunk": case["chunk"], "num_chunks": case["test_num_segment"]}
            window = (case["start_frame"], case["end_frame"])
            sampler = SparseSampler(case["num_frames"])
            assert sampler.indices("test", case["video_len"], window=window, **views).tolist() == case["indices"]

    def test_captions_take_the_first_seconds(self):
        """30 s at 10 frames a second are 300 frames, the last of which is number 299, of a longer video."""
        whole = CaptionSampler(4).indices("test", 300)
        assert torch.equal(CaptionSampler(4).indices("test", 1000, window=(0, 300)), whole)

    def test_mistakes_are_named(self):
        with pytest.raises(ValueError, match="mode must be one of train, validation, test, but got 'val'"):
            SparseSampler(4).indices("val", 10)
        with pytest.raises(ValueError, match="generator must be given in training"):
            SparseSampler(4).indices("train", 10)
        with pytest.raises(ValueError, match="num_chunks must be 1 for captions"):
            CaptionSampler(4).indices("test", 10, num_chunks=2)


class TestSamples:
    def test_a_sample_says_what_it_is(self, kinetics):
        data = VideoDataset(good(kinetics), SparseSampler(4), training_transform(32))
        sample = data[1]
        assert (sample["clip"].shape, sample["clip"].dtype) == ((3, 4, 32, 32), torch.float32)
        assert (sample["label"], sample["index"], sample["record"]) == (7, 1, 1)
        assert sample["path"].endswith("h264.mkv")
        assert set(sample) == {"clip", "label", "index", "record", "path"}

    def test_the_frames_are_the_samplers(self, kinetics):
        data = VideoDataset(good(kinetics), SparseSampler(5), frames_as_they_are, mode="validation")
        assert numbers_in(data[0]["clip"]) == sampling.uniform_indices(LENGTH, 5).tolist()
        for index in range(2):
            data = VideoDataset(good(kinetics), SparseSampler(5), frames_as_they_are, seed=11)
            expected = sampling.sparse_train_indices(LENGTH, 5, sample_generator(11, 0, index))
            assert numbers_in(data[index]["clip"]) == expected.tolist()

    def test_seed_epoch_and_index_settle_a_sample(self, kinetics):
        def clip(seed, epoch, index=0):
            data = VideoDataset(good(kinetics), SparseSampler(4), training_transform(24), seed=seed)
            data.set_epoch(epoch)
            return data[index]["clip"]

        assert torch.equal(clip(1, 5), clip(1, 5))
        assert not torch.equal(clip(1, 5), clip(2, 5))
        assert not torch.equal(clip(1, 5), clip(1, 6))

    def test_all_views_are_given_in_the_published_order(self, kinetics):
        views = {"mode": "test", "num_chunks": 2, "num_crops": 3}
        data = VideoDataset(good(kinetics)[:1] * 2, SparseSampler(2), test_transform(32), **views)
        order = [(sample["chunk"], sample["crop"], sample["record"]) for sample in data]
        assert order == [(chunk, crop, record) for chunk in range(2) for crop in range(3) for record in range(2)]
        clips = torch.stack([data[index]["clip"] for index in range(12)])
        assert len(clips.flatten(1).unique(dim=0)) == 6, "one film twice, in 6 different views"

    def test_windows_read_their_piece_and_count_chunks_on(self, films):
        """48 frames at 25 a second, cut into windows of 1 s every 1 s: the second ends with the film."""
        lines = [f"{films('h264.mp4')},3,2"]
        records = cut_into_windows(parse_list(lines, LIST_FORMS["lvu_scene"]), length=1, stride=1)
        data = VideoDataset(records, SparseSampler(3), frames_as_they_are, mode="test", num_chunks=2)
        assert [sample["chunk"] for sample in data] == [0, 2, 1, 3]
        for sample, window in zip(data, [(0, 25), (25, 48)] * 2, strict=True):
            assert all(window[0] <= number <= window[1] for number in numbers_in(sample["clip"]))

    def test_labels_of_every_kind(self, films):
        path = str(films("h264.mp4"))
        records = [Record(path, 0.25), Record(path, labels={"verb": 3, "noun": 4}), Record(path, captions=("a", "b"))]
        data = VideoDataset(records, SparseSampler(2), mode="validation")
        assert (data[0]["label"].dtype, float(data[0]["label"])) == (torch.float32, 0.25)
        assert data[1]["labels"] == {"verb": 3, "noun": 4}
        assert data[2]["caption"] == "a"
        training = VideoDataset(records[2:], SparseSampler(2))
        captions = set()
        for epoch in range(20):
            training.set_epoch(epoch)
            captions.add(training[0]["caption"])
        assert captions == {"a", "b"}

    def test_captions_read_from_a_file(self, films):
        text = f'[{{"video": "{films("h264.mp4")}", "caption": "A Digit."}}]'
        batch = next(iter(DataLoader(VideoDataset(parse_captions(text), CaptionSampler(2)), batch_size=1)))
        assert batch["caption"] == ["a digit"]

    def test_a_clip_may_be_taken_several_times(self, kinetics):
        data = VideoDataset(good(kinetics), SparseSampler(4), training_transform(24), num_samples=2)
        assert data[0]["clip"].shape == (2, 3, 4, 24, 24)
        batch = next(iter(DataLoader(data, batch_size=2, collate_fn=collate_samples)))
        assert batch["clip"].shape == (4, 3, 4, 24, 24)
        assert batch["label"].tolist() == [3, 3, 7, 7]
        assert not torch.equal(batch["clip"][0], batch["clip"][1])

    def test_raw_frames_and_images(self, tmp_path):
        folder = tmp_path / "74225"
        folder.mkdir()
        for number in range(12):
            Image.fromarray(numbered_frame(number)).save(folder / f"img_{number + 1:05}.jpg", quality=95)
        records = parse_list([f"{folder} 12 140"], LIST_FORMS["ssv2_frames"], separator=" ")
        for num_frames in (12, None):
            record = Record(records[0].path, 140, num_frames=num_frames)
            data = VideoDataset([record], SSv2FramesSampler(4), frames_as_they_are, mode="validation", source="frames")
            assert numbers_in(data[0]["clip"]) == [1, 4, 7, 10]
        image = VideoDataset(
            [Record(str(folder / "img_00006.jpg"), 1)], SparseSampler(1), frames_as_they_are, source="image"
        )
        assert numbers_in(image[0]["clip"]) == [5]

    def test_grey_pictures_become_rgb(self, tmp_path):
        Image.fromarray(np.full((8, 8), 77, np.uint8)).save(tmp_path / "grey.png")
        data = VideoDataset([Record(str(tmp_path / "grey.png"))], SparseSampler(1), frames_as_they_are, source="image")
        assert data[0]["clip"].shape == (1, 8, 8, 3)
        assert (data[0]["clip"] == 77).all()


class TestBrokenFiles:
    def test_they_are_raised_with_their_line(self, kinetics):
        data = VideoDataset(read_list(kinetics, "kinetics400", prefix=kinetics.parent), SparseSampler(2))
        with pytest.raises(VideoReadError, match=r"train.csv:2: .*text.mp4: is not a video"):
            data[1]
        with pytest.raises(VideoReadError, match=r"train.csv:4: .*missing.mp4: there is no such file"):
            data[3]

    def test_they_are_reported_once_skipped_and_counted(self, kinetics):
        records = read_list(kinetics, "kinetics400", prefix=kinetics.parent)
        data = VideoDataset(records, SparseSampler(2), on_error="skip")
        assert data.summary().endswith("4 samples (train); none failed so far")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(3):
                assert [data[index]["index"] for index in range(4)] == [0, 2, 2, 0]
        messages = [str(warning.message) for warning in caught]
        assert len(messages) == 2
        assert "train.csv:2: " in messages[0]
        assert messages[1].endswith("(skipped)")
        assert [record.line for record in data.broken] == [2, 4]
        assert data.summary() == (
            f"4 records of 4 files, 4 samples (train); 2 could not be read: {kinetics}:2, {kinetics}:4"
        )

    def test_a_check_finds_all_of_them(self, kinetics, capfd):
        data = VideoDataset(read_list(kinetics, "kinetics400", prefix=kinetics.parent), SparseSampler(2))
        assert [record.line for record in data.check()] == [2, 4]
        assert "checking" in capfd.readouterr().err
        data.check(progress=False)
        assert capfd.readouterr() == ("", "")

    def test_with_nothing_to_read_it_does_not_go_on_for_ever(self, tmp_path):
        data = VideoDataset([Record(str(tmp_path / "x.mp4"))] * 3, SparseSampler(2), on_error="skip")
        with (
            pytest.warns(UserWarning, match="x.mp4"),
            pytest.raises(VideoReadError, match="no file at all can be read"),
        ):
            data[0]

    @pytest.mark.parametrize(
        ("content", "message"),
        [(None, "there is no such file"), (b"", "is not a picture"), (b"\xff\xd8\xff\xe0 cut", "is not a picture")],
    )
    def test_a_broken_picture_is_named(self, tmp_path, content, message):
        if content is not None:
            (tmp_path / "x.jpg").write_bytes(content)
        data = VideoDataset([Record(str(tmp_path / "x.jpg"))], SparseSampler(1), source="image")
        with pytest.raises(VideoReadError, match=f"x.jpg: {message}"):
            data[0]

    def test_a_folder_without_frames_is_named(self, tmp_path):
        data = VideoDataset([Record(str(tmp_path))], SSv2FramesSampler(2), source="frames")
        with pytest.raises(VideoReadError, match=r"holds no frame img_00001.jpg; check the folder and frame_name"):
            data[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "val"}, "mode must be one of train, validation, test, but got 'val'"),
        ({"source": "gif"}, "source must be one of video, frames, image"),
        ({"on_error": "ignore"}, "on_error must be one of raise, skip"),
        ({"num_chunks": 4}, "views of a test, but mode is 'train'; give mode=\"test\""),
        ({"num_samples": 2, "mode": "test"}, "num_samples must be 1, or more in training"),
        ({"records": []}, "records is empty"),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        VideoDataset(**{"records": [Record("x")], "sampler": SparseSampler(2)} | options)


def test_an_index_outside_is_an_index_error(kinetics):
    data = VideoDataset(good(kinetics), SparseSampler(2))
    with pytest.raises(IndexError, match="index must be below 2, but got 2"):
        data[2]
    assert data[-1]["index"] == 1
    assert len(list(data)) == 2, "so that it can be iterated over"


def test_without_a_transform_there_are_no_crops(kinetics):
    data = VideoDataset(good(kinetics), SparseSampler(2), mode="test", num_crops=3)
    with pytest.raises(ValueError, match=r"no transform to cut them; give test_transform\(size\)"):
        data[0]


LOADER = """
import sys, warnings
from torch.utils.data import DataLoader
from vmamba_edu.video.datasets import VideoDataset
from vmamba_edu.video.list_files import read_list
from vmamba_edu.video.recipes import training_transform
from vmamba_edu.video.samplers import SparseSampler

def main(method, path):
    warnings.simplefilter("ignore")
    records = read_list(path, "kinetics400", prefix=path.rsplit("/", 1)[0])
    data = VideoDataset(records, SparseSampler(4), training_transform(24), on_error="skip", seed=3)
    loader = DataLoader(data, batch_size=2, num_workers=2, multiprocessing_context=method, persistent_workers=True)
    for epoch in (0, 1):
        data.set_epoch(epoch)
        clips = [batch["clip"] for batch in loader]
        alone = [data[index]["clip"] for index in range(len(data))]
        for number, clip in enumerate(clip for batch in clips for clip in batch):
            assert (clip == alone[number]).all(), (epoch, number)
    print(len(data.broken))

if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_draw_what_one_process_draws_and_report_what_is_broken(kinetics, tmp_path, method):
    if method == "fork" and sys.platform in {"win32", "darwin"}:
        pytest.skip("fork is not for this system")
    script = tmp_path / "load.py"
    script.write_text(LOADER, "utf-8")
    command = [sys.executable, str(script), method, str(kinetics)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert (run.returncode, run.stdout.strip()) == (0, "2"), run.stderr


def test_it_can_be_pickled(kinetics):
    data = VideoDataset(good(kinetics), SparseSampler(4), training_transform(24), seed=3)
    assert torch.equal(pickle.loads(pickle.dumps(data))[0]["clip"], data[0]["clip"])
