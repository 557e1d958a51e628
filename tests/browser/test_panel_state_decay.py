"""State decay in a real JupyterLab: the keyboard follows a token, other steps draw another picture."""

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PANEL = ".vmamba-state-decay"
CURVE = f"() => document.querySelector('{PANEL} .scatterlayer .js-line').getAttribute('d')"


@pytest.fixture(scope="module")
def notebook(lab, chromium_browser, tmp_path_factory):
    path = tmp_path_factory.mktemp("panels") / "decay.ipynb"
    cell = new_code_cell("from vmamba_edu import panels\n\npanels.state_decay(token=20)")
    nbformat.write(new_notebook(cells=[cell]), path)
    opened = lab.open(chromium_browser, path, (1400, 1000))
    opened.run_all()
    opened.page.wait_for_selector(
        ".vmamba-state-decay .main-svg .xtick"
    )  # drawn; plotly stumbles over a change before that
    yield opened
    opened.page.close()


def until_another_curve(notebook, before: str) -> str:
    notebook.page.wait_for_function(f"before => ({CURVE})() !== before", arg=before)
    return notebook.page.evaluate(CURVE)


def test_a_key_follows_the_next_token(notebook) -> None:
    from playwright.sync_api import expect

    sentence = notebook.page.locator(f"{PANEL} .vmamba-sentence")
    expect(sentence).to_contain_text("Token 20 in state n = 1")
    curve = notebook.page.evaluate(CURVE)
    for token in (21, 22):
        notebook.press("vmamba-token", "ArrowRight")
        expect(sentence).to_contain_text(f"Token {token} in state n = 1")
        curve = until_another_curve(notebook, curve)


def test_constant_steps_draw_another_curve_and_can_be_set(notebook) -> None:
    from playwright.sync_api import expect

    curve = notebook.page.evaluate(CURVE)
    notebook.page.locator(".vmamba-source select").select_option("constant Δ")
    sentence = notebook.page.locator(f"{PANEL} .vmamba-sentence")
    expect(sentence).to_contain_text("with a constant Δ of 0.1")
    curve = until_another_curve(notebook, curve)
    notebook.press("vmamba-delta", "ArrowRight")
    expect(sentence).to_contain_text("with a constant Δ of 0.112")
    until_another_curve(notebook, curve)


def test_another_state_is_chosen_from_the_keyboard(notebook) -> None:
    from playwright.sync_api import expect

    field = notebook.page.locator(".vmamba-n input")
    field.fill("99")
    field.press("Enter")
    expect(notebook.page.locator(f"{PANEL} .vmamba-sentence")).to_contain_text("state n = 16")  # as many as there are


def test_the_browser_reports_no_error(notebook) -> None:
    assert notebook.errors == []
    assert notebook.on_stderr() == []
