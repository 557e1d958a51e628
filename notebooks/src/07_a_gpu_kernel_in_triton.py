# %% [markdown]
# # 07 · A GPU kernel in Triton
#
# The scan of lesson 06 once more, for a machine with thousands of lanes. You write it in tiles, run it without a GPU,
# and look at the machine code that a GPU would get.
#
# | | |
# |---|---|
# | **You will be able to** | read and write a Triton kernel: program ids, tiles, masks, a carry; say what limits a scan on a GPU, and what its backward computes again |
# | **You need** | lesson 05: joining two stretches of a scan; lesson 06: fusion, saved states |
# | **Minutes** | 60 |
# | **Hardware** | any laptop with Linux; with a GPU the same kernels run on it |
#
# Triton decides *once*, when it is imported, whether it compiles for a GPU or interprets in Python. So the first cell
# looks for a GPU before anything else happens. (To change its mind, restart the kernel.)

# %%
import os

import torch

device = "cuda" if torch.cuda.is_available() else "cpu"
if device == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # before `import triton`, for this notebook alone

import triton
import triton.language as tl
from IPython.display import Markdown
from vmamba_kernels import engines, selective_scan

from vmamba_edu import checks, panels
from vmamba_edu.analysis.gpu_results import gpu_table
from vmamba_edu.analysis.scan_work import Shape, draw_scan
from vmamba_edu.analysis.triton_assembly import assembly
from vmamba_edu.pictures import curves, show

print("compiled for", torch.cuda.get_device_name()) if device == "cuda" else print("interpreted on the CPU")

# %% [markdown]
# ## Programs and tiles
#
# On a GPU nobody writes a loop over channels. One writes what is done with *one tile*, and starts as many *programs* as
# there are tiles. Each program asks for its number, `tl.program_id`, and works out from it which tile is its own.
#
# All sizes of a tile are powers of two, known when it is compiled (`tl.constexpr`). Tensors have other sizes. So the
# last tile hangs over the edge, and a *mask* says which of its elements exist: what does not is neither read nor
# written.


# %%
@triton.jit
def who_am_i(out, length, BLOCK: tl.constexpr):
    t = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)  # BLOCK numbers at once: the places of this program's tile
    tl.store(out + t, tl.program_id(0), t < length)  # a tensor is its address; + t are BLOCK addresses


owner = torch.full((11,), -1, dtype=torch.int32, device=device)
who_am_i[(3,)](owner, 11, 4)  # a grid of three programs
print(owner.tolist())

# %% [markdown]
# Eleven elements, tiles of four, three programs; the last one owns three elements and a mask.
#
# In two dimensions `[:, None]` and `[None, :]` make a tile of addresses from two vectors, as in torch. A tensor (dim,
# length) lies row by row, so the number of channel `d` at token `t` lies at `d * length + t`.
#
# **Check 1.** (easy, 10 minutes) Write `tile_kernel`: `out = exp(delta + bias) * u`, for `delta`, `u` and `out` of
# (dim, length) and `bias` of (dim,). The grid has a first axis for the blocks of channels and a second one for the
# blocks of tokens.
#
# <details><summary>Hint 1</summary>
#
# `d = tl.program_id(0) * BLOCK_D + tl.arange(0, BLOCK_D)`, and `t` likewise with `program_id(1)` and `BLOCK_L`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `inside = (t < length)[:, None] & (d < dim)[None, :]` goes into `tl.load(..., inside, other=0.0)` and `tl.store(...,
# ..., inside)`. The bias has a mask of its own, `d < dim`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "tile-kernel", "locked": false, "schema_version": 3, "solution": true, "task": false}
@triton.jit
def tile_kernel(delta, bias, u, out, length, dim, BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr):
    """delta, u, out: (dim, length); bias: (dim,). Grid: (blocks of channels, blocks of tokens)."""
    ### BEGIN SOLUTION
    d = tl.program_id(0) * BLOCK_D + tl.arange(0, BLOCK_D)
    t = tl.program_id(1) * BLOCK_L + tl.arange(0, BLOCK_L)
    inside = (t < length)[:, None] & (d < dim)[None, :]
    offsets = d[None, :] * length + t[:, None]
    step = tl.load(delta + offsets, inside, other=0.0) + tl.load(bias + d, d < dim, other=0.0)[None, :]
    tl.store(out + offsets, tl.exp(step) * tl.load(u + offsets, inside, other=0.0), inside)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "tile-kernel-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.tile_kernel(tile_kernel)

