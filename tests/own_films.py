"""What tests of panels that read a reader's own video share: films, uploads, a tiny model, what happens to a panel."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
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


def uploaded(name: str, content: bytes) -> tuple[dict[str, Any], ...]:
    """What the upload button holds when a reader has chosen a file."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return ({"name": name, "type": "video/mp4", "size": len(content), "content": content, "last_modified": now},)


def kept(panel: Any) -> list[Path]:
    """The uploaded files that a panel has on disk."""
    return [path for path in Path(panel.upload.name).rglob("*") if path.is_file()]


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
