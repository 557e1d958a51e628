"""Importing the video room is light, and what is missing is named with the extra that brings it."""

import subprocess
import sys

import pytest

from vmamba_edu.video import digit_images, moving_digits, photo_backgrounds, read_clip, write_video
from vmamba_edu.video.media import read_image


def test_decoders_and_digits_are_imported_when_used():
    heavy = "('av', 'decord', 'sklearn', 'scipy', 'PIL')"
    script = f"import sys, vmamba_edu.video; print([name for name in {heavy} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("decord_too", [True, False])
def test_without_pyav_the_extra_is_named(films, tmp_path, monkeypatch, decord_too):
    path = films("h264.mp4")
    monkeypatch.setitem(sys.modules, "av", None)
    if decord_too:
        monkeypatch.setitem(sys.modules, "decord", None)
    for call in (lambda: read_clip(path), lambda: write_video(tmp_path / "film.mp4", [])):
        with pytest.raises(ImportError, match=r"pip install 'vmamba-edu\[video\]'"):
            call()


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    digit_images.load_digit_images.cache_clear()
    digit_images.images_of.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'vmamba-edu\[video\]'"):
        moving_digits(num_frames=1, size=16)


def test_without_pillow_the_extra_is_named(tmp_path, monkeypatch):
    photo_backgrounds.sample_photos.cache_clear()
    monkeypatch.setitem(sys.modules, "PIL", None)
    for call in (
        lambda: moving_digits(num_frames=1, size=16, background="photo"),
        lambda: read_image(tmp_path / "x.jpg"),
    ):
        with pytest.raises(ImportError, match=r"need.* Pillow: pip install 'vmamba-edu\[lab\]'"):
            call()


def test_every_public_name_is_there_and_said_once():
    import vmamba_edu.video as room

    assert len(set(room.__all__)) == len(room.__all__)
    for name in room.__all__:
        assert getattr(room, name) is not None
