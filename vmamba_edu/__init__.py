"""vmamba-edu: how state-space models came to understand video, as a course and as a library.

    import vmamba_edu

    model = vmamba_edu.create_model("videomamba_tiny", num_frames=8)

Names are imported when they are first used, so that this import itself stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmamba_edu.models import create_model, list_models

__all__ = ["create_model", "list_models"]

_HOME = {"create_model": "vmamba_edu.models", "list_models": "vmamba_edu.models"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
