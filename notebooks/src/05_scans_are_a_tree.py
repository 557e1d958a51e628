# %% [markdown]
# # 05 · Scans are a tree
#
# A selective scan changes at every step, so it is no convolution. Must it then be computed token by token? No: and why
# not is one of the prettiest ideas in computing. This lesson builds it, counts what it costs, and says when it does
# not pay.
#
# | | |
# |---|---|
# | **You will be able to** | prove that steps can be joined in any order, write two parallel scans, and say when each one pays |
# | **You need** | lesson 03: the third way; lesson 04: a step that differs for every token |
# | **Minutes** | 50 |
# | **Hardware** | any laptop; no GPU, no network |

# %%
import time

import torch
from vmamba_kernels import selective_scan

from vmamba_edu import checks, panels
from vmamba_edu.checks import compared
from vmamba_edu.pictures import curves, show
from vmamba_edu.ssm import blelloch, s4d_real, sequential
from vmamba_edu.ssm import combine as library_combine
from vmamba_edu.ssm import hillis_steele as library_hillis_steele

generator = torch.Generator().manual_seed(0)

# %% [markdown]
# ## A step is a pair
#
# Take one state of one channel. Each token does the same kind of thing to it, with numbers of its own:
#
# $$h_t = a_t\,h_{t-1} + b_t, \qquad a_t = e^{\Delta_t A}, \quad b_t = \Delta_t B_t u_t.$$
#
# So a token *is* a map, $h \mapsto a h + b$, and two numbers say all of it: the pair $(a, b)$. Now do one step and
# then another:
#
# $$h \;\mapsto\; a_2\,(a_1 h + b_1) + b_2.$$
#
# **Check 1.** (easy, 4 minutes) That is a map of the same kind again. Write `combine(a1, b1, a2, b2)`: the pair that
# does in one step what the first pair and then the second do in two.
#
# <details><summary>Hint</summary>
#
# Multiply out, and look at what stands in front of $h$ and what does not.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "combine", "locked": false, "schema_version": 3, "solution": true, "task": false}
def combine(a1, b1, a2, b2):
    """First h → a1 h + b1, then h → a2 h + b2: the a and b of both together."""
    ### BEGIN SOLUTION
    return a2 * a1, a2 * b1 + b2
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "combine-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
checks.combine(combine)

# %% [markdown]
# ## In any order
#
# Write $\bullet$ for that: $(a_1, b_1) \bullet (a_2, b_2) = (a_2 a_1,\; a_2 b_1 + b_2)$. Three in a row can be joined
# in two ways. First the left two:
#
# $$\big[(a_1, b_1) \bullet (a_2, b_2)\big] \bullet (a_3, b_3) = (a_2 a_1,\; a_2 b_1 + b_2) \bullet (a_3, b_3) = (a_3 a_2 a_1,\;\; a_3 a_2 b_1 + a_3 b_2 + b_3).$$
#
# Or first the right two:
#
# $$(a_1, b_1) \bullet \big[(a_2, b_2) \bullet (a_3, b_3)\big] = (a_1, b_1) \bullet (a_3 a_2,\; a_3 b_2 + b_3) = (a_3 a_2 a_1,\;\; a_3 a_2 b_1 + a_3 b_2 + b_3).$$
#
# The same. This law is called *associativity*, and all of this lesson follows from it: whoever has a hundred steps to
# do may cut them where they like, give each piece to somebody else, and join what comes back. (Left and right must not
# be exchanged: after a wipe-out, $a = 0$, a letter stays; before it, it is gone.) One pair changes nothing: $(1, 0)$.

# %%
first, second, third = (tuple(torch.randn(2, generator=generator).double()) for _ in range(3))
left = library_combine(library_combine(first, second), third)
right = library_combine(first, library_combine(second, third))
print("left first: ", [f"{x:.12f}" for x in left])
print("right first:", [f"{x:.12f}" for x in right])
torch.testing.assert_close(library_combine(first, second), combine(*first, *second))

# %% [markdown]
# **Predict.** An older kind of network has a bend in its step: $h_t = \tanh(a_t h_{t-1} + b_t)$. Can its steps be
# joined like that?
#
# - a) Yes: two numbers say all of a step here too
# - b) No: two such steps are no step of that kind
# - c) Only if the state fades, $|a| < 1$

# %%
my_choice = "a"
checks.with_a_bend(my_choice)

