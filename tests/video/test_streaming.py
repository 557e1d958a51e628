"""A long film is gone through in the memory of a few frames."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from video.films import LENGTH, encode, numbers_in

from vmamba_edu.video import VideoReadError, read_clip, uniform_indices
from vmamba_edu.video.datasets import VideoDataset
from vmamba_edu.video.records import Record
from vmamba_edu.video.resizing import resize_short_side
from vmamba_edu.video.samplers import SparseSampler
from vmamba_edu.video.streaming import stream_frames


class TestStreaming:
    @pytest.mark.parametrize("name", ["h264.mp4", "vp9.webm", "moving.gif", "uneven.mkv"])
    @pytest.mark.parametrize("choice", [None, 7, [40, 3, 3, 12], lambda total: range(5, total, 11)])
    def test_the_frames_are_those_of_a_clip(self, films, name, choice):
        clip = read_clip(films(name), choice)
        streamed = list(stream_frames(films(name), choice))
        order = np.unique(clip.indices, return_index=True)[1]
        assert [frame.index for frame in streamed] == clip.indices[order].tolist()
        assert torch.equal(torch.stack([frame.picture for frame in streamed]), clip.frames[order])
        np.testing.assert_array_equal([frame.seconds for frame in streamed], clip.timestamps[order])

    def test_nothing_is_decoded_before_it_is_asked_for(self, films):
        stream = stream_frames(films("h264.mp4"))
        assert numbers_in(next(stream).picture[None]) == [0]
        stream.close()
        with pytest.raises(StopIteration):
            next(stream)

    def test_mistakes_are_known_at_once(self, films, tmp_path):
        with pytest.raises(VideoReadError, match="there is no such file"):
            stream_frames(tmp_path / "x.mp4")
        with pytest.raises(IndexError, match="which holds frames 0 to 47"):
            stream_frames(films("h264.mp4"), [LENGTH])


class TestSmallFrames:
    @pytest.mark.parametrize("name", ["h264.mp4", "odd.mp4"])
    def test_resizing_while_reading_is_resizing_afterwards(self, films, name):
        small = read_clip(films(name), [3, 30, 3], short_side=40)
        whole = read_clip(films(name), [3, 30, 3])
        assert torch.equal(small.frames, resize_short_side(whole.frames, 40))
        assert torch.equal(small.timestamps, whole.timestamps)

    def test_a_data_set_may_do_so(self, films):
        data = VideoDataset([Record(str(films("h264.mp4")))], SparseSampler(3), short_side=32, mode="validation")
        assert data[0]["clip"].shape == (3, 3, 32, 48)

    def test_a_side_that_is_none_is_named(self, films):
        with pytest.raises(ValueError, match="short_side must be at least 1 pixel, but got 0"):
            read_clip(films("h264.mp4"), 2, short_side=0)


MEMORY = """
import gc, re, sys
from pathlib import Path
from vmamba_edu.video import read_clip, stream_frames
peak = lambda: 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
read_clip(sys.argv[1], [0, 1], short_side=112)  # imports and caches
gc.collect()
Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew: importing torch has its own
before = peak()
if sys.argv[2] == "stream":
    count = sum(1 for frame in stream_frames(sys.argv[1], 64))
elif sys.argv[2] == "clip":
    count = len(read_clip(sys.argv[1], 64, short_side=112).frames)
else:  # what must not be
    count = len(list(stream_frames(sys.argv[1], 64)))
print(count, peak() - before)
"""


@pytest.fixture(scope="module")
def an_hour(tmp_path_factory):
    """One hour at a frame every four seconds: 900 frames of 480×640, 829 MB if all were held; 64 of them 59 MB."""
    path = tmp_path_factory.mktemp("hour") / "hour.mp4"
    stamps = [4000 * number for number in range(900)]
    return encode(path, "libx264", length=900, size=(480, 640), stamps=stamps, preset="ultrafast", g="30")


def grown(path, how: str) -> int:
    """Bytes by which the peak of a fresh process grows while it goes through 64 frames."""
    command = [sys.executable, "-c", MEMORY, str(path), how]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    count, size = map(int, run.stdout.split())
    assert count == 64
    return size


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="Linux alone starts a peak anew")
class TestAnHour:
    def test_it_is_gone_through_in_the_memory_of_a_few_frames(self, an_hour):
        """Seven frames' worth and the decoder's own: measured are a few; 64 frames alone would be nine times more."""
        assert uniform_indices(900, 64)[-1] > 880
        for how in ("stream", "clip"):
            # 64 frames of 112×149, which "clip" returns, are 3 MB.
            assert grown(an_hour, how) < 20_000_000, how

    def test_the_measure_tells(self, an_hour):
        """Held together, the 64 frames are seen in the peak: so the bound above would not be met by holding them."""
        assert grown(an_hour, "held") > 50_000_000
