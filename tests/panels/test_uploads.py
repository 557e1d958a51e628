"""What holds for every panel that takes a file from the reader's computer."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from own_films import RIGHT, kept, unchanged, uploaded

from vmamba_edu import panels
from vmamba_edu.video import write_video


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("videos") / "right.mp4", RIGHT, fps=10)


@pytest.fixture(params=["tokeniser", "your_video"])
def panel(request: pytest.FixtureRequest) -> Any:
    return getattr(panels, request.param)()


def test_an_upload_that_is_no_video_is_told_and_not_kept(panel: Any, file: Path) -> None:
    panel.upload.widget.value = uploaded("mine.mp4", file.read_bytes())
    for name, content in (("noise.mp4", bytes(range(256)) * 10), ("empty.mp4", b"")):
        said = unchanged(panel, partial(setattr, panel.upload.widget, "value", uploaded(name, content)))
        assert name in said
        assert [path.name for path in kept(panel)] == ["mine.mp4"]


def test_nothing_is_left_of_an_upload_when_the_panel_is_closed(panel: Any, file: Path) -> None:
    panel.upload.widget.value = uploaded("mine.mp4", file.read_bytes())
    folder = Path(panel.upload.name)
    assert folder.exists()
    panel.close()
    assert not folder.exists()
