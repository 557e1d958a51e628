# %% [markdown]
# # 03 · The same thing three ways
#
# One discrete system can be computed step by step, as a convolution, or as a tree. Which is best depends on what you
# want. And all three remember only what $A$ lets them: so we look at the matrices people start from.
#
# | | |
# |---|---|
# | **You will be able to** | turn a recurrence into a convolution and back, say which to use when, and say what HiPPO and S4D-real make a state remember |
# | **You need** | lesson 02: $\bar A$ and $\bar B$; sums and powers |
# | **Minutes** | 45 |
# | **Hardware** | any laptop; no GPU, no network |

# %%
import time

import torch
from vmamba_kernels import selective_scan

from vmamba_edu import checks, panels
from vmamba_edu.pictures import curves, show
from vmamba_edu.ssm import (
    blelloch,
    convolution_kernel,
    convolve,
    half_life,
    hillis_steele,
    hippo_legs,
    legs_memory,
    legs_reconstruction,
    mamba_delta_bias,
    recur,
    s4d_real,
    sequential,
    zero_order_hold,
)

generator = torch.Generator().manual_seed(0)

# %% [markdown]
# ## The first way: step by step
#
# $$h_t = \bar A\,h_{t-1} + \bar B\,u_t, \qquad y_t = C\,h_t, \qquad h_{-1} = 0.$$
#
# In each of `dim` channels runs a system of its own, with `state` numbers. A step costs the same whether the past was long
# or short: the state *is* the past.
#
# **Check 1.** (easy, 6 minutes) Write `recurrence(A_bar, B_bar, C, u)`. The matrices are (dim, state), `u` is (dim, length), and
# the output is (dim, length). A loop over time is what is asked for.
#
# <details><summary>Hint</summary>
#
# `u[:, t, None]` is (dim, 1). Collect the outputs in a list and `torch.stack` them along the last axis.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "recurrence", "locked": false, "schema_version": 3, "solution": true, "task": false}
def recurrence(A_bar, B_bar, C, u):
    """A_bar, B_bar, C: (dim, state); u: (dim, length) → y: (dim, length)."""
    ### BEGIN SOLUTION
    h, y = torch.zeros_like(A_bar), []
    for t in range(u.shape[1]):
        h = A_bar * h + B_bar * u[:, t, None]
        y.append((C * h).sum(dim=1))
    return torch.stack(y, dim=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "recurrence-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.recurrence(recurrence)

# %% [markdown]
# ## The second way: all at once
#
# Write out the first steps and put each into the next:
#
# $$y_0 = C\bar B\,u_0, \qquad y_1 = C\bar A\bar B\,u_0 + C\bar B\,u_1, \qquad y_2 = C\bar A^2\bar B\,u_0 + C\bar A\bar B\,u_1 + C\bar B\,u_2.$$
#
# The input from $k$ steps ago is always multiplied by the same number, $K_k = C\bar A^k\bar B$, whatever $t$ is. A sum of that
# kind is a *convolution*:
#
# $$y_t = \sum_{k=0}^{t} K_k\,u_{t-k}.$$
#
# **Check 2.** (easy, 5 minutes) Write `kernel(A_bar, B_bar, C, length)`: all $K_0 \dots K_{L-1}$ of every channel, (dim, length).
#
# <details><summary>Hint</summary>
#
# `A_bar[..., None] ** torch.arange(length)` has all the powers at once.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "kernel", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kernel(A_bar, B_bar, C, length):
    """A_bar, B_bar, C: (dim, state) → K: (dim, length)."""
    ### BEGIN SOLUTION
    powers = A_bar[..., None] ** torch.arange(length)
    return ((C * B_bar)[..., None] * powers).sum(dim=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "kernel-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.kernel(kernel)

# %% [markdown]
# Summing for every $t$ costs about $L^2/2$ multiplications. But convolutions are what the Fourier transform is good at: it
# turns them into plain products, and it is fast, about $L \log L$.
#
# **Check 3.** (medium, 8 minutes) Write `causal_convolution(u, K)` with `torch.fft.rfft` and `irfft`. Mind that a Fourier
# transform thinks of a circle: without room at the end, the last inputs would come round and change the first outputs.
#
# <details><summary>Hint</summary>
#
# `torch.fft.rfft(u, n=2 * length)` fills up with zeros before it transforms.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "causal-convolution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def causal_convolution(u, K):
    """u, K: (dim, length) → y: (dim, length), with y[t] = Σ_k K[k] u[t - k] over k from 0 to t."""
    ### BEGIN SOLUTION
    length = u.shape[1]
    spectrum = torch.fft.rfft(u, n=2 * length) * torch.fft.rfft(K, n=2 * length)
    return torch.fft.irfft(spectrum, n=2 * length)[:, :length]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "causal-convolution-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.causal_convolution(causal_convolution)

# %% [markdown]
# Two ways, one answer, and the library's versions say the same:

# %%
dim, state, length = 4, 16, 256
A = s4d_real(state).expand(dim, state)
B, C = (torch.randn(dim, state, generator=generator).double() for _ in range(2))
A_bar, B_bar = zero_order_hold(A, B, torch.full((dim,), 0.05).double())
u = torch.randn(dim, length, generator=generator).double()
step_by_step = recurrence(A_bar, B_bar, C, u)
all_at_once = causal_convolution(u, kernel(A_bar, B_bar, C, length))
for other in (
    all_at_once,
    recur(A_bar, B_bar, C, u[None])[0],
    convolve(u[None], convolution_kernel(A_bar, B_bar, C, length))[0],
):
    torch.testing.assert_close(step_by_step, other)

# %%
show(
    curves(
        torch.arange(100.0),
        {f"channel {d}": kernel(A_bar, B_bar, C, 100)[d] for d in range(3)},
        xlabel="k: steps ago",
        ylabel="K",
    ),
    alt="The kernels of three channels: what an input still adds after k steps. Each starts large, some change sign, and "
    "all have faded after some sixty steps.",
)

# %% [markdown]
# ## The third way: a tree
#
# A step of the recurrence is a map, $h \mapsto a\,h + b$. Two in a row are a map of the same kind:
#
# $$h \mapsto a_2\,(a_1 h + b_1) + b_2 = (a_2 a_1)\,h + (a_2 b_1 + b_2).$$
#
# So neighbours can be joined *before* anybody knows the state that comes in, all pairs at the same time; then the pairs of
# pairs; and so on. That is a *scan*. Lesson 05 is about it; here we only count.

# %%
a, b = torch.rand(256, generator=generator), torch.randn(256, generator=generator)
for scan in (sequential, hillis_steele, blelloch):
    trace = scan(a, b)
    print(f"{scan.__name__:14} {trace.depth:4} levels that wait for one another, {trace.work:5} combinations")

# %% [markdown]
# Unlike the convolution, a scan does not need $\bar A$ to be the same at every step. Remember that: lesson 04 makes it change,
# and then the second way is gone.
#
# ## Which is best?
#
# **Predict.** You have read 10 000 tokens and want the output for one more. Cheapest is
#
# - a) one step of the recurrence
# - b) a convolution
# - c) a scan

# %%
my_choice = "b"
checks.one_more_token(my_choice)

# %% [markdown]
# And for a whole sequence that is there from the beginning, as in training? That depends on the machine, so we ask
# yours. The third line is the kernel of this course: a recurrence again, but compiled, with all channels side by side.


# %%
def milliseconds(function, *arguments):
    function(*arguments)  # the first call compiles, and fills caches
    taken = []
    for _ in range(7):
        start = time.perf_counter()
        function(*arguments)
        taken.append(time.perf_counter() - start)
    return min(taken) * 1e3  # whatever else the machine does can only add to it


torch.set_num_threads(1)  # one processor for each: a fair race, with less noise
dim, lengths = 64, torch.tensor([64, 256, 1024, 4096])
A = s4d_real(state).expand(dim, state).float().contiguous()
B, C = (torch.randn(dim, state, generator=generator) for _ in range(2))
A_bar, B_bar = zero_order_hold(A, B, torch.full((dim,), 0.05))
taken = {"loop in Python": [], "kernel + FFT": [], "compiled scan": []}
for length in lengths.tolist():
    u = torch.randn(1, dim, length, generator=generator)
    delta = torch.full((1, dim, length), 0.05)
    taken["loop in Python"].append(milliseconds(recur, A_bar, B_bar, C, u))
    taken["kernel + FFT"].append(
        milliseconds(lambda u=u: convolve(u, convolution_kernel(A_bar, B_bar, C, u.shape[-1])))
    )
    taken["compiled scan"].append(milliseconds(selective_scan, u, delta, A, B, C))

# %%
show(
    curves(
        lengths.float(),
        {name: torch.tensor(values) for name, values in taken.items()},
        xlabel="length L (tokens)",
        ylabel="time (ms)",
        log="xy",
    ),
    alt="Time against length, both logarithmic, for three ways. At 4096 tokens: "
    + ", ".join(f"{name} {values[-1]:.2g} ms" for name, values in taken.items()),
)

# %% [markdown]
# So "recurrences are slow, convolutions are fast" is a saying about Python and about hardware, not about mathematics: the
# slowest and the fastest line above are the same recurrence, or nearly. What decides is how much is moved through memory and how many things can be done at
# once. Lessons 05 to 07 are about nothing else.
#
# ## What should $A$ be?
#
# Until now $A$ fell from the sky. It decides what the state keeps, so somebody had to think about it. **HiPPO** (2020) asked
# for a state of $N$ numbers from which the whole past can be drawn again, as well as $N$ numbers allow: as the coefficients
# of polynomials. That turns out to *be* a linear differential equation, with this matrix:

# %%
A, B = hippo_legs(5)
print(A.numpy().round(2))

# %%
moments = torch.linspace(0, 3, 600).double()
signal = torch.sin(4 * moments) + 0.4 * torch.sin(11 * moments + 1) - 0.3 * moments
memories = {"what was heard": signal}
for states in (4, 16):
    memories[f"what {states} states say of it"] = legs_reconstruction(legs_memory(signal, states)[-1], len(signal))
show(
    curves(moments, memories, xlabel="time t (s)", ylabel="signal"),
    alt="A wavy signal and what HiPPO's state still says of it at the end: with 4 states only its broad course, with 16 states "
    "nearly every wave, from the first to the last.",
)

# %% [markdown]
# All of the past, from sixteen numbers! This matrix is full, though, and a step with it is dear. **S4D** found that one may
# keep just a diagonal. The *real* one, $A_n = -(n+1)$, is HiPPO's own diagonal, and it is what Mamba and VideoMamba start
# from. But something was lost. You know what from lesson 01: these states only fade.

# %%
print("HiPPO's diagonal:", hippo_legs(5)[0].diagonal().tolist(), "  S4D-real:", s4d_real(5).tolist())

# %% [markdown]
# What each of them holds is then a matter of half-lives, $\ln 2 / (\Delta\,(n+1))$ tokens. So the *step* decides. Mamba draws
# it for each channel between 0.001 and 0.1, so that some channels remember long:

# %%
delta = torch.nn.functional.softplus(mamba_delta_bias(384, generator)).double()
tokens = half_life(s4d_real(16)) / delta[:, None]  # (channel, state)
print(
    f"half-lives of 384 channels × 16 states: {tokens.min():.2f} to {tokens.max():.0f} tokens, half of them below {tokens.median():.1f}"
)

# %% [markdown]
# **Predict.** VideoMamba's code draws these steps as well. Then it initialises all its linear layers, this one included, and
# the bias becomes 0: $\Delta = \mathrm{softplus}(0)$ in every channel. The *longest* half-life of any state is then
#
# - a) 693 tokens
# - b) 7 tokens
# - c) 1 token

# %%
my_choice = "b"
checks.start_of_videomamba(my_choice)

# %%
start = torch.nn.functional.softplus(torch.zeros(())).double()
print(
    f"Δ = {start:.3f}: half-lives from {(half_life(s4d_real(16)) / start).min():.3f} to {(half_life(s4d_real(16)) / start).max():.3f} tokens"
)

# %% [markdown]
# **See.** How much of a token is left at each later one. Choose *constant Δ* and move it from 0.69 down to 0.001; choose
# another state $n$. With *Δ of a clip* $\Delta$ changes from token to token: that is selection, the subject of the next
# lesson, in a small model with fresh weights.

# %%
panels.state_decay(source="constant", delta=0.69, length=64)

# %% [markdown]
# That is the memory of one token that you met in lesson 00. Training has to lengthen it, and it can: $\Delta$ is learned, and
# chosen by the input. How, is the next lesson.
#
# ## What to remember
#
# - Recurrence: constant cost a token, one after the other. Convolution, $K_k = C\bar A^k\bar B$: all at once, but only if the
#   system never changes. Scan: all at once, and the system may change.
# - A Fourier transform is circular: fill up with zeros.
# - HiPPO's state holds the past as polynomials. S4D-real keeps its diagonal, $-1, -2, \dots$: states that only fade.
# - Half-life in tokens: $\ln 2 / (\Delta\,|a|)$. The step decides how long a memory is.
#
# **Sources.** HiPPO (arXiv 2008.07669), theorem 2; S4 (arXiv 2111.00396), §2.3–2.4; S4D (arXiv 2206.11893), §4; Mamba
# (arXiv 2312.00752), §3.6; VideoMamba (arXiv 2403.06977), equation 4, and its videomamba/video_sm/models/videomamba.py for
# the start of $\Delta$.
#
# **Next.** 04 Selection: what changes when $\Delta$, $B$ and $C$ look at the token.
