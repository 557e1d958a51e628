"""The interactive panels: `panels.scan_orders()` shows one; `panels.scan_orders.compute(...)` needs no browser."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vmamba_edu.panels.anatomy_panel import ModelAnatomy as model_anatomy
    from vmamba_edu.panels.attention_panel import ImpliedAttention as implied_attention
    from vmamba_edu.panels.contradiction_panel import ElementContradiction as contradiction
    from vmamba_edu.panels.decay_panel import StateDecay as state_decay
    from vmamba_edu.panels.discretisation_panel import Discretisation as discretisation
    from vmamba_edu.panels.kernel_panel import Kernel as kernel
    from vmamba_edu.panels.masks_panel import Masks as masks
    from vmamba_edu.panels.race_panel import EngineRace as engine_race
    from vmamba_edu.panels.retrieval_panel import Retrieval as retrieval
    from vmamba_edu.panels.scaling_panel import MemoryScaling as memory_scaling
    from vmamba_edu.panels.scan_orders_panel import ScanOrders as scan_orders
    from vmamba_edu.panels.scan_tree_panel import ScanTree as scan_tree
    from vmamba_edu.panels.tokeniser_panel import Tokeniser as tokeniser
    from vmamba_edu.panels.training_monitor_panel import TrainingMonitor as training_monitor
    from vmamba_edu.panels.your_video_panel import YourVideo as your_video

__all__ = [
    "contradiction",
    "discretisation",
    "engine_race",
    "implied_attention",
    "kernel",
    "masks",
    "memory_scaling",
    "model_anatomy",
    "retrieval",
    "scan_orders",
    "scan_tree",
    "state_decay",
    "tokeniser",
    "training_monitor",
    "your_video",
]

PANELS = {
    "contradiction": ("vmamba_edu.panels.contradiction_panel", "ElementContradiction"),
    "discretisation": ("vmamba_edu.panels.discretisation_panel", "Discretisation"),
    "engine_race": ("vmamba_edu.panels.race_panel", "EngineRace"),
    "implied_attention": ("vmamba_edu.panels.attention_panel", "ImpliedAttention"),
    "kernel": ("vmamba_edu.panels.kernel_panel", "Kernel"),
    "masks": ("vmamba_edu.panels.masks_panel", "Masks"),
    "memory_scaling": ("vmamba_edu.panels.scaling_panel", "MemoryScaling"),
    "model_anatomy": ("vmamba_edu.panels.anatomy_panel", "ModelAnatomy"),
    "retrieval": ("vmamba_edu.panels.retrieval_panel", "Retrieval"),
    "scan_orders": ("vmamba_edu.panels.scan_orders_panel", "ScanOrders"),
    "scan_tree": ("vmamba_edu.panels.scan_tree_panel", "ScanTree"),
    "state_decay": ("vmamba_edu.panels.decay_panel", "StateDecay"),
    "tokeniser": ("vmamba_edu.panels.tokeniser_panel", "Tokeniser"),
    "training_monitor": ("vmamba_edu.panels.training_monitor_panel", "TrainingMonitor"),
    "your_video": ("vmamba_edu.panels.your_video_panel", "YourVideo"),
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
