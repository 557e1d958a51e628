"""The figure widget of the panels: what goes to the browser, and when. On a slow machine: tests/browser/."""

from typing import Any, ClassVar

import comm
import ipywidgets
import numpy as np
import plotly
import plotly.graph_objects as go
import pytest

from vmamba_edu.panels.parts.canvas import Canvas, Library


class Channel(comm.base_comm.BaseComm):
    """Keeps what is sent to the browser."""

    sent: ClassVar[list[tuple[str, str, dict[str, Any]]]] = []

    def publish_msg(self, msg_type: str, data: Any = None, **_: Any) -> None:
        self.sent.append((self.comm_id, msg_type, (data or {}).get("state", {})))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, Any]]]:
    """What is sent, from here on."""
    monkeypatch.setattr(comm, "create_comm", Channel)
    monkeypatch.setattr(Channel, "sent", [])
    monkeypatch.setattr(Library, "shared", None)
    return Channel.sent


def figure() -> go.Figure:
    made = go.Figure([{"y": [3.0, 1.0, 2.0]}, {"y": [0.0, 5.0, 0.0]}])
    return made.update_layout(height=123)


def test_a_figure_is_complete_when_its_channel_is_opened_and_nothing_follows(sent: list) -> None:
    canvas = Canvas(figure(), {"responsive": True})
    opened, *more = [(kind, state) for channel, kind, state in sent if channel == canvas.model_id]
    assert more == []
    assert opened[0] == "comm_open"
    assert [list(trace["y"]) for trace in opened[1]["_widget_data"]] == [[3, 1, 2], [0, 5, 0]]
    assert opened[1]["_widget_layout"]["height"] == 123
    assert opened[1]["_config"] == {"responsive": True}


def test_plotly_goes_to_the_browser_once_and_before_the_first_figure(sent: list) -> None:
    first, second = Canvas(figure()), Canvas(figure())
    library, one, other = sent
    assert [channel for channel, *_ in (one, other)] == [first.model_id, second.model_id]
    assert library[2]["version"] == plotly.__version__
    assert "newPlot" in library[2]["code"]
    assert len(library[2]["code"]) > 1e6 > 10 * max(len(str(state)) for _, _, state in (one, other))
    assert one[2]["_library"] == other[2]["_library"] == f"IPY_MODEL_{library[0]}"


def test_a_change_is_one_message_and_only_of_what_changed(sent: list) -> None:
    canvas = Canvas(figure())
    sent.clear()
    with canvas.batch_update():
        canvas.data[1].y = np.array([7.0, 8.0])
        canvas.layout.height = 200
    changes = [state["_py2js_update"] for _, _, state in sent if state.get("_py2js_update")]
    assert len(changes) == 1
    assert changes[0]["style_traces"] == [1]
    assert changes[0]["layout_data"] == {"height": 200}


def test_a_figure_after_everything_was_closed_brings_plotly_again(sent: list) -> None:
    Canvas(figure())
    ipywidgets.Widget.close_all()
    sent.clear()
    canvas = Canvas(figure())
    assert [kind for _, kind, _ in sent] == ["comm_open", "comm_open"]
    assert sent[1][2]["_library"] == f"IPY_MODEL_{sent[0][0]}"
    assert canvas.comm is not None


def test_who_asks_for_the_state_gets_the_figure_of_now(sent: list) -> None:
    canvas = Canvas(figure())
    canvas.data[0].y = np.array([9.0, 8.0])
    canvas.update_layout(height=321)
    state = canvas.get_state()
    assert list(state["_widget_data"][0]["y"]["buffer"]) == [9, 8]
    assert list(state["_widget_data"][1]["y"]) == [0, 5, 0]
    assert state["_widget_layout"]["height"] == 321
    assert canvas.get_state("_config").keys() == {"_config"}
