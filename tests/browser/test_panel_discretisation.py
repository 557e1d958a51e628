"""The discretisation lab in a real JupyterLab: sliders answer to the keyboard, another input draws another curve."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PANEL = ".vmamba-discretisation"
CURVE = f"() => document.querySelector('{PANEL} .scatterlayer .js-line').getAttribute('d')"
POINTS = f"() => [...document.querySelectorAll('{PANEL} .point')].map(p => p.getAttribute('transform')).join()"


@pytest.fixture(scope="module")
def notebook(lab, chromium_browser, tmp_path_factory):
    path = tmp_path_factory.mktemp("panels") / "lab.ipynb"
    cell = new_code_cell("from vmamba_edu import panels\n\npanels.discretisation()")
    nbformat.write(new_notebook(cells=[cell]), path)
    opened = lab.open(chromium_browser, path, (1400, 1000))
    opened.run_all()
    opened.page.wait_for_selector(
        ".vmamba-discretisation .main-svg .xtick"
    )  # drawn; plotly stumbles over a change before that
    yield opened
    opened.page.close()


def test_keys_change_the_step_and_the_eigenvalue(notebook) -> None:
    from playwright.sync_api import expect

    sentence = notebook.page.locator(f"{PANEL} .vmamba-sentence")
    expect(sentence).to_contain_text("A = -1 + 3 i, Δ = 0.25, input: step")
    for control, words in (("delta", "Δ = 0.255"), ("real", "A = -0.95 + 3 i"), ("imag", "+ 3.1 i")):
        before = notebook.page.evaluate(POINTS)
        notebook.press(f"vmamba-{control}", "ArrowRight")
        expect(sentence).to_contain_text(words)
        notebook.page.wait_for_function(f"before => ({POINTS})() !== before", arg=before)


def test_another_input_draws_another_curve(notebook) -> None:
    from playwright.sync_api import expect

    before = notebook.page.evaluate(CURVE)
    notebook.page.locator(".vmamba-signal select").select_option("square")
    expect(notebook.page.locator(f"{PANEL} .vmamba-sentence")).to_contain_text("input: square")
    notebook.page.wait_for_function(f"before => ({CURVE})() !== before", arg=before)


def test_the_browser_reports_no_error(notebook) -> None:
    assert notebook.errors == []
    assert notebook.on_stderr() == []
