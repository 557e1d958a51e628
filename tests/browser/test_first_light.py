"""The first lesson in a real JupyterLab: it runs, its panel answers to the keyboard, and what it draws is seen."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SENTENCE = ".vmamba-scan-orders .vmamba-sentence"
DRAWING = "() => [...document.querySelectorAll('.vmamba-scan-orders .main-svg')].map(svg => svg.outerHTML).join()"


def until_drawn_anew(lesson, before: str) -> str:
    """Waits until the drawing in the page is another one than `before`, and returns it."""
    lesson.page.wait_for_function(f"before => ({DRAWING})() !== before", arg=before)
    return lesson.page.evaluate(DRAWING)


@pytest.fixture(scope="module")
def lesson(lab, chromium_browser, repository):
    opened = lab.open(chromium_browser, repository / "notebooks" / "00_first_light.ipynb", (1400, 1000))
    opened.run_all(timeout_s=180)
    yield opened
    opened.close()


def test_every_picture_is_drawn_and_has_its_words(lesson) -> None:
    pictures = lesson.page.locator(".jp-RenderedHTML img[src^='data:image/png']")
    assert pictures.count() == 3
    for number in range(3):
        assert pictures.nth(number).evaluate("image => image.naturalWidth") > 300
        assert len(pictures.nth(number).get_attribute("alt").split()) > 5


def test_a_key_on_the_slider_moves_the_reading(lesson) -> None:
    from playwright.sync_api import expect

    sentence = lesson.page.locator(SENTENCE)
    expect(sentence).to_contain_text("step 301 of 1568")
    drawing = lesson.page.evaluate(DRAWING)
    for step in (302, 303, 304):
        lesson.press("vmamba-position", "ArrowRight")
        expect(sentence).to_contain_text(f"step {step} of 1568")
        drawing = until_drawn_anew(lesson, drawing)


def test_the_drawing_rests_when_nothing_changes_and_follows_the_width(lesson) -> None:
    """The figure asks for its width again where it does not fit, and must not chase what it changed itself."""
    for width in ("600px", ""):  # as when a side bar opens and closes: the window stays as wide as it was
        lesson.page.evaluate(f"document.querySelector('.vmamba-scan-orders').style.width = '{width}'")
        lesson.page.wait_for_function(
            """() => {
                const panel = document.querySelector('.vmamba-scan-orders').clientWidth;
                const drawing = document.querySelector('.vmamba-scan-orders .main-svg').clientWidth;
                return Math.abs(drawing - panel) < 30;
            }"""
        )
    lesson.page.evaluate(
        """() => {
            window.redrawn = 0;
            new MutationObserver(changes => { window.redrawn += changes.length; }).observe(
                document.querySelector('.vmamba-scan-orders'), {subtree: true, childList: true, attributes: true});
        }"""
    )
    lesson.page.wait_for_timeout(1000)
    assert lesson.page.evaluate("window.redrawn") == 0


def test_another_plan_draws_other_readings(lesson) -> None:
    from playwright.sync_api import expect

    drawing = lesson.page.evaluate(DRAWING)
    lesson.page.locator(".vmamba-plan select").select_option("temporal first")
    expect(lesson.page.locator(SENTENCE)).to_contain_text("Temporal first, 8 × 14 × 14 tokens")
    until_drawn_anew(lesson, drawing)


def test_play_moves_the_slider_by_itself(lesson) -> None:
    from playwright.sync_api import expect

    sentence = lesson.page.locator(SENTENCE)
    where = sentence.inner_text()
    lesson.page.locator(".vmamba-scan-orders .widget-play button").first.click()
    expect(sentence).not_to_have_text(where)
    lesson.page.locator(".vmamba-scan-orders .widget-play button").first.click()


def test_the_code_button_copies_what_reproduces_the_view(lesson) -> None:
    lesson.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    lesson.page.locator(".vmamba-scan-orders .vmamba-copy").click()
    copied = lesson.page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("from vmamba_edu import panels\n\npanels.scan_orders(clip, patch_size=16")


def test_the_browser_reports_no_error(lesson) -> None:
    assert lesson.errors == []
