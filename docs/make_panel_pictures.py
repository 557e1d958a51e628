"""Make a picture of every registered panel: opened without arguments, all in one notebook, in a real JupyterLab.

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
from jupyter_in_chromium import JupyterLab, OpenNotebook, headless_browser, jupyterlab  # noqa: E402

from vmamba_edu import panels  # noqa: E402
from vmamba_edu.panels import PANELS  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
WIDTH, HEIGHT = 1100, 1400
MOST_BYTES = 1_500_000
COLOURS = 256
"""Enough for lines, texts and small clips, at half of the bytes."""
SETTLED_S = 2.0
"""Pictures and fonts in a widget come a moment after the widget."""
DRAWN = ":is(.main-svg .trace, .main-svg .hm, .main-svg .xtick, img)"
"""Plotly begins with empty axes."""
RUN_S = 60
"""Seconds that a panel may take to open, on a busy machine."""


def photograph(names: Sequence[str], folder: Path, width: int = WIDTH) -> Iterator[Path]:
    """Open the panels in one notebook, a cell each, and save what a reader sees of each as a PNG.

    Raises:
        RuntimeError: a panel reported an error or a warning.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, headless_browser() as browser, jupyterlab(Path(scratch)) as lab:
        notebook = _opened(names, Path(scratch), browser, lab, width)
        for name in names:
            path = folder / f"panel_{name}.png"
            path.write_bytes(compressed(_taken(name, notebook)))
            yield path


def compressed(png: bytes) -> bytes:
    """The same picture in few colours."""
    small = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    # An octree keeps the colours of thin lines; the usual median cut gives all colours to the large areas.
    few = picture.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(small, format="PNG", optimize=True)
    return small.getvalue()


def _opened(names: Sequence[str], scratch: Path, browser: Browser, lab: JupyterLab, width: int) -> OpenNotebook:
    """A notebook in which they are all drawn, at the second try if need be.

    anywidget gives a widget two seconds to start, however busy the machine is.
    """
    cells = [new_code_cell(f"from vmamba_edu import panels\n\npanels.{name}()") for name in names]
    for attempt in (1, 2):
        path = scratch / f"panels{attempt}.ipynb"
        nbformat.write(new_notebook(cells=cells), path)
        notebook = lab.open(browser, path, (width, HEIGHT))
        notebook.run_all(timeout_s=RUN_S * len(names))
        for name in names:
            notebook.page.wait_for_selector(f"{_selector(name)} {DRAWN}", state="attached")
        notebook.page.wait_for_timeout(1000 * SETTLED_S)
        said = notebook.errors + notebook.on_stderr()
        if not said:
            return notebook
        notebook.page.close()
    raise RuntimeError("the panels did not come cleanly:\n" + "\n".join(said))


def _taken(name: str, notebook: OpenNotebook) -> bytes:
    panel = notebook.page.locator(_selector(name)).first
    panel.scroll_into_view_if_needed()
    notebook.page.wait_for_timeout(500 * SETTLED_S)
    return panel.screenshot()


def _selector(name: str) -> str:
    """Where a panel is, by its name in the registry."""
    return f".vmamba-panel.vmamba-{getattr(panels, name).name}"


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
