"""Make a picture of every registered panel: opened without arguments in a real JupyterLab in headless Chromium.

make pictures        or   python docs/make_panel_pictures.py --panels masks scan_orders

They are docs/pictures/panel_NAME.png, all of one width, and together below 1.5 MB.
"""

import argparse
import io
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook
from PIL import Image
from playwright.sync_api import Browser

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
from jupyter_in_chromium import JupyterLab, headless_browser, jupyterlab  # noqa: E402

from vmamba_edu.panels import PANELS  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
WIDTH, HEIGHT = 1100, 1400
MOST_BYTES = 1_500_000
COLOURS = 256
"""Enough for lines, texts and small clips, at half of the bytes."""
SETTLED_S = 2.0
"""Pictures and fonts in a widget come a moment after the widget."""
DRAWN = ".vmamba-panel :is(.main-svg .trace, .main-svg .hm, img)"
"""Plotly begins with empty axes."""


def photograph(names: Sequence[str], folder: Path, width: int = WIDTH) -> Iterator[Path]:
    """Open each panel and save what a reader sees of it as a PNG.

    Raises:
        RuntimeError: a panel reported an error or a warning.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, headless_browser() as browser, jupyterlab(Path(scratch)) as lab:
        for name in names:
            path = folder / f"panel_{name}.png"
            path.write_bytes(compressed(_taken(name, Path(scratch), browser, lab, width)))
            yield path


def compressed(png: bytes) -> bytes:
    """The same picture in few colours."""
    small = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    # An octree keeps the colours of thin lines; the usual median cut gives all colours to the large areas.
    few = picture.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(small, format="PNG", optimize=True)
    return small.getvalue()


def _taken(name: str, scratch: Path, browser: Browser, lab: JupyterLab, width: int) -> bytes:
    """The picture, at the second try if need be: anywidget gives a widget two seconds to start, however busy one is."""
    try:
        return _seen(name, scratch, browser, lab, width)
    except RuntimeError:
        return _seen(name, scratch, browser, lab, width)


def _seen(name: str, scratch: Path, browser: Browser, lab: JupyterLab, width: int) -> bytes:
    cell = new_code_cell(f"from vmamba_edu import panels\n\npanels.{name}()")
    path = scratch / f"{name}.ipynb"
    nbformat.write(new_notebook(cells=[cell]), path)
    notebook = lab.open(browser, path, (width, HEIGHT))
    try:
        notebook.run_all()
        notebook.page.wait_for_selector(DRAWN, state="attached")
        notebook.page.wait_for_timeout(1000 * SETTLED_S)
        picture = notebook.page.locator(".vmamba-panel").screenshot()
        if said := notebook.errors + notebook.on_stderr():
            raise RuntimeError(f"the panel {name} did not come cleanly:\n" + "\n".join(said))
        return picture
    finally:
        notebook.page.close()


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
        sys.exit(f"the pictures of all panels take {total} bytes, more than {MOST_BYTES}: use fewer colours")


if __name__ == "__main__":
    main()
