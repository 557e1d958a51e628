"""A film in a file, and the panel of a reader's own video as it opens."""

from pathlib import Path
from typing import Any

import pytest
from own_films import RIGHT

from vmamba_edu import panels
from vmamba_edu.video import write_video


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("videos") / "right.mp4", RIGHT, fps=10)


@pytest.fixture
def panel() -> Any:
    return panels.your_video(frame=1, row=0, column=0)
