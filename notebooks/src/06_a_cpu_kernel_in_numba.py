# %% [markdown]
# # 06 · A CPU kernel in Numba
#
# A scan is a few lines. Between those lines and the kernel that runs inside VideoMamba lies a factor of thousands, and
# no new mathematics. This lesson climbs it, step by step, and measures each step on your machine.
#
# | | |
# |---|---|
# | **You will be able to** | say what limits an operator on your machine, fuse it, lay it out, vectorise it, and differentiate it without keeping what it computed |
# | **You need** | lesson 04: $\Delta$, $B$ and $C$ change from token to token; loops and arrays; no Numba |
# | **Minutes** | 60 |
# | **Hardware** | any laptop; no GPU, no network |

# %%
import math
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from einops import rearrange
from numba import njit
from vmamba_kernels import selective_scan
from vmamba_kernels.kernel_launch import lanes
from vmamba_kernels.vector_intrinsics import STATES, add_products, constant, fma, repeat
from vmamba_kernels.vector_math import (
    EXP2_SINGLE,
    MARKS_SINGLE,
    grown,
    growth_from,
    nearest_mark,
    place_of,
    rate_in_octaves,
)
from vmamba_kernels.vector_memory import load, load_block, spread, store

from vmamba_edu import checks, panels
from vmamba_edu.analysis import scan_work
from vmamba_edu.analysis.engine_runs import Job, run_all
from vmamba_edu.analysis.scan_work import Shape
from vmamba_edu.pictures import curves, ladder, show

# %% [markdown]
# ## The naive version
#
# The bare selective scan, for `dim` channels of `state` numbers each over `length` tokens:
#
# $$h_t = e^{\Delta_t A}\,h_{t-1} + \Delta_t B_t u_t, \qquad y_t = C_t\,h_t.$$
#
# With array operations one writes it as it stands: first all $\bar A$, then all that comes in, then a loop over the
# tokens, then all that is read out.


# %%
def array_scan(u, delta, A, B, C):
    """u, delta: (dim, length); A: (dim, state); B, C: (state, length) → y: (dim, length)."""
    A_bar = torch.exp(delta[:, None] * A[..., None])  # (dim, state, length)
    h = (delta * u)[:, None] * B  # (dim, state, length): what comes in, and soon all states
    for t in range(1, u.shape[1]):
        h[..., t] += A_bar[..., t] * h[..., t - 1]
    return (C * h).sum(1)


shape = Shape(dim=384, length=512, state=16)  # the scan of a VideoMamba-Ti, over 512 tokens
given = {name: x[0] if x.dim() == 3 else x for name, x in scan_work.draw_scan(shape).items()}
y = array_scan(**given)
torch.testing.assert_close(y, scan_work.naive_scan(**given))  # the library's naive version is this one
torch.testing.assert_close(y, selective_scan(**scan_work.draw_scan(shape))[0], rtol=1e-4, atol=1e-5)

# %% [markdown]
# **Predict.** `A_bar` is one of three such tensors. How many times as large as `u` is it?

# %%
times_as_large = 3

# %%
ratio = shape.updates / shape.tokens
print("A_bar:", checks.compared(times_as_large, ratio))
frames = Shape(dim=384, length=64 * 196)  # 64 frames of 224 × 224
print(f"for 64 frames, one of these tensors in one of 24 blocks: {4 * frames.updates / 2**20:.0f} MiB")

# %% [markdown]
# ## What a machine can do
#
# Before making something faster one should know how fast it can become. A processor does two things at the same time:
# it moves bytes, and it computes. Each has a limit, and the slower of the two decides. That is a *roofline*.
#
# We count what a scan cannot do without. For each update of a state: one exponential, and three multiply-adds ($\Delta
# u$ times $B$, $\bar A$ times $h$, $C$ times $h$). For the bytes: read $u$, $\Delta$, $B$ and $C$ once, write $y$ once.
# And we ask your machine what it can do of each.

