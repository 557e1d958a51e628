"""The scan-order theatre by itself, as it opens without arguments: its memory fills under the reader's hand."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SHEET = (".shapelayer path", "d")
STRIPS = (".imagelayer image", "href")


@pytest.fixture(scope="module")
def panel(open_panel):
    return open_panel("from vmamba_edu import panels\n\npanels.scan_orders()", drawn=".shapelayer path")


def test_a_key_uncovers_what_the_next_token_left_in_the_memory(panel) -> None:
    panel.says("step 1 of 128")
    panel.says("small model with fresh weights")
    strips = panel.drawing(*STRIPS)
    with panel.drawn_anew(*SHEET):
        panel.press("position", "ArrowRight")
    panel.says("step 2 of 128")
    assert panel.drawing(*STRIPS) == strips  # only the sheet over the future moved


def test_whoever_works_by_keyboard_sees_where_they_are(panel) -> None:
    slider = panel.control("position")
    slider.focus()
    panel.page.keyboard.press("Tab")
    panel.page.keyboard.press("Shift+Tab")
    look = "element => getComputedStyle(element).outlineStyle + getComputedStyle(element).outlineWidth"
    assert slider.evaluate(look) == "solid3px"


def test_another_channel_has_another_memory(panel) -> None:
    with panel.drawn_anew(*STRIPS):
        panel.fill("channel", "3")
    panel.says("Channel 3 of block 0")


def test_the_browser_reports_no_error(panel) -> None:
    panel.is_clean()
