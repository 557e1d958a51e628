"""The mask studio in a real JupyterLab: the ratio answers to the keyboard, another mask covers other tokens."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

COVER = (".heatmaplayer image", "href")


@pytest.fixture(scope="module")
def panel(open_panel):
    return open_panel("from vmamba_edu import panels\n\npanels.masks()")


def test_a_key_changes_how_much_is_left(panel) -> None:
    panel.says("Clip-row mask, ratio 0.75")
    with panel.drawn_anew(*COVER):
        panel.press("ratio", "ArrowLeft")
    panel.says("ratio 0.7,")


def test_another_mask_covers_other_tokens(panel) -> None:
    with panel.drawn_anew(*COVER):
        panel.choose("mask", "attention")
    panel.says("Attention mask")


def test_another_seed_is_typed(panel) -> None:
    with panel.drawn_anew(*COVER):
        panel.fill("seed", "5")


def test_the_browser_reports_no_error(panel) -> None:
    panel.is_clean()
