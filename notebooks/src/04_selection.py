# %% [markdown]
# # 04 · Selection
#
# Until now every token was treated alike. Here the tokens themselves decide what is written into the state, how long it
# stays, and what is read. It is one small change, and it is what made state-space models understand.
#
# | | |
# |---|---|
# | **You will be able to** | make Δ, B and C from the input, say what Δ does as a gate, and say why the convolution is gone |
# | **You need** | lesson 03: the recurrence and the convolution; `torch.nn.Linear` |
# | **Minutes** | 50 |
# | **Hardware** | any laptop; no GPU, no network |

# %%
import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from vmamba_kernels import selective_scan

import vmamba_edu
from vmamba_edu import checks, panels
from vmamba_edu.analysis import scan_matrix
from vmamba_edu.panels.computed.decay_shares import Steps
from vmamba_edu.pictures import curves, show
from vmamba_edu.ssm import (
    CopyingModel,
    CopyingTask,
    SelectiveLayer,
    copying_accuracy,
    mamba_delta_bias,
    s4d_real,
    select,
    train_copying,
)

generator = torch.Generator().manual_seed(0)

# %% [markdown]
# ## Something to remember, among much that is not
#
# Most of a video is wall. Now and then comes a patch that matters, and nobody says when. Here is that problem with all
# else taken away: a few letters stand among dots, at places drawn by chance. At each `!` the next letter has to be
# said.

# %%
task = CopyingTask(length=64, values=6, remember=3)
tokens, answers = task.draw(4, generator)
for sequence, answer in zip(tokens, answers, strict=True):
    print("".join("·!abcdef"[token] for token in sequence), "  →  ", " ".join("·!abcdef"[value] for value in answer))

# %% [markdown]
# The systems of lessons 01 to 03 have one $\bar A$, one $\bar B$ and one $C$ for all. A dot is let in as a letter is,
# and each dot makes the letters fade. What such a system knows of a token is *how long ago* it was, and that says
# nothing here.
#
# What we want can be said in a sentence: **let a letter in, and at a dot do nothing.**
#
# ## The step as a gate
#
# Which of the numbers should look at the token? Take the recurrence of the released Mamba (lesson 02),
#
# $$h_t = e^{\Delta A}\,h_{t-1} + \Delta B\,u_t,$$
#
# and look at $\Delta$. It stands in both terms.
#
# **Predict.** For some token $\Delta = 0$. What happens to the state?
#
# - a) It is wiped out
# - b) It stays exactly as it is
# - c) It is replaced by the token

# %%
my_choice = "c"
checks.no_time_passes(my_choice)

# %%
delta = torch.logspace(-3, 0.5, 200).double()
kept, let_in = torch.exp(-delta), 1 - torch.exp(-delta)  # A = -1, B = 1; zero-order hold for what is let in
show(
    curves(
        delta,
        {"of the state: exp(ΔA)": kept, "of the token, zero-order hold": let_in, "of the token, released: ΔB": delta},
        xlabel="step Δ",
        ylabel="share",
        log="x",
    ),
    alt="For short steps all of the state is kept and nearly nothing of the token is let in; around a step of 1 it turns "
    "round. The released rule goes on growing where zero-order hold stops at 1.",
)

# %% [markdown]
# So $\Delta \to 0$ says *ignore me*, and a long step says *forget what was; here I am*. One number a channel does what
# a gate does in a gated recurrent network. It even *is* one: with one state, $A = -1$, $B = 1$ and
# $\Delta = \mathrm{softplus}(z)$, zero-order hold gives
#
# $$h_t = (1 - g)\,h_{t-1} + g\,u_t, \qquad g = \sigma(z),$$
#
# since $e^{-\mathrm{softplus}(z)} = \frac{1}{1 + e^z} = 1 - \sigma(z)$ (Mamba, theorem 1).

# %%
z = torch.linspace(-6, 6, 13).double()
torch.testing.assert_close(torch.exp(-F.softplus(z)), 1 - torch.sigmoid(z))

