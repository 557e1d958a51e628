# %% [markdown]
# # 02 · Time in steps
#
# A video comes frame by frame, and a computer has no time that flows. This lesson turns the differential equation of
# lesson 01 into a recurrence, in four ways, and answers the question that people ask most about Mamba's code.
#
# | | |
# |---|---|
# | **You will be able to** | derive zero-order hold, tell it from Euler's rule and the bilinear one, and say when each breaks |
# | **You need** | lesson 01: $h' = Ah + Bx$, the half-life, the step response |
# | **Minutes** | 45 |
# | **Hardware** | any laptop; no GPU, no network |

# %%
import torch

from vmamba_edu import checks, panels
from vmamba_edu.pictures import curves, show
from vmamba_edu.ssm import RULES, bilinear, expm1_ratio, recur, s4d_real, stability_limit
from vmamba_edu.ssm import zero_order_hold as library_zero_order_hold

generator = torch.manual_seed(0)

# %% [markdown]
# ## Holding the input
#
# We know the input at the frames only: $x_0, x_1, x_2, \dots$, one every $\Delta$ seconds. Between them we must assume
# something. The simplest thing: the input *holds* its value over each step. Then nothing else needs to be approximated,
# since over a step with a constant input the equation $h' = ah + bx$ can be solved.
#
# Start a step at $h_{t-1}$ with the input $x_t$. Two things happen at once, and because the equation is linear we may
# look at them one at a time and add:
#
# - what was there fades: $e^{a\Delta}\,h_{t-1}$;
# - a constant input flows in, as in the step response of lesson 01: $\int_0^\Delta e^{as}\,ds\; b\,x_t = \frac{e^{a\Delta}-1}{a}\,b\,x_t$.
#
# Together
#
# $$h_t = \underbrace{e^{\Delta a}}_{\bar a}\,h_{t-1} + \underbrace{\frac{e^{\Delta a}-1}{a}\,b}_{\bar b}\,x_t .$$
#
# This is *zero-order hold*. The papers write it for matrices as $\bar A = \exp(\Delta A)$ and $\bar B = (\Delta A)^{-1}(\exp(\Delta
# A) - I)\cdot\Delta B$ (claim S2; VideoMamba, equation 3): the two $\Delta$ cancel, and for a diagonal $A$ it is our formula
# in every entry.
#
# **Check 1.** (medium, 8 minutes) Write `zero_order_hold(A, B, delta)` for `dim` channels at once. Each channel has `state`
# states, so `A` and `B` are (dim, state); but it has only *one* step: `delta` is (dim,).
#
# <details><summary>Hint</summary>
#
# `delta[:, None]` is (dim, 1) and meets every state of its channel.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "zero-order-hold", "locked": false, "schema_version": 3, "solution": true, "task": false}
def zero_order_hold(A, B, delta):
    """A, B: (dim, state); delta: (dim,) in s → A_bar, B_bar: (dim, state) each."""
    ### BEGIN SOLUTION
    A_bar = torch.exp(delta[:, None] * A)
    B_bar = (A_bar - 1) / A * B
    return A_bar, B_bar
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "zero-order-hold-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.zero_order_hold(zero_order_hold)

# %% [markdown]
# Does the recurrence really land on the solution? We hold an input for steps of half a second, and beside it follow the
# same input in steps a thousand times as small.

# %%
a, b = torch.tensor([[-1.5]]).double(), torch.tensor([[1.0]]).double()
delta = torch.tensor([0.5]).double()
x = torch.tensor([1.0, 1.0, -0.5, 0.0, 2.0, 2.0, 0.0, 0.0, 1.0, 0.0]).double()
one = torch.ones(1, 1).double()
fine = recur(*RULES["euler"](a, b, delta / 1000), one, x.repeat_interleave(1000)[None, None])[0, 0]

