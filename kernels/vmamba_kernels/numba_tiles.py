"""Tiles and blocks: the pieces of a tensor that a kernel holds in the cache while it works on them.

A tile is an array (tokens, LANES): row t is the vector of token t, for as many channels as a vector has lanes. Tensors
reach a tile in one of three ways, by how they lie in memory: channels next to each other are loaded as they are; tokens
next to each other are transposed in registers; anything else, and whatever is left over at an edge, goes number by
number, so that nothing outside the tensor is touched.

A packed block is an array (groups of states, STATES × LANES): what the states of as many channels hold.
"""

from vmamba_kernels.kernel_compilation import inlined_part, part
from vmamba_kernels.vector_intrinsics import STATES, constant
from vmamba_kernels.vector_memory import copy_transposed, load, load_block, prefetch, store


@part
def is_tile(tensor, channels, lanes):
    """Whether these channels are a whole block and lie next to each other: then the tensor holds a tile as it is."""
    return channels == lanes and tensor.strides[1] == tensor.itemsize


@part
def read_tile(tile, source, batch, channel, channels, start, steps):
    """tile[t, i] = source[batch, channel + i, start + t] for i < channels and t < steps; other lanes become 0."""
    lanes = tile.shape[1]
    whole = channels == lanes
    if is_tile(source, channels, lanes):
        for t in range(steps):
            store(tile, (t,), load(source, (batch, channel, start + t)))
        return
    t = 0
    if whole and source.strides[2] == source.itemsize:
        while t + lanes <= steps:
            copy_transposed(tile, (t,), tile.strides[0], source, (batch, channel, start + t), source.strides[1])
            t += lanes
    elif whole and source.strides[2] == -source.itemsize:  # read backwards: the last token lies first
        while t + lanes <= steps:
            last = t + lanes - 1
            copy_transposed(tile, (last,), -tile.strides[0], source, (batch, channel, start + last), source.strides[1])
            t += lanes
    for row in range(t, steps):
        for i in range(lanes):
            tile[row, i] = source[batch, channel + i, start + row] if i < channels else 0


@part
def write_tile(target, tile, batch, channel, channels, start, steps):
    """target[batch, channel + i, start + t] = tile[t, i] for i < channels and t < steps."""
    lanes = tile.shape[1]
    whole = channels == lanes
    if is_tile(target, channels, lanes):
        for t in range(steps):
            store(target, (batch, channel, start + t), load(tile, (t,)))
        return
    t = 0
    if whole and target.strides[2] == target.itemsize:
        while t + lanes <= steps:
            copy_transposed(target, (batch, channel, start + t), target.strides[1], tile, (t,), tile.strides[0])
            t += lanes
    elif whole and target.strides[2] == -target.itemsize:
        while t + lanes <= steps:
            last = t + lanes - 1
            copy_transposed(target, (batch, channel, start + last), target.strides[1], tile, (last,), -tile.strides[0])
            t += lanes
    for row in range(t, steps):
        for i in range(channels):
            target[batch, channel + i, start + row] = tile[row, i]


@part
def read_lanes(target, source, channel, channels, lanes):
    """target[i] = source[channel + i] for i < channels; other lanes become 0."""
    if channels == lanes and source.strides[0] == source.itemsize:
        store(target, (0,), load(source, (channel,)))
        return
    for i in range(lanes):
        target[i] = source[channel + i] if i < channels else 0


@part
def write_lanes(target, vector, channel, channels):
    """target[channel + i] = vector[i] for i < channels."""
    for i in range(channels):
        target[channel + i] = vector[i]


@part
def read_block(block, source, channel, channels):
    """block[s] holds source[channel + i, STATES s + n] in lane i of state n, and 0 where there is no such number."""
    lanes, states = block.shape[1] // STATES, source.shape[1]
    turned = whole_squares(channels, states, lanes) if source.strides[1] == source.itemsize else 0
    for n in range(0, turned, lanes):
        row = n // STATES, n % STATES * lanes
        copy_transposed(block, row, lanes * block.itemsize, source, (channel, n), source.strides[0])
    for n in range(turned, block.shape[0] * STATES):
        for i in range(lanes):
            inside = i < channels and n < states
            block[n // STATES, n % STATES * lanes + i] = source[channel + i, n] if inside else 0


@part
def write_block(target, block, channel, channels):
    """The inverse of read_block, for the channels and states that there are."""
    lanes, states = block.shape[1] // STATES, target.shape[1]
    turned = whole_squares(channels, states, lanes) if target.strides[1] == target.itemsize else 0
    for n in range(0, turned, lanes):
        row = n // STATES, n % STATES * lanes
        copy_transposed(target, (channel, n), target.strides[0], block, row, lanes * block.itemsize)
    for n in range(turned, states):
        for i in range(channels):
            target[channel + i, n] = block[n // STATES, n % STATES * lanes + i]


@part
def whole_squares(channels, states, lanes):
    """How many states of a block are transposed in registers: whole vectors of them, none if channels are missing."""
    return states // lanes * lanes if channels == lanes else 0


@part
def copy_block(target, source):
    """target = source, two packed blocks."""
    for s in range(source.shape[0]):
        store(target, (s,), load_block(source, (s,)))


@part
def clear_block(block):
    """Zeros in a packed block."""
    zero = constant(load_block(block, (0,)), 0.0, 0.0)
    for s in range(block.shape[0]):
        store(block, (s,), zero)


@inlined_part
def prefetch_token(piece, t):
    """Ask memory for token t of a piece of a tensor, given as (tensor, batch element, channel, token that t counts)."""
    prefetch(piece[0], (piece[1], piece[2], piece[3] + t))


@part
def prefetch_block(blocks, index):
    """Ask memory for one packed group of states."""
    lanes = blocks.shape[len(index)] // STATES
    for n in range(STATES):
        prefetch(blocks, (*index, n * lanes))
