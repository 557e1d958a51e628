"""The selective scan as Triton kernels: states in registers, never a (batch, dim, length, state) tensor in memory.

    h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t u_t        y_t = Σ_n C_t h_t + D u_t, times silu(z_t)

**How the work is laid out.** A *chunk* is a few tokens. A program owns BLOCK_D channels of one sequence and walks over
the chunks of its *segment*; inside a chunk it takes BLOCK_N states at a time and computes on tiles (time, channel,
state). Triton spreads such a tile over a warp from its last axis: four lanes share a channel, one state each, and **all
times of a channel stay in one thread**. So the recurrence is written as it stands on paper, a loop over time with one
fused multiply-add a step. A parallel scan along time (threads side by side along one channel, as in mamba-ssm's CUDA
kernel) has more programs to offer, but pays at every step with shuffles and with the extra products that make the
recurrence associative. The exponentials of a tile do not depend on each other and keep the special-function units, the
limit of this operator on an H100, busy while the additions wait for each other. Inputs are read along whichever of
their axes is contiguous and change layout through shared memory, once a chunk. Where batch and channels give too few
programs to fill the device, the sequence is cut into segments:

    scan_kernel    each segment from a zero state: the state at its end, and the sum of its Δ (its decay is exp(A ΣΔ))
    carry_kernel   walks over the segments: the state with which each of them starts
    scan_kernel    each segment again, from the right state: the outputs

**The gradient** is the same recurrence read backwards, G_t = exp(Δ_t A) (C_t ȳ_t + G_{t+1}); its carries come out of
the same launches. gradient_kernel recomputes the states of a chunk from the stored state before it. Sums over channels,
batch and segments go to small partial buffers, which reduce_kernel adds in a fixed order: no atomics, and the same
gradients at every run.

Chunks and segments are counted along memory; a reversed scan visits them, and the rows of a tile, from the end. Tokens
past the end have Δ = 0, which leaves a state as it is. Offsets are computed in 64 bits. Both directions of a block are
one launch: a kernel takes a tuple of argument sets, one for each step of the last axis of its grid.
"""

# mypy: disable-error-code="no-untyped-def"

import triton
import triton.language as tl

from vmamba_kernels.triton_tiles import (
    LOG2E,
    add_map,
    add_to,
    at_map,
    at_matrix,
    at_state,
    at_tile,
    each_state,
    load_map,
    load_state,
    load_steps,
    load_tile,
    place,
    put,
    rows,
    sigmoid,
    stack,
)


