"""What the tests of the panel of a reader's own video share: films, a tiny model, and what happens to a panel."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from vmamba_edu import create_model
from vmamba_edu.video import moving_digits

RIGHT = moving_digits(3, "right", num_frames=20, size=64, seed=5).frames


def tiny_timesformer() -> nn.Module:
    torch.manual_seed(0)
    shape = {"num_frames": 2, "img_size": 16, "patch_size": 8, "embed_dim": 16, "depth": 2, "num_heads": 2}
    return create_model("timesformer_base_8f", num_classes=3, **shape).eval()


def changes(panel: Any, act: Callable[[], None]) -> None:
    sentence, drawn, code = panel.caption.value, repr(panel.canvas.to_dict()), panel.copy.text
    act()
    assert panel.caption.value != sentence
    assert repr(panel.canvas.to_dict()) != drawn
    assert panel.copy.text != code


def unchanged(panel: Any, act: Callable[[], None]) -> str:
    """What the panel says of something that it refuses, its view and its controls being as they were."""
    drawn, code, state = repr(panel.canvas.to_dict()), panel.copy.text, panel.state
    controls = {name: control.value for name, control in panel.controls.items()}
    act()
    assert "The view stays as it was." in panel.caption.value
    assert repr(panel.canvas.to_dict()) == drawn
    assert panel.copy.text == code
    assert panel.state == state
    assert {name: control.value for name, control in panel.controls.items()} == controls
    return panel.caption.value


def setting(panel: Any, name: str, value: Any) -> Callable[[], None]:
    return lambda: setattr(panel.controls[name], "value", value)


def finish(panel: Any) -> str:
    """Wait for what runs in the background; what it then says."""
    assert panel.background.thread is not None
    panel.background.thread.join(60)
    return panel.background.words.value