# %%
work, naive = scan_work.fused_work(shape), scan_work.naive_work(shape)
machine = scan_work.measure_machine(work.moved)  # small things are copied faster: they stay in a cache
print(f"{machine.name}: {machine.bytes / 1e9:.0f} GB/s, {machine.multiply_adds / 1e9:.0f} G multiply-adds/s,")
print(f"    {machine.exponentials / 1e9:.1f} G exponentials/s")
for name, one in (("naive", naive), ("fused", work)):
    print(
        f"{name}: {one.moved / 2**20:6.1f} MiB, at best {1e3 * scan_work.memory_seconds(one, machine):.3f} ms;"
        f" arithmetic, at best {1e3 * scan_work.arithmetic_seconds(one, machine):.3f} ms"
    )
floor = 1e3 * scan_work.floor_seconds(work, machine)

# %% [markdown]
# **Predict.** What will limit a scan that never writes $\bar A$ and $h$ to memory?
#
# - a) the bytes it moves
# - b) its exponentials
# - c) its multiply-adds

# %%
my_choice = "a"
checks.limited_by(my_choice)

# %% [markdown]
# ## Step 1: a loop, and a compiler
#
# The same three passes, number by number. Python needs about a microsecond for each operation, so we let it do four
# tokens and multiply. *Numba* reads the same function, works out the types, and compiles it to machine code: `@njit` is
# all.


# %%
@njit
def loops(u, delta, A, B, C):
    (dim, length), state = u.shape, A.shape[1]
    A_bar, h, y = np.empty((dim, state, length), u.dtype), np.empty((dim, state, length), u.dtype), np.zeros_like(u)
    for d in range(dim):
        for n in range(state):
            for t in range(length):
                A_bar[d, n, t] = math.exp(delta[d, t] * A[d, n])
                h[d, n, t] = delta[d, t] * u[d, t] * B[n, t]
    for d in range(dim):
        for n in range(state):
            for t in range(length):
                h[d, n, t] += A_bar[d, n, t] * h[d, n, t - 1] if t > 0 else 0.0
                y[d, t] += C[n, t] * h[d, n, t]
    return y


# %%
def milliseconds(function, *arguments, calls=7):
    taken = []
    for _ in range(calls):
        start = time.perf_counter()
        function(*arguments)
        taken.append(time.perf_counter() - start)
    return min(taken) * 1e3  # whatever else the machine does can only add to it


arrays = [np.ascontiguousarray(x.numpy()) for x in given.values()]  # a row for each channel or state, as on paper
few = [x[:, :4] if x.shape[1] == shape.length else x for x in arrays]
steps = {"loops in Python": milliseconds(loops.py_func, *few, calls=1) * shape.length / 4}
steps["array operations"] = milliseconds(lambda: array_scan(**given), calls=3)
np.testing.assert_allclose(loops(*arrays), y, rtol=1e-4, atol=1e-5)
steps["compiled loops"] = milliseconds(loops, *arrays)
print("\n".join(f"{name}: {ms:.3g} ms" for name, ms in steps.items()))

# %% [markdown]
# ## Step 2: fusion
#
# Compiled, but still it writes two large tensors and reads them again. Nobody needs them: $\bar A_t$ is used once, and
# of all states only the present one. If one loop does everything for a token before it goes on to the next, the state
# of a channel is `state` numbers, and they stay in registers or next to them.
#
# **Check 1.** (easy, 8 minutes) Write `fused_scan(u, delta, A, B, C)` for arrays shaped as above, with three loops and
# no array of (dim, state, length). Write it for Numba: plain loops, `math.exp`, `np.zeros`.
#
# <details><summary>Hint 1</summary>
#
# Channels outside, then tokens, then states. Each channel has `h = np.zeros(A.shape[1], u.dtype)`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Innermost: first `h[n] = ...`, then `y[d, t] += C[n, t] * h[n]`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "fused-scan", "locked": false, "schema_version": 3, "solution": true, "task": false}
def fused_scan(u, delta, A, B, C):
    """u, delta: (dim, length); A: (dim, state); B, C: (state, length) → y: (dim, length)."""
    ### BEGIN SOLUTION
    y = np.zeros_like(u)
    for d in range(u.shape[0]):
        h = np.zeros(A.shape[1], u.dtype)
        for t in range(u.shape[1]):
            for n in range(A.shape[1]):
                h[n] = math.exp(delta[d, t] * A[d, n]) * h[n] + delta[d, t] * u[d, t] * B[n, t]
                y[d, t] += C[n, t] * h[n]
    return y
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "fused-scan-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.fused_scan(fused_scan)