# %% [markdown]
# ## From the token
#
# How does a token choose? With the simplest thing there is, a linear map. One matrix makes all that is needed: $R$
# numbers from which $\Delta$ will come, $N$ numbers for $B$, $N$ for $C$, in this order.
#
# **Check 1.** (easy, 4 minutes) Write `split_projection(x, weight, rank)`: `x` is (length, dim), `weight` is (rank +
# 2·state, dim); out come `dt`, `B` and `C`, a row for each token.
#
# <details><summary>Hint</summary>
#
# `x @ weight.T` has all of it. `torch.split` takes a list of widths, and `dim=-1`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "split-projection", "locked": false, "schema_version": 3, "solution": true, "task": false}
def split_projection(x, weight, rank):
    """(length, dim), (rank + 2·state, dim) → dt (length, rank), B and C (length, state) each."""
    ### BEGIN SOLUTION
    state = (len(weight) - rank) // 2
    return torch.split(x @ weight.T, [rank, state, state], dim=-1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "split-projection-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.split_projection(split_projection)

# %% [markdown]
# $B$ and $C$ may be any numbers. $\Delta$ may not: it is a time. And each of the `dim` channels wants its own. Mamba
# does not spend dim × dim weights on that. What makes a token worth a long step is much the same for all channels, so
# it goes through a narrow place: dim → $R$ → dim, with $R$ = dim / 16. A *bias* for each channel says how long its
# step is if the token says nothing; then the softplus makes it positive.
#
# **Check 2.** (easy, 5 minutes) Write `step_size(dt, weight, bias)`: (length, rank), (dim, rank) and (dim,) make
# $\Delta$, (length, dim).
#
# <details><summary>Hint</summary>
#
# softplus(x) = log(1 + exp(x)), and `F.softplus` computes it without overflowing. What goes into it is a linear map
# with its bias.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "step-size", "locked": false, "schema_version": 3, "solution": true, "task": false}
def step_size(dt, weight, bias):
    """(length, rank), (dim, rank), (dim,) → delta (length, dim), positive."""
    ### BEGIN SOLUTION
    return F.softplus(dt @ weight.T + bias)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "step-size-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.step_size(step_size)

# %% [markdown]
# Now the recurrence, as in lesson 03, but with a $\Delta_t$, $B_t$ and $C_t$ for each token. $A$ alone is the same for
# all; through $\bar A_t = e^{\Delta_t A}$ it is selected as well (claim S4; VideoMamba §3.1).
#
# **Check 3.** (medium, 10 minutes) Write `selective_recurrence(u, delta, A, B, C)`: `u` and `delta` are (dim, length),
# `A` is (dim, state), `B` and `C` are (state, length): all channels share them. Out comes y, (dim, length). A loop
# over time is fine.
#
# <details><summary>Hint 1</summary>
#
# At time t: `delta[:, t, None]` is (dim, 1) and `B[:, t]` is (state,). Their product is (dim, state), like h.
#
# </details>
# <details><summary>Hint 2</summary>
#
# What enters is $\Delta_t B_t u_t$; what is read is `(C[:, t] * h).sum(dim=1)`.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "selective-recurrence", "locked": false, "schema_version": 3, "solution": true, "task": false}
def selective_recurrence(u, delta, A, B, C):
    """u, delta: (dim, length); A: (dim, state); B, C: (state, length) → y (dim, length)."""
    ### BEGIN SOLUTION
    h, y = torch.zeros_like(A), []
    for t in range(u.shape[1]):
        step = delta[:, t, None]
        h = torch.exp(step * A) * h + step * B[:, t] * u[:, t, None]
        y.append((C[:, t] * h).sum(dim=1))
    return torch.stack(y, dim=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "selective-recurrence-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.selective_recurrence(selective_recurrence)

# %% [markdown]
# That is all of S6, the heart of Mamba and VideoMamba. The library has it as `select` and the compiled
# `selective_scan`, and yours agree with it:

# %%
dim, state, rank, length = 32, 16, 2, 50
x = torch.randn(length, dim, generator=generator).double()
layer = SelectiveLayer(dim, state, generator=generator).double()
with torch.no_grad():
    dt, B, C = split_projection(x, layer.x_weight, rank)
    delta = step_size(dt, layer.dt_weight, layer.dt_bias)
    A = -torch.exp(layer.A_log)
    mine = selective_recurrence(x.T, delta.T, A, B.T, C.T)
    for yours, ours in zip((delta, B, C), select(x, layer.x_weight, layer.dt_weight, layer.dt_bias), strict=True):
        torch.testing.assert_close(yours, ours)
    torch.testing.assert_close(mine, selective_scan(x.T[None], delta.T[None], A, B.T[None], C.T[None])[0])
    torch.testing.assert_close(mine.T, layer(x[None])[0])

# %% [markdown]
# ## What it costs: the convolution
#
# A convolution has *one* kernel: $y_t = \sum_k K_k u_{t-k}$. That needs two things of a system. It must not care
# *when*: shift the input, and the output is shifted. And it must be *linear*: twice the input, twice the output.
#
# **Predict.** Which of the two does selection lose?
#
# - a) The first: with a $\Delta$ that changes it cares when
# - b) None: it is a recurrence still
# - c) The second: it is no longer linear in its input

# %%
my_choice = "a"
checks.what_breaks(my_choice)

# %%
with torch.no_grad():
    late = torch.cat([torch.zeros(5, dim).double(), x])
    shifted = (layer(late[None])[0, 5:] - layer(x[None])[0]).abs().max()
    times = layer(2 * x[None]).norm() / layer(x[None]).norm()
print(f"five steps later: {shifted:.0e} off;   twice the input: {times:.1f} times the output")

# %% [markdown]
# Once $\Delta$, $B$ and $C$ have been chosen, $y$ is still a matrix times $u$: $y = M u$, with $M_{ts}$ what token $s$
# adds to the output at $t$. For a fixed system all rows of $M$ are the same kernel, shifted. Now each input has its
# own $M$. Here is the last row, for two inputs:


# %%
def last_row(u, delta, B, C):
    arguments = {"u": u.mT[None], "delta": delta.mT[None], "B": B.mT[None], "C": C.mT[None]}
    return scan_matrix(arguments | {"A": -torch.exp(layer.A_log)}, channel=0, rows=[length - 1])[0, 0, 0]


other, rows = torch.randn(length, dim, generator=generator).double(), {}
with torch.no_grad():
    for name, tokens_in in (("one input", x), ("another", other)):
        chosen = layer.select(tokens_in)
        rows[f"selective, {name}"] = last_row(tokens_in, *chosen)
    rows["fixed, any input"] = last_row(x, *(one[:1].expand_as(one) for one in chosen))

# %%
show(
    curves(torch.arange(length), rows, xlabel="token s", ylabel="weight in the last output"),
    alt="What each token adds to the last output. For the fixed system a smooth curve that fades into the past; for the "
    "selective one two jagged curves, different for the two inputs.",
)

# %% [markdown]
# So the Fourier transform of lesson 03 is of no use any more, and training would have to go token by token, if it were
# not for the third way: a scan never asked that $\bar A$ be the same at every step. Lesson 05 is about it.
#
# ## Does it help?
#
# Back to the letters and dots. We train two models, alike in everything but their layers: in one they are selective,
# in the other each channel learns one $\Delta$, one $B$ and one $C$ for all tokens. Two layers, 32 channels, no
# convolution, no gate: only what this lesson is about. This is the layer, from your own functions:


# %%
class Selective(nn.Module):
    def __init__(self, dim, state):
        super().__init__()
        self.rank = math.ceil(dim / 16)
        self.A_log = nn.Parameter((-s4d_real(state)).log().float().repeat(dim, 1))
        self.x_weight = nn.Parameter(torch.randn(self.rank + 2 * state, dim) / dim**0.5)
        self.dt_weight = nn.Parameter(torch.randn(dim, self.rank) / self.rank**0.5)
        self.dt_bias = nn.Parameter(mamba_delta_bias(dim, generator))

    def forward(self, x):  # (batch, length, dim)
        dt, B, C = split_projection(x, self.x_weight, self.rank)
        delta = step_size(dt, self.dt_weight, self.dt_bias)
        return selective_scan(x.mT, delta.mT, -torch.exp(self.A_log), B.mT, C.mT).mT


# %%
mine = Selective(dim, state)
mine.load_state_dict({name: value.float() for name, value in layer.state_dict().items()})
torch.testing.assert_close(mine(x[None].float()), layer.float()(x[None].float()))

# %% [markdown]
# **Predict.** There are six letters, so guessing is right one time in six, 17 %. After the same training the *fixed*
# model says
#
# - a) about 17 % of the letters rightly
# - b) between a third and three quarters
# - c) nearly all

# %%
my_choice = "a"
checks.fixed_on_copying(my_choice)

# %%
torch.set_num_threads(1)  # models as small as these would only make threads wait for one another
models, losses = {}, {}
for name, selective in (("selective", True), ("fixed", False)):
    source = torch.Generator().manual_seed(0)
    models[name] = CopyingModel(task, selective=selective, generator=source)
    losses[name] = train_copying(models[name], task, steps=500, generator=source)
    right = copying_accuracy(models[name], *task.draw(1000, torch.Generator().manual_seed(1_000_000)))
    print(f"{name}: {right:.1%} of the letters are right")

# %%
smooth = {name: torch.tensor(values).unfold(0, 20, 20).mean(dim=1) for name, values in losses.items()}
smooth["guessing"] = torch.full((25,), math.log(task.values))
show(
    curves(20.0 * torch.arange(25), smooth, xlabel="step of the training", ylabel="loss"),
    alt="Loss while training: both fall below guessing; the selective model's goes on to nearly nothing, the fixed one's stays "
    "well above it.",
)

# %% [markdown]
# One run proves little. `benchmarks/selective_copying.py` trains both for three seeds; this is what it recorded:

# %%
results = Path(vmamba_edu.__file__).parents[1] / "benchmarks" / "results" / "selective-copying.json"
recorded = json.loads(results.read_text("utf-8"))
for run in recorded["runs"]:
    print(f"seed {run['seed']}, {run['kind']:9}: {run['accuracy']:.1%} right after {run['cpu_seconds']:.0f} s")
print(f"the gap: {recorded['mean_gap']:.1%} in the mean, {recorded['least_gap']:.1%} at least")

# %% [markdown]
# ## What did it learn?
#
# Nobody told it what a dot is. Look at the steps that its second layer chooses on one sequence, in the channel that
# tells letters from dots best:

# %%
tokens, _ = task.draw(1, torch.Generator().manual_seed(5))
step = models["selective"].steps(tokens)[1][0].T  # (channel, token)
letter, dot = tokens[0] > 1, tokens[0] == 0
channel = (step[:, letter].mean(1) - step[:, dot].mean(1)).argmax().item()
print(f"channel {channel}: Δ is {step[channel, letter].mean():.3f} at letters, {step[channel, dot].mean():.4f} at dots")

# %%
places = {"abcdef"[tokens[0, t] - 2]: float(t) for t in letter.nonzero()[:, 0].tolist()}
lines = {f"channel {channel}": step[channel], "mean of all channels": step.mean(0)}
show(
    curves(torch.arange(64), lines, xlabel="token", ylabel="step Δ", marks=places),
    alt="In one channel the step is nearly 0 at all dots and jumps up at the three letters; the mean of all channels changes "
    "less.",
)

# %% [markdown]
# Dots pass as if they were not there; at a letter time moves on. To such a channel the sequence *is* three tokens
# long, and "how long ago" has become "how many letters ago". That was all that was missing.
#
# **See.** The same layer in the panel of lesson 03: how much of a token is left at each later one, with the steps as
# they are and with constant ones of the same mean. Move *token j* from a letter to a dot; look at other channels: not
# all of them do this.

# %%
rates = -torch.exp(models["selective"].scans[1].A_log.detach())
panels.state_decay(steps=Steps(step, rates, "the steps of the trained layer"), channel=channel, n=4)

# %% [markdown]
# ## Where the steps start
#
# The bias is what a channel's step is when the token says nothing, so its start decides how far a fresh model
# remembers (you saw that in lesson 03). Mamba wants the first $\Delta$ of its channels spread between 0.001 and 0.1,
# evenly in their *logarithm*: as many channels for each power of ten.
#
# **Check 4.** (hard, 10 minutes) Write `initial_bias(share, smallest, largest)`. `share` holds a number between 0 and
# 1 for each channel, drawn evenly: 0 stands for the smallest step, 1 for the largest. Return the *bias*, (dim,), whose
# softplus is that step.
#
# <details><summary>Hint 1</summary>
#
# Even in the logarithm: $\log\Delta = \log s + \text{share}\cdot(\log l - \log s)$.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Solve $\Delta = \log(1 + e^{b})$ for $b$. `torch.expm1` is exact for small $\Delta$ (lesson 02).
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "initial-bias", "locked": false, "schema_version": 3, "solution": true, "task": false}
def initial_bias(share, smallest, largest):
    """(dim,) numbers in [0, 1], two steps → (dim,) the bias whose softplus is each channel's first step."""
    ### BEGIN SOLUTION
    delta = torch.exp(math.log(smallest) + share * (math.log(largest) - math.log(smallest)))
    return torch.log(torch.expm1(delta))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "initial-bias-check", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.initial_bias(initial_bias)

# %%
share = torch.rand(8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
library = mamba_delta_bias(8, torch.Generator().manual_seed(1))  # draws the same numbers
torch.testing.assert_close(initial_bias(share, 0.001, 0.1).float(), library)

# %% [markdown]
# ## What to remember
#
# - $\Delta$, $B$ and $C$ are linear maps of the token; $A$ is not, but $\bar A = e^{\Delta A}$ is selected through
#   $\Delta$ (S4; VideoMamba §3.1). The order in the published weights is dt, $B$, $C$.
# - $\Delta$ = softplus(a map of low rank + a bias for each channel). $\Delta \to 0$: ignore the token and keep the
#   state. $\Delta$ large: forget and take the token.
# - Selection keeps the shift and gives up linearity, so there is no kernel and no Fourier transform. The scan is what
#   is left.
# - A fixed system knows how long ago; a selective one knows what.
#
# **Sources.** Mamba (arXiv 2312.00752), §3.1–3.2, algorithms 1 and 2, theorem 1, §3.6 for the start of $\Delta$,
# §4.1.1 for selective copying; VideoMamba (arXiv 2403.06977), §3.1; mamba_ssm/modules/mamba_simple.py of
# state-spaces/mamba for dt, B, C.
#
# **Next.** 05 Scans are a tree: how to compute all of it at once, though every step is different.