@triton.jit
def scan_walk(
    s, w, length, dim, span, OPTIONS: tl.constexpr, WHICH: tl.constexpr, GROUPS: tl.constexpr,
    BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Walk once over a segment of span tokens, and leave behind whatever w asks for."""
    SOFTPLUS: tl.constexpr = OPTIONS[WHICH][0]
    EXCLUDE_SELF: tl.constexpr = OPTIONS[WHICH][1]
    REVERSE: tl.constexpr = OPTIONS[WHICH][2]
    STATE: tl.constexpr = OPTIONS[WHICH][3]
    FIRST: tl.constexpr = BLOCK_L - 1 if REVERSE else 0  # the rows of a tile in reading order
    LAST: tl.constexpr = 0 if REVERSE else BLOCK_L - 1
    STRIDE: tl.constexpr = -1 if REVERSE else 1
    WORK: tl.constexpr = s.A.data.dtype.element_ty
    batch, _block, first, d, own = place(dim, GROUPS, BLOCK_D)
    segment = tl.program_id(1).to(tl.int64)
    chunks = tl.cdiv(tl.minimum(span, length - segment * span), BLOCK_L)
    elapsed = tl.zeros((BLOCK_D,), WORK)
    k = tl.full((), 0, tl.int32)
    while k < chunks:
        start = segment * span + (chunks - 1 - k if REVERSE else k) * BLOCK_L
        token = start + tl.arange(0, BLOCK_L)
        inside = (token < length)[:, None] & own[None, :]
        _before, delta = load_steps(s, batch, token, d, inside, SOFTPLUS, WORK)
        u = load_tile(s.u, batch, token, d, inside, WORK)
        x = each_state(delta * u, BLOCK_N)
        if w.heads.data is not None:
            grad = load_tile(w.grad_y, batch, token, d, inside, WORK)
            if s.z.data is not None:
                z = load_tile(s.z, batch, token, d, inside, WORK)
                grad *= z * sigmoid(z)
            grad = each_state(grad, BLOCK_N)
        y = tl.zeros((BLOCK_L, BLOCK_D, BLOCK_N), WORK)

        for n0 in tl.range(0, STATE, BLOCK_N, loop_unroll_factor=2):
            n = n0 + tl.arange(0, BLOCK_N)
            exists = own[:, None] & (n < STATE)[None, :]
            A = tl.load(at_matrix(s.A, d, n), exists, other=0.0) * LOG2E
            h = load_state(w.ends, batch, segment, d, n, exists, k > 0)
            if w.starts.data is not None:
                h += load_state(w.starts, batch, segment, d, n, exists, k == 0)
            if w.chunk_starts.data is not None:
                tl.store(at_state(w.chunk_starts, batch, start // BLOCK_L, d, n), h, exists)
            A_bar = rows(tl.exp2(A[None, :, :] * delta[:, :, None]))
            at_B = at_map(s.B, batch, first, start, d, n)
            at_C = at_map(s.C, batch, first, start, d, n)
            read = ()  # C_t h_t
            if w.heads.data is not None:
                decay = tl.exp2(A * elapsed[:, None])  # from the head of the segment to this chunk
                G = tl.zeros((BLOCK_D, BLOCK_N), WORK)
            for t in tl.static_range(FIRST, LAST + STRIDE, STRIDE):
                past = A_bar[t] * h
                h = past + load_map(s.B, at_B, t, length - start, n, exists, STATE, WORK) * x[t]
                if w.y.data is not None or w.heads.data is not None:
                    C = load_map(s.C, at_C, t, length - start, n, exists, STATE, WORK)
                if w.y.data is not None:
                    read = put(read, C * (past if EXCLUDE_SELF else h), REVERSE)
                if w.heads.data is not None:
                    decay *= A_bar[t]
                    G += decay * C * grad[t]
            if w.y.data is not None:
                y += stack(read, 0, BLOCK_L)
            if w.heads.data is not None:
                add_to(w.heads, batch, segment, d, n, exists, G, k > 0)
            tl.store(at_state(w.ends, batch, segment, d, n), h, exists)

        if w.y.data is not None:
            out = tl.sum(y, 2)
            if s.D.data is not None:
                out += tl.load(s.D.data + d[None, :] * s.D.channel, own[None, :], other=0.0) * u
            if s.z.data is not None:
                z = load_tile(s.z, batch, token, d, inside, WORK)
                out *= z * sigmoid(z)
            tl.store(at_tile(w.y, batch, token, d), out.to(w.y.data.dtype.element_ty), inside)
        elapsed += tl.sum(delta, 0)
        k += 1
        tl.debug_barrier()  # the next chunk reads states that other threads may have stored
    if w.steps.data is not None:
        tl.store(w.steps.data + batch * w.steps.batch + segment * w.steps.segment + d * w.steps.channel, elapsed, own)


@triton.jit(do_not_specialize=["tuning_key"])
def scan_kernel(
    scans, walks, length, dim, span, tuning_key, OPTIONS: tl.constexpr, GROUPS: tl.constexpr,
    BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Grid: (batch x channel blocks, segments, directions). OPTIONS of each: (softplus, exclude_self, reverse, state).

    tuning_key serves the tuner alone."""
    for i in tl.static_range(len(OPTIONS)):
        if tl.program_id(2) == i:
            scan_walk(scans[i], walks[i], length, dim, span, OPTIONS, i, GROUPS, BLOCK_L, BLOCK_D, BLOCK_N)


@triton.jit
def carry_walk(
    c, segments, dim, OPTIONS: tl.constexpr, WHICH: tl.constexpr,
    BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Turn what each segment makes of a zero state into the state with which it starts; the last goes to c.final."""
    DESCENDING: tl.constexpr = OPTIONS[WHICH][0]
    STATE: tl.constexpr = OPTIONS[WHICH][1]
    batch, _block, _first, d, own = place(dim, 1, BLOCK_D)
    n = tl.program_id(1) * BLOCK_N + tl.arange(0, BLOCK_N)
    exists = own[:, None] & (n < STATE)[None, :]
    A = tl.load(at_matrix(c.A, d, n), exists, other=0.0) * LOG2E
    h = tl.zeros((BLOCK_D, BLOCK_N), A.dtype)
    if c.initial.data is not None:
        h += load_state(c.initial, batch, 0, d, n, exists, True)
    k = tl.full((), 0, tl.int32)
    while k < segments:
        order = k + tl.arange(0, BLOCK_L).to(tl.int64)
        segment = segments - 1 - order if DESCENDING else order
        valid = order < segments
        steps = c.steps.data + batch * c.steps.batch + segment[:, None] * c.steps.segment + d[None, :] * c.steps.channel
        step = tl.load(steps, valid[:, None] & own[None, :], other=0.0)
        decay = rows(tl.exp2(A[None, :, :] * step[:, :, None]))
        states = at_state(c.states, batch, 0, d, n)[None, :, :] + segment[:, None, None] * c.states.segment
        mask = valid[:, None, None] & exists[None, :, :]
        made = rows(tl.load(states, mask, other=0.0))
        starts = ()
        for i in tl.static_range(BLOCK_L):
            starts = put(starts, h, False)
            h = decay[i] * h + made[i]
        tl.store(states, stack(starts, 0, BLOCK_L), mask)
        k += BLOCK_L
    tl.store(at_state(c.final, batch, 0, d, n), h, exists)


@triton.jit
def carry_kernel(
    carries, segments, dim, OPTIONS: tl.constexpr, BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr
):
    """Grid: (batch x channel blocks, state blocks, carries); OPTIONS: (descending, state) of each."""
    for i in tl.static_range(len(OPTIONS)):
        if tl.program_id(2) == i:
            carry_walk(carries[i], segments, dim, OPTIONS, i, BLOCK_L, BLOCK_D, BLOCK_N)


@triton.jit
def gradient_walk(
    s, g, length, dim, span, OPTIONS: tl.constexpr, WHICH: tl.constexpr, GROUPS: tl.constexpr,
    BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Walk over a segment against the reading direction: gradients of its tokens, partial sums of what they share."""
    SOFTPLUS: tl.constexpr = OPTIONS[WHICH][0]
    EXCLUDE_SELF: tl.constexpr = OPTIONS[WHICH][1]
    REVERSE: tl.constexpr = OPTIONS[WHICH][2]
    STATE: tl.constexpr = OPTIONS[WHICH][3]
    FIRST: tl.constexpr = BLOCK_L - 1 if REVERSE else 0
    LAST: tl.constexpr = 0 if REVERSE else BLOCK_L - 1
    STRIDE: tl.constexpr = -1 if REVERSE else 1
    WORK: tl.constexpr = s.A.data.dtype.element_ty
    batch, block, first, d, own = place(dim, GROUPS, BLOCK_D)
    segment = tl.program_id(1).to(tl.int64)
    chunks = tl.cdiv(tl.minimum(span, length - segment * span), BLOCK_L)
    grad_D = tl.zeros((BLOCK_D,), WORK)
    grad_bias = tl.zeros((BLOCK_D,), WORK)
    k = tl.full((), 0, tl.int32)
    while k < chunks:
        start = segment * span + (k if REVERSE else chunks - 1 - k) * BLOCK_L
        token = start + tl.arange(0, BLOCK_L)
        inside = (token < length)[:, None] & own[None, :]
        before, delta = load_steps(s, batch, token, d, inside, SOFTPLUS, WORK)
        grad_out = load_tile(g.grad_y, batch, token, d, inside, WORK)
        if s.z.data is not None:
            z = load_tile(s.z, batch, token, d, inside, WORK)
            grad_out *= z * sigmoid(z)
        step = each_state(delta, BLOCK_N)
        x = each_state(delta * load_tile(s.u, batch, token, d, inside, WORK), BLOCK_N)
        grad = each_state(grad_out, BLOCK_N)
        y = tl.zeros((BLOCK_L, BLOCK_D, BLOCK_N), WORK)
        grad_x = tl.zeros((BLOCK_L, BLOCK_D, BLOCK_N), WORK)
        grad_step = tl.zeros((BLOCK_L, BLOCK_D, BLOCK_N), WORK)

        for n0 in tl.range(0, STATE, BLOCK_N, loop_unroll_factor=2):
            n = n0 + tl.arange(0, BLOCK_N)
            exists = own[:, None] & (n < STATE)[None, :]
            A = tl.load(at_matrix(s.A, d, n), exists, other=0.0)
            A_bar = rows(tl.exp2((A * LOG2E)[None, :, :] * delta[:, :, None]))

            at_B = at_map(s.B, batch, first, start, d, n)
            at_C = at_map(s.C, batch, first, start, d, n)
            h = load_state(g.chunk_starts, batch, start // BLOCK_L, d, n, exists, True)
            pasts = ()  # Ā_t h_{t-1}
            reads = ()  # C_t h_t
            grads_C = ()
            for t in tl.static_range(FIRST, LAST + STRIDE, STRIDE):
                past = A_bar[t] * h
                h = past + load_map(s.B, at_B, t, length - start, n, exists, STATE, WORK) * x[t]
                seen = past if EXCLUDE_SELF else h
                pasts = put(pasts, past, REVERSE)
                grads_C = put(grads_C, grad[t] * seen, REVERSE)
                if s.z.data is not None:
                    C = load_map(s.C, at_C, t, length - start, n, exists, STATE, WORK)
                    reads = put(reads, C * seen, REVERSE)

            G = load_state(g.heads, batch, segment, d, n, exists, k > 0)
            if g.incoming.data is not None:
                G += load_state(g.incoming, batch, segment, d, n, exists, k == 0)
            grad_A = tl.zeros((BLOCK_D, BLOCK_N), WORK)
            grads_B = ()
            grads_x = ()
            grads_step = ()
            for t in tl.static_range(LAST, FIRST - STRIDE, -STRIDE):
                behind = G
                grad_h = load_map(s.C, at_C, t, length - start, n, exists, STATE, WORK) * grad[t] + behind
                own_term = behind if EXCLUDE_SELF else grad_h  # the gradient of B_t x_t
                G = A_bar[t] * grad_h
                decayed = grad_h * pasts[t]
                grad_A += decayed * step[t]
                grads_step = put(grads_step, decayed * A, not REVERSE)
                grads_B = put(grads_B, own_term * x[t], not REVERSE)
                B = load_map(s.B, at_B, t, length - start, n, exists, STATE, WORK)
                grads_x = put(grads_x, own_term * B, not REVERSE)

            tl.store(at_state(g.heads, batch, segment, d, n), G, exists)
            add_to(g.A, batch, segment, d, n, exists, grad_A, k > 0)
            add_map(g.B, batch, block, segment, token, length, d, n, exists, grads_B, k > 0, STATE, BLOCK_L)
            add_map(g.C, batch, block, segment, token, length, d, n, exists, grads_C, k > 0, STATE, BLOCK_L)
            grad_x += stack(grads_x, 0, BLOCK_L)
            grad_step += stack(grads_step, 0, BLOCK_L)
            if s.z.data is not None:
                y += stack(reads, 0, BLOCK_L)

        u = load_tile(s.u, batch, token, d, inside, WORK)  # read again, rather than kept in registers all the while
        sum_x = tl.sum(grad_x, 2)
        grad_u = sum_x * delta
        grad_delta = sum_x * u + tl.sum(grad_step, 2)
        if SOFTPLUS:
            grad_delta *= tl.where(before > 20, 1.0, sigmoid(before))
        grad_delta = tl.where(inside, grad_delta, 0.0)
        if s.delta_bias.data is not None:
            grad_bias += tl.sum(grad_delta, 0)
        if s.D.data is not None:
            grad_D += tl.sum(grad_out * u, 0)
            D = tl.load(s.D.data + d[None, :] * s.D.channel, own[None, :], other=0.0)
            grad_u += D * grad_out
        if s.z.data is not None:
            out = tl.sum(y, 2)
            if s.D.data is not None:
                out += D * u
            z = load_tile(s.z, batch, token, d, inside, WORK)
            gate = sigmoid(z)
            grad_z = load_tile(g.grad_y, batch, token, d, inside, WORK) * out * gate * (1 + z * (1 - gate))
            tl.store(at_tile(g.z, batch, token, d), grad_z.to(g.z.data.dtype.element_ty), inside)
        tl.store(at_tile(g.u, batch, token, d), grad_u.to(g.u.data.dtype.element_ty), inside)
        tl.store(at_tile(g.delta, batch, token, d), grad_delta.to(g.delta.data.dtype.element_ty), inside)
        k += 1
        tl.debug_barrier()  # the next chunk reads what other threads may have stored
    if s.D.data is not None:
        tl.store(g.D.data + batch * g.D.batch + segment * g.D.segment + d * g.D.channel, grad_D, own)
    if s.delta_bias.data is not None:
        bias = g.delta_bias
        tl.store(bias.data + batch * bias.batch + segment * bias.segment + d * bias.channel, grad_bias, own)


@triton.jit
def gradient_kernel(
    scans, gradients, length, dim, span, OPTIONS: tl.constexpr, GROUPS: tl.constexpr,
    BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Grid and OPTIONS as of scan_kernel."""
    for i in tl.static_range(len(OPTIONS)):
        if tl.program_id(2) == i:
            gradient_walk(scans[i], gradients[i], length, dim, span, OPTIONS, i, GROUPS, BLOCK_L, BLOCK_D, BLOCK_N)