# %% [markdown]
# That is the price that state-space models paid for being parallel: between two tokens they are linear. All that bends
# is put between the layers, or into the choice of $\Delta$, $B$ and $C$.
#
# ## First tree: everybody looks back
#
# We want *all* $h_t$, so for every $t$ all of the pairs $0 \dots t$ joined. W. D. Hillis and G. Steele (1986): let
# each place join what stands 1 before it; then what stands 2 before; then 4, 8, … After $k$ levels a place holds the
# last $2^k$ pairs. All of a level can be done at the same moment.
#
# **Check 2.** (medium, 8 minutes) Write `hillis_steele(a, b)`: two vectors, (length,) each, make all h, (length,). The
# length need not be a power of two.
#
# <details><summary>Hint 1</summary>
#
# `combine(a[:-distance], b[:-distance], a[distance:], b[distance:])` is a whole level. The first `distance` places
# have nothing so far before them: they stay.
#
# </details>
# <details><summary>Hint 2</summary>
#
# `torch.cat` puts the places that stay and the new ones together. Both a and b must be brought up to date.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "hillis-steele", "locked": false, "schema_version": 3, "solution": true, "task": false}
def hillis_steele(a, b):
    """a, b: (length,) → h (length,), in about log₂(length) levels."""
    ### BEGIN SOLUTION
    distance = 1
    while distance < len(a):
        new_a, new_b = combine(a[:-distance], b[:-distance], a[distance:], b[distance:])
        a, b = torch.cat([a[:distance], new_a]), torch.cat([b[:distance], new_b])
        distance *= 2
    return b
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "hillis-steele-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
checks.hillis_steele(hillis_steele)

# %% [markdown]
# Two things are worth counting. *Depth*: the levels that must wait for each other. That is the time, if there is a
# processor for every place. *Work*: all the combinations. That is the time of one processor.
#
# **Predict.** For 1024 tokens the loop makes 1023 combinations, one after the other. Hillis and Steele need 10 levels.
# How many combinations do they make?

# %%
my_number = 1023

# %%
a, b = torch.rand(1024, generator=generator).double(), torch.randn(1024, generator=generator).double()
trace = library_hillis_steele(a, b)
torch.testing.assert_close(hillis_steele(a, b), trace.h)
print("combinations:", compared(my_number, trace.work))

# %% [markdown]
# ## Second tree: up and down again
#
# Nine times the work of the loop: much of it is done again and again by neighbours. G. Blelloch (1990) found a tree
# that does not repeat itself. It walks twice.
#
# - **Up.** Join neighbours, then the pairs of neighbours, …, until one pair at the root holds everything. Half of the
#   places, then a quarter, …: together length − 1 combinations.
# - **Down.** Ask at each knot: *what stands before you?* Nothing stands before the root, so it is given $(1, 0)$. A
#   left child has the same before it as its parent. A right child has that, and then its left sister.
#
# At the end each leaf knows what stands before it; joining its own pair gives $h_t$.
#
# **Check 3.** (hard, 15 minutes) Write `before_each(a, b)`: for a length that is a power of two, the pairs (a, b) of
# all that stands *before* each place, own pair not included. The places of a level are
# `right = torch.arange(2 * distance - 1, len(a), 2 * distance)`, and `right - distance` for their left sisters. Work
# on copies.
#
# <details><summary>Hint 1</summary>
#
# Up, at distances 1, 2, 4, …: `a[right], b[right] = combine(left sister, right)`. The right place now stands for both:
# it is the parent.
#
# </details>
# <details><summary>Hint 2</summary>
#
# Then `a[-1], b[-1] = 1, 0`. Down, at the same distances in reverse order. The right place holds what stands before
# the parent: keep it, give the right place `combine(that, left sister's sum)`, and the left one what you kept.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "before-each", "locked": false, "schema_version": 3, "solution": true, "task": false}
def before_each(a, b):
    """a, b: (length,), length a power of two → a, b (length,): all that stands before each place, as one pair."""
    ### BEGIN SOLUTION
    a, b = a.clone(), b.clone()
    distances = [2**k for k in range(len(a).bit_length() - 1)]
    for distance in distances:
        right = torch.arange(2 * distance - 1, len(a), 2 * distance)
        left = right - distance
        a[right], b[right] = combine(a[left], b[left], a[right], b[right])
    a[-1], b[-1] = 1, 0
    for distance in reversed(distances):
        right = torch.arange(2 * distance - 1, len(a), 2 * distance)
        left = right - distance
        before = a[right], b[right]
        a[right], b[right] = combine(*before, a[left], b[left])
        a[left], b[left] = before
    return a, b
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "before-each-check", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.before_each(before_each)

