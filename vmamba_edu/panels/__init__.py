"""The interactive panels: `panels.scan_orders()` shows one; `panels.scan_orders.compute(...)` needs no browser."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmamba_edu.panels.decay_panel import StateDecay as state_decay
    from vmamba_edu.panels.discretisation_panel import Discretisation as discretisation
    from vmamba_edu.panels.scaling_panel import MemoryScaling as memory_scaling
    from vmamba_edu.panels.scan_order_theatre import ScanOrders as scan_orders

__all__ = ["discretisation", "memory_scaling", "scan_orders", "state_decay"]

PANELS = {
    "discretisation": ("vmamba_edu.panels.discretisation_panel", "Discretisation"),
    "memory_scaling": ("vmamba_edu.panels.scaling_panel", "MemoryScaling"),
    "scan_orders": ("vmamba_edu.panels.scan_order_theatre", "ScanOrders"),
    "state_decay": ("vmamba_edu.panels.decay_panel", "StateDecay"),
}


def __getattr__(name: str) -> Any:
    """Import a panel when it is asked for: the widgets it stands on are heavy, and not everyone has them."""
    if name not in PANELS:
        raise AttributeError(f"module {__name__!r} has no panel {name!r}; there are {', '.join(PANELS)}")
    from importlib import import_module

    module, panel = PANELS[name]
    try:
        return getattr(import_module(module), panel)
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("vmamba_edu"):
            raise
        raise ImportError(f"panels need {error.name}, which is not installed: pip install 'vmamba-edu[lab]'") from error