# %%
coarse = recur(*zero_order_hold(a, b, delta), one, x[None, None])[0, 0]
print(f"largest difference at the ends of the ten steps: {(fine[999::1000] - coarse).abs().max():.1e}")
seconds = torch.arange(1, 10001).double() / 2000
after_each_step = torch.cat(
    [torch.zeros(1000), coarse[:-1].repeat_interleave(1000)]
)  # each value stands from its moment on
show(
    curves(
        seconds,
        {
            "input, held": x.repeat_interleave(1000),
            "state, 10 000 small steps": fine,
            "state, 10 steps": after_each_step,
        },
        xlabel="time t (s)",
        ylabel="x, h",
    ),
    alt="A staircase input, and a state that follows it in bows. The ten steps make a staircase too, and each of its "
    "levels begins exactly on the curve.",
)

# %% [markdown]
# Each level of the green staircase begins on the curve. Not approximately: *exactly*, whatever the length of the step, as long as the input does what we said it does.
#
# ## A trap for the careless
#
# $\frac{e^{\Delta a} - 1}{a}$ has a limit where $a \to 0$: it is $\Delta$. A computer has to get there through
# $(e^{x} - 1)/x$ with a very small $x$.
#
# **Predict.** In single precision, `(exp(x) - 1) / x` at $x = 10^{-8}$ is
#
# - a) 1
# - b) not a number
# - c) 0

# %%
my_choice = "a"
checks.near_zero(my_choice)

# %%
small = torch.tensor([1e-8, 1e-4, 1e-2])
print("exp(x) - 1, divided by x:", ((small.exp() - 1) / small).tolist())
print("expm1(x), divided by x:  ", (torch.expm1(small) / small).tolist())
print("the library, 0 included: ", expm1_ratio(torch.tensor([0.0, 1e-8, 1e-4])).tolist())

# %% [markdown]
# States that fade slowly are the ones that remember long, and there $\Delta a$ is small. So this is no corner case: it
# is where all the long memories live.
#
# ## Cheaper rules
#
# Before zero-order hold there was a simpler idea. **Euler's rule** follows the slope at the beginning of the step:
#
# $$h_t = h_{t-1} + \Delta\,(a\,h_{t-1} + b\,x_t) \quad\Longrightarrow\quad \bar a = 1 + \Delta a,\qquad \bar b = \Delta b.$$
#
# It needs no exponential, and for a small step it is nearly the same, since $e^{\Delta a} = 1 + \Delta a + \dots$
#
# **Predict.** A state with $a = -16$ (Mamba has such states) and a step of $\Delta = 0.2$ fades to $e^{-3.2} = 4\,\%$ at
# each step. Euler's rule makes it
#
# - a) fade faster still
# - b) swing, and grow
# - c) vanish at once

# %%
my_choice = "c"
checks.steps_too_long(my_choice)

# %%
a, delta = torch.tensor([[-16.0]]).double(), torch.tensor([0.2]).double()
for name, rule in RULES.items():
    A_bar, _ = rule(a, one, delta)
    print(f"{name:16} ", "  ".join(f"{(A_bar**k).item():10.4g}" for k in range(6)))

# %% [markdown]
# A rule is *stable* for a step if $|\bar a| < 1$: then what a state holds fades, as it should.
#
# **Check 2.** (hard, 10 minutes) Write `largest_stable_step(A)`: the $\Delta$ from which on Euler's rule is no longer
# stable, for complex $a$ with a negative real part.
#
# <details><summary>Hint 1</summary>
#
# For real $a$: where is $1 + \Delta a$ equal to $-1$?
#
# </details>
# <details><summary>Hint 2</summary>
#
# For complex $a$ write $|1 + \Delta a|^2 = (1 + \Delta\,\mathrm{Re}\,a)^2 + (\Delta\,\mathrm{Im}\,a)^2$ and set it to 1. One
# solution is $\Delta = 0$; divide it out.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "largest-stable-step", "locked": false, "schema_version": 3, "solution": true, "task": false}
def largest_stable_step(A):
    """(state,) complex eigenvalues in 1/s → (state,) steps in s."""
    ### BEGIN SOLUTION
    return -2 * A.real / (A.real**2 + A.imag**2)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "largest-stable-step-check", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.largest_stable_step(largest_stable_step)

