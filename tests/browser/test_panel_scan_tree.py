"""Scan as a tree in a real JupyterLab: keys walk the levels, play plays them, and one types pairs of one's own."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def panel(open_panel):
    return open_panel("from vmamba_edu import panels\n\npanels.scan_tree()")


def test_keys_walk_the_levels(panel) -> None:
    panel.says("Blelloch on 8 pairs, step 0: nothing has been combined yet")
    with panel.drawn_anew(".scatterlayer .js-line", "d"):
        panel.press("step", "ArrowRight")
    panel.says("step 1: sums walk up to the root, 4 combinations at once")
    panel.press("step", "End")
    panel.says("step 7: finished")
    assert "work 22 of 22" in panel.drawing(".infolayer .annotation-text")


def test_play_plays_the_levels_to_the_end(panel) -> None:
    panel.press("step", "Home")
    panel.says("step 0: nothing has been combined yet")
    panel.find(".jupyter-widgets.widget-play button").click()
    panel.says("step 7: finished")


def test_another_scan_and_more_pairs_draw_another_tree(panel) -> None:
    with panel.drawn_anew(".scatterlayer .js-line", "d"):
        panel.choose("scan", "Hillis–Steele")
    panel.says("Hillis–Steele is done after 3 steps and 17 combinations")
    with panel.drawn_anew(".scatterlayer .js-line", "d"):
        panel.press("length", "ArrowRight")
    panel.says("Hillis–Steele on 9 pairs")


def test_pairs_of_ones_own_are_typed(panel) -> None:
    panel.fill("own_a", "1, 1, 1, 1")
    panel.says("on 4 pairs")
    with panel.drawn_anew(".heatmaplayer, .main-svg .xy3", ""):
        panel.fill("own_b", "1, 2, 3, 4")
    panel.says("Both end with h = 10 in the last place")
    panel.fill("own_b", "1, two")
    panel.says("a, b: expected numbers between commas")
    panel.says("The view stays as it was.")


def test_the_browser_reports_no_error(panel) -> None:
    panel.is_clean()
