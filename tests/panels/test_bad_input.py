"""Bad input to a panel's constructor: whatever it is, one sentence that names the argument, and no traceback."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pytest
import torch
from agreement import small_model
from IPython.core.interactiveshell import InteractiveShell
from torch import nn

from vmamba_edu import create_model, panels
from vmamba_edu.panels.computed.arguments import came
from vmamba_edu.panels.computed.decay_shares import Steps
from vmamba_edu.panels.parts.opening import fits, in_words, names_an_argument

CLIP = torch.zeros(2, 16, 16, 3, dtype=torch.uint8)
NO_INTEGERS: list[Any] = ["3", 2.5, True, None, -1, 10**9]
NO_COUNTS = [*NO_INTEGERS, 0]
NO_CUTS = [*NO_COUNTS, 7]
NO_NUMBERS: list[Any] = ["0.5", True, float("nan"), float("inf"), None, -1e9, 1e9]
NO_WORDS: list[Any] = [3, None, "no such word", ["both"], b"both"]
NO_SWITCHES: list[Any] = [1, "yes", None]
NO_FUNCTIONS: list[Any] = [3, "measure"]
NO_CLIPS: list[Any] = [
    CLIP[0],
    CLIP.float(),
    CLIP[..., :1],
    CLIP[:0],
    CLIP[:, :0],
    np.zeros((2, 16, 16, 4), np.uint8),
    [1, 2],
    3,
    "no such file",
]
NO_MODELS: list[Any] = [
    nn.Linear(2, 2),
    "videomamba_tiny",
    3,
    nn.Linear,
    create_model("vit_tiny", depth=1, img_size=32),
]
NO_ROWS: list[Any] = [
    "0.5, 1",
    0.5,
    [0.5, "x"],
    [[0.5, 0.5]],
    torch.zeros(2, 2),
    np.array(["a"]),
    [1j, 1j],
    [],
    [0.5] * 33,
]
NO_GRIDS: list[Any] = [(2, 2), (2, 2, 0), (1.5, 2, 2), "222", 8, (1000, 1000, 1000)]

# What one may not give, by the name of the argument; by panel and name where one name means two things.
BAD: dict[str, list[Any]] = {
    **dict.fromkeys(
        ("frame", "row", "column", "block", "channel", "token", "position", "step", "chunk", "seed", "view"),
        NO_INTEGERS,
    ),
    **dict.fromkeys(("frames", "num_frames", "size", "length", "dim", "state", "stride", "n"), NO_COUNTS),
    **dict.fromkeys(("patch_size", "tubelet_size"), NO_CUTS),
    **dict.fromkeys(("delta", "real", "imag", "ratio", "A_bar", "A_bar_b"), NO_NUMBERS),
    **dict.fromkeys(
        (
            "attention", "cells", "direction", "directions", "mask", "matrix", "part", "plan", "precision", "rule",
            "sampling", "scan", "signal", "source", "variant", "weights",
        ),
        NO_WORDS,
    ),
    "training": NO_SWITCHES,
    "clip": NO_CLIPS,
    "model": [*NO_MODELS, {"it": 3}, {3: small_model()}, {}],
    "grid": NO_GRIDS,
    "a": NO_ROWS,
    "b": NO_ROWS,
    "rate": [0, -1.0, "fast", float("inf"), True],
    "measured": [3, "measured", [3], (None,)],
    "runs": [3, "runs", [3], (None,)],
    "run": NO_FUNCTIONS,
    "measure": NO_FUNCTIONS,
    "machine": [None, "mine", 3],
    "steps": [3, torch.ones(2, 3), "constant"],
    "masks.attention": [3, "teacher", torch.ones(2, 2), torch.ones(8), torch.full((8, 64), torch.nan),
                        -torch.ones(8, 64), torch.ones(8, 64, dtype=torch.int64)],
    "model_anatomy.model": NO_WORDS,
    "look": NO_WORDS,
    "views": NO_WORDS,
    "checkpoint": [3, ["a"], b"a", "no such file", "/"],
    "classes": [3, "left", [3], ["left"]],
    "your_video.model": [nn.Linear(2, 2), "videomamba", 3, nn.Linear, {"it": 3}],
    "engine_race.state": NO_COUNTS,
    "tokeniser.clip": [*NO_CLIPS, "/", ".", CLIP.numpy().tolist()],
}  # fmt: skip
BESIDE: dict[str, dict[str, Any]] = {
    "state_decay.delta": {"source": "constant"},
    "state_decay.length": {"source": "constant"},
    "model_anatomy.part": {"frames": 2, "size": 32},  # counted sooner
}
"""What else is to be said, so that the argument counts."""


ON_THEIR_OWN = {"retrieval", "training_monitor", "your_video"}
"""Panels that stand on runs and files: their own tests say what is bad for them."""


def cases() -> list[Any]:
    found = []
    for name in sorted(set(panels.PANELS) - ON_THEIR_OWN):
        for argument in list(inspect.signature(getattr(panels, name)).parameters):
            kind = inspect.signature(getattr(panels, name)).parameters[argument]
            for number, bad in enumerate(BAD.get(f"{name}.{argument}", BAD.get(argument, []))):
                if bad is None and kind.default is None:
                    continue
                found.append(pytest.param(name, argument, bad, id=f"{name}-{argument}-{number}"))
    return found


def told(name: str, **words: Any) -> Exception:
    """The error of a constructor, which has to be a sentence about one of its arguments."""
    construct = getattr(panels, name)
    with pytest.raises((ValueError, TypeError)) as caught:
        construct(**words)
    error = caught.value
    assert hasattr(error, "_render_traceback_"), f"a traceback, for it names no argument: {error!r}"
    assert re.search(r"expected|has no such", str(error)), error
    assert len(str(error)) < 800
    return error


@pytest.mark.parametrize(("name", "argument", "bad"), cases())
def test_a_bad_argument_is_told_in_a_sentence_about_it(name: str, argument: str, bad: Any) -> None:
    error = told(name, **{argument: bad}, **BESIDE.get(f"{name}.{argument}", {}))
    about = str(error).split(": ")[0].split(", ")
    assert argument in about, error


@pytest.mark.parametrize("name", panels.PANELS)
def test_what_is_of_no_kind_at_all_is_refused_by_every_argument(name: str) -> None:
    for argument in inspect.signature(getattr(panels, name)).parameters:
        error = told(name, **{argument: object()})
        assert isinstance(error, TypeError)
        assert re.fullmatch(rf"{argument}: expected .*, got an object", str(error)), error


@pytest.mark.parametrize("name", sorted(set(panels.PANELS) - ON_THEIR_OWN))
def test_there_is_something_bad_for_every_argument(name: str) -> None:
    known = {key for key in BAD if "." not in key} | {key.split(".")[1] for key in BAD if key.startswith(f"{name}.")}
    assert set(inspect.signature(getattr(panels, name)).parameters) <= known


@pytest.mark.parametrize("name", panels.PANELS)
def test_an_argument_that_there_is_not_is_told_with_those_there_are(name: str) -> None:
    error = told(name, colour="red")
    first = next(iter(inspect.signature(getattr(panels, name)).parameters))
    assert str(error).startswith(f"colour: this panel has no such argument; it has {first}")


def shown_by_a_notebook(cell: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What IPython shows of the error of a cell."""
    shell, shown = InteractiveShell(), []
    monkeypatch.setattr(shell, "_showtraceback", lambda kind, error, lines: shown.append("\n".join(lines)))
    shell.run_cell(cell)
    (text,) = shown
    return text


