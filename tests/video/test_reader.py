"""Every kind of file is read frame by frame as it was written, whatever decodes it and wherever one jumps."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from video.films import (
    COLOURS,
    ENCODINGS,
    LENGTH,
    UNEVEN,
    numbered_frame,
    numbers_in,
    with_display_matrix,
    with_edit_list,
)

from vmamba_edu.video import read_clip, uniform_indices, video_info
from vmamba_edu.video.decode import decode_frames, decord_is_exact
from vmamba_edu.video.frame_index import index_frames

SILENTLY_WRONG_IN_DECORD = {"open_groups.mp4", "open_groups.mkv", "hevc_open_groups.mp4", "h264.ts", "h264.avi"}

READ_BY_DECORD = (
    {"h264.mp4", "front.mp4", "h264.mkv", "hevc.mp4", "mjpeg.avi", "mjpeg.mp4", "mpeg4.avi"}
    | {f"{name}{ending}" for name in ("uneven", "late") for ending in (".mp4", ".mkv")}
    | {"one.mp4", "odd.mp4"}
)


def length_of(name: str) -> int:
    return ENCODINGS[name].get("length", LENGTH)


@pytest.mark.usefixtures("each_decoder")
class TestEveryKindOfFile:
    def test_all_frames_come_in_order(self, films, film_name):
        clip = read_clip(films(film_name))
        assert numbers_in(clip.frames) == list(range(length_of(film_name)))
        assert clip.indices.tolist() == list(range(length_of(film_name)))

    def test_a_jump_lands_on_the_frame_itself(self, films, film_name):
        """Frames around the keyframes (each twelfth is one), asked for one by one, equal those read in order."""
        path = films(film_name)
        whole = read_clip(path).frames
        for number in [n for n in (0, 1, 9, 10, 11, 12, 13, 20, 23, 24, 35, 47) if n < len(whole)]:
            jumped = read_clip(path, [number])
            assert numbers_in(jumped.frames) == [number]
            assert torch.equal(jumped.frames[0], whole[number])

    def test_colours_are_what_went_in(self, films, film_name):
        frame = read_clip(films(film_name), [0]).frames[0].int()
        # Lossy codecs are off by a few levels, a wrong colour matrix or range by twelve or more. GIF has few colours.
        tolerance = 50 if film_name == "moving.gif" else 8
        for row, colour in COLOURS.items():
            assert (frame[row, 40] - torch.tensor(colour)).abs().max() <= tolerance

    def test_time_is_what_the_file_says(self, films, film_name):
        clip = read_clip(films(film_name))
        milliseconds = UNEVEN if film_name.startswith("uneven") else np.arange(length_of(film_name)) * 40
        np.testing.assert_allclose(clip.timestamps, np.array(milliseconds) / 1000, atol=1e-3)  # Matroska's own rounding
        assert clip.timestamps[0] == 0

    def test_its_description_is_right(self, films, film_name):
        info = video_info(films(film_name))
        height, width = ENCODINGS[film_name].get("size", (64, 96))
        assert (info.num_frames, info.height, info.width) == (length_of(film_name), height, width)
        fps = (LENGTH - 1) / UNEVEN[-1] * 1000 if film_name.startswith("uneven") else 25
        assert info.fps == pytest.approx(fps, rel=1e-3)
        assert info.duration == pytest.approx(info.num_frames / fps, rel=1e-3)


@pytest.mark.parametrize("name", sorted(READ_BY_DECORD))
def test_both_decoders_agree_bit_for_bit(films, name, monkeypatch):
    decord = pytest.importorskip("decord")
    index = index_frames(films(name))
    numbers = np.array([n for n in (0, 5, 11, 12, 30, 47) if n < index.num_frames])
    calls, real = [], decord.VideoReader
    monkeypatch.setattr(decord, "VideoReader", lambda *a, **k: calls.append(a) or real(*a, **k))
    with_decord = decode_frames(index, numbers)
    assert calls, "decord did not read it"
    monkeypatch.setitem(sys.modules, "decord", None)
    np.testing.assert_array_equal(with_decord, decode_frames(index, numbers))


@pytest.mark.parametrize("name", sorted(SILENTLY_WRONG_IN_DECORD))
def test_decord_is_not_asked_where_it_is_silently_wrong(films, name):
    assert not decord_is_exact(index_frames(films(name)))


@pytest.mark.parametrize("failure", ["raises", "counts otherwise", "gives nothing"])
def test_pyav_reads_on_where_decord_fails(films, monkeypatch, failure):
    decord = pytest.importorskip("decord")

    class Broken:
        def __init__(self, *_, **__):
            if failure == "raises":
                raise decord.DECORDError("out of order")

        def __len__(self):
            return LENGTH + (failure == "counts otherwise")

        def get_frame_timestamp(self, numbers):
            return np.arange(LENGTH)[:, None] / [25, 25]

        def get_batch(self, numbers):
            raise decord.DECORDLimitReachedError("nothing left")

    monkeypatch.setattr(decord, "VideoReader", Broken)
    assert numbers_in(read_clip(films("h264.mp4"), [3, 30]).frames) == [3, 30]


@pytest.mark.usefixtures("each_decoder")
class TestWhatAContainerAdds:
    @pytest.mark.parametrize(("start", "length"), [(0, 30), (12, 30), (17, 20)])
    def test_an_edit_list_hides_frames(self, films, tmp_path, start, length):
        """Frame 12 is a keyframe and frame 17 is not: then frames before it are decoded and not shown."""
        path = with_edit_list(films("h264.mp4"), tmp_path / "edited.mp4", start, length)
        clip = read_clip(path)
        assert numbers_in(clip.frames) == list(range(start, start + length))
        assert clip.timestamps[-1] == pytest.approx((length - 1) / 25)
        assert numbers_in(read_clip(path, [7, 3]).frames) == [start + 7, start + 3]
        assert video_info(path).num_frames == length

    @pytest.mark.parametrize(
        ("matrix", "turned"),
        [
            ((0, 1, -1, 0), lambda x: np.rot90(x, -1, (1, 2))),
            ((-1, 0, 0, -1), lambda x: np.rot90(x, 2, (1, 2))),
            ((0, -1, 1, 0), lambda x: np.rot90(x, 1, (1, 2))),
            ((-1, 0, 0, 1), lambda x: np.flip(x, 2)),
            ((1, 0, 0, -1), lambda x: np.flip(x, 1)),
            ((0, 1, 1, 0), lambda x: np.swapaxes(x, 1, 2)),
            ((0, -1, -1, 0), lambda x: np.swapaxes(np.rot90(x, 2, (1, 2)), 1, 2)),
        ],
        ids=["90 clockwise", "180", "90 counterclockwise", "mirror", "upside down", "transpose", "transverse"],
    )
    def test_a_picture_is_turned_as_the_file_asks(self, films, tmp_path, matrix, turned):
        stored = read_clip(films("h264.mp4"), 4)
        path = with_display_matrix(films("h264.mp4"), tmp_path / "turned.mp4", *matrix)
        shown = read_clip(path, 4)
        np.testing.assert_array_equal(shown.frames.numpy(), turned(stored.frames.numpy()))
        info = video_info(path)
        assert (info.height, info.width) == tuple(shown.frames.shape[1:3])

    @pytest.mark.parametrize("name", ["clip:1.mp4", "ein Film ü.mp4", "100%d.mp4", "-.mp4"])
    def test_a_name_may_hold_anything(self, films, tmp_path, monkeypatch, name):
        (tmp_path / name).write_bytes(films("h264.mp4").read_bytes())
        monkeypatch.chdir(tmp_path)
        clip = read_clip(name, [5])
        assert numbers_in(clip.frames) == [5]
        assert clip.path == Path(name)


class TestChoosingFrames:
    @pytest.mark.parametrize("count", [1, 7, LENGTH, 60])
    def test_a_number_means_uniform_sampling(self, films, count):
        clip = read_clip(films("h264.mp4"), count)
        assert torch.equal(clip.indices, uniform_indices(LENGTH, count))
        assert numbers_in(clip.frames) == clip.indices.tolist()

    @pytest.mark.parametrize(
        "frames",
        [[4, 40, 4], (4, 40, 4), np.array([4, 40, 4], np.int32), torch.tensor([4, 40, 4]), iter([4, 40, 4])],
        ids=lambda frames: type(frames).__name__,
    )
    def test_indices_may_come_in_any_wrapping(self, films, frames):
        assert numbers_in(read_clip(films("h264.mp4"), frames).frames) == [4, 40, 4]

    def test_a_function_sees_the_number_of_frames(self, films):
        clip = read_clip(films("h264.mp4"), lambda total: range(total - 1, 0, -10))
        assert numbers_in(clip.frames) == [47, 37, 27, 17, 7]
        assert numbers_in(read_clip(films("h264.mp4"), np.int64(2)).frames) == uniform_indices(LENGTH, 2).tolist()

    @settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        indices=st.lists(st.integers(0, LENGTH - 1), min_size=1, max_size=12),
        name=st.sampled_from(["h264.mp4", "late.mkv", "vp9.webm"]),
    )
    def test_any_choice_is_that_choice_of_the_whole(self, films, indices, name):
        clip = read_clip(films(name), indices)
        assert numbers_in(clip.frames) == indices
        assert clip.indices.tolist() == indices
        torch.testing.assert_close(clip.timestamps, torch.tensor(indices) / 25, atol=1e-3, rtol=0, check_dtype=False)

    @pytest.mark.parametrize("frames", [[LENGTH], [-1], [0, 3, 10**6], lambda total: [total]])
    def test_an_index_outside_the_file_is_named(self, films, frames):
        with pytest.raises(IndexError, match=r"frames: index .*h264\.mp4, which holds frames 0 to 47"):
            read_clip(films("h264.mp4"), frames)

    @pytest.mark.parametrize(
        ("frames", "error"),
        [
            ([], ValueError),
            ([1.5], TypeError),
            ([True], TypeError),
            ([[1, 2]], TypeError),
            (True, TypeError),
            ("12", TypeError),
            (lambda total: 3, TypeError),
            (torch.tensor(3), TypeError),
            (0, ValueError),
        ],
    )
    def test_a_choice_that_is_none_is_refused(self, films, frames, error):
        with pytest.raises(error, match="frames"):
            read_clip(films("h264.mp4"), frames)


def test_a_clip_says_its_types_and_cannot_be_changed(films):
    clip = read_clip(films("h264.mp4"), 3)
    assert (clip.frames.dtype, clip.timestamps.dtype, clip.indices.dtype) == (torch.uint8, torch.float64, torch.int64)
    with pytest.raises(dataclasses.FrozenInstanceError):
        clip.fps = 1.0


MEMORY = """
import resource, sys
if sys.argv[2] == "alone": sys.modules["decord"] = None
from vmamba_edu.video import read_clip
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
read_clip(sys.argv[1], [0, 1])  # imports and caches
before = peak()
read_clip(sys.argv[1], 4)
read_clip(sys.argv[1], [299])
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the peak is read from getrusage")
@pytest.mark.parametrize("decoder", ["first", "alone"])
def test_a_few_frames_of_a_long_film_need_the_memory_of_a_few(tmp_path, decoder):
    """300 frames of 480×640 are 276 MB, and keyframes so rare that all of them must be decoded on the way."""
    from video.films import encode

    if decoder == "first":
        pytest.importorskip("decord")
    film = encode(tmp_path / "long.mp4", "libx264", length=300, size=(480, 640), preset="ultrafast", g="250")
    command = [sys.executable, "-c", MEMORY, str(film), decoder]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    # Four frames and the decoder's own few; a reader that held what it passes over would need ten times as much.
    assert int(run.stdout) < 30_000_000


def test_the_frame_written_is_the_frame_read_losslessly(films):
    frames = read_clip(films("lossless.mkv")).frames.numpy()
    np.testing.assert_array_equal(frames, np.stack([numbered_frame(n) for n in range(LENGTH)]))
