"""The retrieval browser in a real JupyterLab: a caption that is typed re-ranks, the clips play, and can be stopped."""

import pytest

pytest.importorskip("transformers")
pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = "from vmamba_edu import panels\n\npanels.retrieval(caption='a six moves left', reading='dual')"
CLIPS = ".main-svg image"
MOVES = """() => {
    const moving = document.querySelector('.vmamba-panel .main-svg image');
    const address = moving.getAttribute('href') || moving.getAttribute('xlink:href');
    return atob(address.split(',')[1]).includes('acTL');   // the part of a PNG that says how many frames it has
}"""


@pytest.fixture(scope="module")
def panel(open_panel):
    return open_panel(CELL, drawn=CLIPS)


def test_a_caption_that_is_typed_ranks_the_clips_anew(panel) -> None:
    panel.says("For “a six moves left” the model ranks 24 clips")
    panel.says("by chance first in 4.2 %")
    assert panel.page.locator(f".vmamba-panel {CLIPS}").count() == 12
    with panel.drawn_anew(CLIPS, "href"), panel.drawn_anew(".barlayer .point path", "d"):
        panel.fill("caption", "a zero shrinks")
    panel.says("none of them has just this caption")


def test_words_that_it_does_not_know_are_said_and_the_view_stays(panel) -> None:
    before = panel.drawing(CLIPS, "href")
    panel.fill("caption", "日本")
    panel.says("expected words that the model's vocabulary knows")
    panel.says("The view stays as it was.")
    assert panel.drawing(CLIPS, "href") == before


def test_the_clips_play_until_a_key_stops_them(panel) -> None:
    assert panel.page.evaluate(MOVES)
    with panel.drawn_anew(CLIPS, "href"):
        panel.press("playing", "Space")
    assert not panel.page.evaluate(MOVES)
    with panel.drawn_anew(CLIPS, "href"):
        panel.press("playing", "Space")


def test_a_key_asks_for_the_captions_of_a_clip(panel) -> None:
    from playwright.sync_api import expect

    with panel.drawn_anew(".textpoint", ""):
        panel.choose("find", "captions of a clip")
    panel.says("For clip 1, which shows")
    expect(panel.control("clip")).to_be_enabled()
    panel.press("clip", "ArrowDown")
    panel.says("For clip 2, which shows")


def test_the_browser_reports_no_error(panel) -> None:
    panel.is_clean()
