"""A reader's own video in a real JupyterLab: a film is uploaded, a look and a patch are chosen by key and by click."""

from pathlib import Path

import pytest

from vmamba_edu.video import moving_digits, write_video

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FRAMES = (".imagelayer image", "href")
OUTLINE = (".shapelayer path", "d")


@pytest.fixture(scope="module")
def panel(open_panel):
    return open_panel("from vmamba_edu import panels\n\npanels.your_video(frame=1, row=0, column=0)")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = moving_digits(3, "right", num_frames=20, size=64, seed=5).frames
    return write_video(tmp_path_factory.mktemp("films") / "mine.mp4", frames, fps=10)


def test_an_uploaded_film_changes_frames_and_prediction(panel, film: Path) -> None:
    panel.says("It says left")
    with panel.drawn_anew(*FRAMES), panel.drawn_anew(".barlayer"):
        with panel.page.expect_file_chooser() as chosen:
            panel.find(".vmamba-upload").press("Enter")
        chosen.value.set_files(film)
    panel.says("Mine.mp4: 20 frames of 64 × 64 pixels.")
    panel.says("It says right")


def test_a_film_that_is_none_is_told_in_words(panel, tmp_path: Path) -> None:
    noise = tmp_path / "noise.mp4"
    noise.write_bytes(bytes(range(256)) * 10)
    with panel.page.expect_file_chooser() as chosen:
        panel.find(".vmamba-upload").press("Enter")
    chosen.value.set_files(noise)
    panel.says("The view stays as it was.")


def test_keys_choose_a_look_and_a_patch(panel) -> None:
    with panel.drawn_anew(*FRAMES):
        panel.find(".vmamba-look button:has-text('attention')").press("Enter")
    panel.says("The patch in row")
    panel.control("frame").scroll_into_view_if_needed()
    panel.press("frame", "Home")
    panel.says("of frame 0 asks in block 0")
    with panel.drawn_anew(*OUTLINE):
        panel.press("frame", "ArrowRight")
    panel.says("of frame 1 asks in block 0")


def test_a_click_asks_for_the_patch_below_it(panel) -> None:
    place = panel.find(".subplot.xy").bounding_box()
    x, y = place["x"] + place["width"] * 0.5 / 8.48, place["y"] + place["height"] * 0.75  # 4 frames of 2 × 2 patches
    with panel.drawn_anew(*OUTLINE):
        panel.page.mouse.move(x - 1, y)
        panel.page.mouse.click(x, y)
    panel.says("The patch in row 1, column 0 of frame 0")


def test_a_large_model_waits_for_a_press(panel) -> None:
    from playwright.sync_api import expect

    panel.find(".vmamba-look button:has-text('prediction')").press("Enter")
    panel.says("It says right")
    panel.choose("model", "videomamba_tiny, fresh weights")
    panel.says("It has not run yet: for its prediction press Run")
    expect(panel.find(".vmamba-start")).to_be_visible()
    panel.choose("model", "moving digits classifier, trained")
    panel.says("It says right")
    expect(panel.find(".vmamba-start")).to_be_hidden()


def test_the_browser_reports_no_error(panel) -> None:
    panel.is_clean()