def test_a_notebook_shows_the_sentence_and_no_traceback(monkeypatch) -> None:
    cell = "from vmamba_edu import panels\n\npanels.tokeniser('no such file')"
    text = shown_by_a_notebook(cell, monkeypatch)
    assert text.startswith("ValueError: clip: expected a video that can be read, got no such file: there is no such")
    assert "\n" not in text


def test_what_is_our_own_fault_keeps_its_traceback(monkeypatch) -> None:
    broken = "broken = lambda state: 1 / 0 if state else int('x: 3')\n"
    for fault in ("ZeroDivisionError", "ValueError"):
        cell = (
            "from vmamba_edu.panels.masks_panel import Masks\n"
            f"class Broken(Masks):\n    def make_controls(self):\n        raise {fault}('axis: out of bounds')\n    "
            "def __init__(self, mask='tube'):\n        super().__init__(mask=mask)\nBroken()"
        )
        assert "make_controls" in shown_by_a_notebook(broken + cell, monkeypatch)


def test_only_an_error_about_an_argument_is_told_so() -> None:
    names = ["a", "b", "clip"]
    assert names_an_argument(ValueError("a, b: expected as many of one as of the other"), names)
    assert names_an_argument(TypeError("clip: expected a tensor"), names)
    for other in (
        "axis: out of bounds",
        "a, axis: both",
        "the clip: is bad",
        "clip",
        "could not convert string to float: 'a'",
    ):
        assert not names_an_argument(ValueError(other), names)


