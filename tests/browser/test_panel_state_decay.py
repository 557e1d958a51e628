"""State decay in a real JupyterLab: the keyboard follows a token, other steps draw another picture."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CURVE = (".scatterlayer .js-line", "d")


@pytest.fixture(scope="module")
def panel(open_panel):
    return open_panel("from vmamba_edu import panels\n\npanels.state_decay(token=20)")


def test_a_key_follows_the_next_token(panel) -> None:
    panel.says("Token 20 in state n = 1")
    for token in (21, 22):
        with panel.drawn_anew(*CURVE):
            panel.press("token", "ArrowRight")
        panel.says(f"Token {token} in state n = 1")


def test_constant_steps_draw_another_curve_and_can_be_set(panel) -> None:
    with panel.drawn_anew(*CURVE):
        panel.choose("source", "constant Δ")
    panel.says("with a constant Δ of 0.1")
    with panel.drawn_anew(*CURVE):
        panel.press("delta", "ArrowRight")
    panel.says("with a constant Δ of 0.112")


def test_another_state_is_chosen_from_the_keyboard(panel) -> None:
    panel.fill("n", "99")
    panel.says("state n = 16")  # as many as there are


def test_the_browser_reports_no_error(panel) -> None:
    panel.is_clean()
