"""What is written can be read again, everywhere, and appears only when it is whole."""

from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from video.films import numbered_frame, numbers_in

from vmamba_edu.video import moving_digits, read_clip, video_info, write_video

FILM = torch.from_numpy(np.stack([numbered_frame(n) for n in range(20)]))


@pytest.mark.parametrize("fps", [25, 29.97, Fraction(24000, 1001), 8])
@pytest.mark.parametrize("name", ["film.mp4", "film.mkv"])
def test_frames_and_rate_come_back(tmp_path, name, fps):
    path = write_video(tmp_path / name, FILM, fps=fps)
    clip = read_clip(path)
    assert numbers_in(clip.frames) == list(range(20))
    assert clip.fps == pytest.approx(float(fps), rel=1e-3)
    assert clip.timestamps[-1] == pytest.approx(19 / float(fps), abs=2e-3)


def test_the_loss_is_hard_to_see(tmp_path):
    """Peak signal-to-noise of a drawn clip above 36 dB; colours stored at half resolution cost most of it."""
    frames = moving_digits(num_frames=8, seed=3).frames
    back = read_clip(write_video(tmp_path / "digits.mp4", frames)).frames
    error = (back.double() - frames.double()).square().mean()
    assert 10 * torch.log10(255**2 / error) > 36


@pytest.mark.parametrize("shape", [(64, 96), (45, 33)])
def test_ffv1_loses_nothing(tmp_path, shape):
    noise = torch.randint(256, (5, *shape, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(read_clip(write_video(tmp_path / "exact.mkv", noise, codec="ffv1")).frames, noise)


def test_any_player_knows_pixels_and_colours(tmp_path):
    with av.open(str(write_video(tmp_path / "film.mp4", FILM))) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt, context.color_primaries, context.colorspace) == ("h264", "yuv420p", 1, 1)
    data = (tmp_path / "film.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "its index should stand in front"


def test_frames_may_come_one_by_one(tmp_path):
    path = write_video(tmp_path / "film.mp4", (numbered_frame(n) for n in range(7)))
    assert numbers_in(read_clip(path).frames) == list(range(7))


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = write_video(tmp_path / "film.mp4", FILM)
    before = path.read_bytes()

    def breaks_off():
        yield from FILM[:12]
        raise RuntimeError("the camera fell")

    with pytest.raises(RuntimeError, match="the camera fell"):
        write_video(path, breaks_off())
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    write_video(path, FILM[:3])
    assert video_info(path).num_frames == 3


@pytest.mark.parametrize(
    ("name", "frames", "options", "message"),
    [
        ("a.mp4", FILM[:0], {}, "frames is empty"),
        ("a.mp4", FILM[:, :63], {}, "frames of 63×96 cannot be stored: h264 needs even sides"),
        ("a.mp4", FILM.float(), {}, "frame 0 is float32"),
        ("a.mp4", FILM[0], {}, "frames must be uint8"),
        ("a.mp4", [numbered_frame(0), numbered_frame(1, 80)], {}, "one size"),
        ("a.mp4", FILM, {"codec": "h265"}, "codec must be one of h264, ffv1"),
        ("a.mp4", FILM, {"fps": 0}, "fps must be positive"),
        ("a.film", FILM, {}, r"must end in .mp4 or .mkv, but ends in '.film'"),
        ("a.webm", FILM, {}, "cannot hold this codec"),
    ],
)
def test_what_cannot_be_written_is_named(tmp_path, name, frames, options, message):
    with pytest.raises(ValueError, match=message):
        write_video(tmp_path / name, frames, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        write_video(tmp_path / "nowhere" / "film.mp4", FILM)


def test_nothing_is_said_on_the_terminal(tmp_path, capfd):
    write_video(tmp_path / "film.mp4", FILM)
    assert capfd.readouterr() == ("", "")