# %% [markdown]
# **Predict.** The interpreter takes a hundredth of a second for that. What does its time say about the kernel?
#
# - a) how long a GPU takes, times a constant
# - b) which of two kernels is the faster one on a GPU
# - c) nothing

# %%
my_choice = "b"
checks.interpreted_time(my_choice)

# %% [markdown]
# ## A scan in one program
#
# Now the scan. A program owns BLOCK_D channels, and carries their states with it, a tile of (BLOCK_D, STATE), from the
# first token to the last. That tile is spread over the threads' registers, and never goes to memory: fusion, as in
# lesson 06.
#
# **Check 2.** (medium, 12 minutes) Write `scan_kernel`. `u`, `delta` and `y` are (dim, length), `A` is (dim, STATE),
# `B` and `C` are (STATE, length).
#
# <details><summary>Hint 1</summary>
#
# Before the loop: `a = tl.load(A + d[:, None] * STATE + n[None, :], ...)` and `h = tl.zeros((BLOCK_D, STATE),
# a.dtype)`. Then `for t in range(length)`.
#
# </details>
# <details><summary>Hint 2</summary>
#
# In the loop `step` and `x = step * u` are vectors over channels, $B_t$ and $C_t$ vectors over states: `x[:, None] *
# B_t[None, :]`. And `tl.sum(h * C_t[None, :], 1)` is $y_t$.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "scan-kernel", "locked": false, "schema_version": 3, "solution": true, "task": false}
@triton.jit
def scan_kernel(u, delta, A, B, C, y, length, dim, STATE: tl.constexpr, BLOCK_D: tl.constexpr):
    """y_t = C_t h_t with h_t = exp(Δ_t A) h_{t-1} + Δ_t u_t B_t. Grid: (blocks of channels,)."""
    ### BEGIN SOLUTION
    d = tl.program_id(0) * BLOCK_D + tl.arange(0, BLOCK_D)
    n = tl.arange(0, STATE)
    own = d < dim
    a = tl.load(A + d[:, None] * STATE + n[None, :], own[:, None], other=0.0)
    h = tl.zeros((BLOCK_D, STATE), a.dtype)
    for t in range(length):
        step = tl.load(delta + d * length + t, own, other=0.0)
        x = step * tl.load(u + d * length + t, own, other=0.0)
        h = tl.exp(step[:, None] * a) * h + x[:, None] * tl.load(B + n * length + t)[None, :]
        tl.store(y + d * length + t, tl.sum(h * tl.load(C + n * length + t)[None, :], 1), own)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "scan-kernel-check", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.scan_kernel(scan_kernel)

# %%
dim, length, state = 6, 37, 4
given = {name: x.to(device) for name, x in draw_scan(Shape(dim=dim, length=length, state=state)).items()}
flat = [(x[0] if x.dim() == 3 else x).contiguous() for x in given.values()]
expected = selective_scan(**given, backend="reference")[0]
y = torch.empty(dim, length, device=device)
checks.written(scan_kernel)  # says so where it is not
scan_kernel[(triton.cdiv(dim, 4),)](*flat, y, length, dim, state, 4)
torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-6)

# %% [markdown]
# ## What the GPU gets
#
# No GPU is needed to *compile* for one. A second process, which was told not to interpret, translates your kernel for
# an H100 (`sm_90`). The result is PTX, NVIDIA's assembly language.

