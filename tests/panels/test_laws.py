"""What holds for every panel: knobs change all that shows them, copied code opens the same view, little is stored."""

from collections.abc import Iterator
from typing import Any

import pytest
from panel_laws import CASES, not_json, opened_from_code, same_drawing, turn

from vmamba_edu import panels
from vmamba_edu.panels import scaling_panel

LARGEST = 60_000
"""Characters of a stored picture: 45 KB."""


ON_THEIR_OWN = {"retrieval", "training_monitor", "your_video"}
"""Panels that stand on runs and files: the same laws are in their own tests."""


def test_every_panel_is_among_them() -> None:
    assert set(CASES) | ON_THEIR_OWN >= set(panels.PANELS)


@pytest.fixture(scope="module")
def steady_machine() -> Iterator[None]:
    """A machine whose free memory and speed do not change from one moment to the next."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scaling_panel, "free_memory", lambda: 2**33)
        patch.setattr(scaling_panel, "product_rate", lambda: 1e11)
        yield


@pytest.fixture(scope="module", params=sorted(CASES))
def turned(request: pytest.FixtureRequest, steady_machine: None) -> Any:
    """A panel of which every knob has been turned, one after the other, each with all that follows from it."""
    case = CASES[request.param]
    panel = case.open()
    for control, value in case.turns:
        turn(panel, control, value)
        assert case.said.get(control, f"{control}={value!r}") in panel.copy.text
    return case, panel


def test_every_knob_is_turned(turned: Any) -> None:
    case, panel = turned
    known = {control for control, _ in case.turns}
    assert set(panel.controls) - known <= LEFT_ALONE.get(case.name, set())


LEFT_ALONE = {
    "implied_attention": {"channel"},  # means something where one channel is looked at: test_implied_attention
    "tokeniser": {"path"},  # files: test_tokeniser
}


def test_the_copied_code_opens_what_is_seen(turned: Any) -> None:
    """After many changes in place: so it also says that these draw what a fresh panel draws."""
    case, panel = turned
    again = opened_from_code(panel, case.scope())
    assert again.state == panel.state
    assert again.sentence() == panel.sentence()
    assert again.copy.text == panel.copy.text
    same_drawing(panel, again)


def test_what_is_sent_to_a_browser_is_json(turned: Any) -> None:
    _, panel = turned
    for trace in panel.canvas.data:
        assert not not_json(trace.to_plotly_json()), trace.name


def test_what_stays_in_a_saved_notebook_is_small_and_has_words(turned: Any) -> None:
    _, panel = turned
    data, _ = panel._repr_mimebundle_()
    assert data["text/plain"] == panel.sentence()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert 1000 < len(data["image/png"]) < LARGEST


@pytest.mark.parametrize("name", sorted(CASES))
def test_the_code_of_a_panel_that_was_given_nothing_needs_nothing(name: str) -> None:
    panel = getattr(panels, name)()
    assert opened_from_code(panel).state == panel.state
    data, _ = panel._repr_mimebundle_()
    assert 1000 < len(data["image/png"]) < LARGEST
