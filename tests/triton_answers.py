"""Answers to the exercises of lesson 07 as Triton kernels: right where WRONG is empty, else with that mistake."""

# mypy: disable-error-code="no-untyped-def"

import triton
import triton.language as tl


@triton.jit
def tile_kernel(
    delta, bias, u, out, length, dim, BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr, WRONG: tl.constexpr = ""
):
    d = tl.program_id(0) * BLOCK_D + tl.arange(0, BLOCK_D)
    t = tl.program_id(1) * BLOCK_L + tl.arange(0, BLOCK_L)
    if WRONG == "the same tile":
        d = tl.arange(0, BLOCK_D)
    if WRONG == "the same tile" or WRONG == "first tokens":
        t = tl.arange(0, BLOCK_L)
    offsets = d[None, :] * length + t[:, None]
    if WRONG == "memory order":
        offsets = d[None, :] + t[:, None] * dim
    inside = (t < length)[:, None] & (d < dim)[None, :]
    if WRONG == "whole tiles":
        inside = (t < length // BLOCK_L * BLOCK_L)[:, None] & (d < dim // BLOCK_D * BLOCK_D)[None, :]
    step = tl.load(delta + offsets, inside, other=0.0)
    x = tl.load(u + offsets, inside, other=0.0)
    shift = tl.load(bias + d, d < dim, other=0.0)[None, :]
    result = tl.exp(step + shift) * x
    if WRONG == "no bias":
        result = tl.exp(step) * x
    if WRONG == "no u":
        result = tl.exp(step + shift)
    if WRONG == "bias late":
        result = (tl.exp(step) + shift) * x
    if WRONG == "no mask":
        tl.store(out + offsets, result)
    else:
        tl.store(out + offsets, result, inside)


@triton.jit
def scan_kernel(
    u, delta, A, B, C, y, length, dim, STATE: tl.constexpr, BLOCK_D: tl.constexpr, WRONG: tl.constexpr = ""
):
    d = tl.program_id(0) * BLOCK_D + tl.arange(0, BLOCK_D)
    if WRONG == "first channels":
        d = tl.arange(0, BLOCK_D)
    n = tl.arange(0, STATE)
    own = d < dim
    a = tl.load(A + d[:, None] * STATE + n[None, :], own[:, None], other=0.0)
    if WRONG == "sign":
        a = -a
    h = tl.zeros((BLOCK_D, STATE), a.dtype)
    for i in range(length):
        t = i
        if WRONG == "backwards":
            t = length - 1 - i
        if WRONG == "no memory":
            h = tl.zeros((BLOCK_D, STATE), a.dtype)
        step = tl.load(delta + d * length + t, own, other=0.0)
        x = tl.load(u + d * length + t, own, other=0.0)
        if WRONG != "no step":
            x = step * x
        decay = tl.exp(step[:, None] * a)
        if WRONG == "euler":
            decay = 1 + step[:, None] * a
        before = h
        h = decay * h + x[:, None] * tl.load(B + n * length + t)[None, :]
        seen = h
        if WRONG == "late":
            seen = before
        tl.store(y + d * length + t, tl.sum(seen * tl.load(C + n * length + t)[None, :], 1), own)


@triton.jit
def carry_kernel(decay, end, initial, starts, segments, dim, BLOCK_D: tl.constexpr, WRONG: tl.constexpr = ""):
    d = tl.program_id(0) * BLOCK_D + tl.arange(0, BLOCK_D)
    if WRONG == "first channels":
        d = tl.arange(0, BLOCK_D)
    own = d < dim
    h = tl.load(initial + d, own, other=0.0)
    if WRONG == "from zero":
        h = 0.0 * h
    for k in range(segments):
        fade = tl.load(decay + k * dim + d, own, other=0.0)
        if WRONG == "next decay":
            fade = tl.load(decay + tl.minimum(k + 1, segments - 1) * dim + d, own, other=0.0)
        if WRONG == "no fading":
            fade = 0.0 * fade + 1
        if WRONG == "ends alone":
            fade = 0.0 * fade
        if WRONG != "after":
            tl.store(starts + k * dim + d, h, own)
        h = fade * h + tl.load(end + k * dim + d, own, other=0.0)
        if WRONG == "after":
            tl.store(starts + k * dim + d, h, own)


@triton.jit
def join(a1, b1, a2, b2):
    return a1 * a2, a2 * b1 + b2


@triton.jit
def join_earlier_fades_later(a1, b1, a2, b2):
    return a1 * a2, a1 * b2 + b1


@triton.jit
def join_without_fading(a1, b1, a2, b2):
    return a1 * a2, b1 + b2


@triton.jit
def join_added_decays(a1, b1, a2, b2):
    return a1 + a2, a2 * b1 + b2


@triton.jit
def join_later_alone(a1, b1, a2, b2):
    return a1 * a2, b2


@triton.jit
def join_last_decay(a1, b1, a2, b2):
    return a2, a2 * b1 + b2


@triton.jit
def join_exchanged(a1, b1, a2, b2):
    return a2 * b1 + b2, a1 * a2


@triton.jit
def stub(a1, b1, a2, b2):
    raise NotImplementedError()


def undecorated(u, delta, A, B, C, y, length, dim, STATE: tl.constexpr, BLOCK_D: tl.constexpr):
    """What somebody writes who forgets the decorator."""


@triton.jit
def reads_beyond(delta, bias, u, out, length, dim, BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr):
    """Not masked: what lies beyond the last channel is added to what is stored."""
    d = tl.program_id(0) * BLOCK_D + tl.arange(0, BLOCK_D)
    t = tl.program_id(1) * BLOCK_L + tl.arange(0, BLOCK_L)
    shift = tl.sum(tl.load(bias + d), 0)
    inside = (t < length)[:, None] & (d < dim)[None, :]
    tl.store(out + d[None, :] * length + t[:, None], shift + tl.zeros((BLOCK_L, BLOCK_D), shift.dtype), inside)
