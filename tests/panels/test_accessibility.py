"""Every registered panel for those who see colours otherwise, see nothing, or use no mouse."""

import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import ipywidgets
import matplotlib
import numpy as np
import plotly.graph_objects as go
import pytest
from colour_vision import DEFICIENCIES, contrast, distance, seen

from vmamba_edu import palette, panels

HUES = ("BLACK", "ORANGE", "SKY", "GREEN", "BLUE", "VERMILLION", "PURPLE")
APART = 12.0
"""In CIELAB: five times what is just noticed of large fields side by side, for lines are thin and far from each other.

The closest pair of the palette is 16 apart (sky and green in tritanopia).
"""
TEXT, LINE = 4.5, 3.0
"""Least contrast of texts and of graphical objects: WCAG 2.2, success criteria 1.4.3 and 1.4.11, level AA."""
SCAFFOLDING = {"scan-tree": {palette.QUIET, "#E3E3E3"}}
"""By panel, what lies behind what is drawn in full colour and need not be seen: the joins of a tree yet to come."""
BY_KEYS = (
    ipywidgets.IntSlider,
    ipywidgets.FloatSlider,
    ipywidgets.FloatLogSlider,
    ipywidgets.SelectionSlider,
    ipywidgets.IntRangeSlider,
    ipywidgets.Dropdown,
    ipywidgets.BoundedIntText,
    ipywidgets.BoundedFloatText,
    ipywidgets.Text,
    ipywidgets.Textarea,
    ipywidgets.Checkbox,
    ipywidgets.ToggleButton,
    ipywidgets.ToggleButtons,
    ipywidgets.RadioButtons,
    ipywidgets.Select,
    ipywidgets.SelectMultiple,
    ipywidgets.FileUpload,
    ipywidgets.Play,
)
"""What the browser or JupyterLab lets one reach with Tab and work with keys."""


@pytest.fixture(scope="module", params=sorted(panels.PANELS))
def panel(request) -> Any:
    return getattr(panels, request.param)()


def everything_in(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    yield widget
    for child in getattr(widget, "children", ()):
        yield from everything_in(child)


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_the_hues_of_the_palette_stay_apart_for_everybody(deficiency: str) -> None:
    colours = {name: getattr(palette, name) for name in HUES}
    for (one, first), (other, second) in combinations(colours.items(), 2):
        assert distance(first, second, deficiency) > APART, (one, other)


def test_the_simulation_finds_what_is_known_to_be_confused() -> None:
    """Pure red and a dark green, of equal lightness to those without red receptors; and it is nothing to the others."""
    assert distance("#ff0000", "#5c5c00", "none") > 60
    assert distance("#ff0000", "#5c5c00", "protanopia") < APART
    assert distance("#4080ff", "#008fa0", "none") > 30
    np.testing.assert_allclose(seen(np.ones(3), "tritanopia"), [100, 0, 0], atol=0.1)  # white stays white


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_quantities_grow_lighter_for_everybody(deficiency: str) -> None:
    """Lightness, which no deficiency takes away, has the order of the values all along the scale."""
    ramp = matplotlib.colormaps[palette.SEQUENTIAL](np.linspace(0, 1, 33))[:, :3]
    assert np.diff(seen(ramp, deficiency)[:, 0]).min() > 0.5


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
@pytest.mark.parametrize("size", [0.2, 0.6, 1.0])
def test_signs_can_be_told_for_everybody(deficiency: str, size: float) -> None:
    scale = matplotlib.colormaps[palette.DIVERGING]
    below, above = (matplotlib.colors.to_hex(scale((1 + sign * size) / 2)) for sign in (-1, 1))
    assert distance(below, above, deficiency) > APART


def test_the_sentence_is_the_text_alternative_and_is_read_aloud(panel) -> None:
    words = panel.sentence()
    assert len(words.split()) > 10
    assert re.search(r"\d", words), "a picture of numbers needs numbers in its words"
    data, _ = panel._repr_mimebundle_()
    assert data["text/plain"] == words
    assert 'role="status"' in panel.caption.value
    assert 'aria-live="polite"' in panel.caption.value


def test_every_control_is_in_the_panel_takes_keys_and_has_a_name(panel) -> None:
    inside = list(everything_in(panel.widget))
    for field, control in panel.controls.items():
        assert any(widget is control for widget in inside), field
        assert isinstance(control, BY_KEYS), f"{field}: {type(control).__name__} may not answer to keys"
        assert control.tabbable is not False, field
        assert control.description or control.tooltip, f"{field} has no name for those who do not see it"
    for button in inside:
        if isinstance(button, ipywidgets.Button):
            assert button.description or button.tooltip


def test_lines_and_marks_stand_out_from_their_ground(panel) -> None:
    figure = go.Figure(panel.canvas)
    for trace in figure.data:
        for colour in set(_colours_of(trace)) - SCAFFOLDING.get(panel.name, set()):
            ground = figure.layout.plot_bgcolor or "white"
            assert contrast(colour, ground) >= LINE, f"{trace.name or trace.type}: {colour} on {ground}"


def test_texts_can_be_read(panel) -> None:
    figure = go.Figure(panel.canvas)
    assert contrast(figure.layout.font.color or "#2a3f5f", figure.layout.paper_bgcolor or "white") >= TEXT
    texts = "".join(widget.value for widget in everything_in(panel.widget) if isinstance(widget, ipywidgets.HTML))
    texts += repr(figure.layout)
    for colour, text in re.findall(r"(?<![-\w])color: ?(#[0-9a-fA-F]{3,6}|rgba?\([^)]*\))[^>]*>([^<]*)", texts):
        sign = not any(letter.isalnum() for letter in text)  # a square in the colour of its line is no text
        assert contrast(colour, "white") >= (LINE if sign else TEXT), (colour, text)
    for trace in figure.data:
        colour = getattr(getattr(trace, "textfont", None), "color", None)
        if isinstance(colour, str) and "inside" not in str(getattr(trace, "textposition", "")):
            assert contrast(colour, "white") >= TEXT, trace.name


def _colours_of(trace: Any) -> Iterator[str]:
    """The colours of a scatter's lines and marks, as far as they are given as such; bars by their filling."""
    mode = (trace.mode or "lines") if trace.type in ("scatter", "scattergl") else ""
    places = [trace.line.color] if "lines" in mode and trace.line.width != 0 else []
    if "markers" in mode and not trace.marker.colorscale:
        outline = trace.marker.line  # a mark is told by its outline where it has one that is not white
        outlined = outline.width and isinstance(outline.color, str) and contrast(outline.color, "white") > 1
        places.append(outline.color if outlined else trace.marker.color)
    if trace.type == "bar":
        places.append(trace.marker.color)
    for place in places:
        for colour in [place] if isinstance(place, str) else list(place if place is not None else ()):
            if isinstance(colour, str):
                yield colour
