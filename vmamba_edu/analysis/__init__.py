"""Looking inside a model: what its scans hold and do."""

from vmamba_edu.analysis.hidden_state import block_scan_arguments, hidden_states, states_of

__all__ = ["block_scan_arguments", "hidden_states", "states_of"]