# %%
fused = njit(fused_scan)
np.testing.assert_allclose(fused(*arrays), y, rtol=1e-4, atol=1e-5)
steps["fused"] = milliseconds(fused, *arrays)
print(f"fused: {steps['fused']:.3g} ms, from {steps['compiled loops']:.3g} ms")

# %% [markdown]
# Perhaps you hoped for more. The traffic is gone, but now the arithmetic is in the way: one exponential after the
# other, each a call of a function, each for a single number.
#
# ## Step 3: layout
#
# A processor's vector registers hold 4, 8 or 16 numbers, and one instruction treats them all. To fill them at one
# stroke, the numbers must lie side by side in memory, and must not wait for each other.
#
# **Predict.** Which index should run innermost, so that its numbers fill a vector?
#
# - a) the tokens
# - b) the states
# - c) the channels

# %%
my_choice = "b"
checks.innermost(my_choice)


# %%
@njit
def channels_inside(u, delta, A, B, C):
    """u, delta: (length, dim); A: (state, dim); B, C: (length, state) → y: (length, dim)."""
    y, h = np.zeros_like(u), np.zeros_like(A)
    for t in range(u.shape[0]):
        for n in range(A.shape[0]):
            for d in range(u.shape[1]):
                h[n, d] = math.exp(delta[t, d] * A[n, d]) * h[n, d] + delta[t, d] * u[t, d] * B[t, n]
                y[t, d] += C[t, n] * h[n, d]
    return y


turned = [np.ascontiguousarray(x.T) for x in arrays]
np.testing.assert_allclose(channels_inside(*turned).T, y, rtol=1e-4, atol=1e-5)
steps["channels inside"] = milliseconds(channels_inside, *turned)
print(f"channels inside: {steps['channels inside']:.3g} ms")

# %% [markdown]
# Layout by itself buys little. It is a permission: everything in the inner loop could now be done sixteen at a time,
# but for one thing. `math.exp` takes a single number, and there is no instruction for an exponential.
#
# ## Step 4: an exponential of our own
#
# Any power of two splits into a whole part and a rest:
#
# $$e^{x} = 2^{p},\quad p = x\log_2 e, \qquad 2^{p} = 2^{k}\,2^{r}, \quad k = \text{the whole number nearest to } p, \quad |r| \le \tfrac12 .$$
#
# $2^k$ is only an exponent, which a computer writes into a number's bits. And on the short interval $|r| \le \frac12$ a
# polynomial of low degree is as good as $2^r$. We keep it without its 1,
#
# $$w = 2^{r} - 1 = r\,(c_0 + c_1 r + c_2 r^2 + \dots),$$
#
# for a reason that you will see. Evaluated from the inside out, $c_0 + r\,(c_1 + r\,(c_2 + \dots))$, each coefficient
# costs one multiply-add (Horner's rule).
#
# **Check 2.** (medium, 10 minutes) Write `exp2_parts(p, c)`: for an array `p` and coefficients `c` it returns $k$ and
# $w$.
#
# <details><summary>Hint 1</summary>
#
# `np.rint` rounds to the nearest whole number.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Start with the last coefficient; for each one before it: `result = coefficient + r * result`. And do not forget the
# factor in front.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "exp2-parts", "locked": false, "schema_version": 3, "solution": true, "task": false}
def exp2_parts(p, c):
    """(numbers,) powers and (degree,) coefficients → k and w, (numbers,) each, with 2**p = 2**k (1 + w)."""
    ### BEGIN SOLUTION
    k = np.rint(p)
    r = p - k
    result = c[-1]
    for coefficient in c[-2::-1]:
        result = coefficient + r * result
    return k, r * result
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "exp2-parts-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.exp2_parts(exp2_parts)

# %% [markdown]
# How many coefficients? For $e^{\Delta a}$ between 1 and $e^{-8}$, in double precision, so that only the polynomial
# errs:

# %%
p = np.linspace(-8, 0, 100_001) * math.log2(math.e)
for used in (2, 3, 4, 5, 6):
    nodes = np.cos(np.pi * (np.arange(64) + 0.5) / 64) / 2  # where polynomials are best fitted
    c = np.polynomial.polynomial.polyfit(nodes, np.expm1(nodes * math.log(2)) / nodes, used - 1)
    k, w = exp2_parts(p, c)
    print(f"{used} coefficients: relative error {np.abs(np.ldexp(1 + w, k.astype(int)) / np.exp2(p) - 1).max():.1e}")
