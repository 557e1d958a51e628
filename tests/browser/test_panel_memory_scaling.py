"""Memory scaling in a real JupyterLab: predictions follow the keyboard, and one press measures in the background."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = """
import time

from vmamba_edu import panels
from vmamba_edu.analysis import Observed


def pretend(**job):
    time.sleep(0.3)
    keywords = ("model", "training", "repeats", "timeout", "stopped")
    overrides = {name: job[name] for name in job if name not in keywords}
    return Observed(job["model"], overrides, 1, False, "cpu", 1, 0.1, 2**20, 0)


panels.memory_scaling(size=64, measure=pretend)
"""


@pytest.fixture(scope="module")
def panel(open_panel):
    return open_panel(CELL)


def test_a_key_asks_for_longer_clips(panel) -> None:
    panel.says("16 frames of 64 × 64, 256 tokens")
    with panel.drawn_anew():
        panel.press("frames", "ArrowRight")
    panel.says("32 frames of 64 × 64, 512 tokens")


def test_measuring_shows_that_it_works_and_can_be_stopped(panel) -> None:
    from playwright.sync_api import expect

    progress = panel.find(".vmamba-progress")
    panel.find(".vmamba-start").press("Enter")
    expect(progress).to_contain_text("of 14: ")
    panel.says("Measured here in float32")
    panel.find(".vmamba-stop").press("Enter")
    expect(progress).to_contain_text("Stopped.")
    expect(panel.find(".vmamba-start")).to_be_enabled()


def test_the_browser_reports_no_error(panel) -> None:
    panel.is_clean()
