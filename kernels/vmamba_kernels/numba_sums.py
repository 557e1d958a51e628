"""The last step of a gradient that is a sum over channels: what the teams found, added up.

The order is fixed, so the sum is the same to the last bit whichever threads found its parts, and whichever add them.
"""

from vmamba_kernels.kernel_arguments import arguments_at
from vmamba_kernels.kernel_compilation import kernel, part
from vmamba_kernels.machine import flush_denormals, restore_denormals, take_number
from vmamba_kernels.thread_team import on_team
from vmamba_kernels.vector_memory import load, store

SLAB = 4096
"""Numbers that `add_teams` adds up as one item of work."""


@kernel
def add_teams(threads, thread, places, layout):
    """Add neighbouring teams. See `on_team` for threads and thread; `arguments_at` knows what all threads are told."""
    on_team(adding_share, threads, thread, arguments_at(places, layout))


@part
def adding_share(thread, parts, terms, lanes, items, counter):
    """What one thread does: take slabs until none is left.

    It adds parts[m, b, i + 1 … i + terms[m] − 1] to parts[m, b, i], in their order, for every i that terms[m] divides.

    parts: (maps, batch, teams, numbers), contiguous: of every map the sums that the teams have found.
    terms: (maps,), how many neighbouring teams share a group of the map.
    """
    mode = flush_denormals()
    _, batch, teams, numbers = parts.shape
    slabs = -(-numbers // SLAB)
    item = take_number(counter)
    while item < items:
        m, place = divmod(item, batch * slabs)
        b, slab = divmod(place, slabs)
        start, end = slab * SLAB, min((slab + 1) * SLAB, numbers)
        whole = start + (end - start) // lanes * lanes
        for team in range(teams):
            first = team - team % terms[m]
            if team > first:
                for i in range(start, whole, lanes):
                    store(parts, (m, b, first, i), load(parts, (m, b, first, i)) + load(parts, (m, b, team, i)))
                for i in range(whole, end):
                    parts[m, b, first, i] += parts[m, b, team, i]
        item = take_number(counter)
    restore_denormals(mode)
