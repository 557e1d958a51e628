"""Whatever is wrong with a file, one line says which file, what, and what to do: no noise, no hang, no crash."""

import os

import numpy as np
import pytest
from video.films import LENGTH, encode_sound, numbers_in, payload, with_bytes

from vmamba_edu.video import VideoReadError, read_clip, video_info


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def most(data: bytes) -> bytes:
    """Enough for a few frames: in files as small as these, headers are half of it."""
    return data[: len(data) * 7 // 10]


def wipe_pictures(data: bytes) -> bytes:
    start = payload(data, b"mdat")
    length = int.from_bytes(data[start - 8 : start - 4], "big") - 8
    return data[:start] + b"\xff" * length + data[start + length :]


@pytest.fixture
def broken(films, tmp_path):
    """`broken(kind)` makes a file with that fault."""
    noise = np.random.default_rng(0).bytes(100_000)
    makers = {
        "missing": lambda path: None,
        "directory": lambda path: path.mkdir(),
        "empty": lambda path: path.touch(),
        "text": lambda path: path.write_text("once upon a time\n" * 500),
        "noise": lambda path: path.write_bytes(noise),
        "one byte": lambda path: path.write_bytes(b"\0"),
        "audio only": lambda path: encode_sound(path),
        "song with a cover": lambda path: encode_sound(path, "libmp3lame", cover=True),
        "cut before its index": lambda path: with_bytes(films("h264.mp4"), path, half),
        "header alone": lambda path: with_bytes(films("front.mp4"), path, lambda data: data[: payload(data, b"mdat")]),
        "picture wiped out": lambda path: with_bytes(films("one.mp4"), path, wipe_pictures),
        "unknown codec": lambda path: with_bytes(films("h264.mp4"), path, lambda data: data.replace(b"avc1", b"zzzz")),
    }

    def make(kind: str, ending: str):
        path = tmp_path / f"{kind}{ending}"
        makers[kind](path)
        return path

    return make


FAULTS = [
    ("missing", ".mp4", "no such file"),
    ("directory", ".mp4", "is a directory"),
    ("empty", ".mp4", r"is empty \(0 bytes\)"),
    ("text", ".mp4", "not a video"),
    ("text", ".txt", "not a video"),  # FFmpeg would play it as an old terminal
    ("noise", ".mp4", "not a video"),
    ("noise", ".bin", "not a video"),
    ("noise", ".mkv", "not a video"),
    ("noise", ".gif", "not a video"),
    ("one byte", ".avi", "not a video"),
    ("audio only", ".mp4", "holds audio only"),
    ("song with a cover", ".mp3", "holds audio only"),
    ("cut before its index", ".mp4", "truncated before the index of its frames"),
    ("header alone", ".mp4", "truncated before its first whole frame"),
    ("picture wiped out", ".mp4", "no frame of it can be decoded"),
    ("unknown codec", ".mp4", "codec is unknown to FFmpeg and not supported"),
]


@pytest.mark.timeout(30)
@pytest.mark.usefixtures("each_decoder")
@pytest.mark.parametrize(("kind", "ending", "cause"), FAULTS, ids=[kind + ending for kind, ending, _ in FAULTS])
def test_one_line_says_what_is_wrong(broken, kind, ending, cause, capfd):
    path = broken(kind, ending)
    capfd.readouterr()  # what the encoders of the films said
    for read in (read_clip, video_info, lambda path: read_clip(path, 8), lambda path: read_clip(path, [0])):
        with pytest.raises(VideoReadError, match=cause) as caught:
            read(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
        assert "; " in message, "what to do is missing"
    assert capfd.readouterr() == ("", "")


TRUNCATED = ["front.mp4", "h264.mkv", "late.mkv", "vp9.webm", "mjpeg.avi", "mpeg4.avi", "h264.avi"]


@pytest.mark.timeout(30)
@pytest.mark.usefixtures("each_decoder")
@pytest.mark.parametrize("name", TRUNCATED)
class TestAFileCutShort:
    @pytest.fixture
    def cut(self, films, tmp_path, name):
        return with_bytes(films(name), tmp_path / name, most)

    def test_it_says_how_many_frames_are_left(self, cut, capfd):
        capfd.readouterr()
        for read in (read_clip, video_info, lambda path: read_clip(path, 4), lambda path: read_clip(path, range)):
            with pytest.raises(VideoReadError, match=rf"is truncated: it holds \d+ of {LENGTH} frames; .*range\(\d+\)"):
                read(cut)
        assert capfd.readouterr() == ("", "")

    def test_those_that_are_left_can_be_read(self, films, cut, name, capfd):
        with pytest.raises(VideoReadError) as caught:
            read_clip(cut)
        left = int(str(caught.value).split("it holds ")[1].split()[0])
        assert 3 < left < LENGTH
        capfd.readouterr()
        clip = read_clip(cut, range(left))
        assert capfd.readouterr() == ("", "")
        assert numbers_in(clip.frames) == list(range(left))
        assert (clip.frames == read_clip(films(name), range(left)).frames).all()
        assert numbers_in(read_clip(cut, [left - 1, 0]).frames) == [left - 1, 0]
        with pytest.raises(VideoReadError, match=rf"it holds {left} of {LENGTH} frames"):
            read_clip(cut, [0, left])


def test_a_missing_end_without_frames_is_no_loss(films, tmp_path):
    """What is cut is a box behind all frames that nobody needs."""
    path = with_bytes(films("front.mp4"), tmp_path / "x.mp4", lambda data: data + b"\0\0\1\0free" + b"\0" * 20)
    assert len(read_clip(path).frames) == LENGTH


def test_wherever_a_file_is_cut_it_is_read_whole_or_refused(films, tmp_path):
    """The index of an MP4 stands at its end: cut anywhere in it, no number of frames but the right one is believed."""
    data = films("h264.mp4").read_bytes()
    accepted = []
    for end in range(payload(data, b"moov"), len(data), 11):
        (tmp_path / "cut.mp4").write_bytes(data[:end])
        try:
            accepted.append(video_info(tmp_path / "cut.mp4").num_frames)
        except VideoReadError as error:
            assert "truncated" in str(error)  # noqa: PT017  (where it is not raised, the count is checked below)
    assert set(accepted) == {LENGTH}, "at the very end stands the name of the encoder, which nobody needs"


@pytest.mark.parametrize("tail", [b"\0" * 100, b"appended by somebody", b"\1"])
def test_bytes_behind_the_end_do_no_harm(films, tmp_path, tail):
    for name in ("h264.mp4", "h264.mkv", "mjpeg.avi"):
        path = with_bytes(films(name), tmp_path / name, lambda data: data + tail)
        assert len(read_clip(path, range(LENGTH)).frames) == LENGTH
        assert video_info(path).num_frames == LENGTH


@pytest.mark.usefixtures("each_decoder")
def test_a_hole_in_the_middle_is_an_error_and_the_rest_is_there(films, tmp_path, capfd):
    """Motion JPEG, of which every frame stands for itself: frame 20 is wiped out."""
    data = bytearray(films("mjpeg.mp4").read_bytes())
    starts = [at for at in range(len(data)) if data[at : at + 3] == b"\xff\xd8\xff"]
    assert len(starts) == LENGTH
    data[starts[20] : starts[21]] = bytes(starts[21] - starts[20])
    path = tmp_path / "hole.mp4"
    path.write_bytes(data)
    capfd.readouterr()
    for choice in (None, [19, 20], [20]):
        with pytest.raises(VideoReadError, match="frame 20 of 48 cannot be decoded: the file is damaged there"):
            read_clip(path, choice)
    assert numbers_in(read_clip(path, [19, 21, 40]).frames) == [19, 21, 40]
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(films, tmp_path):
    path = with_bytes(films("h264.mp4"), tmp_path / "secret.mp4", bytes)
    path.chmod(0)
    with pytest.raises(VideoReadError, match="permission denied"):
        read_clip(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.timeout(30)
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(VideoReadError, match="not a regular file"):
        read_clip(tmp_path / "pipe.mp4")


def test_a_relative_path_says_where_it_was_looked_for(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(VideoReadError, match=f"there is no such file in {tmp_path}"):
        read_clip("nowhere.mp4")
