"""Implied attention in a real JupyterLab: a key and a click ask for another patch, a list for another reading."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = """
from vmamba_edu import panels
from vmamba_edu.panels.computed.small_models import default_clip

panels.implied_attention(default_clip(), frame=4, row=1, column=1)
"""
FILMS = (".heatmaplayer image", "href")
OUTLINE = (".shapelayer path", "d")


@pytest.fixture(scope="module")
def panel(open_panel):
    return open_panel(CELL, drawn=".main-svg .x5tick")  # films have no ticks


def test_a_key_asks_for_the_next_patch(panel) -> None:
    panel.says("Row 1, column 1 of frame 4 asks in block 0")
    with panel.drawn_anew(*FILMS), panel.drawn_anew(*OUTLINE):
        panel.press("column", "ArrowRight")
    panel.says("Row 1, column 2 of frame 4 asks in block 0")
    with panel.drawn_anew(*FILMS), panel.drawn_anew(*OUTLINE):
        panel.press("frame", "ArrowLeft")
    panel.says("Row 1, column 2 of frame 3 asks in block 0")


def test_a_click_asks_for_the_patch_below_it(panel) -> None:
    place = panel.find(".subplot.xy").bounding_box()
    x, y = place["x"] + place["width"] * 0.5 / 39, place["y"] + place["height"] * 3.5 / 4  # 8 frames of 4 × 4 patches
    with panel.drawn_anew(*OUTLINE):
        panel.page.mouse.move(x - 1, y)
        panel.page.mouse.click(x, y)
    panel.says("Row 3, column 0 of frame 0 asks")


def test_a_list_chooses_the_direction(panel) -> None:
    with panel.drawn_anew(*FILMS):
        panel.choose("direction", "forward direction")
    panel.says("VideoMamba draws most on")
    with panel.drawn_anew(*FILMS):
        panel.choose("weights", "mean of w")
    panel.says("of its weights are negative")


def test_a_screen_reader_hears_the_sentence(panel) -> None:
    assert panel.find(".vmamba-sentence [role=status]").get_attribute("aria-live") == "polite"


def test_the_browser_reports_no_error(panel) -> None:
    panel.is_clean()
