"""What holds for every panel, in terms that a test of any panel can use, and how each is opened small to see that.

panel = CASES["masks"].open()
turn(panel, "mask", "tube")
same_drawing(panel, opened_from_code(panel))
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from agreement import small_model
from small_transformers import shaken

from vmamba_edu import create_model, panels
from vmamba_edu.analysis import Observed
from vmamba_edu.analysis.engine_runs import Run
from vmamba_edu.analysis.scan_work import Machine
from vmamba_edu.panels.base import Panel
from vmamba_edu.panels.computed.race_results import ENGINES, job_of
from vmamba_edu.panels.computed.race_results import State as RaceState
from vmamba_edu.panels.decay_panel import steps_of_block

LAYOUT_OF_AXES = ("range", "tickvals", "ticktext", "type")
OUTLINE = ("x0", "x1", "y0", "y1")
PLACE = ("source", "x", "y", "sizex", "sizey")


@dataclass(frozen=True)
class Case:
    """A panel opened small, and turns of its knobs.

    Args:
        name: in the registry.
        scope: what the reader brought, by the names that the copied code calls it: {"clip": …}.
        words: what else it is opened with.
        turns: (control, value) each of which has to change the view.
        said: what the copied code then says, by control, where it is not "control=value".
    """

    name: str
    scope: Callable[[], dict[str, Any]] = dict
    words: dict[str, Any] = field(default_factory=dict)
    turns: tuple[tuple[str, Any], ...] = ()
    said: dict[str, str] = field(default_factory=dict)

    def open(self) -> Panel[Any, Any]:
        return getattr(panels, self.name)(**self.scope(), **self.words)


@cache
def small_clip(time: int = 2, height: int = 16, width: int = 16) -> np.ndarray:
    """Noise, uint8 (time, height, width, 3)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 255, (time, height, width, 3), dtype=torch.uint8, generator=generator).numpy()


@cache
def small_models() -> dict[str, Any]:
    """One of each kind that scans or attends, for `small_clip()`."""
    torch.manual_seed(0)
    size = {"embed_dim": 16, "depth": 2, "img_size": 16, "patch_size": 8, "num_frames": 2, "num_classes": 0}
    pro = shaken(create_model("videomambapro_tiny", **size, d_state=4, variant="paper")).eval()
    vivit = create_model("vivit_1_base_16x2", **size, num_heads=4, tubelet_size=1).eval()
    return {"scan": shaken(small_model()), "pro": pro, "vivit": vivit}


def clip_and_models() -> dict[str, Any]:
    return {"clip": small_clip(), "model": small_models()}


def clip_and_model() -> dict[str, Any]:
    return {"clip": small_clip(), "model": small_models()["scan"]}


@cache
def measured_steps() -> Any:
    return steps_of_block(small_clip(), small_models()["scan"])


def raced() -> dict[str, Any]:
    """Runs that never were: each engine on every shape that the race is turned to, each another time."""
    shapes = ((8, 32, 4, False), (64, 32, 4, False), (64, 256, 4, False), (64, 256, 16, False), (64, 256, 16, True))
    jobs = [job_of(RaceState(*shape), engine) for shape in shapes for engine in ENGINES]
    return {"runs": tuple(Run(job, job.engine, 0.01 + n, 2**21, (1e-7, 2e-7)) for n, job in enumerate(jobs))}


def measured_memory() -> dict[str, Any]:
    size = {"img_size": 64, "num_frames": 4}
    return {"measured": (Observed("videomamba_tiny", size, 1, False, "cpu", 1, 0.1, 2**24, 0),)}


