# %% [markdown]
# # 00 · First light
#
# A clip goes in, and at the end you look at the memory of a model that has read it.
#
# | | |
# |---|---|
# | **You will be able to** | cut a clip into tokens, say in which order a model reads them, run a VideoMamba, and look at its hidden state |
# | **You need** | a little PyTorch; nothing of state spaces |
# | **Minutes** | 20 |
# | **Hardware** | any laptop; no GPU, no network |
#
# A lesson goes in a circle: *predict* (a number you write down before you run the cell), *build* (a few lines that
# are the idea), *see* (a picture or a panel). Nothing that you change here can be lost: this is your own copy.

# %%
import math
import tempfile
import time
from pathlib import Path

import torch
from einops import rearrange
from vmamba_kernels import engines

import vmamba_edu
from vmamba_edu import panels
from vmamba_edu.analysis import block_scan_arguments, hidden_states
from vmamba_edu.models import shipped_record
from vmamba_edu.pictures import cut_into_patches, filmstrip, show, state_maps
from vmamba_edu.recipes import classify, load_trained
from vmamba_edu.video import clip_to_tensor, moving_digits, read_clip, write_video

torch.manual_seed(0)
{name: engine.reason or "ready" for name, engine in engines().items()}

# %% [markdown]
# The cell above answers which *engines* can compute the scan here. `numba` is the fast one on a CPU; `triton` wants
# a GPU.
#
# ## A clip
#
# We film a handwritten digit. The handwriting is real (it comes with scikit-learn), the motion is ours: so we know
# the right answer, and can make as many clips as we like. It is written to an H.264 file, like any video that you
# might bring.

# %%
sample = moving_digits(digit=7, motion="left", num_frames=24, size=224, seed=3)
path = write_video(Path(tempfile.mkdtemp()) / "seven.mp4", sample.frames, fps=12)
print(f"{sample.caption}: {len(sample.frames)} frames, {path.stat().st_size / 1024:.0f} KiB on disk")

# %% [markdown]
# Models do not look at every frame. This one takes eight, spread evenly over the file, however long it is.

# %%
clip = read_clip(path, 8)
labels = [f"frame {i}\n{t:.2f} s" for i, t in zip(clip.indices, clip.timestamps, strict=True)]
show(
    filmstrip(clip.frames, labels),
    alt=f"Eight frames of a clip side by side, in which {sample.caption}.",
)

# %% [markdown]
# Cover all frames but one: can you tell which way the seven moves? Played backwards, the same eight pictures would
# show a seven that moves *right*. Whoever answers has looked at their **order**. That is what this course is about:
# how a model can keep in mind what it saw earlier, at a price that does not explode with the length of the clip.
#
# ## Tokens
#
# A model does not read pixels one by one. The clip is cut into patches of 16 × 16 pixels, and each patch becomes
# one *token*.
#
# **Predict.** How many tokens are eight frames of 224 × 224 pixels? Write your number down, then run the cells.

# %%
tokens_i_expect = 1000

# %% [markdown]
# **Build.** All that cutting is one line: which pixels move where is written in the pattern itself.

# %%
patch = 16
patches = rearrange(clip.frames, "t (h p) (w q) channel -> (t h w) (p q channel)", p=patch, q=patch)
length, values = patches.shape
print(f"{length} tokens of {values} numbers each; you expected {tokens_i_expect}.")
print(f"They stand frame by frame: {len(clip.frames)} frames × {224 // patch} rows × {224 // patch} columns.")

# %%
show(
    cut_into_patches(clip.frames[0], patch),
    alt="The first frame, and the same frame cut into 14 by 14 patches, numbered row by row from 0 to 195.",
)

# %% [markdown]
# ## Which token comes next?
#
# A state-space model reads its tokens one after the other, as you read this line. But a clip is no line. It has a
# height, a width and a duration, and somebody has to decide in which order to walk through them.
#
# **Predict.** The model reads the first frame row by row, then the second frame, and so on. It has just read a
# patch; after how many more tokens does it meet *the same place one frame later*?

# %%
steps_i_expect = 14

