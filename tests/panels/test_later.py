"""Changes that take long: the words come at once, the view when the knob is left alone, and of many only the last."""

from typing import Any

import pytest

from vmamba_edu import panels
from vmamba_edu.panels import anatomy_panel
from vmamba_edu.panels.computed import anatomy_parts

BUSY = "vmamba-busy"


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int]]:
    """What has been counted since the panel was opened: nothing is known before."""
    asked: list[tuple[str, int, int]] = []
    count = anatomy_parts._count
    monkeypatch.setattr(anatomy_parts, "_counted", {})
    monkeypatch.setattr(anatomy_parts, "_count", lambda *what: (asked.append(what), count(*what))[1])
    return asked


@pytest.fixture
def panel(counted: list[Any]) -> Any:
    opened = panels.model_anatomy(model="videomamba_tiny", frames=4, size=64)
    counted.clear()
    return opened


def test_the_words_come_before_the_view(panel: Any, counted: list[Any]) -> None:
    before = panel.view
    panel.controls["frames"].value = 8
    assert "Counting videomamba_tiny …" in panel.caption.value
    assert BUSY in panel.widget._dom_classes
    assert panel.view is before
    assert not counted
    panel.settle()
    assert panel.state.frames == 8
    assert "8 frames of 64 × 64" in panel.caption.value
    assert BUSY not in panel.widget._dom_classes


def test_of_many_values_only_the_last_is_counted(panel: Any, counted: list[Any]) -> None:
    for frames in (8, 16, 32):
        panel.controls["frames"].value = frames
    panel.controls["size"].value = 112
    panel.settle()
    assert counted == [("videomamba_tiny", 32, 112)]
    assert (panel.state.frames, panel.state.size) == (32, 112)


def test_what_is_known_is_shown_at_once(panel: Any, counted: list[Any]) -> None:
    panel.controls["frames"].value = 8
    panel.settle()
    panel.controls["frames"].value = 4
    assert panel.state.frames == 4
    assert "4 frames of 64 × 64" in panel.caption.value
    assert counted == [("videomamba_tiny", 8, 64)]


def test_a_knob_that_comes_back_asks_for_nothing(panel: Any, counted: list[Any]) -> None:
    words = panel.caption.value
    panel.controls["frames"].value = 8
    panel.controls["frames"].value = 4
    panel.settle()
    assert panel.caption.value == words
    assert BUSY not in panel.widget._dom_classes
    assert not counted


def test_another_part_can_be_looked_at_meanwhile(panel: Any) -> None:
    panel.controls["frames"].value = 8
    panel.tree.value = "layers.1"
    assert (panel.state.part, panel.state.frames, panel.controls["frames"].value) == ("layers.1", 4, 8)
    assert BUSY in panel.widget._dom_classes
    panel.settle()
    assert (panel.state.part, panel.state.frames) == ("layers.1", 8)
    assert BUSY not in panel.widget._dom_classes


def test_what_cannot_be_counted_is_said_and_every_knob_goes_back(panel: Any) -> None:
    panel.controls["size"].options = (64, 50, 112)
    panel.controls["frames"].value = 8
    panel.controls["size"].value = 50
    panel.settle()
    assert "size: expected multiples of patch_size = 16, got 50" in panel.caption.value
    assert BUSY not in panel.widget._dom_classes
    assert [panel.controls[name].value for name in ("frames", "size")] == [4, 64]


def test_old_counts_make_room_for_new_ones(counted: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anatomy_parts, "MOST_COUNTED", 2)
    for frames in (4, 6, 8, 6, 4):
        anatomy_panel.anatomy_of("videomamba_tiny", frames, 32)
    assert [frames for _, frames, _ in counted] == [4, 6, 8, 4]