k, w = exp2_parts(p, np.array(EXP2_SINGLE[1]))
print(f"the library's {len(EXP2_SINGLE[1])}: {np.abs(np.ldexp(1 + w, k.astype(int)) / np.exp2(p) - 1).max():.1e}")

# %% [markdown]
# The shorter the way, the shorter the polynomial. Between two whole numbers, put sixteen marks on the line. Let $m$ be
# the mark nearest to $p$, and $r$ what is left of $p$ there: then $|r| \le \frac1{32}$, and $2^p = 2^m (1 + w)$ as
# before. Of $2^m$ one has to know sixteen numbers, those between 1 and 2; the rest are whole powers of two. A table of
# sixteen numbers is one register of a processor with AVX-512, and one instruction looks them up in it.


# %%
def exp2_parts_by_marks(p, marks):
    """(numbers,) powers → m and w, (numbers,) each, with 2**p = 2**m (1 + w) and so many marks an octave."""
    m = np.rint(p * marks) / marks
    return m, exp2_parts(p - m, np.array(EXP2_SINGLE[marks]))[1]


for marks in EXP2_SINGLE:
    m, w = exp2_parts_by_marks(p, marks)
    error = np.abs(np.exp2(m) * (1 + w) / np.exp2(p) - 1).max()
    here = ", as on this machine" if marks == MARKS_SINGLE else ""
    print(f"{marks} to an octave, {len(EXP2_SINGLE[marks])} coefficients: relative error {error:.1e}{here}")

# %% [markdown]
# Single precision itself rounds at 6e-8. Would five coefficients instead of six not do, with an error of about 1e-7, or
# four with 4e-6?
#
# **Predict.** An exponential is off by 6e-7, always upwards. A state with $\Delta |a| = 0.001$ takes in a constant
# input. After 1500 tokens it is off by
#
# - a) 6e-7: the error of one exponential
# - b) 1500 times as much
# - c) several hundred times as much

# %%
my_choice = "a"
checks.small_bias(my_choice)

# %% [markdown]
# And single precision commits that very crime. $e^{-0.001} = 0.9990\dots$ is *rounded* to single precision, the same
# way at each step. What a long memory needs is $1 - \bar A$, and of that the rounding spoils the fifth digit. So the
# kernel never writes $\bar A$ down. It keeps $m$ and $w$, and $\bar A h = s + s w$ with $s = 2^m h$: for a long memory
# $m = 0$, and $w = \bar A - 1$ has all its digits.
#
# This is the library's own, in the words of its kernels. `load` fetches a vector from memory, `nearest_mark` finds $m$,
# in a form that tables can be read with, `place_of` is $m$ itself, and `growth_from` is $w$.


# %%
LANES = lanes(torch.float32)  # numbers in a vector of this machine


@njit
def decay_parts(step, a, m, w):
    """exp(step a) = 2**m (1 + w), one vector after the other."""
    rate, tail = rate_in_octaves(load(a, (0,)))  # a log2(e), and what float32 rounds off it
    for i in range(0, step.shape[0], LANES):
        mark = nearest_mark(load(step, (i,)), rate)
        store(m, (i,), place_of(mark))
        store(w, (i,), growth_from(mark, load(step, (i,)), rate, tail))


step = np.logspace(-6, 1, 4096, dtype=np.float32)
m, w = np.empty_like(step), np.empty_like(step)
decay_parts(step, np.full(LANES, -1, np.float32), m, w)
nothing = np.zeros(LANES, np.float32)
decay_parts(nothing, np.full(LANES, -1, np.float32), m_0 := nothing + 1, w_0 := nothing + 1)
print(f"at Δ = 0: m = {m_0[0]:.0f}, w = {abs(w_0[0]):.0f}, so exactly 1")

