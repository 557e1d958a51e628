"""A panel's own page in a browser without a network: the slider moves the picture, by keys and by itself."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LINE = "() => document.querySelector('#view .main-svg').outerHTML"


@pytest.fixture(scope="module")
def opened(chromium_browser, tmp_path_factory):
    from vmamba_edu import panels

    path = tmp_path_factory.mktemp("pages") / "page.html"
    panels.state_decay(source="constant").to_html(path, "token", range(0, 128, 16), progress=False)
    context = chromium_browser.new_context(offline=True)
    page, errors, asked = context.new_page(), [], []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("#view .main-svg .xtick", state="attached")
    yield page, errors, asked
    context.close()


def test_a_key_on_the_slider_changes_picture_words_and_value(opened) -> None:
    from playwright.sync_api import expect

    page, _, _ = opened
    expect(page.locator("#sentence")).to_contain_text("Token 0 in state n = 1")
    before = page.evaluate(LINE)
    page.locator("#slider").press("ArrowRight")
    expect(page.locator("#sentence")).to_contain_text("Token 16 in state n = 1")
    expect(page.locator("#value")).to_have_text("16")
    page.wait_for_function(f"before => ({LINE})() !== before", arg=before)
    assert page.locator("#view").get_attribute("aria-label") == page.locator("#sentence").inner_text()


def test_it_plays_to_the_end_and_stops(opened) -> None:
    from playwright.sync_api import expect

    page, _, _ = opened
    page.locator("#play").press("Enter")
    expect(page.locator("#play")).to_have_text("Pause")
    expect(page.locator("#value")).to_have_text("112")
    expect(page.locator("#play")).to_have_text("Play")


def test_the_claims_stand_below(opened) -> None:
    assert "P1 · " in opened[0].locator("footer").inner_text()


def test_nothing_was_asked_of_a_network_and_nothing_failed(opened) -> None:
    _, errors, asked = opened
    assert errors == []
    assert [address for address in asked if not address.startswith(("file:", "blob:", "data:"))] == []
