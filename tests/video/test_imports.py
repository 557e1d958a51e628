"""Importing the video room is light, and what is missing is named with the extra that brings it."""

import subprocess
import sys

import pytest

from vmamba_edu.video import moving_digits, read_clip, write_video


def test_decoders_and_digits_are_imported_when_used():
    script = (
        "import sys, vmamba_edu.video; print([m for m in ('av', 'decord', 'sklearn', 'scipy') if m in sys.modules])"
    )
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
    sys.modules[moving_digits.__module__]._load_digits.cache_clear()
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'vmamba-edu\[video\]'"):
        moving_digits(num_frames=1, size=16)