# %%
exact = np.expm1(-step.astype(float))  # Ā - 1, in double precision
rounded = np.exp(-step.astype(float)).astype(np.float32).astype(float) - 1
power = np.exp2(m.astype(float)).astype(np.float32).astype(float)  # from a table in float32
parts = (power - 1) + power * w
errors = {name: np.abs(one / exact - 1) for name, one in (("Ā in float32", rounded), ("m and w", parts))}
worst = {name: torch.from_numpy(error.reshape(-1, 8).max(1) + 1e-9) for name, error in errors.items()}  # of eight each
show(
    curves(torch.from_numpy(step[::8].copy()), worst, xlabel="Δ |a|", ylabel="relative error of 1 - Ā", log="xy"),
    alt="Relative error of 1 - Ā against Δ|a|, both logarithmic. If Ā is rounded to single precision it grows as Δ|a| falls, "
    f"to {worst['Ā in float32'].max():.0e}; kept as m and w it stays at {worst['m and w'].max():.0e}.",
)

# %%
decays = {"off by 6e-7": math.exp(-1e-3) * (1 + 6e-7), "rounded to float32": float(np.float32(math.exp(-1e-3)))}
decays["m and w"] = 1 + float(w[np.abs(step - 1e-3).argmin()]) * 1e-3 / float(step[np.abs(step - 1e-3).argmin()])
tokens = torch.arange(2, 6002).double()


def constant_input(A_bar):  # the sum of all powers of A_bar so far
    return (1 - A_bar**tokens) / (1 - A_bar)


truth = constant_input(math.exp(-1e-3))
drift = {name: (constant_input(A_bar) / truth - 1).abs() for name, A_bar in decays.items()}
show(
    curves(tokens, drift, xlabel="tokens", ylabel="relative error of h", log="xy"),
    alt="The relative error of a long memory against the tokens read. "
    + "; ".join(f"{name}: {one[1498]:.0e} after 1500 tokens" for name, one in drift.items()),
)

# %% [markdown]
# With that, the scan. A *block* is one state of as many neighbouring channels as a vector has lanes, times a few
# states: independent chains, so that the processor need not wait for any of them. `repeat` gives each of these states
# the same vector, `spread` gives each its own number of $B_t$ or $C_t$, `add_products` is $y + \sum_n C_n h_n$.


# %%
@njit(nogil=True)  # other Python threads may run meanwhile
def vectors(u, delta, A, B, C, y, first, end):
    """Blocks of channels first ≤ k < end. u, delta, y: (length, dim); A packed by block; B, C: (length, state)."""
    for k in range(first, end):
        for s in range(A.shape[1]):
            rate, tail = rate_in_octaves(load_block(A, (k, s)))
            h = constant(rate, 0.0, 0.0)
            for t in range(u.shape[0]):
                step = load(delta, (t, k * LANES))
                x, step = repeat(step * load(u, (t, k * LANES))), repeat(step)
                mark = nearest_mark(step, rate)
                carried = grown(h, mark, growth_from(mark, step, rate, tail))  # exp(Δ A) h
                h = fma(x, spread(B, (t, s * STATES)), carried)
                old = load(y, (t, k * LANES))
                store(y, (t, k * LANES), add_products(old, h, spread(C, (t, s * STATES))))


# %%
packed = rearrange(arrays[2], "(k lane) (s n) -> k s (n lane)", lane=LANES, n=STATES).copy()
inputs, blocks = (turned[0], turned[1], packed, turned[3], turned[4]), shape.dim // LANES
vectors(*inputs, out := np.zeros_like(turned[0]), 0, blocks)
np.testing.assert_allclose(out.T, y, rtol=1e-4, atol=1e-5)
steps[f"vectors of {LANES}"] = milliseconds(vectors, *inputs, out, 0, blocks)
print(f"vectors: {steps[f'vectors of {LANES}']:.3g} ms, from {steps['channels inside']:.3g} ms")

# %% [markdown]
# That was the great leap.
#
# ## Step 5: threads
#
# Channels know nothing of each other, so each thread takes some blocks. Numba's code has let go of Python's lock
# (`nogil`), so ordinary Python threads do.

# %%
threads = torch.get_num_threads()
edges = np.linspace(0, blocks, threads + 1).astype(int).tolist()
with ThreadPoolExecutor(threads) as pool:

    def together():
        list(pool.map(lambda part: vectors(*inputs, out, *part), pairwise(edges)))

    steps[f"{threads} threads"] = milliseconds(together, calls=20)

