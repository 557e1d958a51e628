"""Inside the kernel in a real JupyterLab: chunk by chunk by keyboard, and the roof of another machine at a press."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = """
from vmamba_edu import panels
from vmamba_edu.analysis.scan_work import Machine

panels.kernel(measure=lambda: Machine("a machine of the test, measured", 5e10, 1e12, 5e10))
"""


@pytest.fixture(scope="module")
def panel(open_panel):
    return open_panel(CELL)


def test_a_key_reads_the_next_chunk(panel) -> None:
    panel.says("After 6 of 25 chunks")
    with panel.drawn_anew(".barlayer .point path", "d"):
        panel.press("chunk", "ArrowRight")
    panel.says("After 7 of 25 chunks")


def test_another_length_has_another_end(panel) -> None:
    with panel.drawn_anew(".scatterlayer .js-line", "d"):
        panel.choose("length", "512")
    panel.says("After 7 of 8 chunks")
    panel.press("chunk", "End")
    panel.says("After 8 of 8 chunks")


def test_one_press_draws_the_roof_of_this_machine(panel) -> None:
    from playwright.sync_api import expect

    panel.says("typical values of a laptop, not measured")
    with panel.drawn_anew(".scatterlayer .js-line", "d"):
        panel.find(".vmamba-start").press("Enter")
    panel.says("a machine of the test, measured")
    expect(panel.find(".vmamba-progress")).to_contain_text("Done.")


def test_the_browser_reports_no_error(panel) -> None:
    panel.is_clean()
