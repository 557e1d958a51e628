"""The harness itself: a key pressed on a slider in a real browser reaches the kernel, and what it does is seen."""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

pytestmark = pytest.mark.browser

SLIDER = """
import ipywidgets as widgets

slider = widgets.IntSlider(value=3, min=0, max=9, description="frame")
slider.add_class("frame-slider")
said = widgets.Label("frame 3")
said.add_class("frame-said")


def say(change):
    said.value = f"frame {change['new']}"


slider.observe(say, names="value")
widgets.VBox([slider, said])
"""


def notebook_of(tmp_path: Path, *code: str) -> Path:
    """A notebook with these code cells, each with a stale output that must not come along."""
    cells = [new_code_cell(text, outputs=[new_output("stream", text="stale")], execution_count=7) for text in code]
    path = tmp_path / "trial.ipynb"
    nbformat.write(new_notebook(cells=[new_markdown_cell("# A trial"), *cells]), path)
    return path


def test_a_key_on_a_slider_reaches_the_kernel_and_comes_back(open_notebook, tmp_path):
    from playwright.sync_api import expect

    notebook = open_notebook(notebook_of(tmp_path, "x = 1", SLIDER, ""))
    notebook.run_all()
    said = notebook.page.locator(".frame-said")
    expect(said).to_have_text("frame 3")
    for frame in (4, 5, 6):
        notebook.press("frame-slider", "ArrowRight")
        expect(said).to_have_text(f"frame {frame}")
    assert notebook.errors == []
    assert notebook.page.get_by_text("stale").count() == 0


def test_a_cell_that_raises_fails_with_its_traceback(open_notebook, tmp_path):
    notebook = open_notebook(notebook_of(tmp_path, "1 / 0"))
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        notebook.run_all()


def test_a_warning_is_told_and_is_no_traceback(open_notebook, tmp_path):
    notebook = open_notebook(notebook_of(tmp_path, "import warnings; warnings.warn('mind the step')"))
    notebook.run_all()
    assert "mind the step" in notebook.on_stderr()[0]


def test_a_cell_that_takes_too_long_is_told(open_notebook, tmp_path):
    notebook = open_notebook(notebook_of(tmp_path, "x = 1", "import time; time.sleep(30)"))
    with pytest.raises(TimeoutError, match="1 of 2"):
        notebook.run_all(timeout_s=3)


def test_errors_of_the_page_are_collected(open_notebook, tmp_path):
    notebook = open_notebook(notebook_of(tmp_path, "x = 1"))
    notebook.page.evaluate("console.error('so it goes')")
    assert "so it goes" in notebook.errors


def test_a_lesson_in_the_browser_does_not_inherit_the_tests_triton_mode(open_notebook, tmp_path):
    notebook = open_notebook(notebook_of(tmp_path, "import os; assert 'TRITON_INTERPRET' not in os.environ"))
    notebook.run_all()