@pytest.mark.parametrize(
    ("kind", "right", "wrong", "words"),
    [
        (int, [3, np.int64(3)], [True, 3.0, np.bool_(1), "3"], "a whole number"),
        (float, [3, 0.5, np.float32(1)], [True, float("nan"), float("inf"), 1j, "1"], "a finite number"),
        (bool, [True, np.bool_(0)], [1, None], "True or False"),
        (str | None, ["x", None], [3, b"x"], "a string or None"),
        (Literal["up", "down"], ["up"], ["left", 3], "one of 'up', 'down'"),
        (Sequence[int], [(1, 2), [3], []], [("x",), "12", 3], "several, each a whole number,"),
        (Mapping[str, int], [{"a": 1}, {}], [{1: 1}, {"a": "b"}, [1]], "a mapping from a string to a whole number"),
        (Callable[..., int], [len, int], [3], "a function"),
        (torch.Tensor | np.ndarray, [CLIP, np.ones(2)], [[1], None], "a tensor or an array"),
        (nn.Module, [nn.Linear(1, 1)], [nn.Linear], "a model"),
        (Steps, [], [3], "a Steps"),
        (Any, [3, None, "x"], [], ""),
    ],
)
def test_what_fits_an_annotation(kind: Any, right: list[Any], wrong: list[Any], words: str) -> None:
    assert all(fits(value, kind) for value in right)
    assert not any(fits(value, kind) for value in wrong)
    if wrong:
        assert in_words(kind) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (3, "3"),
        (None, "None"),
        (np.float64(0.5), "0.5"),
        ("x" * 80, "'" + "x" * 56 + "…"),
        (CLIP, "uint8 (2, 16, 16, 3)"),
        (np.ones(2), "float64 (2,)"),
        ([1], "a list"),
        (nn.Identity(), "an Identity"),
        (nn.Linear, "the class Linear"),
    ],
)
def test_what_came_in_a_few_words(value: Any, words: str) -> None:
    assert came(value) == words


def test_numbers_of_numpy_become_those_of_python_and_the_code_is_free_of_them() -> None:
    panel = panels.scan_tree(length=np.int64(4), step=np.int32(2))
    assert type(panel.state.step) is int
    assert "int32" not in panel.code()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("discretisation", {"real": -20.0, "imag": 40.0, "delta": 0.004}),
        ("discretisation", {"real": -0.01, "delta": 9.0}),
        ("state_decay", {"source": "constant", "delta": 50.0}),
        ("state_decay", {"source": "random", "delta": 1e-5}),
        ("masks", {"ratio": 0.333, "seed": 9999}),
        ("contradiction", {"A_bar": 0.123, "cells": "ab"}),
        ("model_anatomy", {"frames": 6, "size": 32}),
    ],
)
def test_what_may_be_given_stands_in_its_control(name: str, words: dict[str, Any]) -> None:
    """A control that cannot stand where the state is would change it silently at the first touch."""
    panel = getattr(panels, name)(**words)
    for field, value in words.items():
        assert getattr(panel.state, field) == panel.controls[field].value == value


def test_a_state_that_its_control_cannot_show_is_refused() -> None:
    from vmamba_edu.panels.masks_panel import Masks

    class Narrow(Masks):
        def make_controls(self) -> Any:
            controls = super().make_controls()
            controls["seed"].max = 5
            return controls

    with pytest.raises(ValueError, match="seed: expected 0 to 5, got 7"):
        Narrow(seed=7)
