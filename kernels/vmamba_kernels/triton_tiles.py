"""The words in which the Triton kernels are written: tensors as they see them, tiles, and a few exact functions."""

# mypy: disable-error-code="no-untyped-def"

from typing import Any, NamedTuple

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)  # exp(x) = 2 ** (x log2 e): the hardware's exponential has base 2
LOG2E_REST = tl.constexpr(1.925963033500e-08)  # what float32 rounds off it
LN2 = tl.constexpr(0.6931471805599453)


class View(NamedTuple):
    """A tensor as a kernel sees it: its data and the stride of each axis it has. Without a tensor all are None."""

    data: Any = None
    batch: Any = None
    group: Any = None
    segment: Any = None
    channel: Any = None
    state: Any = None
    time: Any = None
    members: Any = None  # channels in a group


class Scan(NamedTuple):
    """What one direction reads. B and C have time (batch and group too) or channel, never both."""

    u: View
    delta: View
    A: View
    B: View
    C: View
    D: View
    z: View
    delta_bias: View


class Walk(NamedTuple):
    """What one walk over the segments reads and writes besides; what is absent is neither computed nor stored."""

    starts: View = View()  # in: the state before each segment (zero if absent)
    ends: View = View()  # out: the state after each segment
    y: View = View()  # out
    chunk_starts: View = View()  # out: the state before each chunk
    steps: View = View()  # out: ΣΔ over each segment
    grad_y: View = View()  # in: needed for heads
    heads: View = View()  # out: G at the first token of each segment, were nothing to come from behind it


class Carry(NamedTuple):
    """A chain of segments."""

    A: View
    states: View  # in: what each segment makes of a zero state; out: the state with which it starts
    steps: View  # in: ΣΔ over each segment
    initial: View  # in: the state before the first (zero if absent)
    final: View  # out: the state after the last


class Gradient(NamedTuple):
    """What gradient_kernel reads (the first three) and writes."""

    grad_y: View
    chunk_starts: View
    incoming: View  # G from behind each segment (zero if absent)
    heads: View  # G at the first token of each segment
    u: View
    delta: View
    z: View
    A: View  # from here on partial sums: a row for each batch and segment,
    B: View  # or, of B and C that change along time, for each batch and channel block
    C: View
    D: View
    delta_bias: View


@triton.jit
def exp_of_negative(x):
    """exp(x) for x <= 0 to a bit or two: what x log2(e) loses in float32 when it is rounded is put back."""
    if x.dtype == tl.float64:
        return tl.exp(x)
    power = x * LOG2E
    rest = tl.fma(x, LOG2E, -power) + x * LOG2E_REST
    return tl.exp2(power) * (1 + LN2 * rest)


@triton.jit
def softplus(x):
    """log(1 + exp(x)); x itself above 20, as in torch. With w = exp(-|x|), log(1 + w) = 2 artanh(w / (2 + w)) by its
    series, which stays exact for a small w, where 1 + w would round it away."""
    TERMS: tl.constexpr = 17 if x.dtype == tl.float64 else 8
    w = exp_of_negative(-tl.abs(x))
    s = w / (2 + w)
    series = 0.0 * s
    for k in tl.static_range(TERMS, 0, -1):
        series = series * s * s + 1.0 / (2 * k - 1)
    return tl.where(x > 20, x, tl.maximum(x, 0.0) + 2 * s * series)


@triton.jit
def sigmoid(x):
    """1 / (1 + exp(-x)); exp may overflow to infinity, and its inverse is then the right 0."""
    return 1 / (1 + tl.exp(-x))


