# %% [markdown]
# # 01 · A system with a memory
#
# Before anything is learned, before there are tokens, there is a differential equation. This lesson takes it apart.
#
# | | |
# |---|---|
# | **You will be able to** | say what $h$, $A$, $B$ and $C$ do, read a memory off an eigenvalue, and compute what a system answers |
# | **You need** | derivatives, the exponential function, a little PyTorch; lesson 00 is nice to have |
# | **Minutes** | 40 |
# | **Hardware** | any laptop; no GPU, no network |

# %%
import math

import torch

from vmamba_edu import checks
from vmamba_edu.pictures import curves, show
from vmamba_edu.ssm import DiagonalSystem

torch.manual_seed(0)
t = torch.linspace(0, 5, 501, dtype=torch.float64)  # time, in seconds

# %% [markdown]
# ## A leaking bucket
#
# A bucket has a hole. The more water it holds, the faster it leaks: each second it loses the share $\lambda$ of its
# level $h$. And somebody pours in $x(t)$:
#
# $$h'(t) = a\,h(t) + b\,x(t), \qquad a = -\lambda < 0.$$
#
# That is a memory. Its level now depends on everything that was ever poured in; what was poured in long ago has
# leaked out. With $x = 0$ nothing comes in, and we can ask how it forgets.
#
# **Predict.** Two full buckets leak, the first with $a = -1$, the second with $a = -2$. When the first is down to
# 37 %, the second holds
#
# - a) half of that, about 18 %
# - b) nothing any more
# - c) about 14 %

# %%
my_choice = "a"
checks.two_buckets(my_choice)

# %% [markdown]
# **Build.** Whoever does not want to believe it walks in steps so small that the level hardly changes within one:
# then the slope $h' = a h$ holds for the whole step. (Lesson 02 is about doing this well.)

# %%
levels = {}
for a in (-1.0, -2.0):
    h, path, small = torch.tensor(1.0).double(), [], 1e-3
    for _ in range(5001):
        path.append(h)
        h = h + small * (a * h)
    levels[f"a = {a:g}, small steps"] = torch.stack(path)[::10]
    levels[f"a = {a:g}, exp(a t)"] = torch.exp(a * t)
worst = max((levels[f"a = {a:g}, small steps"] - torch.exp(a * t)).abs().max().item() for a in (-1, -2))
print(f"largest difference between the small steps and the formula: {worst:.1e}")

# %%
show(
    curves(t, levels, xlabel="time t (s)", ylabel="level h", marks={"1 s": 1.0}),
    alt="Two exponential decays from 1: with a = -2 the level falls twice as fast as with a = -1. The small steps and "
    "the formula lie on each other.",
)

# %% [markdown]
# Why the exponential? Look for a function whose slope is $a$ times itself. $e^{at}$ is one, so is every multiple of
# it, and $h(0)$ picks the multiple:
#
# $$h' = a h \quad\Longrightarrow\quad h(t) = e^{at}\,h(0).$$
#
# Every further second multiplies by the same $e^{a}$. So a memory of this kind has a *half-life*: the time after which
# half is left, whatever it held at first.
#
# **Check 1.** (easy, 3 minutes) Write `half_life(A)`. It gets a vector of values $a$, which may be complex; then only
# the real part fades, as you will see below. Use `A.real`.
#
# <details><summary>Hint</summary>
#
# Solve $e^{\mathrm{Re}(a)\,t} = \tfrac12$ for $t$. Taking the logarithm of both sides leaves a product.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "half-life", "locked": false, "schema_version": 3, "solution": true, "task": false}
def half_life(A):
    """(state,) eigenvalues in 1/s → (state,) the time in s after which half is left."""
    ### BEGIN SOLUTION
    return math.log(2) / -A.real
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "half-life-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.half_life(half_life)

# %% [markdown]
# ## Several states
#
# One bucket remembers in one way only. Take $N$ of them, let water run from some to others, and read out a mixture
# of all:
#
# $$h'(t) = A\,h(t) + B\,x(t), \qquad y(t) = C\,h(t).$$
#
# The input $x$ and the output $y$ are one number each at every moment; $h$ is $N$ numbers. So $A$ is $N \times N$ (who
# runs into whom), $B$ is $N \times 1$ (where the input goes), and $C$ is $1 \times N$ (how the states are read). This
# is equation 1 of VideoMamba. (Articles about it often print other shapes; only these fit together.)

# %%
A = torch.tensor([[-1.0, 2.0], [-2.0, -1.0]]).double()
B = torch.tensor([[1.0], [0.0]]).double()
C = torch.tensor([[1.0, 0.0]]).double()
print("A", tuple(A.shape), " B", tuple(B.shape), " C", tuple(C.shape), " C A B", tuple((C @ A @ B).shape))

