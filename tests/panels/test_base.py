"""What every panel has from the base: claims in its foot, a view at another value, and a page that plays views."""

import json
import re
import threading
from dataclasses import dataclass
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import pytest
from matplotlib.figure import Figure

from vmamba_edu import panels
from vmamba_edu.panels.base import Panel
from vmamba_edu.panels.parts.claims import CLAIMS, lines
from vmamba_edu.panels.parts.playable import MOST, labels_of, main_control, values_of


@dataclass(frozen=True)
class Knob:
    turns: int = 2
    shape: str = "line"


def draw(state: Knob) -> np.ndarray:
    if state.turns == 3:
        raise ValueError("turns: 3 is not to be had")
    return np.arange(4) * state.turns


class Trial(Panel[Knob, np.ndarray]):
    """The smallest panel there can be."""

    State = Knob
    compute = staticmethod(draw)
    name = "trial"
    claims = ("M1",)

    def make_controls(self) -> dict[str, ipywidgets.ValueWidget]:
        shapes = [("a line", "line"), ("a </script> & dot", "dot")]
        return {
            "shape": ipywidgets.Dropdown(options=shapes, value=self.state.shape, description="shape"),
            "turns": ipywidgets.IntSlider(self.state.turns, 0, 5, description="turns made"),
        }

    def figure(self) -> go.Figure:
        figure = go.Figure([{"y": [0, 1], "name": "still"}, {"y": self.view, "name": "moves"}])
        figure.update_layout(title=f"after {self.state.turns}", showlegend=False)
        return figure

    def redraw(self, canvas: go.FigureWidget) -> None:
        canvas.data[1].y = self.view

    def picture(self) -> Figure:
        return Figure(figsize=(1, 1))

    def sentence(self) -> str:
        return f"{self.state.turns} turns </script> of a {self.state.shape}."

    def code(self) -> str:
        return "Trial(...)"


class OfPictures(Trial):
    name = "of-pictures"

    def still(self) -> bytes:
        return b"picture %d" % self.state.turns


@pytest.fixture
def panel() -> Trial:
    return Trial(Knob())


def stored_in(text: str) -> dict[str, Any]:
    """What a page says it plays."""
    found = re.search(r'<script type="application/json" id="moments">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def shown(stored: dict[str, Any], number: int) -> dict[str, Any]:
    """What the page's script puts together for one moment."""
    first, one = stored["first"], stored["moments"][number]
    data = [trace or first["data"][at] for at, trace in enumerate(one["data"])]
    return {"data": data, "layout": {k: v for k, v in {**first["layout"], **one["layout"]}.items() if v is not None}}


def test_the_claims_stand_in_the_foot_with_their_source(panel) -> None:
    foot = next(part for part in panel.widget.children if "vmamba-claims" in part._dom_classes)
    assert "M1 · " in foot.value
    assert CLAIMS["M1"][0].removesuffix(".") in foot.value
    assert "VideoMamba table 5" in foot.value


@pytest.mark.parametrize("name", sorted(panels.PANELS))
def test_every_panel_shows_claims_that_exist(name: str) -> None:
    claims = getattr(panels, name).claims
    assert len(lines(claims)) == len(set(claims))


def test_a_claim_that_does_not_exist_is_named() -> None:
    with pytest.raises(ValueError, match=r"claims: expected some of S1, .*got Z9"):
        lines(["M1", "Z9"])


def test_a_control_that_the_panel_moves_is_nobodys_wish(panel) -> None:
    with panel.moving_controls():
        panel.controls["turns"].value = 4
    assert panel.state.turns == 2
    panel.controls["turns"].value = 5
    assert panel.state.turns == 5


def test_a_reader_turns_a_control_while_a_thread_moves_them(panel) -> None:
    moving, turned = threading.Event(), threading.Event()

    def bring_to_the_state() -> None:
        with panel.moving_controls():
            moving.set()
            turned.wait(30)

    thread = threading.Thread(target=bring_to_the_state)
    thread.start()
    assert moving.wait(30)
    panel.controls["turns"].value = 5
    turned.set()
    thread.join(30)
    assert panel.state.turns == 5


def test_a_view_at_another_value_leaves_the_panel_as_it_was(panel) -> None:
    other = panel.at("turns", 4)
    assert other.sentence().startswith("4 turns")
    np.testing.assert_array_equal(other.figure().data[1].y, [0, 4, 8, 12])
    assert panel.state == Knob()
    np.testing.assert_array_equal(panel.view, draw(Knob()))
    with pytest.raises(ValueError, match="3 is not to be had"):
        panel.at("turns", 3)


def test_a_page_holds_every_view_that_the_state_allows(panel, tmp_path) -> None:
    text = panel.to_html(tmp_path / "trial.html", progress=False).read_text()
    stored = stored_in(text)
    assert [one["value"] for one in stored["moments"]] == ["0", "1", "2", "4", "5"]
    for number, turns in enumerate([0, 1, 2, 4, 5]):
        at = panel.at("turns", turns)
        assert stored["moments"][number]["sentence"] == at.sentence()
        assert shown(stored, number) == json.loads(at.figure().to_json())
    assert '<label for="slider">turns made</label>' in text
    assert 'value="2"' in text  # where the panel stands: two turns are the third view


def test_what_does_not_change_is_stored_once(panel, tmp_path) -> None:
    stored = stored_in(panel.to_html(tmp_path / "trial.html", progress=False).read_text())
    for one in stored["moments"]:
        assert one["data"][0] is None
        assert set(one["layout"]) <= {"title"}


def test_a_page_asks_for_nothing_from_a_network(panel, tmp_path) -> None:
    text = panel.to_html(tmp_path / "trial.html", progress=False).read_text()
    outside = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)  # addresses in plotly.js are not fetched
    assert not re.search(r"https?://|<link|src=", outside)


