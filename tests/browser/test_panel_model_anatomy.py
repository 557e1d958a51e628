"""Model anatomy in a real JupyterLab: arrow keys go from part to part and show their source, lists choose models."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

BARS = (".barlayer path", "d")
COLOURS = (".barlayer path", "style")

# Notes what the panel says, and whether its drawing is pale, at every change of either.
WATCH = """() => {
  const whole = document.querySelector(".vmamba-panel"), seen = window.seen = [];
  const drawing = whole.querySelector(".js-plotly-plot"), sentence = whole.querySelector(".vmamba-sentence");
  const note = () => seen.push([sentence.innerText, Number(getComputedStyle(drawing).opacity) < 0.5]);
  new MutationObserver(note).observe(whole, {subtree: true, childList: true, attributeFilter: ["class"]});
}"""


@pytest.fixture(scope="module")
def panel(open_panel):
    code = "from vmamba_edu import panels\n\npanels.model_anatomy(frames=4, size=64)"
    return open_panel(code, drawn=".main-svg .x3tick")  # only the lowest axis has ticks


def source(panel) -> str:
    return panel.find(".vmamba-source-code pre").inner_text()


def test_arrow_keys_go_to_the_next_part_and_its_source(panel) -> None:
    panel.says("layers.0, a Block, has")
    assert source(panel).startswith("class Block(nn.Module)")
    panel.press("part", "ArrowRight")
    panel.says("layers.0.mixer, a Mixer, has")
    panel.page.wait_for_function(
        "() => document.querySelector('.vmamba-source-code pre').innerText.startsWith('class Mixer(nn.Module)')"
    )


def test_a_click_on_a_bar_goes_to_its_stage(panel) -> None:
    bar = panel.page.locator(".vmamba-panel .barlayer path").nth(3).bounding_box()
    with panel.drawn_anew(*COLOURS):
        panel.page.mouse.move(bar["x"] + bar["width"] / 2, bar["y"] + bar["height"] / 2 - 2)
        panel.page.mouse.click(bar["x"] + bar["width"] / 2, bar["y"] + bar["height"] / 2)
    panel.says("layers.2, a Block, has")


def test_longer_clips_and_other_models_have_other_bars(panel) -> None:
    from playwright.sync_api import expect

    panel.page.evaluate(WATCH)
    with panel.drawn_anew(*BARS):
        panel.press("frames", "ArrowRight")
    panel.says("videomamba_tiny, 8 frames of 64 × 64")
    meanwhile = panel.page.evaluate("() => window.seen")
    assert any(pale and "Counting videomamba_tiny …" in words for words, pale in meanwhile)
    expect(panel.page.locator(".vmamba-busy")).to_have_count(0)
    with panel.drawn_anew(*BARS):
        panel.choose("model", "vivit_2_base_16x2")
    panel.says("encoder.spatial.blocks.0, a Block, has")


def test_the_browser_reports_no_error(panel) -> None:
    panel.is_clean()