# %% [markdown]
# ## The shipped kernel
#
# What `vmamba_kernels` runs is this loop with everything around it that a real model needs: it takes any layout, any
# number of channels and states, softplus, bias, skip and gate; it survives steps of any length, and numbers that have
# decayed beyond what a processor handles fast; it checks its arguments and makes y. And it walks in *tiles* of 64 tokens
# that stay in the first cache, and asks memory for the next tile in time. On this bare scan, which fits into a cache and
# needs none of that, your loop from step 4 may well be the faster one. Look.

# %%
arguments = scan_work.draw_scan(shape)
steps["the shipped kernel"] = milliseconds(lambda: selective_scan(**arguments), calls=50)
times = list(steps.values())
show(
    ladder(steps, floor),
    alt="Times of the steps, from "
    + ", ".join(f"{name} {ms:.3g} ms" for name, ms in steps.items())
    + f"; this machine's floor is {floor:.2g} ms.",
)

# %%
print(f"from the loops in Python: {times[0] / times[-1]:,.0f} times as fast")
print(f"from array operations: {times[1] / times[-1]:,.0f} times; from the floor: a factor of {times[-1] / floor:.1f}")

# %% [markdown]
# (The tables in `kernels/README.md` show the shipped kernel at the sizes of real models, beside other implementations, with
# its own distance from the floor.)
#
# ## The backward
#
# For training we need gradients. $y$ arrives with a gradient $\bar y$; then $C_t \bar y_t$ arrives at $h_t$, and
# through the recurrence it travels *back* in time. For one state, with $h_t = a_t h_{t-1} + b_t$ and $g_t$ arriving at
# $h_t$:
#
# $$G_t = g_t + a_{t+1}\,G_{t+1}, \qquad \frac{\partial}{\partial b_t} = G_t, \qquad \frac{\partial}{\partial a_t} = G_t\,h_{t-1}.$$
#
# The same recurrence, read from the end. But it needs the states, in the reverse of the order in which they arise, and
# we have just gone to such lengths not to keep them! The way out: keep *one state in 64*, and when the backward arrives
# at a chunk of 64 tokens, compute the chunk's states again from the one before it.
#
# **Check 3.** (easy, 6 minutes) Write `saved_states(a, b, chunk)`: the state *before* each chunk, the first being 0.
# The last chunk may be shorter.
#
# <details><summary>Hint</summary>
#
# Walk over all tokens, and whenever `t % chunk == 0`, save `h` before it is updated.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "saved-states", "locked": false, "schema_version": 3, "solution": true, "task": false}
def saved_states(a, b, chunk):
    """a, b: (length,) → (chunks,) the state before the first token of each chunk."""
    ### BEGIN SOLUTION
    h, saved = 0.0, []
    for t in range(len(a)):
        if t % chunk == 0:
            saved.append(h)
        h = a[t] * h + b[t]
    return np.array(saved)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "saved-states-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.saved_states(saved_states)

# %% [markdown]
# **Check 4.** (hard, 15 minutes) Write `scan_gradient(a, b, g, saved, chunk)`: the gradients of `a` and of `b`, from
# the last chunk to the first, with no more than one chunk's states at a time.
#
# <details><summary>Hint 1</summary>
#
# For each chunk: a list that begins with `saved[c]` and to which each of the chunk's states is added. So its entry `t -
# start` is $h_{t-1}$.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `G` lives outside the loop over chunks. At each token: add $g_t$, use it, and only then multiply it by $a_t$, which
# carries it to $t - 1$.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "scan-gradient", "locked": false, "schema_version": 3, "solution": true, "task": false}
def scan_gradient(a, b, g, saved, chunk):
    """a, b, g: (length,); saved: (chunks,) → the gradients of a and of b, (length,) each."""
    ### BEGIN SOLUTION
    grad_a, grad_b, G = np.zeros_like(a), np.zeros_like(b), 0.0
    for c in range(len(saved) - 1, -1, -1):
        start, end = c * chunk, min(len(a), (c + 1) * chunk)
        h = [saved[c]]
        for t in range(start, end):
            h.append(a[t] * h[-1] + b[t])
        for t in range(end - 1, start - 1, -1):
            G = G + g[t]
            grad_a[t], grad_b[t] = G * h[t - start], G
            G = a[t] * G
    return grad_a, grad_b
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "scan-gradient-check", "locked": true, "points": 5, "schema_version": 3, "solution": false, "task": false}
checks.scan_gradient(scan_gradient)