def test_another_field_and_values_can_be_played(panel, tmp_path) -> None:
    text = panel.to_html(tmp_path / "trial.html", "shape", progress=False).read_text()
    assert [one["value"] for one in stored_in(text)["moments"]] == ["a line", "a </script> & dot"]
    text = panel.to_html(tmp_path / "trial.html", "turns", [5, 1], progress=False).read_text()
    assert [one["value"] for one in stored_in(text)["moments"]] == ["5", "1"]


def test_a_panel_of_pictures_has_its_pictures_in_the_page(tmp_path) -> None:
    text = OfPictures(Knob()).to_html(tmp_path / "trial.html", progress=False).read_text()
    assert "data:image/png;base64,cGljdHVyZSA0" in text  # "picture 4"
    assert len(text) < 20_000  # without plotly, which it does not need


def test_a_page_that_cannot_be_made_leaves_the_old_one(panel, tmp_path) -> None:
    path = tmp_path / "trial.html"
    path.write_text("what was there")
    with pytest.raises(ValueError, match="at least one view"):
        panel.to_html(path, "turns", [3], progress=False)
    with pytest.raises(ValueError, match="field: expected one of shape, turns, got 'colour'"):
        panel.to_html(path, "colour", progress=False)
    assert path.read_text() == "what was there"


@pytest.mark.parametrize("name", sorted(panels.PANELS))
def test_every_panel_can_be_played_offline(name: str, tmp_path) -> None:
    panel = getattr(panels, name)()
    field = main_control(panel.controls, panel.plays)
    values = values_of(panel.controls, field, getattr(panel.state, field))
    assert getattr(panel.state, field) in values
    text = panel.to_html(tmp_path / "panel.html", values=values[:2], progress=False).read_text()
    words = [one["sentence"] for one in stored_in(text)["moments"]]
    assert len(set(words)) == 2


def test_the_played_control_is_the_wanted_one_or_the_first_slider() -> None:
    controls = {"a": ipywidgets.Checkbox(), "b": ipywidgets.Dropdown(), "c": ipywidgets.FloatSlider()}
    assert main_control(controls) == "c"
    assert main_control(controls, "a") == "a"
    assert main_control({"a": controls["a"], "b": controls["b"]}) == "b"
    with pytest.raises(ValueError, match="no control that could be played"):
        main_control({"t": ipywidgets.Text()})


@pytest.mark.parametrize(
    ("control", "now", "expected"),
    [
        (ipywidgets.Checkbox(), False, [False, True]),
        (ipywidgets.IntSlider(min=2, max=8, step=3), 5, [2, 5, 8]),
        (ipywidgets.IntSlider(min=2, max=8, step=3), 6, [2, 5, 6, 8]),
        (ipywidgets.BoundedIntText(min=0, max=2), 1, [0, 1, 2]),
        (ipywidgets.FloatSlider(min=0, max=1, step=0.5), 0.5, [0, 0.5, 1]),
        (ipywidgets.SelectionSlider(options=[("few", 1), ("many", 9)], value=1), 1, [1, 9]),
    ],
)
def test_the_values_are_those_that_the_control_offers(control, now, expected) -> None:
    assert values_of({"x": control}, "x", now) == expected


def test_many_values_are_thinned_evenly_and_the_ends_stay() -> None:
    values = values_of({"x": ipywidgets.IntSlider(0, 0, 1567)}, "x", 0)
    assert len(values) == MOST
    assert (values[0], values[-1]) == (0, 1567)
    gaps = np.diff(values)
    assert gaps.max() - gaps.min() <= 1
    logarithmic = values_of({"x": ipywidgets.FloatLogSlider(1, min=-2, max=0)}, "x", 1.0)
    assert logarithmic[0] == pytest.approx(0.01)
    assert np.ptp(np.diff(np.log(logarithmic))) < 1e-9


def test_a_control_without_values_is_named() -> None:
    with pytest.raises(ValueError, match="give them as `values`"):
        values_of({"x": ipywidgets.Text()}, "x", "")


def test_a_value_is_called_as_the_control_calls_it() -> None:
    controls = {"x": ipywidgets.Dropdown(options=[("few", 1)], value=1)}
    assert labels_of(controls, "x", 1) == "few"
    assert labels_of({}, "y", 0.12345) == "0.123"
    assert labels_of({}, "y", 7) == "7"