# %%
A = s4d_real(16)
limits = stability_limit("euler", A)
print(f"Mamba's first A is -1 … -16; Euler's rule needs Δ below {limits.min():.3f} for the fastest of these states")

# %% [markdown]
# **The bilinear rule** looks at both ends. It takes the mean of the slope before and the slope after the step:
#
# $$h_t = h_{t-1} + \Delta\,\Bigl(a\,\frac{h_{t-1} + h_t}{2} + b\,x_t\Bigr).$$
#
# Now $h_t$ stands on both sides.
#
# **Check 3.** (medium, 8 minutes) Solve for $h_t$ and write `bilinear(A, B, delta)`, with shapes as in check 1.
#
# <details><summary>Hint</summary>
#
# Bring both $h_t$ to the left and take out the factor: $(1 - \tfrac{\Delta a}{2})\,h_t = \dots$
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "bilinear", "locked": false, "schema_version": 3, "solution": true, "task": false}
def my_bilinear(A, B, delta):
    """A, B: (dim, state); delta: (dim,) in s → A_bar, B_bar: (dim, state) each."""
    ### BEGIN SOLUTION
    half = delta[:, None] * A / 2
    return (1 + half) / (1 - half), delta[:, None] * B / (1 - half)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "bilinear-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
checks.bilinear(my_bilinear)

# %% [markdown]
# Yours and the library's agree, and neither of the library's two can become unstable:

# %%
drawn = -torch.rand(3, 4).double(), torch.randn(3, 4).double(), torch.rand(3).double()
for ours, theirs in ((zero_order_hold, library_zero_order_hold), (my_bilinear, bilinear)):
    for mine, published in zip(ours(*drawn), theirs(*drawn), strict=True):
        torch.testing.assert_close(mine, published)

# %% [markdown]
# ## How good are they?
#
# We ask all rules for the state one second after the input went from 0 to 1, with $a = -2$, and count how far off they
# are, for steps from a second to a thousandth. The truth is $\frac{1 - e^{-2}}{2}$.

# %%
a = torch.tensor([[-2.0]]).double()
truth = (1 - torch.exp(torch.tensor(-2.0).double())) / 2
counts = torch.tensor([1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024])
errors = {}
for name, rule in RULES.items():
    found = torch.stack(
        [recur(*rule(a, one, 1 / n[None].double()), one, torch.ones(1, 1, int(n)).double())[0, 0, -1] for n in counts]
    )
    errors[name] = ((found - truth).abs() / truth).clamp(min=1e-16)
show(
    curves(1 / counts, errors, xlabel="step Δ (s)", ylabel="relative error", log="xy"),
    alt="Error against step on two logarithmic axes. Zero-order hold stays at rounding, 1e-16 to 1e-14; the bilinear "
    "rule falls with the square of the step; Euler's rule and Mamba's fall with the step itself.",
)

# %%
for name in ("euler", "bilinear", "mamba"):
    error = errors[name]
    print(f"{name:16} halving the step from 1/512 divides the error by {error[-2] / error[-1]:.2f}")

# %% [markdown]
# Twice for Euler (an error of first order), four times for the bilinear rule (second order), and nothing left to gain
# for zero-order hold. But who is the fourth, that is no better than Euler?
#
# **See.** All four rules at once. Move $\Delta$ and the eigenvalue, its real and its imaginary part. Above stands what each
# rule answers; below, where its $\bar a$ lies in the plane, with the circle inside which a rule is stable, and its error
# against the step. Find a step at which Euler's rule leaves the circle, and look at what happens to its answer. Then
# choose the input *pulse*: which rule is exact now?

# %%
panels.discretisation()

# %% [markdown]
# ## The question that people ask most
#
# *The paper says zero-order hold for $B$. The released code computes $\bar B = \Delta B$, which is Euler's. Which is it, and
# does it matter?*
#
# Both are true: the released Mamba keeps $\bar A = e^{\Delta A}$ and takes $\bar B = \Delta B$ (claim S3; our rule `mamba`). It
# mixes two rules. How far do they part? Their ratio is $\frac{\Delta a}{e^{\Delta a} - 1}$: it depends on $\Delta a$ alone.