@triton.jit
def rows(tile):
    """The rows of a (time, channel, state) tile as a tuple. All of them are in the same thread: nothing is moved."""
    LENGTH: tl.constexpr = tile.shape[0]
    CHANNELS: tl.constexpr = tile.shape[1]
    STATES: tl.constexpr = tile.shape[2]
    if LENGTH == 1:
        result = (tl.reshape(tile, (CHANNELS, STATES)),)
    else:
        halves = tl.permute(tl.reshape(tile, (2, LENGTH // 2, CHANNELS, STATES)), (1, 2, 3, 0))
        first, second = tl.split(halves)
        result = rows(first) + rows(second)
    return result


@triton.jit
def stack(parts, FIRST: tl.constexpr, LENGTH: tl.constexpr):
    """The inverse of rows: LENGTH parts, from FIRST on, as one tile."""
    CHANNELS: tl.constexpr = parts[0].shape[0]
    STATES: tl.constexpr = parts[0].shape[1]
    if LENGTH == 1:
        tile = tl.reshape(parts[FIRST], (1, CHANNELS, STATES))
    else:
        halves = tl.join(stack(parts, FIRST, LENGTH // 2), stack(parts, FIRST + LENGTH // 2, LENGTH // 2))
        tile = tl.reshape(tl.permute(halves, (3, 0, 1, 2)), (LENGTH, CHANNELS, STATES))
    return tile


@triton.jit
def put(parts, part, REVERSE: tl.constexpr):
    """Rows that are computed in reading order, kept in memory order."""
    return (part,) + parts if REVERSE else parts + (part,)  # noqa: RUF005 (Triton has no starred expressions)


@triton.jit
def each_state(tile, BLOCK_N: tl.constexpr):
    """The rows of a (time, channel) tile, repeated for each state: (channel, state) each."""
    return rows(tl.broadcast_to(tile[:, :, None], (tile.shape[0], tile.shape[1], BLOCK_N)))


@triton.jit
def place(dim, GROUPS: tl.constexpr, BLOCK_D: tl.constexpr):
    """This program's sequence, channel block, first channel, channels, and which of these exist.

    No block straddles two groups."""
    members = dim // GROUPS
    blocks = tl.cdiv(members, BLOCK_D)
    block = tl.program_id(0) % (GROUPS * blocks)
    batch = (tl.program_id(0) // (GROUPS * blocks)).to(tl.int64)
    first = (block // blocks) * members + (block % blocks) * BLOCK_D
    d = first + tl.arange(0, BLOCK_D).to(tl.int64)
    return batch, block, first, d, d < (block // blocks + 1) * members


@triton.jit
def at_tile(v, batch, token, d):
    return v.data + batch * v.batch + token[:, None] * v.time + d[None, :] * v.channel


@triton.jit
def load_tile(v, batch, token, d, inside, WORK: tl.constexpr):
    return tl.load(at_tile(v, batch, token, d), inside, other=0.0).to(WORK)


@triton.jit
def load_steps(s, batch, token, d, inside, SOFTPLUS: tl.constexpr, WORK: tl.constexpr):
    """Δ before and after softplus, (time, channel); zero, which is an identity step, where there is no token."""
    before = load_tile(s.delta, batch, token, d, inside, WORK)
    if s.delta_bias.data is not None:
        bias = tl.load(s.delta_bias.data + d[None, :] * s.delta_bias.channel, inside, other=0.0)
        before += bias
    after = before
    if SOFTPLUS:
        after = softplus(before)
    return before, tl.where(inside, after, 0.0)


@triton.jit
def at_matrix(v, d, n):
    """Pointers (channel, state). Told that nothing is aligned, the compiler gives each lane one state, as in the tiles;
    wider accesses would change the layout, through shared memory, in the innermost loop."""
    return v.data + tl.multiple_of(d[:, None] * v.channel + n[None, :] * v.state, (1, 1))


@triton.jit
def at_state(v, batch, segment, d, n):
    offsets = batch * v.batch + segment * v.segment + d[:, None] * v.channel + n[None, :] * v.state
    return v.data + tl.multiple_of(offsets, (1, 1))


@triton.jit
def load_state(v, batch, segment, d, n, exists, when):
    return tl.where(when, tl.load(at_state(v, batch, segment, d, n), exists, other=0.0), 0.0)


@triton.jit
def at_map(v, batch, first, start, d, n):
    """Pointers to B or C at the first token of a chunk: (1, state), or (channel, state) if it has no time."""
    if v.time is None:
        return at_matrix(v, d, n)
    return v.data + batch * v.batch + (first // v.members) * v.group + start * v.time + n[None, :] * v.state


@triton.jit
def load_map(v, pointers, t: tl.constexpr, tokens, n, exists, STATE: tl.constexpr, WORK: tl.constexpr):
    """B or C at the t-th token of a chunk of so many tokens."""
    if v.time is None:
        return tl.load(pointers, exists, other=0.0).to(WORK)
    readable = tl.where(t < tokens, STATE, 0)
    return tl.load(pointers + t * tl.full((), v.time, tl.int64), (n < readable)[None, :], other=0.0).to(WORK)


@triton.jit
def add_to(v, batch, segment, d, n, exists, value, later):
    """Add value to this program's own row of partial sums; its first chunk finds the row empty."""
    value += load_state(v, batch, segment, d, n, exists, later)
    tl.store(at_state(v, batch, segment, d, n), value, exists)


@triton.jit
def add_map(
    v, batch, block, segment, token, length, d, n, exists, parts, later, STATE: tl.constexpr, BLOCK_L: tl.constexpr
):
    """The gradient of B or C: summed over the tokens if it does not change along time, over the channels if it does."""
    if v.time is None:
        total = parts[0]
        for t in tl.static_range(1, BLOCK_L):
            total += parts[t]
        add_to(v, batch, segment, d, n, exists, total, later)
    else:
        pointers = (
            v.data + batch * v.batch + block * v.group + token.to(tl.int64)[:, None] * v.time + n[None, :] * v.state
        )
        valid = (token < length)[:, None] & (n < STATE)[None, :]
        tl.store(pointers, tl.sum(stack(parts, 0, BLOCK_L), 1), valid)


@triton.jit
def reduce_kernel(partial, out, terms, size, columns, groups, BLOCK: tl.constexpr, TERMS: tl.constexpr):
    """out[batch, group, row, column] = Σ_k partial[batch, group, k, row, column], in the same order at every run.

    Grid: (batch x group, blocks of rows x columns). The rows of out are its axis time, the columns its axis state."""
    outer = tl.program_id(0).to(tl.int64)
    element = tl.program_id(1).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    exists = element < size
    total = tl.zeros((BLOCK,), partial.dtype.element_ty)
    k = 0
    while k < terms:
        term = k + tl.arange(0, TERMS)
        pointers = partial + (outer * terms + term)[:, None] * size + element[None, :]
        total += tl.sum(tl.load(pointers, (term < terms)[:, None] & exists[None, :], other=0.0), 0)
        k += TERMS
    row = out.data + (outer // groups) * out.batch + (outer % groups) * out.group
    offsets = (element // columns) * out.time + (element % columns) * out.state
    tl.store(row + offsets, total.to(out.data.dtype.element_ty), exists)
