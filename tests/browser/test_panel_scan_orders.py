"""The scan-order theatre by itself, as it opens without arguments: its memory fills under the reader's hand."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SENTENCE = ".vmamba-scan-orders .vmamba-sentence"
SHEET = "() => document.querySelector('.vmamba-scan-orders .shapelayer path').getAttribute('d')"
STRIPS = "() => [...document.querySelectorAll('.vmamba-scan-orders .imagelayer image')].map(i => i.href.baseVal).join()"


@pytest.fixture(scope="module")
def notebook(lab, chromium_browser, tmp_path_factory):
    path = tmp_path_factory.mktemp("panels") / "theatre.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("from vmamba_edu import panels\n\npanels.scan_orders()")]), path)
    opened = lab.open(chromium_browser, path, (1400, 1000))
    opened.run_all()
    # Drawn: plotly stumbles over a change before that.
    opened.page.wait_for_selector(".vmamba-scan-orders .shapelayer path", state="attached")
    yield opened
    opened.page.close()


def test_a_key_uncovers_what_the_next_token_left_in_the_memory(notebook) -> None:
    from playwright.sync_api import expect

    sentence = notebook.page.locator(SENTENCE)
    expect(sentence).to_contain_text("step 1 of 128")
    expect(sentence).to_contain_text("small model with fresh weights")
    sheet, strips = notebook.page.evaluate(SHEET), notebook.page.evaluate(STRIPS)
    notebook.press("vmamba-position", "ArrowRight")
    expect(sentence).to_contain_text("step 2 of 128")
    notebook.page.wait_for_function(f"before => ({SHEET})() !== before", arg=sheet)
    assert notebook.page.evaluate(STRIPS) == strips  # only the sheet over the future moved


def test_whoever_works_by_keyboard_sees_where_they_are(notebook) -> None:
    slider = notebook.control("vmamba-position")
    slider.focus()
    notebook.page.keyboard.press("Tab")
    notebook.page.keyboard.press("Shift+Tab")
    look = "element => getComputedStyle(element).outlineStyle + getComputedStyle(element).outlineWidth"
    assert slider.evaluate(look) == "solid3px"


def test_another_channel_has_another_memory(notebook) -> None:
    from playwright.sync_api import expect

    strips = notebook.page.evaluate(STRIPS)
    channel = notebook.page.locator(".vmamba-channel input")
    channel.fill("3")
    channel.press("Enter")
    expect(notebook.page.locator(SENTENCE)).to_contain_text("Channel 3 of block 0")
    notebook.page.wait_for_function(f"before => ({STRIPS})() !== before", arg=strips)


def test_the_browser_reports_no_error(notebook) -> None:
    assert notebook.errors == []
    assert notebook.on_stderr() == []