# %% [markdown]
# With $x = 0$ the answer looks as before, $h(t) = e^{At}\,h(0)$, with the exponential of a *matrix*: the series
# $I + At + \tfrac12 (At)^2 + \dots$. That is a lot of multiplying. But nearly every matrix becomes diagonal if one looks
# at it in the right coordinates: $A = V \Lambda V^{-1}$, the columns of $V$ being its eigenvectors. Then
#
# $$e^{At} = V\, e^{\Lambda t}\, V^{-1},$$
#
# since between two factors $A$ the $V^{-1} V$ cancels. And the exponential of a diagonal matrix is just the exponential
# of each number on it.

# %%
eigenvalues, V = torch.linalg.eig(A)
B_diagonal = torch.linalg.solve(V, B.to(V.dtype))[:, 0]  # the input, in the new coordinates
C_diagonal = (C.to(V.dtype) @ V)[0]  # the reading, in the new coordinates
time = 0.7
with_the_matrix = (C @ torch.linalg.matrix_exp(A * time) @ B).item()
with_the_eigenvalues = (C_diagonal * torch.exp(eigenvalues * time) * B_diagonal).sum()
print(f"the matrix: {with_the_matrix:.12f}   its eigenvalues: {with_the_eigenvalues.real:.12f}")
print("eigenvalues:", ", ".join(f"{z:.1f}" for z in eigenvalues.tolist()))

# %% [markdown]
# So a diagonal $A$ can do what (nearly) every $A$ can: $N$ buckets that know nothing of each other. From here on $A$
# is a vector of $N$ numbers, and so it is in Mamba.
#
# The price: eigenvalues may be *complex*, as those above. What does a complex bucket do?
#
# **Predict.** Compare $a = -0.5$ with $a = -0.5 + 6i$. Read out as the real part, the second
#
# - a) fades faster
# - b) swings, and fades as fast as the first
# - c) swings for ever

# %%
my_choice = "c"
checks.turning(my_choice)

# %%
answers = {f"a = {a:.2g}".replace("+0j", ""): torch.exp(torch.tensor(a) * t).real for a in (-0.5 + 0j, -0.5 + 6j)}
show(
    curves(t, answers, xlabel="time t (s)", ylabel="Re h"),
    alt="A decaying exponential, and an oscillation that stays between that decay and its mirror image below zero.",
)

# %% [markdown]
# The real part of an eigenvalue says how fast it fades, the imaginary part how fast it turns. Mamba and VideoMamba
# use real ones only: their states fade and never swing. For language and video that turned out to be enough.
#
# ## What the system answers
#
# Two inputs tell everything about such a system.
#
# **A pulse.** All at once, an area of 1 is poured in at time 0. It moves $h$ from $0$ to $B$; then nothing more comes in,
# and the states fade, each at its own rate:
#
# $$y(t) = C\,e^{At}\,B = \sum_{n=1}^{N} C_n\, e^{A_n t}\, B_n.$$
#
# **Check 2.** (easy, 5 minutes) Write `impulse_response(A, B, C, t)` for real vectors `A`, `B`, `C` of $N$ numbers and
# a vector `t` of moments. No loop is needed.
#
# <details><summary>Hint 1</summary>
#
# `t[:, None] * A` is a table: a row for each moment, a column for each state.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Multiplying a (time, state) table by a vector of `state` numbers with `@` both weighs and adds.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "impulse-response", "locked": false, "schema_version": 3, "solution": true, "task": false}
def impulse_response(A, B, C, t):
    """Three (state,) vectors and (time,) moments in s → (time,) the output after a pulse of area 1 at time 0."""
    ### BEGIN SOLUTION
    return torch.exp(t[:, None] * A) @ (B * C)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "impulse-response-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.impulse_response(impulse_response)

# %% [markdown]
# **A step.** The input goes from 0 to 1 at time 0 and stays there. That is one small pulse after the other, and because
# the equation is linear, their answers add up: the pulse that came $s$ seconds ago still adds $C e^{As} B$. Adding up
# from now, $s = 0$, back to the beginning, $s = t$, is an integral:
#
# $$y(t) = \int_0^t C\,e^{As}\,B\; ds.$$
#
# **Check 3.** (medium, 8 minutes) Solve the integral and write `step_response(A, B, C, t)`. This very expression comes
# back in lesson 02, as the $\bar B$ of every state-space model.
#
# <details><summary>Hint</summary>
#
# $e^{as}/a$ has the slope $e^{as}$. Put in both ends. Then test yourself: what should come out at $t = 0$?
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "step-response", "locked": false, "schema_version": 3, "solution": true, "task": false}
def step_response(A, B, C, t):
    """Three (state,) vectors and (time,) moments in s → (time,) the output after the input went from 0 to 1."""
    ### BEGIN SOLUTION
    return ((torch.exp(t[:, None] * A) - 1) / A) @ (B * C)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "step-response-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.step_response(step_response)

# %% [markdown]
# The library has both, and yours agree with it:

