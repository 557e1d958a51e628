"""The engine race in a real JupyterLab: it runs in the background, is drawn as results come, and can be stopped."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = """
from vmamba_edu import panels
from vmamba_edu.analysis.engine_runs import Run

asked = set()


def pretend(job, timeout, stopped):
    first = job.engine not in asked
    asked.add(job.engine)
    if job.engine == "associative" and first:  # takes until it is stopped
        assert stopped.wait(300)
        raise RuntimeError("stopped, as asked")
    return Run(job, job.engine, 0.01, 2**21, (1e-7, 1e-6, 1e-7))


panels.engine_race(dim=8, length=32, state=4, run=pretend)
"""


@pytest.fixture(scope="module")
def panel(open_panel):
    return open_panel(CELL)


def test_the_race_is_stopped_and_goes_on(panel) -> None:
    from playwright.sync_api import expect

    panel.says("Nothing has been run yet")
    panel.find(".vmamba-start").press("Enter")
    panel.says("reference: 10 ms, 2 MiB, error 1e-06.")
    panel.find(".vmamba-stop").press("Enter")
    expect(panel.find(".vmamba-progress")).to_contain_text("Stopped.")
    with panel.drawn_anew(".barlayer .point path", "d"):
        panel.find(".vmamba-start").press("Enter")
    expect(panel.find(".vmamba-progress")).to_contain_text("Done.")
    panel.says("triton: 10 ms")
    panel.says("All that ran agree.")


def test_a_key_asks_for_a_longer_scan(panel) -> None:
    with panel.drawn_anew(".barlayer"):
        panel.press("length", "ArrowRight")
    panel.says("over 256 tokens")
    panel.says("Nothing has been run yet")


def test_the_browser_reports_no_error(panel) -> None:
    panel.is_clean()
