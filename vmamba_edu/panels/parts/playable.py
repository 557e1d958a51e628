"""Which control of a panel a page can play, and through which values: read off the control itself."""

from collections.abc import Mapping
from typing import Any

import ipywidgets
import numpy as np

MOST = 32
"""Values that are played, at most; spread evenly over what the control offers."""

SLIDERS = (ipywidgets.IntSlider, ipywidgets.FloatSlider, ipywidgets.FloatLogSlider, ipywidgets.SelectionSlider)
LISTS = (ipywidgets.Dropdown, ipywidgets.ToggleButtons, ipywidgets.RadioButtons)
NUMBERS = (ipywidgets.BoundedIntText, ipywidgets.BoundedFloatText)
SWITCHES = (ipywidgets.Checkbox, ipywidgets.ToggleButton)


def main_control(controls: Mapping[str, ipywidgets.ValueWidget], wanted: str | None = None) -> str:
    """The field that is played: the one that is wanted, or the first slider, list, number or switch.

    Raises:
        ValueError: there is no control of that name, or none that can be played.
    """
    if wanted is not None:
        if wanted not in controls:
            raise ValueError(f"field: expected one of {', '.join(controls)}, got {wanted!r}")
        return wanted
    for kind in (SLIDERS, LISTS, NUMBERS, SWITCHES):
        for field, control in controls.items():
            if isinstance(control, kind):
                return field
    raise ValueError("field: this panel has no control that could be played; name a field and its values")


def values_of(controls: Mapping[str, ipywidgets.ValueWidget], field: str, now: Any) -> list[Any]:
    """At most `MOST` of the values that a control offers, in its order; the present one among them.

    Raises:
        ValueError: the control says nothing about its values, or there is none.
    """
    offered = _offered(controls.get(field))
    if len(offered) > MOST:
        offered = [offered[number] for number in np.linspace(0, len(offered) - 1, MOST).round().astype(int)]
    if now not in offered:  # put into its place: a slider runs one way
        at = sum(value < now for value in offered) if isinstance(now, int | float) else len(offered)
        offered.insert(at, now)
    return offered


def labels_of(controls: Mapping[str, ipywidgets.ValueWidget], field: str, value: Any) -> str:
    """A value as the control shows it."""
    options = getattr(controls.get(field), "_options_full", ())
    for label, option in options:
        if option == value:
            return label
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _offered(control: Any) -> list[Any]:
    if hasattr(control, "_options_full"):
        return [value for _, value in control._options_full]
    if isinstance(control, SWITCHES):
        return [False, True]
    if isinstance(control, ipywidgets.FloatLogSlider):
        return [float(value) for value in control.base ** np.linspace(control.min, control.max, MOST)]
    if isinstance(control, ipywidgets.FloatSlider | ipywidgets.BoundedFloatText):
        steps = round((control.max - control.min) / (control.step or 0.1))
        return [float(value) for value in np.linspace(control.min, control.max, min(steps + 1, MOST))]
    if isinstance(control, ipywidgets.IntSlider | ipywidgets.BoundedIntText):
        return list(range(control.min, control.max + 1, control.step or 1))
    raise ValueError("field: its control does not say which values there are; give them as `values`")
