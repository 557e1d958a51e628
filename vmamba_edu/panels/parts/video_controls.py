"""The controls of the panel of a reader's own video, and with which look each of them is there."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import ipywidgets

from vmamba_edu.masking import NAMES
from vmamba_edu.models import list_models
from vmamba_edu.panels.computed.attention_readings import DIRECTIONS
from vmamba_edu.panels.computed.own_videos import LOOKS, MOST_SEED, VIEWS, State
from vmamba_edu.panels.computed.readers_of_videos import GIVEN, OF_CHECKPOINT, SHIPPED
from vmamba_edu.scan_orders import Grid

PATCH = ("frame", "row", "column")
SHOWN_WITH: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "views": ("prediction",),
        **dict.fromkeys(("mask", "ratio", "seed"), ("masks",)),
        **dict.fromkeys((*PATCH, "block", "direction"), ("attention", "memory")),
    }
)
"""Controls that are there for some looks only; all others always are."""
NAMED = {"4 × 3": "4 clips × 3 crops, as classify", "1 × 1": "one clip, one crop"}
Controls = dict[str, ipywidgets.ValueWidget]


def made(state: State, grid: Grid, depth: int, lists: Callable[..., Controls], *, given: bool) -> Controls:
    """The controls by the field of the state that each one sets.

    Args:
        state: at which they stand.
        grid, depth: of the model.
        lists: `Panel.lists`.
        given: whether there is a model that was given in code.
    """
    return {
        **_sources(state, lists, given),
        "look": ipywidgets.ToggleButtons(
            options=[(name, name) for name in LOOKS], value=state.look, tooltip="what is looked at",
            style={"button_width": "auto"},
        ),
        "clip": ipywidgets.BoundedIntText(
            state.clip, 0, VIEWS[state.views][0] - 1, description="show clip", layout={"width": "11em"}
        ),
        **lists({"views": ("mean of", [(NAMED[one], one) for one in VIEWS])}, "23em"),
        **lists({"mask": ("mask", [(one.replace("_", " "), one) for one in NAMES])}, "17em"),
        "ratio": ipywidgets.FloatSlider(state.ratio, min=0, max=1, step=0.05, description="ratio"),
        "seed": ipywidgets.BoundedIntText(state.seed, 0, MOST_SEED, description="seed", layout={"width": "11em"}),
        **_patch(state, grid, depth),
        **lists({"direction": ("scans read", [(_directions(name), name) for name in DIRECTIONS])}, "17em"),
    }  # fmt: skip


def _sources(state: State, lists: Callable[..., Controls], given: bool) -> Controls:
    """Which video and which model."""
    models = [("moving digits classifier, trained", SHIPPED), ("that of the checkpoint", OF_CHECKPOINT)]
    models += [("the given model", GIVEN)] if given else []
    models += [(f"{name}, fresh weights", name) for name in list_models()]
    texts = {"path": ("video", "path, then Enter; or upload")}
    texts["checkpoint"] = ("checkpoint", "file or run folder, then Enter")
    fields: Any = {
        name: ipywidgets.Text(
            getattr(state, name), description=words, placeholder=hint, continuous_update=False, layout={"width": "23em"}
        )
        for name, (words, hint) in texts.items()
    }
    return fields | lists({"model": ("model", models)}, "23em")


def _patch(state: State, grid: Grid, depth: int) -> Controls:
    sizes = dict(zip((*PATCH, "block"), (*grid, depth), strict=True))
    return {
        name: ipywidgets.IntSlider(getattr(state, name), 0, size - 1, description=name, layout={"width": "17em"})
        for name, size in sizes.items()
    }


def _directions(name: str) -> str:
    return f"{name} direction{'s' * (name == 'both')}"
