"""The training monitor in a real JupyterLab: a run grows on the screen, a key stops it, and another goes on with it."""

import re

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = """
from vmamba_edu import panels
from vmamba_edu.recipes import Recipe

model = dict(name="videomamba_tiny", embed_dim=8, depth=1, img_size=16, patch_size=16, num_frames=2, d_state=4)
data = dict(name="moving_digits", train=48, validation=12, test=12, background="plain")
training = dict(epochs=2000, batch_size=4, learning_rate=1e-3, monitor="accuracy", mode="max")
tables = dict(model=model, data=data, objective=dict(name="supervised"), training=training)
panels.training_monitor("run", Recipe("tiny", tables))
"""
CURVE = ".scatterlayer .trace path.js-line"


def step(panel) -> int:
    return int(re.search(r"is at step (\d+)", panel.sentence.inner_text())[1])


@pytest.fixture(scope="module")
def panel(open_panel):
    return open_panel(CELL)


def test_a_run_is_started_seen_stopped_and_gone_on_with(panel) -> None:
    from playwright.sync_api import expect

    panel.says("is at step 0: no loss has been logged yet. It is to take 24000 steps")
    panel.find(".vmamba-start").press("Enter")
    panel.says("epoch 2")
    with panel.drawn_anew(CURVE, "d"):
        pass  # it grows by itself
    panel.find(".vmamba-stop").press("Enter")
    expect(panel.find(".vmamba-progress")).to_contain_text(re.compile(r"Stopped after step \d+, saved in run"))
    stopped = step(panel)
    panel.page.wait_for_timeout(3000)
    assert step(panel) == stopped  # it has really stopped
    panel.find(".vmamba-start").press("Enter")
    panel.page.wait_for_function(
        "last => Number(document.querySelector('.vmamba-sentence').innerText.match(/is at step (\\d+)/)[1]) > last",
        arg=stopped,
    )
    panel.find(".vmamba-stop").press("Enter")
    expect(panel.find(".vmamba-progress")).to_contain_text(re.compile(r"Stopped after step \d+, saved in run"))


def test_keys_change_what_is_shown_and_how(panel) -> None:
    with panel.drawn_anew(CURVE, "d"):
        panel.choose("show", "accuracy")
    panel.says("Its accuracy was")
    with panel.drawn_anew(CURVE, "d"):
        panel.press("smoothing", "ArrowLeft")
    panel.choose("show", "loss")
    panel.says("Its loss was")
    with panel.drawn_anew(".main-svg .ytick"):
        panel.choose("axis", "log")


def test_a_folder_without_a_run_is_said_and_the_view_stays(panel) -> None:
    panel.fill("folder", "nowhere")
    panel.says("expected the folder of a run, with training.csv or last.pt in it")
    panel.says("The view stays as it was.")


def test_the_browser_reports_no_error(panel) -> None:
    panel.is_clean()