# %%
types = dict.fromkeys(("u", "delta", "A", "B", "C", "y"), "*fp32") | {"length": "i32", "dim": "i32"}
code = assembly(scan_kernel, signature=types, constants={"STATE": 16, "BLOCK_D": 32})
print("\n".join([*code.lines("ex2.approx")[:3], *code.lines("fma.rn")[:3], *code.lines("ld.global")[:2]]))
for instruction in ("ex2.approx", "fma.rn.f32", "mul.f32", "ld.global", "st.global", "shfl", "bar.sync"):
    print(f"{code.count(instruction):4} {instruction}")
print(f"{code.registers} registers a thread, {code.spilled} bytes that did not fit")

# %% [markdown]
# There is `ex2.approx`: an instruction for $2^x$, for which a CPU needed ten. (So Triton first multiplies by $\log_2
# e$.) A multiprocessor has only a few units for it, and on an H100 they are the floor of this operator. `fma` are the
# multiply-adds.
#
# But look at where the instructions stand: in a loop that takes *one token at a time*. Each token waits for its loads,
# hundreds of cycles. And `shfl` moves numbers between threads: that is `tl.sum` over states that live in different
# threads. Both at every token.
#
# ## Chunks
#
# Better: load a whole tile of tokens at once, compute all its exponentials, which do not depend on each other, and only
# then go through the recurrence. Within a chunk that can even be done as the tree of lesson 05. Triton has it:
# `tl.associative_scan`, and it asks only for the function that joins two stretches.
#
# **Check 3.** (medium, 6 minutes) Write `join`: from $(a_1, b_1)$, the earlier stretch $h \mapsto a_1 h + b_1$, and
# $(a_2, b_2)$, the later one, make the pair of both.
#
# <details><summary>Hint</summary>
#
# Put $a_1 h + b_1$ into the later one, and collect what stands in front of $h$.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "join", "locked": false, "schema_version": 3, "solution": true, "task": false}
@triton.jit
def join(a1, b1, a2, b2):
    """The earlier stretch and the later one → a and b of both together."""
    ### BEGIN SOLUTION
    return a1 * a2, a2 * b1 + b2
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "join-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.join(join)

# %% [markdown]
# From chunk to chunk the state is *carried*. The last chunk hangs over the end of the sequence.
#
# **Predict.** Which $\Delta$ should the tokens have that do not exist, so that they leave the state as it is?
#
# - a) 1
# - b) 0
# - c) any, as long as y is not stored there

# %%
my_choice = "c"
checks.beyond_the_end(my_choice)


# %%
@triton.jit
def load_tile(x, row, t, length, rows):
    """A tile (time, row) of a tensor (rows, length), with zeros where there is nothing."""
    inside = (t < length)[:, None] & (row < rows)[None, :]
    return tl.load(x + row[None, :] * length + t[:, None], inside, other=0.0)


@triton.jit
def chunk(h, a, step, x, B, C, LAST: tl.constexpr):
    """The state before a chunk, and its tiles (time, channel) and (time, state) → y (time, channel), the state after it."""
    A_bar = tl.exp(step[:, :, None] * a[None, :, :])  # (time, channel, state)
    decay, made = tl.associative_scan((A_bar, x[:, :, None] * B[:, None, :]), 0, join)
    states = decay * h[None, :, :] + made  # what came in, faded, and what was made since
    last = tl.arange(0, LAST + 1)[:, None, None] == LAST
    return tl.sum(states * C[:, None, :], 2), tl.sum(tl.where(last, states, 0.0), 0)


