"""The discretisation lab in a real JupyterLab: sliders answer to the keyboard, another input draws another curve."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def panel(open_panel):
    return open_panel("from vmamba_edu import panels\n\npanels.discretisation()")


def test_keys_change_the_step_and_the_eigenvalue(panel) -> None:
    panel.says("A = -1 + 3 i, Δ = 0.25, input: step")
    for field, words in (("delta", "Δ = 0.255"), ("real", "A = -0.95 + 3 i"), ("imag", "+ 3.1 i")):
        with panel.drawn_anew(".point", "transform"):
            panel.press(field, "ArrowRight")
        panel.says(words)


def test_another_input_draws_another_curve(panel) -> None:
    with panel.drawn_anew(".scatterlayer .js-line", "d"):
        panel.choose("signal", "square")
    panel.says("input: square")


def test_the_browser_reports_no_error(panel) -> None:
    panel.is_clean()