# %% [markdown]
# The shipped backward does this for every channel and state at once, and its gradients are yours. One channel with one
# state: by the chain rule the gradient of $\Delta_t$ is $\partial a_t \cdot A\,a_t + \partial b_t \cdot B_t u_t$.

# %%
one = {name: x.double()[..., :1, :] for name, x in scan_work.draw_scan(Shape(dim=1, length=200, state=1)).items()}
one["delta"].requires_grad_()
(by_kernel,) = torch.autograd.grad(selective_scan(**one).sum(), one["delta"])
u, delta, A, B, C = (x.detach().flatten().numpy() for x in one.values())
a, b = np.exp(delta * A), delta * B * u
grad_a, grad_b = scan_gradient(a, b, C, saved_states(a, b, 64), 64)
np.testing.assert_allclose(grad_a * A * a + grad_b * B * u, by_kernel.flatten(), rtol=1e-9, atol=1e-12)

# %% [markdown]
# ## Memory, and length
#
# Peak memory is measured in a process of its own: what ran there before would hide it. Beside the two scans stands
# attention of the same width with its weights written down: one number for each pair of tokens and each head.

# %%
torch.set_num_threads(1)  # one processor for each: fair, and less noise
lengths = torch.tensor([512, 1024, 2048])
jobs = [Job(name, Shape(length=int(n))) for name in ("naive", "numba", "attention") for n in lengths]
jobs += [Job("numba", Shape(length=int(n)), training=True) for n in lengths]
runs = run_all(jobs, timeout=120, seconds_each=0.3, compare=False)
torch.set_num_threads(threads)
for r in runs:
    kind = "forward and backward" if r.job.training else "forward"
    print(
        f"{r.label:10} {kind:21} L = {r.job.shape.length:5} {r.peak_bytes / 2**20:7.1f} MiB {1e3 * r.seconds:8.2f} ms"
    )

# %%
growth, peaks = {}, {}
for name, three in (("naive", runs[:3]), ("numba", runs[3:6]), ("attention", runs[6:9])):
    peaks[name] = torch.tensor([r.peak_bytes / 2**20 for r in three])
    for what, values in (("time", [r.seconds for r in three]), ("memory", [r.peak_bytes for r in three])):
        growth[what] = np.polyfit(np.log(lengths.numpy()), np.log(values), 1)[0]
    print(f"{name:10} time grows as L^{growth['time']:.2f}, memory as L^{growth['memory']:.2f}")
show(
    curves(lengths.double(), peaks, xlabel="length L (tokens)", ylabel="peak memory (MiB)", log="xy"),
    alt="Peak memory against length, both logarithmic: "
    + "; ".join(f"{name} {three[-1]:.0f} MiB at 2048 tokens" for name, three in peaks.items()),
)

# %% [markdown]
# Both scans grow in proportion to the length, in time and in memory, and attention with its square (claim S5). The two
# scans differ by what they write down, a factor that no length changes.
#
# **See.** The naive and the fused scan side by side, chunk by chunk: what each has read from memory, what it keeps,
# what it has written. Then press the button: the roof is your own machine's.

# %%
panels.kernel()

# %% [markdown]
# ## What to remember
#
# - Count first: bytes moved, operations done, and the machine's rate for each. The slower one is the floor.
# - Fusion: what is used once need not be written down. $\bar A$ and $h$ are `state` times as large as $u$.
# - Layout decides what can be done at once: channels innermost.
# - An exponential is $2^k (1 + w)$: a rounding and a short polynomial. A long memory needs $w$, not $\bar A$.
# - The backward is the recurrence read from the end; states are computed again from one saved in 64.
# - Time and memory of a scan are linear in the length, those of attention quadratic (S5).
#
# **Sources.** Mamba (arXiv 2312.00752), §3.3.2, for fusion and recomputation on a GPU, and algorithm 2; VideoMamba
# (arXiv 2403.06977), figure 1, for time and memory; S. Williams, A. Waterman and D. Patterson, *Roofline* (2009); J.-M.
# Muller, *Elementary Functions* (2016), chapter 11, for range reduction. The kernel:
# `kernels/vmamba_kernels/numba_scan.py` and `vector_math.py`.
#
# **Next.** The same operator on a machine with thousands of lanes: 07, a GPU kernel in Triton.