WALK = (("frame", 1), ("row", 1), ("column", 1), ("block", 1), ("direction", "backward"), ("weights", "mean"))
CASES: dict[str, Case] = {
    "contradiction": Case(
        "contradiction",
        clip_and_models,
        {"A_bar_b": 0.4},
        (("cells", "abba"), ("rule", "kinds"), ("A_bar_b", 0.2), ("A_bar", 0.31), ("token", 2), ("block", 1)),
    ),
    "discretisation": Case(
        "discretisation", turns=(("delta", 0.4), ("real", -2.0), ("imag", -1.5), ("signal", "square"))
    ),
    "engine_race": Case(
        "engine_race",
        raced,
        {"dim": 8, "length": 32, "state": 4},
        (("dim", 64), ("length", 256), ("state", 16), ("training", True)),
    ),
    "implied_attention": Case(
        "implied_attention",
        clip_and_models,
        {"frame": 0, "row": 0, "column": 0},
        (*WALK, ("variant", "released_v2"), ("matrix", "vivit")),
    ),
    "kernel": Case(
        "kernel",
        lambda: {"machine": Machine("a machine of the test, measured", 1e12, 1e12, 1e12)},
        turns=(("dim", 768), ("length", 12544), ("state", 64), ("chunk", 20)),
    ),
    "masks": Case(
        "masks",
        lambda: {"clip": small_clip(4, 32, 32)},
        turns=(("mask", "tube"), ("ratio", 0.5), ("seed", 7), ("mask", "attention")),
    ),
    "memory_scaling": Case(
        "memory_scaling",
        measured_memory,
        {"size": 64},
        (
            ("frames", 64),
            ("size", 112),
            ("scan", "videomamba_small"),
            ("attention", "divided"),
            ("precision", "bfloat16"),
            ("training", True),
        ),
    ),
    "model_anatomy": Case(
        "model_anatomy",
        words={"frames": 4, "size": 64},
        turns=(("frames", 8), ("size", 112), ("part", "layers.4.mixer"), ("part", ""), ("model", "vit_tiny")),
    ),
    "scan_orders": Case(
        "scan_orders",
        clip_and_model,
        {"patch_size": 8},
        (("position", 6), ("plan", "spatiotemporal_v2"), ("directions", "backward"), ("channel", 5)),
    ),
    "scan_tree": Case(
        "scan_tree",
        turns=(("step", 3), ("scan", "hillis_steele"), ("length", 13), ("own_a", "1, 1, 1, 1"), ("own_b", "3 -2.5")),
        said={"length": "step=3", "own_a": "a=[1, 1, 1, 1]", "own_b": "b=[3, -2.5]"},
    ),
    "state_decay": Case(
        "state_decay",
        lambda: {"steps": measured_steps()},
        turns=(
            *(("token", 4), ("channel", 2), ("n", 3)),
            *(("direction", "backward"), ("source", "random"), ("delta", 0.01)),
        ),
    ),
    "tokeniser": Case(
        "tokeniser",
        lambda: {"clip": small_clip(20, 4, 6)},
        {"num_frames": 4, "size": 64},
        (
            *(("sampling", "multi-clip"), ("num_frames", 16), ("size", 112), ("patch_size", 8), ("tubelet_size", 2)),
            *(("clip", 1), ("stride", 1)),
        ),
        {"clip": "view=1"},
    ),
}  # fmt: skip
"""By name in the registry."""


def turn(panel: Panel[Any, Any], control: str, value: Any) -> None:
    """Turn a knob as a reader does; the state and all that shows it have to follow.

    Raises:
        AssertionError: the state, the drawing, the words or the copied code did not.
    """
    sentence, drawn, copied = panel.caption.value, repr(drawing(panel)), panel.copy.text
    panel.controls[control].value = value
    panel.settle()
    if hasattr(panel.state, control) and not control.startswith("own_"):
        assert getattr(panel.state, control) == panel.controls[control].value == value
    assert panel.caption.value == panel.html_sentence() != sentence, "the words did not change"
    assert repr(drawing(panel)) != drawn, "the drawing did not change"
    assert panel.copy.text == panel.code() != copied, "the code did not change"
    for name, one in panel.controls.items():
        assert one.value == getattr(panel.state, name), f"{name} stands elsewhere than the state"


def opened_from_code(panel: Panel[Any, Any], scope: dict[str, Any] | None = None) -> Panel[Any, Any]:
    """What the code that a panel copies opens; `scope` has what the reader brought."""
    *lines, call = panel.copy.text.splitlines()
    names = dict(scope or {})
    exec("\n".join(lines), names)
    return eval(call, names)


def same_drawing(ours: Panel[Any, Any], theirs: Panel[Any, Any]) -> None:
    """Raise an AssertionError, with the place, unless both canvases show the same."""
    for place, one in drawing(ours).items():
        assert one == drawing(theirs)[place], place


def drawing(panel: Panel[Any, Any]) -> dict[str, Any]:
    """What a canvas shows: all of its traces, and of its layout axes, titles, outlines and pictures."""
    shown = {f"trace {n}": plain(trace.to_plotly_json()) for n, trace in enumerate(panel.canvas.data)}
    shown = {name: None if trace.get("x") == [] else trace for name, trace in shown.items()}  # nothing is seen of it
    layout = plain(panel.canvas.layout.to_plotly_json())
    for name, part in layout.items():
        if name.startswith(("xaxis", "yaxis")):
            shown[name] = {key: part.get(key) for key in LAYOUT_OF_AXES}
    shown["titles"] = [one.get("text") for one in layout.get("annotations", ())]
    shown["shapes"] = [{key: one.get(key) for key in OUTLINE} for one in layout.get("shapes", ())]
    shown["images"] = [{key: one.get(key) for key in PLACE} for one in layout.get("images", ())]
    return shown


def plain(value: Any) -> Any:
    """The same with lists for arrays and tuples, Python's numbers for numpy's, and without plotly's own ids."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if key != "uid"}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value


def not_json(value: Any) -> bool:
    """Whether there is a number in it that JSON has no word for: a browser would show nothing, or warn."""
    if isinstance(value, dict):
        return any(not_json(one) for one in value.values())
    if isinstance(value, np.ndarray):
        return not_json(value.tolist())
    if isinstance(value, list | tuple):
        return any(not_json(one) for one in value)
    return isinstance(value, float | np.floating) and not math.isfinite(value)