# %% [markdown]
# **See.** Press play, or click the slider and hold an arrow key. The triangles are the readings of one block:
# VideoMamba reads every clip in both directions and adds what they find. Below, on a scale of powers of ten, stands
# how many steps of the reading lie between a token and its neighbours: the patch beside it, the patch below it, and
# the same place in the next frame. Then change the plan to *temporal first* and look there again.

# %%
orders = panels.scan_orders(clip.frames, patch_size=patch, position=300)
orders

# %%
steps = orders.view.passes[0].distances
print(f"The same place one frame later: {steps['time']} steps; you expected {steps_i_expect}.")
print(f"The patch below: {steps['height']}. The patch to the right: {steps['width']}.")

# %% [markdown]
# Whatever the order, something that is close in the clip ends up far apart in the line. Read frame by frame,
# neighbours in *time* are torn apart; read place by place, neighbours in *space* are. The paper tries four plans
# (VideoMamba, figure 4) and finds the plainest one, spatial first, to be the best. You will repeat that experiment.
#
# ## VideoMamba reads the clip
#
# The smallest published model, with the published names and shapes of all its parameters. Its weights are drawn at
# random, so its answer means nothing; here we want to see the machinery turn.

# %%
model = vmamba_edu.create_model("videomamba_tiny", num_frames=8, num_classes=12).eval()
x = clip_to_tensor(clip.frames, size=224)[None]  # (batch, channel, time, height, width), normalised
with torch.no_grad():
    model(x)  # the first call loads the compiled scan
    start = time.perf_counter()
    logits = model(x)
seconds = time.perf_counter() - start
millions = sum(p.numel() for p in model.parameters()) / 1e6
print(f"{millions:.1f} M parameters, {len(model.layers)} blocks, {length} tokens and [cls]: {seconds:.2f} s")
print("scores of 12 motions:", " ".join(f"{score:+.2f}" for score in logits[0]))

# %% [markdown]
# The first thing the model does is what you did above: cut, and multiply every patch by one matrix. We check that
# the two agree.

# %%
pixels = rearrange(x[0], "channel t (h p) (w q) -> (t h w) (channel p q)", p=patch, q=patch)
ours = pixels @ model.patch_embed.proj.weight.flatten(1).T + model.patch_embed.proj.bias
theirs = rearrange(model.patch_embed(x)[0], "t place dim -> (t place) dim")
torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
tuple(theirs.shape)

# %% [markdown]
# ## One that has learned
#
# The course brings a VideoMamba that has learned twelve motions: a small one, trained in a few minutes on a laptop.
# Everybody can train it anew, with `vmamba-edu train benchmarks/recipes/moving_digits_films.toml`. We show it a digit
# whose handwriting it has never seen, and then the same film backwards.
#
# **Predict.** What does it say of a three that *closes*, played backwards? `trained.classes` are the words it has.

# %%
trained = load_trained("moving_digits_classifier")
backwards_i_expect = "close"

# %%
unseen = moving_digits(digit=3, motion="close", num_frames=24, size=224, split="test", seed=1)
for name, frames in (("forwards", unseen.frames), ("backwards", unseen.frames.flip(0))):
    film = write_video(path.with_name(f"{name}.mp4"), frames, fps=12)
    first, second = classify(trained, film, num_chunks=1, num_crops=1, top=2, progress=False)
    print(f"{name}: {first.name} ({first.probability:.1%}), then {second.name} ({second.probability:.1%})")
print(f"Backwards you expected: {backwards_i_expect}.")

# %%
learned = shipped_record("moving_digits_classifier")["accuracy"]["test"]
print(f"Of clips with handwriting it never saw it named {learned:.1%} rightly; guessing would name {1 / 12:.1%}.")

