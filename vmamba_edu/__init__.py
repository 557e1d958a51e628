"""vmamba-edu: how state-space models came to understand video, as a course and as a library.

    import vmamba_edu

    model = vmamba_edu.create_model("videomamba_tiny", num_frames=8)

Names are imported when they are first used, so that this import itself stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmamba_edu.models import create_model, from_pretrained, list_models, list_pretrained, load_checkpoint

__all__ = ["create_model", "from_pretrained", "list_models", "list_pretrained", "load_checkpoint"]

_HOME = dict.fromkeys(__all__, "vmamba_edu.models")


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
