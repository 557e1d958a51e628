"""The last step of a gradient that is a sum over channels: what the teams found, added up.

The order is fixed, so the sum is the same to the last bit whichever threads found its parts, and whichever add them.
"""

from vmamba_kernels.kernel_compilation import kernel, part
from vmamba_kernels.machine import flush_denormals, restore_denormals, take_number
from vmamba_kernels.thread_team import on_team
from vmamba_kernels.vector_memory import load, store

SLAB = 4096
"""Numbers that `add_teams` adds up as one item of work."""


@kernel
def add_teams(threads, thread, parts, lanes, items, counter):
    """Add parts[row, 1:] to parts[row, 0], in their order. parts: (rows, teams, numbers), contiguous."""
    on_team(adding_share, threads, thread, (parts, lanes, items, counter))


@part
def adding_share(thread, parts, lanes, items, counter):
    """What one thread does: take slabs until none is left."""
    mode = flush_denormals()
    slabs = -(-parts.shape[2] // SLAB)
    item = take_number(counter)
    while item < items:
        row, slab = divmod(item, slabs)
        start, end = slab * SLAB, min((slab + 1) * SLAB, parts.shape[2])
        whole = start + (end - start) // lanes * lanes
        for team in range(1, parts.shape[1]):
            for i in range(start, whole, lanes):
                store(parts, (row, 0, i), load(parts, (row, 0, i)) + load(parts, (row, team, i)))
            for i in range(whole, end):
                parts[row, 0, i] += parts[row, team, i]
        item = take_number(counter)
    restore_denormals(mode)
