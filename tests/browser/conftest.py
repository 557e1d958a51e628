"""Fixtures of the browser tests. A test marked `browser` takes `open_notebook` and drives what it returns:

    @pytest.mark.browser
    def test_the_slider_moves_the_picture(open_notebook, repository):
        lesson = open_notebook(repository / "notebooks/00_first_light.ipynb")
        lesson.run_all()                                    # fails with the traceback of a cell that raises
        lesson.press("scan-panel", "ArrowRight")            # key on the slider in the widget with that CSS class
        expect(lesson.page.locator(".scan-panel-text")).to_contain_text("token 2")   # playwright waits for it
        assert lesson.errors == []                          # the browser's console
        assert lesson.on_stderr() == []                     # no warning in the lesson either
        lesson.page.screenshot(path=tmp_path / "lesson.png")

See `jupyter_in_chromium.OpenNotebook` for the rest. A panel is opened by `open_panel(code)`: see `panel_in_chromium`.
The notebook is copied, without outputs, into a JupyterLab with settings and a port of its own, which is shared by the
tests of this folder. Do not use asyncio or nbclient here: playwright's loop runs in the test's thread until the last
of them is over. (The folder is a package, so that pytest knows when that is.)
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from jupyter_in_chromium import JupyterLab, OpenNotebook
    from panel_in_chromium import OpenPanel
    from playwright.sync_api import Browser


@pytest.fixture(scope="package")
def chromium_browser() -> Iterator["Browser"]:
    """Headless Chromium; skips where it or playwright is missing."""
    pytest.importorskip("playwright", reason="needs playwright, which the extra [test] installs")
    from jupyter_in_chromium import chromium, headless_browser

    if chromium() is None:
        pytest.skip("needs Chromium, which is not installed (sudo apt install chromium)")
    with headless_browser() as browser:
        yield browser


@pytest.fixture(scope="package")
def lab(chromium_browser: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator["JupyterLab"]:
    """A JupyterLab with settings, port and folder of its own."""
    from jupyter_in_chromium import jupyterlab

    with jupyterlab(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.fixture
def open_notebook(chromium_browser: "Browser", lab: "JupyterLab") -> Iterator[Callable[[Path], "OpenNotebook"]]:
    """`open_notebook(path)` opens a copy of a notebook in JupyterLab, its kernel ready; closed after the test."""
    opened: list[OpenNotebook] = []

    def open_one(notebook: Path, viewport: tuple[int, int] = (1400, 1000)) -> "OpenNotebook":
        opened.append(lab.open(chromium_browser, notebook, viewport))
        return opened[-1]

    yield open_one
    for notebook in opened:
        notebook.close()


@pytest.fixture(scope="module")
def open_panel(
    chromium_browser: "Browser", lab: "JupyterLab", tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., "OpenPanel"]]:
    """`open_panel(code)` runs a notebook of one cell that ends in a panel, and waits until it is drawn.

    It takes the code; `drawn`, a selector for what is in the panel once it is drawn, if that is no trace of plotly's;
    and the `viewport`. The notebooks are closed after the module, so that its tests can share one.
    """
    import nbformat
    from nbformat.v4 import new_code_cell, new_notebook
    from panel_in_chromium import DRAWN, PANEL, OpenPanel

    opened: list[OpenPanel] = []

    def open_one(code: str, *, drawn: str = DRAWN, viewport: tuple[int, int] = (1400, 1000)) -> OpenPanel:
        path = tmp_path_factory.mktemp("panels") / "panel.ipynb"
        nbformat.write(new_notebook(cells=[new_code_cell(code)]), path)
        notebook = lab.open(chromium_browser, path, viewport)
        opened.append(OpenPanel(notebook))
        notebook.run_all()
        notebook.page.wait_for_selector(f"{PANEL} {drawn}", state="attached")
        return opened[-1]

    yield open_one
    for panel in opened:
        panel.notebook.close()
