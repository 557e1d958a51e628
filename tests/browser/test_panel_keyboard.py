"""Panels without a mouse: Tab reaches every control, and each answers to keys that JupyterLab would like to have."""

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FOCUSED = """() => {
    const one = document.activeElement;
    const field = one.closest("[class*=vmamba-]:not(.vmamba-panel)")?.className.match(/vmamba-([\\w-]+)/)?.[1];
    return [one.closest(".vmamba-panel") !== null, field ?? ""];
}"""
BARE = """
import ipywidgets

from vmamba_edu.panels.parts.browser_parts import FitWidth

controls = {
    "list": ipywidgets.Dropdown(options=["almond", "beech", "maple"]),
    "tree": ipywidgets.Select(options=["root", "branch", "leaf"]),
    "slider": ipywidgets.IntSlider(3, 0, 9),
    "number": ipywidgets.BoundedIntText(3, 0, 9),
    "cell": ipywidgets.ToggleButton(description="a"),
}
caption = ipywidgets.HTML().add_class("vmamba-sentence")


def tell(_):
    caption.value = "; ".join(f"{name} {one.value}" for name, one in controls.items()) + "."


for name, one in controls.items():
    one.add_class(f"vmamba-{name}").observe(tell, "value")
tell(None)
ipywidgets.VBox([*controls.values(), caption, FitWidth()]).add_class("vmamba-panel")
"""
"""Every kind of control that panels have, beside what gives them their keys, and no drawing."""


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
def bare(open_panel):
    return open_panel(BARE, drawn="select")


@pytest.fixture(scope="module")
def tokeniser(open_panel):
    return open_panel("from vmamba_edu import panels\n\npanels.tokeniser()")


def test_tab_goes_from_control_to_control(bare) -> None:
    assert stops(bare, "list") == ["list", "tree", "slider", "number", "cell"]


def test_a_list_takes_its_arrows_and_letters_are_no_commands(bare) -> None:
    bare.control("list").focus()
    bare.page.keyboard.press("ArrowDown")
    bare.says("list beech")
    bare.page.keyboard.press("m")  # would make a text of the cell; it chooses what begins with it
    bare.says("list maple")
    assert bare.page.locator(".jp-CodeCell").count() == 1
    assert bare.page.locator(".jp-MarkdownCell").count() == 0


def test_a_tree_takes_its_arrows(bare) -> None:
    bare.control("tree").focus()
    for branch in ("branch", "leaf"):
        bare.page.keyboard.press("ArrowDown")
        bare.says(f"tree {branch}")


def test_a_slider_takes_all_of_its_keys(bare) -> None:
    for key, value in (("ArrowRight", 4), ("ArrowUp", 5), ("ArrowDown", 4), ("End", 9), ("Home", 0)):
        bare.press("slider", key)
        bare.says(f"slider {value};")


def test_space_and_enter_toggle(bare) -> None:
    bare.find("button.vmamba-cell").focus()
    bare.page.keyboard.press("Space")
    bare.says("cell True")
    bare.page.keyboard.press("Enter")
    bare.says("cell False")


def test_a_line_shows_where_one_is(bare) -> None:
    bare.control("slider").focus()
    bare.page.keyboard.press("Tab")
    width = bare.page.evaluate("() => getComputedStyle(document.activeElement).outlineWidth")
    assert width == "3px"


def test_shift_enter_still_runs_the_cell(bare) -> None:
    number = "() => document.querySelector('.jp-CodeCell .jp-InputArea-prompt').innerText.replace(/\\D/g, '')"
    before = bare.page.evaluate(number)
    bare.control("list").focus()
    bare.page.keyboard.press("Shift+Enter")
    bare.page.wait_for_function(f"before => !['', before].includes(({number})())", arg=before)


def test_tab_reaches_the_upload_and_the_file_name(tokeniser) -> None:
    found = stops(tokeniser, "path")
    assert found[:3] == ["path", "upload", "copy"]
    # Without several clips there is neither a clip nor a distance to be chosen: those rest.
    assert found[3:] == ["sampling", "size", "patch_size", "tubelet_size", "num_frames"]


def test_enter_on_the_upload_asks_for_a_file(tokeniser) -> None:
    with tokeniser.page.expect_file_chooser():
        tokeniser.find("button.vmamba-upload, .vmamba-upload button").press("Enter")
