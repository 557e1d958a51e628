"""Decay and contradiction in a real JupyterLab: a cell toggles by key, a slider forgets faster, a list cuts."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BARS = (".barlayer path", "d")


@pytest.fixture(scope="module")
def panel(open_panel):
    return open_panel("from vmamba_edu import panels\n\npanels.contradiction(cells='aabbab')")


def test_a_cell_toggles_from_the_keyboard(panel) -> None:
    panel.says("aabbab: One Ā = 0.80 for all. Token 5")
    with panel.drawn_anew(*BARS):
        panel.find(".vmamba-cell").press("Space")
    panel.says("babbab: One Ā = 0.80 for all")


def test_a_key_forgets_faster(panel) -> None:
    with panel.drawn_anew(*BARS):
        panel.press("A_bar", "ArrowLeft")
    panel.says("One Ā = 0.79 for all")
    with panel.drawn_anew(*BARS):
        panel.press("token", "ArrowLeft")
    panel.says("Token 4, a kind a, keeps")


def test_a_list_chooses_the_best_there_is(panel) -> None:
    with panel.drawn_anew(*BARS):
        panel.choose("rule", "the best there is")
    panel.says("The best Ā at every place")


def test_a_longer_sequence_is_typed(panel) -> None:
    with panel.drawn_anew(*BARS):
        panel.fill("cells", "abababababab")
    panel.says("abababababab: The best Ā")
    panel.fill("cells", "what")
    panel.says("expected 2 to 16 letters a or b, got 'what'")


def test_the_browser_reports_no_error(panel) -> None:
    panel.is_clean()