# %%
step = torch.linspace(-12, -0.01, 400).double()
show(
    curves(
        -step,
        {"ΔB, divided by zero-order hold's B̄": 1 / expm1_ratio(step)},
        xlabel="-Δa: how much a state fades in a step",
        ylabel="ratio",
        marks={"n = 1 at VideoMamba's start": 0.69, "n = 16": 11.1},
    ),
    alt="The ratio is 1 where a state hardly fades in a step and grows like -Δa: 1.4 for the slowest state of a fresh "
    "VideoMamba, 11 for the fastest.",
)

# %% [markdown]
# For a slow state they are the same. For a fast one the released rule takes in many times as much: a fresh VideoMamba
# ($\Delta = 0.69$, $a = -1 \dots -16$) up to eleven times.
#
# **Predict.** Does it matter?
#
# - a) Yes: a model with $\bar B = \Delta B$ can do less
# - b) Not for what can be learned, but for loading weights
# - c) No: the difference is lost in the noise

# %%
my_choice = "a"
checks.which_rule(my_choice)

# %% [markdown]
# Let us see both halves of that. First, $\Delta$ fixed: whatever zero-order hold computes, `mamba` computes with another
# $B$.

# %%
A, B, C = s4d_real(16)[None], torch.randn(1, 16).double(), torch.randn(1, 16).double()
u, delta = torch.randn(1, 1, 200).double(), torch.tensor([0.69]).double()
held = recur(*RULES["zero_order_hold"](A, B, delta), C, u)
same_B = recur(*RULES["mamba"](A, B, delta), C, u)
other_B = recur(*RULES["mamba"](A, B * expm1_ratio(delta[:, None] * A), delta), C, u)
print(
    f"the same B: {((same_B - held).norm() / held.norm()).item():.0%} off;   B times the ratio: "
    f"{((other_B - held).norm() / held.norm()).item():.0e} off"
)

# %% [markdown]
# Second, $\Delta$ chosen by the input, step by step, as Mamba does it (lesson 04). Now the ratio changes with every token,
# and no fixed $B$ makes up for it. But $B$ is chosen by the input too, and the network around it learns with whichever rule
# it is given. What does *not* work is to train with one rule and run with the other:

# %%
delta = torch.nn.functional.softplus(torch.randn(200, 1).double())
held = recur(*RULES["zero_order_hold"](A, B, delta), C, u)
released = recur(*RULES["mamba"](A, B, delta), C, u)
print(f"the same weights, the other rule: {((released - held).norm() / held.norm()).item():.0%} off")

# %% [markdown]
# So the answer is: the paper derives zero-order hold, the code takes the simpler $\Delta B$, which costs one
# multiplication instead of an exponential and a division, and nothing was lost by it that anybody has measured. But every
# published weight was trained with $\Delta B$. Therefore `vmamba_kernels.selective_scan` computes $\Delta B$ as well.
#
# ## What to remember
#
# - Zero-order hold solves the equation exactly for an input that is held: $\bar A = e^{\Delta A}$, $\bar B =
#   \frac{e^{\Delta A} - 1}{A}\,B$ (S2; VideoMamba, equations 2 to 4).
# - Euler: $1 + \Delta A$ and $\Delta B$; first order, unstable from $\Delta = -2\,\mathrm{Re}\,a / |a|^2$ on. Bilinear: second
#   order, always stable.
# - Released Mamba: $e^{\Delta A}$ and $\Delta B$ (S3). Always stable, and the only rule that fits published weights.
# - Near zero compute $e^x - 1$ with `expm1`.
#
# **Sources.** VideoMamba (arXiv 2403.06977), equations 2–4; Mamba (arXiv 2312.00752), equation 4;
# `selective_scan_ref` in selective_scan_interface.py of state-spaces/mamba, where $\bar B = \Delta B$ stands.
#
# **Next.** The recurrence takes one step after the other. Lesson 03 shows that the same thing can be had all at once.