# %%
_, h = combine(*before_each(a, b), a, b)  # and each place its own pair
torch.testing.assert_close(h, blelloch(a, b).h)
torch.testing.assert_close(h, sequential(a, b).h)

# %% [markdown]
# **See.** Both trees, level by level, and the loop beside them at the same moment. Press play, or move *step* with the
# arrow keys. Below stand the pairs. Try 32 pairs; try Hillis–Steele; and type pairs of your own: with all a = 1 a scan
# is a running sum, and an a of 0 is a token that wipes out what was before it.

# %%
panels.scan_tree(length=8)

# %%
lengths = [2**k for k in range(3, 13)]
depth = {name: [] for name in ("loop", "Hillis–Steele", "Blelloch")}
work = {name: [] for name in depth}
for length in lengths:
    a, b = torch.rand(length, generator=generator), torch.randn(length, generator=generator)
    for name, scan in zip(depth, (sequential, library_hillis_steele, blelloch), strict=True):
        trace = scan(a, b)
        depth[name].append(trace.depth)
        work[name].append(trace.work / (length - 1))
print(
    f"at {length} tokens: depth {[d[-1] for d in depth.values()]}, work ÷ the loop's {[f'{w[-1]:.1f}' for w in work.values()]}"
)

# %%
show(
    curves(
        torch.tensor(lengths).float(),
        {f"depth, {name}": torch.tensor(values).float() for name, values in depth.items()}
        | {f"work ÷ loop, {name}": torch.tensor(work[name]) for name in ("Hillis–Steele", "Blelloch")},
        xlabel="length L (tokens)",
        ylabel="count",
        log="xy",
    ),
    alt="The loop's depth grows with the length, that of both trees hardly: 12 and 25 levels at 4096 tokens. Hillis and "
    "Steele's work is eleven times the loop's by then; Blelloch's stays three times as much.",
)

# %% [markdown]
# ## In pieces
#
# A GPU has thousands of processors, but not one for each token of each state. So its kernels cut the sequence into
# *chunks*. Within a chunk all tokens are joined at once, by a tree; from chunk to chunk one number a state is handed
# on, the *carry*. A chunk that began with an empty state has $h_t = b_{0 \dots t}$; if $h_{-1}$ came in, it would have
# been $a_{0 \dots t}\,h_{-1} + b_{0 \dots t}$: the pair knows both.
#
# **Check 4.** (hard, 12 minutes) Write `chunked_scan(a, b, size)`: scan each chunk by itself, with `hillis_steele`,
# and add what the carry has become at each place. The last chunk may be shorter. Lesson 07 needs just this.
#
# <details><summary>Hint 1</summary>
#
# `a.split(size)` cuts; `torch.cumprod(chunk, dim=0)` has $a_{0 \dots t}$ of a chunk for every t.
#
# </details>
# <details><summary>Hint 2</summary>
#
# The carry for the next chunk is the last h of this one, *with* what the carry before added to it.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "chunked-scan", "locked": false, "schema_version": 3, "solution": true, "task": false}
def chunked_scan(a, b, size):
    """a, b: (length,) → h (length,), chunk by chunk, each of at most `size` tokens."""
    ### BEGIN SOLUTION
    carry, chunks = 0, []
    for chunk_a, chunk_b in zip(a.split(size), b.split(size), strict=True):
        h = hillis_steele(chunk_a, chunk_b) + torch.cumprod(chunk_a, dim=0) * carry
        carry = h[-1]
        chunks.append(h)
    return torch.cat(chunks)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "chunked-scan-check", "locked": true, "points": 4, "schema_version": 3, "solution": false, "task": false}
checks.chunked_scan(chunked_scan)

# %% [markdown]
# ## On your machine
#
# `vmamba_kernels` has the same operator three times for a CPU: `reference`, a loop in Python; `associative`, a tree
# like Blelloch's in plain torch; and `numba`, a compiled loop. We let each run on one processor.
#
# **Predict.** At 4096 tokens the fastest is
#
# - a) the tree: 24 levels instead of 4096 steps
# - b) the loop in Python: it does the least work
# - c) the compiled loop

# %%
my_choice = "a"
checks.who_wins(my_choice)


# %%
def milliseconds(function, *arguments, **options):
    function(*arguments, **options)  # the first call compiles, and fills caches
    taken = []
    for _ in range(5):
        start = time.process_time()  # what the processor spends on us, whatever else it does meanwhile
        function(*arguments, **options)
        taken.append(time.process_time() - start)
    return min(taken) * 1e3


