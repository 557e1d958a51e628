"""A button that takes a file from the reader's computer, and keeps it for no longer than it is looked at."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ipywidgets


class Upload:
    """Where an uploaded file goes: into a folder of its own, which is gone with the panel, or with the kernel.

    Args:
        take: is given the path of a file that came.
        in_use: says which path is looked at now. All other files that came are deleted.
        accept: what the browser offers.
        tooltip: what the button is for.

    The file's bytes are kept nowhere else: not in the widget either, whose state a notebook may store.
    """

    def __init__(self, take: Callable[[str], None], in_use: Callable[[], str], accept: str, tooltip: str) -> None:
        self.take, self.in_use = take, in_use
        self.folder = tempfile.TemporaryDirectory(prefix="vmamba-edu-")
        self.came = 0
        self.widget = ipywidgets.FileUpload(accept=accept, tooltip=tooltip, layout={"width": "auto"})
        self.widget.add_class("vmamba-upload").observe(self._arrived, "value")

    @property
    def name(self) -> str:
        """The path of the folder."""
        return self.folder.name

    def holds(self, path: str) -> bool:
        """Whether a path is that of a file that was uploaded."""
        return bool(path) and Path(path).is_relative_to(self.folder.name)

    def in_code(self, path: str) -> tuple[str, str]:
        """How code that will run later calls a path, and a comment above it: an uploaded file is gone by then."""
        if not self.holds(path):
            return path, ""
        name = Path(path).name
        return name, f"# {name} was uploaded: put it beside this notebook\n"

    def tidy(self) -> None:
        """Delete what is not looked at."""
        for own in Path(self.folder.name).iterdir():
            if not Path(self.in_use()).is_relative_to(own):
                shutil.rmtree(own)

    def close(self) -> None:
        """Delete everything; the button is gone."""
        self.widget.close()
        self.folder.cleanup()

    def _arrived(self, change: Mapping[str, Any]) -> None:
        files = change["new"]
        if not files:
            return
        for file in files:
            self.came += 1
            own = Path(self.folder.name) / str(self.came)  # two files may have one name
            own.mkdir()
            path = own / Path(file["name"].replace("\\", "/")).name
            path.write_bytes(file["content"])
            self.take(str(path))
        self.widget.value = ()
        self.tidy()
