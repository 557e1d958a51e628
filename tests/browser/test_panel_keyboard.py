"""A panel without a mouse: Tab reaches every control, a file can be chosen."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FOCUSED = """() => {
    const one = document.activeElement;
    const field = one.closest("[class*=vmamba-]:not(.vmamba-panel)")?.className.match(/vmamba-([\\w-]+)/)?.[1];
    return [one.closest(".vmamba-panel") !== null, field ?? ""];
}"""


def stops(panel, first: str, most: int = 40) -> list[str]:
    """What Tab comes to in a panel, from its first control on: the fields of its controls, in order, each once."""
    panel.control(first).focus()
    found = []
    for _ in range(most):
        inside, field = panel.page.evaluate(FOCUSED)
        if not inside:
            break
        found += [field] if field and field not in found else []
        panel.page.keyboard.press("Tab")
    return found


@pytest.fixture(scope="module")
def tokeniser(open_panel):
    return open_panel("from vmamba_edu import panels\n\npanels.tokeniser()")


def test_tab_reaches_the_upload_and_the_file_name(tokeniser) -> None:
    found = stops(tokeniser, "path")
    assert found[:3] == ["path", "upload", "copy"]
    # Without several clips there is neither a clip nor a distance to be chosen: those rest.
    assert found[3:] == ["sampling", "size", "patch_size", "tubelet_size", "num_frames"]


def test_enter_on_the_upload_asks_for_a_file(tokeniser) -> None:
    with tokeniser.page.expect_file_chooser():
        tokeniser.find("button.vmamba-upload, .vmamba-upload button").press("Enter")
