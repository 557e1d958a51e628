"""The selective scan and its small companion, the causal convolution: one operator, four engines, one signature.

    from vmamba_kernels import selective_scan, causal_conv1d, bidirectional_scan, engines

`reference` is the recurrence as it is written on paper, `associative` the same as a tree, `numba` the fast one on a CPU
and `triton` the fast one on a GPU. `backend="auto"` takes the fastest that can run where the tensors are.
"""

from vmamba_kernels.engines import Engine, engines
from vmamba_kernels.interface import bidirectional_scan, causal_conv1d, selective_scan

__all__ = ["Engine", "bidirectional_scan", "causal_conv1d", "engines", "selective_scan"]
