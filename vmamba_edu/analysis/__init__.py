"""Looking inside a model: what its scans hold and do.

The map of this room, one line a door:

    hidden_states         what a channel still holds of the tokens it has read (`hidden_state`)
    block_scan            one scan of one block on a clip: its u, Δ, A, B, C, D and z
    scan_matrix           a scan as the matrix that it multiplies its input by (`scan_as_matrix`)
    implied_attention     those matrices of a block; `attention_of` for any model (`attention_weights`)
    decay_of, Decay       how much of a token remains later, and half-lives in tokens (`decay`)
    contradiction_of      how one decay serves pairs that are alike and pairs that are not (`contradictions`)
    receptive_field       which frames and patches move an output (`gradient_field`)
    cost                  parameters, operations, memory, from closed formulas (`predicted_cost`)
    count_flops           the same counted while a model runs (`counted_cost`)
    measure               time and peak memory in a fresh process (`observed_cost`)

Of a bare scan rather than a model: what it has to move and compute (`scan_work`), what this machine can do of that
(`machine_rates`), every engine timed in a process of its own (`engine_runs`), what Triton compiles a kernel to
(`triton_assembly`), and what was measured on a GPU (`gpu_results`). What is timed or weighed runs in a `fresh_process`.
"""

from vmamba_edu.analysis.attention_weights import attention_of, implied_attention
from vmamba_edu.analysis.contradictions import Contradiction, contradiction, contradiction_of
from vmamba_edu.analysis.counted_cost import count_flops, count_saved_bytes
from vmamba_edu.analysis.decay import Decay, decay_of, decay_of_arguments
from vmamba_edu.analysis.gradient_field import receptive_field
from vmamba_edu.analysis.hidden_state import BlockScan, block_scan, block_scan_arguments, hidden_states, states_of
from vmamba_edu.analysis.observed_cost import Observed, measure, measure_all
from vmamba_edu.analysis.predicted_cost import Cost, cost
from vmamba_edu.analysis.scan_as_matrix import scan_matrix

__all__ = [
    "BlockScan",
    "Contradiction",
    "Cost",
    "Decay",
    "Observed",
    "attention_of",
    "block_scan",
    "block_scan_arguments",
    "contradiction",
    "contradiction_of",
    "cost",
    "count_flops",
    "count_saved_bytes",
    "decay_of",
    "decay_of_arguments",
    "hidden_states",
    "implied_attention",
    "measure",
    "measure_all",
    "receptive_field",
    "scan_matrix",
    "states_of",
]