# %%
@triton.jit
def chunked_kernel(
    u, delta, A, B, C, y, length, dim, STATE: tl.constexpr, BLOCK_D: tl.constexpr, BLOCK_L: tl.constexpr
):
    d = tl.program_id(0) * BLOCK_D + tl.arange(0, BLOCK_D)
    n = tl.arange(0, STATE)
    a = tl.load(A + d[:, None] * STATE + n[None, :], (d < dim)[:, None], other=0.0)
    h = tl.zeros((BLOCK_D, STATE), a.dtype)
    for k in range(tl.cdiv(length, BLOCK_L)):
        t = k * BLOCK_L + tl.arange(0, BLOCK_L)
        step = load_tile(delta, d, t, length, dim)
        x = step * load_tile(u, d, t, length, dim)
        maps = load_tile(B, n, t, length, STATE), load_tile(C, n, t, length, STATE)
        out, h = chunk(h, a, step, x, maps[0], maps[1], BLOCK_L - 1)
        tl.store(y + d[None, :] * length + t[:, None], out, (t < length)[:, None] & (d < dim)[None, :])


# %%
y = torch.empty(dim, length, device=device)
checks.written(join)
chunked_kernel[(triton.cdiv(dim, 4),)](*flat, y, length, dim, state, 4, 8)
torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-6)
sizes = {"STATE": 16, "BLOCK_D": 32, "BLOCK_L": 8}
chunked = assembly(chunked_kernel, helpers=[join, load_tile, chunk], signature=types, constants=sizes, warps=4)
for name, one in (("token by token", code), ("in chunks of 8", chunked)):
    counts = ", ".join(f"{one.count(i)} {i}" for i in ("ex2.approx", "fma.rn.f32", "shfl", "ld.global"))
    print(f"{name}: {counts}; {one.registers} registers, {one.spilled} bytes spilled")

# %% [markdown]
# The shipped kernel goes one step further. A scan *along* time puts neighbouring times into neighbouring threads, which
# must then exchange them, and the tree needs extra products. If instead **all times of a channel live in one thread**,
# the recurrence inside a chunk is the plain loop again, one multiply-add a token, with no exchange at all, while the
# exponentials of the whole tile are under way. That is how `triton_scan.py` lays out its tiles; its docstring says why.
#
# ## Too few programs
#
# **Predict.** VideoMamba-Ti, one clip: 384 channels, in blocks of 32. An H100 has 132 multiprocessors. How many of them
# have something to do?
#
# - a) all
# - b) twelve
# - c) all, because the hardware cuts each program into pieces

# %%
my_choice = "a"
checks.idle_processors(my_choice)