# %% [markdown]
# The same pictures in another order, and another answer: it has looked at *time*. A model that only counted what is in the
# frames could not do that.
#
# ## Inside: the hidden state
#
# Back to the published model. In every block, each of 384 channels carries a small memory with it through all the tokens: the *hidden state*
# $h$, sixteen numbers. At token $t$ it fades a little and takes in something new, $u_t$:
#
# $$h_t = \bar A_t \, h_{t-1} + \bar B_t \, u_t, \qquad y_t = C_t \, h_t.$$
#
# That is all a state-space model is. $\bar A_t$, between 0 and 1, says how much stays; $\bar B_t$ what is taken in;
# $C_t$ what is read out. Because all three depend on the token itself, the model can choose what to keep.
#
# **See.** What one channel of block 12 holds after each token, laid out over the clip. Row $n$ is one of its
# sixteen numbers.

# %%
block = 12
h = hidden_states(model, x, block, channels=range(64))  # (batch, 1 + length, channels, state), [cls] first
maps = rearrange(h[0, 1:], "(t h w) channel n -> channel n t h w", t=8, h=14)
channel = int(maps.var(dim=(2, 3, 4)).sum(1).argmax())  # the one that moves most
show(
    state_maps(maps[channel, [0, 3, 15]], [f"n = {n}" for n in (1, 4, 16)]),
    alt="Three rows of eight small maps: the state of one channel over the clip. The digit is seen in each, with a "
    "trail to its right in the direction of reading; the trail is longest for n = 1.",
)

# %% [markdown]
# You see the seven, and you see that this is a *memory*: to the right of the ink hangs a trail, because the state
# is read out after the ink has passed. The first row keeps its trail longest, the last one forgets almost at once.
#
# **Predict.** After how many tokens has a state of the first row lost half of what it held?

# %%
half_life_i_expect = 100

# %%
scan = block_scan_arguments(model, x, block)
step = torch.nn.functional.softplus(scan["delta"] + scan["delta_bias"][:, None]).mean()  # Δ, about the same everywhere
half_life = (math.log(2) / (step * -scan["A"][channel])).tolist()  # exp(Δ A · half-life) = 1/2
print(f"n = 1: {half_life[0]:.2f} tokens; you expected {half_life_i_expect}. n = 16: {half_life[15]:.3f} tokens.")
row, frame = (2 ** (-tokens / half_life[0]) for tokens in (14, 196))
print(f"Left of a token, n = 1, after one row of 14: {row:.0e}; after one frame of 196: {frame:.0e}")

# %% [markdown]
# A VideoMamba that has just been created remembers about one token! The seven of the first frame is gone long
# before the second frame begins, let alone the last. How a step size $\Delta$ and a matrix $A$ make such a memory,
# how training stretches it, and what happens when it does not: that is the story of the lessons to come.
#
# ## What to remember
#
# - A clip of $T \times H \times W$ pixels becomes $L = T \cdot \frac{H}{16} \cdot \frac{W}{16}$ tokens (VideoMamba §3.2).
# - A scan is a line through them, and no line keeps all neighbours together.
# - A state-space model carries a small state along that line: it fades, takes in, and is read out at every token.
# - At the start of training that memory is about one token long.
#
# ## What comes next
#
# | lesson | opens up |
# |---|---|
# | 01 A system with a memory | what $h$, $A$, $B$ and $C$ are before anything is learned: a differential equation |
# | 02 Time in steps | how $\Delta$ turns it into $\bar A$ and $\bar B$, and which rule the released code really uses |
# | 03 The same thing three ways | recurrence, convolution and scan; how $A$ is chosen so that a state remembers |
# | 04 Selection | why $B$, $C$ and $\Delta$ look at the token, and what that buys |
# | 05 Scans are a tree | how a chain of steps can be computed in parallel |
# | 06 A CPU kernel in Numba | why the model above took a fraction of a second and not minutes |
# | 07 A GPU kernel in Triton | the same on a GPU |
# | after that | the full VideoMamba and its scan orders, masks, VideoMambaPro, ViViT, and finding a clip by its caption |
#
# **Sources.** VideoMamba (arXiv 2403.06977) §3.2, equations 3–5, figure 4; Mamba (arXiv 2312.00752) §3.2. Digits:
# E. Alpaydin and C. Kaynak, *Optical Recognition of Handwritten Digits*, UCI Machine Learning Repository, through
# scikit-learn.