# %%
system = DiagonalSystem(A=torch.tensor([-0.3, -1.0, -4.0]).double(), B=torch.ones(3).double(), C=torch.ones(3).double())
A, B, C = system.A, system.B, system.C
torch.testing.assert_close(impulse_response(A, B, C, t), system.impulse_response(t))
torch.testing.assert_close(step_response(A, B, C, t), system.step_response(t))
show(
    curves(
        t,
        {"after a pulse": system.impulse_response(t), "after a step": system.step_response(t)},
        xlabel="time t (s)",
        ylabel="output y",
    ),
    alt="After a pulse the output falls, fast at first and then slowly; after a step it rises and levels off.",
)

# %% [markdown]
# ## What can N states remember?
#
# A hard question for a memory: *what did you hear exactly one second ago?* The ideal answer to a pulse is another pulse,
# one second later. $N$ states that only fade and turn must put that together from the $N$ curves they have. We let least
# squares choose the best $C$, and smooth the wanted pulse so that the question is fair.
#
# **Predict.** You have 16 curves to mix. Is the echo sharper with 16 different *fading rates*, or with one rate and eight
# *frequencies* (a sine and a cosine each)? Write down which, and then look.

# %%
my_choice = "rates"

# %%
wanted = torch.exp(-0.5 * ((t - 1) / 0.08) ** 2)  # an echo after one second
rates = torch.exp(t[:, None] * -torch.arange(1, 17).double())  # 16 rates: this is where Mamba starts
waves = torch.exp(
    t[:, None] * torch.complex(torch.full((8,), -0.5).double(), 2 * math.pi / 3 * torch.arange(8).double())
)
mixtures = {"16 rates": rates, "8 frequencies": torch.cat([waves.real, waves.imag], dim=1)}
echoes = {"wanted": wanted}
for name, states in mixtures.items():
    C = torch.linalg.lstsq(states, wanted[:, None], driver="gelsd").solution
    echoes[name] = (states @ C)[:, 0]
    missed = ((echoes[name] - wanted) ** 2).sum() / (wanted**2).sum()
    print(f"{name}: {missed:.0%} of the echo's energy is missed; the largest number in C is {C.abs().max():.2g}")

# %% [markdown]
# Look at the largest number in $C$. The rates come surprisingly close, but only as tiny differences of gigantic numbers:
# such a $C$ would need states that are exact to ten digits. A network computes with three or so. So we ask again, with
# a little noise in every state: one part in a thousand.

# %%
noise = 1e-3
for name, states in mixtures.items():
    noisy = torch.cat([states, noise * math.sqrt(len(t)) * torch.eye(16).double()])  # what noise costs, as further rows
    C = torch.linalg.lstsq(noisy, torch.cat([wanted, torch.zeros(16).double()])[:, None]).solution
    echoes[f"{name}, with noise"] = (states @ C)[:, 0]
    missed = ((echoes[f"{name}, with noise"] - wanted) ** 2).sum() / (wanted**2).sum()
    print(f"{name}, with noise: {missed:.0%} is missed; the largest number in C is {C.abs().max():.2g}")

# %%
lines = {name: echoes[name] for name in ("wanted", "16 rates, with noise", "8 frequencies, with noise")}
show(
    curves(t, lines, xlabel="time t (s)", ylabel="output y"),
    alt="The wanted echo is a narrow bump at one second. States that turn come close to it, with a ghost at four seconds; "
    "states that only fade give a low and wide hill.",
)

# %% [markdown]
# The waves even leave a ghost after four seconds: frequencies that are multiples of $1/3$ Hz all repeat after three.
# States that only fade blur the past: they know *about how much* came in lately, not exactly when. That is what a Mamba
# has, and it is why it needs help of three kinds, each with a lesson of its own: a wise choice of the rates (03),
# a step that the input itself chooses, so that the state can hold still (04), and hundreds of channels that each
# remember differently.
#
# ## What to remember
#
# - $h' = Ah + Bx$, $y = Ch$ maps a signal to a signal through $N$ numbers: $A$ is $N \times N$, $B$ is $N \times 1$, $C$ is
#   $1 \times N$ (claim S1; VideoMamba, equation 1).
# - A diagonal $A$ is enough. The real part of each entry is how fast a state fades, the imaginary part how fast it turns.
# - Half-life: $\ln 2 / -\mathrm{Re}\,a$.
# - After a pulse: $C e^{At} B$. After a step: $C\,\frac{e^{At} - 1}{A}\,B$.
#
# **Sources.** VideoMamba (arXiv 2403.06977), equation 1; A. Gu, *Modeling Sequences with Structured State Spaces* (2023),
# chapter 2; S4D (arXiv 2206.11893) §2 for the diagonal form.
#
# **Next.** A computer has no time that flows, and a video comes frame by frame. Lesson 02 cuts time into steps.
