"""The tokeniser in a real JupyterLab: more frames by a key, tubelets from a list, a file that is not there."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def panel(open_panel):
    return open_panel("from vmamba_edu import panels\n\npanels.tokeniser()")


def test_a_key_takes_more_frames(panel) -> None:
    panel.says("8 × 7 × 7 = 392 tokens")
    with panel.drawn_anew(".imagelayer"):
        panel.press("num_frames", "ArrowRight")
    panel.says("16 × 7 × 7 = 784 tokens")


def test_tubelets_make_fewer_tokens(panel) -> None:
    with panel.drawn_anew(".heatmaplayer image", "href"):
        panel.choose("tubelet_size", "2 frames: tubelets")
    panel.says("8 × 7 × 7 = 392 tokens")


def test_a_file_that_is_not_there_is_told_in_words(panel) -> None:
    panel.fill("path", "nowhere.mp4")
    panel.says("nowhere.mp4")
    panel.says("The view stays as it was.")


def test_the_browser_reports_no_error(panel) -> None:
    panel.is_clean()
