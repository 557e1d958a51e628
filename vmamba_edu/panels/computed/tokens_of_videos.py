"""From a video to tokens: which frames are taken, how they are cut, how many tokens that makes and what they cost.

    L = ⌊T / t⌋ · ⌊H / h⌋ · ⌊W / w⌋

for T frames of H × W pixels and patches (t = 1) or tubelets of t × h × w. Source: VideoMamba (arXiv 2403.06977) §3.2;
ViViT (arXiv 2103.15691) §3.2; the samplers are those of `vmamba_edu.video.sampling`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType

import numpy as np
import torch

from vmamba_edu.analysis import cost
from vmamba_edu.panels.computed.arguments import one_of, within
from vmamba_edu.panels.computed.frames_of_videos import Video, video_of
from vmamba_edu.video import dense_test_indices, sparse_test_indices

SAMPLINGS = ("uniform", "dense", "multi-clip")
FRAMES = (4, 8, 16, 32)
SIZES = (64, 112, 224)
PATCHES = (8, 16, 32)
TUBELETS = (1, 2, 4)
STRIDES = (1, 2, 4, 8)
CLIPS = 4
"""Views of a video in the published test of Kinetics."""
WIDTH, DEPTH = 192, 24
MODELS: Mapping[str, tuple[str, Mapping[str, int]]] = MappingProxyType(
    {
        "scan": ("videomamba_tiny", {}),
        "joint": ("vivit_1_base_16x2", {"embed_dim": WIDTH, "depth": DEPTH, "num_heads": 3}),
        "factorised": ("vivit_3_base_16x2", {"embed_dim": WIDTH, "depth": DEPTH, "num_heads": 3}),
    }
)
"""What reads the tokens, all of one width and depth: VideoMamba-Ti, ViViT's model 1 and its model 3."""


@dataclass(frozen=True)
class State:
    """A video and how it is made into tokens.

    Args:
        sampling: "uniform" (over the whole video), "dense" (every `stride`-th frame of a clip in the middle), or
            "multi-clip" (CLIPS dense clips from the first to the last that fits).
        num_frames: T, of each clip.
        stride: of dense clips.
        size: H = W in pixels.
        patch_size, tubelet_size: h = w, and t; 1 stands for patches of single frames.
        clip: which of several clips is shown.
        path: of the video's file; "" for the built-in one, or the given one.
        video: what the path was opened as.
    """

    sampling: str = "uniform"
    num_frames: int = 8
    stride: int = 4
    size: int = 112
    patch_size: int = 16
    tubelet_size: int = 1
    clip: int = 0
    path: str = ""
    video: Video | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, eq=False)
class View:
    """What the panel shows."""

    video: Video
    indices: np.ndarray  # (clips, T) frame numbers
    grid: tuple[int, int, int]  # tokens of one clip in time, height and width
    lengths: dict[int, int]  # L of one clip, by tubelet size
    operations: dict[str, dict[int, float]]  # of one clip, by model and tubelet size

    @property
    def length(self) -> int:
        time, height, width = self.grid
        return time * height * width


def compute(state: State) -> View:
    """Which frames, which grid, and what each tubelet size would make of it.

    Raises:
        ValueError: one of the fields is none of those that can be chosen, or the video cannot be read.
    """
    _check(state)
    video = state.video or video_of(state.path or None)
    indices = frames_taken(state, video.num_frames)
    within("clip", state.clip, 0, len(indices) - 1)
    grid = (state.num_frames // state.tubelet_size, state.size // state.patch_size, state.size // state.patch_size)
    lengths = {t: state.num_frames // t * grid[1] * grid[2] for t in TUBELETS}
    shape = (state.num_frames, state.size, state.patch_size)
    operations = {name: {t: _operations(name, *shape, t) for t in TUBELETS} for name in MODELS}
    return View(video, indices, grid, lengths, operations)


def frames_taken(state: State, total: int) -> np.ndarray:
    """The frame numbers of each clip, (clips, T)."""
    if state.sampling == "uniform":
        chosen = [sparse_test_indices(total, state.num_frames)]
    else:
        clips = CLIPS if state.sampling == "multi-clip" else 1
        chosen = [dense_test_indices(total, state.num_frames, state.stride, clip, clips) for clip in range(clips)]
    return torch.stack(chosen).numpy()


@cache
def _operations(name: str, num_frames: int, size: int, patch_size: int, tubelet_size: int) -> float:
    model, overrides = MODELS[name]
    cut = {"patch_size": patch_size, "tubelet_size": tubelet_size}
    return float(cost(model, num_frames=num_frames, img_size=size, **cut, **overrides).total_flops)


def _check(state: State) -> None:
    choices = {"sampling": SAMPLINGS, "num_frames": FRAMES, "stride": STRIDES, "size": SIZES}
    for name, known in {**choices, "patch_size": PATCHES, "tubelet_size": TUBELETS}.items():
        one_of(name, getattr(state, name), known)
    if state.size % state.patch_size:
        raise ValueError(f"patch_size: expected a divisor of {state.size} pixels, got {state.patch_size}")