# %% [markdown]
# So the sequence is cut into *segments*, each with programs of its own, and read twice. First every segment starts from
# zero, and leaves behind what it made of that, its `end`, and how much a state fades on the way through, its `decay`.
# Then one small kernel walks over the segments and finds the state with which each of them *really* starts. Then every
# segment is scanned again, from there.
#
# **Check 4.** (hard, 12 minutes) Write that small kernel, for one state a channel. `decay`, `end` and `starts` are
# (segments, dim), `initial` is (dim,).
#
# <details><summary>Hint 1</summary>
#
# $h$ begins as `initial`. For each segment: store $h$ into `starts`, and then carry it through the segment.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Row `k` begins at `k * dim`; the channels of a row lie side by side. Through a segment $h$ becomes `decay * h + end`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "carry-kernel", "locked": false, "schema_version": 3, "solution": true, "task": false}
@triton.jit
def carry_kernel(decay, end, initial, starts, segments, dim, BLOCK_D: tl.constexpr):
    """starts[k]: the state before segment k. Grid: (blocks of channels,)."""
    ### BEGIN SOLUTION
    d = tl.program_id(0) * BLOCK_D + tl.arange(0, BLOCK_D)
    h = tl.load(initial + d, d < dim, other=0.0)
    for k in range(segments):
        tl.store(starts + k * dim + d, h, d < dim)
        fade = tl.load(decay + k * dim + d, d < dim, other=0.0)
        h = fade * h + tl.load(end + k * dim + d, d < dim, other=0.0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "carry-kernel-check", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.carry_kernel(carry_kernel)

# %% [markdown]
# Try it: one channel, one state, 24 tokens in segments of six. The small walk finds the starts, and they lie on the
# curve.

# %%
a = 0.7 + 0.25 * torch.rand(24, generator=torch.Generator().manual_seed(0))
b = torch.randn(24, generator=torch.Generator().manual_seed(1))


def states(h, some):
    found = []
    for t in some:
        h = a[t] * h + b[t]
        found.append(h)
    return torch.stack(found)


pieces = [range(6 * k, 6 * k + 6) for k in range(4)]
decay = torch.stack([a[list(p)].prod() for p in pieces])[:, None].to(device)
end = torch.stack([states(torch.zeros(()), p)[-1] for p in pieces])[:, None].to(device)
starts, whole = torch.zeros(4, 1, device=device), states(torch.zeros(()), range(24))
checks.written(carry_kernel)
carry_kernel[(1,)](decay, end, torch.zeros(1, device=device), starts, 4, 1, 1)
torch.testing.assert_close(starts[1:, 0].cpu(), whole[5:-1:6])

# %%
lines = {"the whole": whole, "each segment from zero": torch.cat([states(torch.zeros(()), p) for p in pieces])}
lines["each from its start"] = torch.cat([states(starts[k, 0].cpu(), p) for k, p in enumerate(pieces)])
show(
    curves(
        torch.arange(24.0), lines, xlabel="token", ylabel="state h", marks={f"segment {k}": 6.0 * k for k in range(4)}
    ),
    alt="A state over 24 tokens. Segments that begin at zero leave the curve at each cut and come back as their start is "
    "forgotten; begun from the states that the small walk found, they lie on it.",
)

# %% [markdown]
# ## The backward, and the shipped engine
#
# As in lesson 06 no states are kept but those before each chunk. The gradient is the recurrence read backwards, $G_t =
# C_t\bar y_t + \bar A_{t+1} G_{t+1}$, with a carry of its own, and each chunk's states are computed again where they
# are needed: reading $u$ and $\Delta$ once more is cheaper than writing and reading states that are sixteen times as
# large. The whole engine, in the mode of this notebook:

# %%
leaves = [x.clone().requires_grad_() for x in given.values()]
torch.testing.assert_close(selective_scan(*leaves, backend="triton")[0], expected, rtol=1e-5, atol=1e-6)
grads = [
    torch.autograd.grad(selective_scan(*leaves, backend=engine).square().sum(), leaves)
    for engine in ("triton", "reference")
]
for name, ours, true in zip(given, *grads, strict=True):
    print(f"gradient of {name:5} off by {((ours - true).abs().max() / true.abs().max()).item():.0e}")
print("triton:", engines()["triton"].reason or "ready")

# %% [markdown]
# **See.** All engines on one scan: do they agree, how long does each take, how much memory? Press *Race*. Each runs in
# a process of its own, so nothing here changes its mode. It starts small, so that Triton can take part where it is
# interpreted, and it says so. Then choose more channels and tokens: when does the tree of lesson 05 beat the plain loop?

# %%
panels.engine_race(dim=8, length=256, state=4)

# %% [markdown]
# And on a real GPU? What has been measured:

# %%
Markdown(gpu_table())

# %% [markdown]
# ## What to remember
#
# - A program is what is done with one tile; its number says which. Sizes of tiles are powers of two, masks do the rest.
# - States stay in registers; a chunk's exponentials are computed at once; the state is carried from chunk to chunk.
# - $\Delta = 0$ is a token that does nothing: padding for free.
# - Too few programs: cut the sequence, read it twice, and join the segments by a small walk.
# - The backward keeps one state a chunk and computes the others again.
# - The interpreter tells right from wrong, never fast from slow.
#
# **Sources.** Mamba (arXiv 2312.00752), §3.3.2, for fusion and recomputation, and its csrc/selective_scan for another
# layout of the same operator; P. Tillet, H. T. Kung and D. Cox, *Triton* (MAPL 2019); NVIDIA, *PTX ISA*, for
# `ex2.approx`. The kernel: `kernels/vmamba_kernels/triton_scan.py`.
#
# **Next.** The operator is done. 08 builds the model around it.
