"""Make a picture of every registered panel: opened without arguments, each in a notebook of its own in JupyterLab.

The training monitor has trained what its Start trains, half a minute.

make pictures        or   python docs/make_panel_pictures.py --panels masks scan_orders

They are docs/pictures/panel_NAME.png, all of one width, and together below 1.5 MB.
"""

import argparse
import io
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image
from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from jupyter_in_chromium import headless_browser, jupyterlab  # noqa: E402

from vmamba_edu.panels import PANELS  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
WIDTH, HEIGHT = 1100, 1400
AROUND = 200
"""What JupyterLab itself takes of the window's height, above and below the notebook; it would cover a taller panel."""
MOST_BYTES = 1_500_000
STEP = 4
"""Of the 256 levels of a colour."""
SETTLED_S = 2.0
"""Pictures and fonts in a widget come a moment after the widget."""
DRAWN = ".vmamba-panel :is(.main-svg .trace, .main-svg .hm, .main-svg .xtick, img)"
"""Plotly begins with empty axes."""
CELLS = {
    "training_monitor": "panel = panels.training_monitor()\npanel.watch.begin()\npanel.watch.thread.join()\npanel",
}
"""What is run instead of opening it, where a panel is empty before something is done."""
RUN_S = 120
"""Seconds that a panel may take to open, on a busy machine."""


def photograph(names: Sequence[str], folder: Path, width: int = WIDTH) -> Iterator[Path]:
    """Open each panel, in a notebook and a kernel of its own, and save what a reader sees of it as a PNG.

    Raises:
        RuntimeError: a panel reported an error or a warning.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with headless_browser() as browser:
        for name in names:
            path = folder / f"panel_{name}.png"
            path.write_bytes(compressed(_taken(name, browser, width)))
            yield path


def compressed(png: bytes) -> bytes:
    """The same picture in fewer bytes: colours in steps that no eye tells apart. A palette would have blotches."""
    small, picture = io.BytesIO(), Image.open(io.BytesIO(png)).convert("RGB")
    picture.point([min(255, STEP * round(level / STEP)) for level in range(256)] * 3).save(small, "PNG", optimize=True)
    return small.getvalue()


def _taken(name: str, browser: Browser, width: int) -> bytes:
    with tempfile.TemporaryDirectory() as scratch, jupyterlab(Path(scratch)) as lab:
        path = Path(scratch) / f"{name}.ipynb"
        cell = new_code_cell(f"from vmamba_edu import panels\n\n{CELLS.get(name, f'panels.{name}()')}")
        nbformat.write(new_notebook(cells=[cell]), path)
        notebook = lab.open(browser, path, (width, HEIGHT))
        notebook.run_all(timeout_s=RUN_S)
        notebook.page.wait_for_selector(DRAWN, state="attached")
        notebook.page.wait_for_timeout(1000 * SETTLED_S)
        picture = _whole(notebook.page, width)
        said = notebook.errors + notebook.on_stderr()
        notebook.page.close()
    if said:
        raise RuntimeError(f"the panel {name} did not come cleanly:\n" + "\n".join(said))
    return picture


def _whole(page: Page, width: int) -> bytes:
    """The picture of the panel, in a window that is high enough to show all of it."""
    panel = page.locator(".vmamba-panel").first
    box = panel.bounding_box()
    if box is not None and box["height"] + AROUND > HEIGHT:
        page.set_viewport_size({"width": width, "height": math.ceil(box["height"]) + AROUND})
        page.wait_for_timeout(1000 * SETTLED_S)
    return panel.screenshot()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--panels", nargs="+", choices=sorted(PANELS), help="all of them if not given")
    parser.add_argument("--folder", type=Path, default=PICTURES)
    parser.add_argument("--width", type=int, default=WIDTH, help="of the browser's window")
    options = parser.parse_args()
    for path in photograph(options.panels or sorted(PANELS), options.folder, options.width):
        print(f"wrote {path}, {path.stat().st_size / 1000:.0f} KB")
    total = sum(path.stat().st_size for path in options.folder.glob("panel_*.png"))
    if total > MOST_BYTES:
        sys.exit(f"the pictures of all panels take {total} bytes, more than {MOST_BYTES}: use larger steps")


if __name__ == "__main__":
    main()
