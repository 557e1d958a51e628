"""Memory scaling in a real JupyterLab: predictions follow the keyboard, and one press measures in the background."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PANEL = ".vmamba-memory-scaling"
DRAWING = f"() => document.querySelector('{PANEL} .main-svg').outerHTML"
CELL = """
import time

from vmamba_edu import panels
from vmamba_edu.analysis import Observed


def pretend(**job):
    time.sleep(0.3)
    overrides = {name: job[name] for name in job if name not in ("model", "training", "repeats", "timeout")}
    return Observed(job["model"], overrides, 1, False, "cpu", 1, 0.1, 2**20, 0)


panels.memory_scaling(size=64, measure=pretend)
"""


@pytest.fixture(scope="module")
def notebook(lab, chromium_browser, tmp_path_factory):
    path = tmp_path_factory.mktemp("panels") / "scaling.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(CELL)]), path)
    opened = lab.open(chromium_browser, path, (1400, 1000))
    opened.run_all()
    opened.page.wait_for_selector(
        ".vmamba-memory-scaling .main-svg .xtick"
    )  # drawn; plotly stumbles over a change before that
    yield opened
    opened.page.close()


def test_a_key_asks_for_longer_clips(notebook) -> None:
    from playwright.sync_api import expect

    sentence = notebook.page.locator(f"{PANEL} .vmamba-sentence")
    expect(sentence).to_contain_text("16 frames of 64 × 64, 256 tokens")
    before = notebook.page.evaluate(DRAWING)
    notebook.press("vmamba-frames", "ArrowRight")
    expect(sentence).to_contain_text("32 frames of 64 × 64, 512 tokens")
    notebook.page.wait_for_function(f"before => ({DRAWING})() !== before", arg=before)


def test_measuring_shows_that_it_works_and_can_be_stopped(notebook) -> None:
    from playwright.sync_api import expect

    progress = notebook.page.locator(f"{PANEL} .vmamba-progress")
    notebook.page.locator(".vmamba-start").press("Enter")
    expect(progress).to_contain_text("of 14: ")
    expect(notebook.page.locator(f"{PANEL} .vmamba-sentence")).to_contain_text("Measured here in float32")
    notebook.page.locator(".vmamba-stop").press("Enter")
    expect(progress).to_contain_text("Stopped.")
    expect(notebook.page.locator(".vmamba-start")).to_be_enabled()


def test_the_browser_reports_no_error(notebook) -> None:
    assert notebook.errors == []
    assert notebook.on_stderr() == []