def draw_scan(length, dim=64, state=16):
    u, delta = (torch.randn(1, dim, length, generator=generator) for _ in range(2))
    B, C = (torch.randn(1, state, length, generator=generator) for _ in range(2))
    return u, delta.abs() / 10, s4d_real(state).float().repeat(dim, 1), B, C


# %%
torch.set_num_threads(1)
lengths, engines = (
    [64, 256, 1024, 4096],
    {"reference": "loop in Python", "associative": "tree", "numba": "compiled loop"},
)
taken = {name: [] for name in engines.values()}
for length in lengths:
    arguments = draw_scan(length)
    for engine, name in engines.items():
        taken[name].append(milliseconds(selective_scan, *arguments, backend=engine))
show(
    curves(
        torch.tensor(lengths).float(),
        {name: torch.tensor(values) for name, values in taken.items()},
        xlabel="length L (tokens)",
        ylabel="processor time (ms)",
        log="xy",
    ),
    alt="Time against length for three engines, both logarithmic. At 4096 tokens: "
    + ", ".join(f"{name} {values[-1]:.2g} ms" for name, values in taken.items()),
)

# %% [markdown]
# The tree beats Python's loop, since it makes few and large operations of many small ones. And it loses to the
# compiled loop by far. Its few levels are worth nothing to one processor, which has to do all of their work; and each
# level writes its pairs to memory, to be read again by the next:

# %%
u, delta, A, B, C = arguments
must = sum(x.numel() for x in (u, delta, B, C, u))  # four inputs read, y written
pairs = 2 * u.numel() * A.shape[1]  # a and b, written out for every state
print(f"{length} tokens: inputs and output are {4 * must / 1e6:.1f} MB; the pairs alone are {4 * pairs / 1e6:.1f} MB")

# %% [markdown]
# So on a CPU the plain loop wins: one channel's state stays in registers, nothing is written but $y$, and other
# channels keep the other processors busy. A tree pays where there are more processors than channels, on a GPU with a
# short batch; and even there it is used within chunks only, with a carry between them.
#
# ## How it grows
#
# One thing all scans have in common: twice the tokens, twice the work. Attention compares every token with every other
# one (claim S5; VideoMamba, figure 1). We measure both, a scan as wide as VideoMamba-Ti's and one head of attention,
# and ask with which power of the length the time grows. (Attention may show a little more than 2: its L × L weights
# outgrow the cache on the way.)


# %%
def attention(q, k, v):
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1) @ v


lengths = [1024, 2048, 4096]
growing = {"scan": [], "attention": []}
for length in lengths:
    growing["scan"].append(milliseconds(selective_scan, *draw_scan(length, dim=384), backend="numba"))
    growing["attention"].append(milliseconds(attention, *torch.randn(3, length, 64, generator=generator)))
x = torch.tensor(lengths).log()
for name, values in growing.items():
    y = torch.tensor(values).log()
    power = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    print(f"{name}: {values[-1]:.1f} ms at {length} tokens; time grows like length^{power:.2f}")

# %%
show(
    curves(
        torch.tensor(lengths).float(),
        {name: torch.tensor(values) for name, values in growing.items()},
        xlabel="length L (tokens)",
        ylabel="processor time (ms)",
        log="xy",
    ),
    alt="Time against length, both logarithmic: the scan's line rises with slope one, attention's twice as steeply.",
)

# %% [markdown]
# ## What to remember
#
# - A step is a pair, $(a_1, b_1) \bullet (a_2, b_2) = (a_2 a_1,\; a_2 b_1 + b_2)$. It is associative, so neighbours
#   may be joined before anybody knows what came before them. $(1, 0)$ changes nothing. With a bend in the step that is
#   lost.
# - Hillis–Steele: $\lceil\log_2 L\rceil$ levels, about $L \log_2 L$ work. Blelloch: about $2 \log_2 L$ levels, about
#   $3 L$ work. The loop: $L - 1$ of each.
# - Chunks with a carry: a tree inside, a loop outside. That is what GPU kernels do.
# - Depth counts where processors would wait; work and memory traffic count everywhere else. On a CPU a compiled loop
#   wins.
# - A scan is linear in the length, attention quadratic (S5).
#
# **Sources.** W. D. Hillis and G. L. Steele, *Data parallel algorithms* (1986); G. E. Blelloch, *Prefix sums and their
# applications* (1990), §1.4.1 for the pairs; Mamba (arXiv 2312.00752), §3.3.2; VideoMamba (arXiv 2403.06977), figure 1.
#
# **Next.** 06 A CPU kernel in Numba: how that compiled loop came to be so fast, step by step.
