"""Fixtures of the video tests: films, and the choice of decoder."""

import sys

import pytest
from video.films import ENCODINGS, Films, can_encode


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> Films:
    """`films("h264.mp4")` is the path of that film of numbered frames."""
    return Films(tmp_path_factory.mktemp("films"))


@pytest.fixture(params=sorted(ENCODINGS))
def film_name(request: pytest.FixtureRequest) -> str:
    """The name of every film that can be made here, in turn."""
    if not can_encode(request.param):
        pytest.skip(f"this PyAV has no encoder {ENCODINGS[request.param]['codec']}")
    return request.param


@pytest.fixture
def without_decord(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a platform for which there is no wheel of decord."""
    monkeypatch.setitem(sys.modules, "decord", None)


@pytest.fixture(params=["decord first", "PyAV alone"])
def each_decoder(request: pytest.FixtureRequest) -> str:
    """Run the test with decord, where it is installed, and without."""
    if request.param == "PyAV alone":
        request.getfixturevalue("without_decord")
    else:
        pytest.importorskip("decord")
    return request.param
