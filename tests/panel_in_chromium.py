"""One panel in a real JupyterLab: what a browser test of a panel does with it, in the words of the panel.

    @pytest.fixture(scope="module")
    def panel(open_panel):
        return open_panel("from vmamba_edu import panels\\n\\npanels.state_decay(token=20)")

    def test_a_key_follows_the_next_token(panel):
        panel.says("Token 20")
        with panel.drawn_anew():                      # fails unless the drawing is another one afterwards
            panel.press("token", "ArrowRight")
        panel.says("Token 21")

    def test_the_browser_reports_no_error(panel):
        panel.is_clean()

Waiting is playwright's: everything that is asked for may take up to a minute.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from jupyter_in_chromium import OpenNotebook
from playwright.sync_api import Locator, Page, expect

PANEL = ".vmamba-panel"
DRAWN = ".main-svg :is(.trace, .hm)"
"""What is there when plotly has drawn."""
LOOK = """([selector, attribute]) => [...document.querySelectorAll(selector)]
    .map(part => attribute ? part.getAttribute(attribute) ?? "" : part.outerHTML).join("")"""


@dataclass
class OpenPanel:
    """A panel that is drawn in a notebook of its own."""

    notebook: OpenNotebook

    @property
    def page(self) -> Page:
        return self.notebook.page

    @property
    def sentence(self) -> Locator:
        return self.page.locator(f"{PANEL} .vmamba-sentence")

    def says(self, words: str) -> None:
        """Wait until the sentence of the panel has these words."""
        expect(self.sentence).to_contain_text(words)

    def find(self, selector: str) -> Locator:
        """Something in the panel, by a CSS selector."""
        return self.page.locator(f"{PANEL} {selector}").first

    def control(self, field: str) -> Locator:
        """What takes the keys in the control of a field of the state: its slider, list, text field or button."""
        own = f"{PANEL} .vmamba-{field}"
        parts = (f"{own} {part}" for part in ("[role=slider]", "select", "input", "button"))
        return self.page.locator(", ".join(parts)).first

    def press(self, field: str, key: str) -> None:
        """Press a key, e.g. "ArrowRight", on the control of a field."""
        control = self.control(field)
        control.scroll_into_view_if_needed()
        control.press(key)

    def choose(self, field: str, option: str) -> None:
        """Choose from the list of a field, by the words that stand in it."""
        self.find(f".vmamba-{field} select").select_option(option)

    def fill(self, field: str, text: str) -> None:
        """Type into the text field of a field, and press Enter."""
        box = self.find(f".vmamba-{field} input")
        box.fill(text)
        box.press("Enter")

    def drawing(self, part: str = ".main-svg", attribute: str = "") -> str:
        """How all parts of the panel that a selector finds look, once there are any: their HTML, or an attribute."""
        return self.page.wait_for_function(LOOK, arg=[f"{PANEL} {part}", attribute]).json_value()

    @contextmanager
    def drawn_anew(self, part: str = ".main-svg", attribute: str = "") -> Iterator[None]:
        """What happens inside has to change how `part` looks: waits for it."""
        before = self.drawing(part, attribute)
        yield
        anew = f"([before, found]) => ({LOOK})(found) !== before"
        self.page.wait_for_function(anew, arg=[before, [f"{PANEL} {part}", attribute]])

    def is_clean(self) -> None:
        """Nothing in the browser's console, and no warning in the notebook.

        Raises:
            AssertionError: with what is there.
        """
        assert self.notebook.errors == [], self.notebook.errors
        assert self.notebook.on_stderr() == [], self.notebook.on_stderr()
