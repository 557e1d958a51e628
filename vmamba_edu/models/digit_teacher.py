"""A teacher that comes with the package: a small vision transformer that reads handwritten digits in single frames.

It has never seen anything move. Whoever learns from it learns what is where; what happens, the student has to find out.
With 16 patches a frame, whatever the size of the frames: they are brought to its own first.

Its weights are made by `python benchmarks/train_digit_teacher.py`, which is short and says everything about them.
"""

import json
from importlib.resources import as_file, files
from typing import Any

import torch
from einops import reduce
from jaxtyping import Float
from safetensors import safe_open
from torch import Tensor, nn

from vmamba_edu.models.teaching import Teaching, clip_tokens, cls_attention, frames_of
from vmamba_edu.models.transformer_configuration import ViTConfig
from vmamba_edu.models.vit import ViT

WEIGHTS = "digit_teacher.safetensors"
CONFIG = ViTConfig(img_size=32, patch_size=8, num_classes=10, depth=4, embed_dim=64, num_heads=4, mlp_ratio=4.0)


class DigitTeacher(nn.Module):
    """`teacher(clip)` is a `Teaching`; `teacher.read(clip)` says which digit each frame shows.

    Args:
        vit: an image model with [cls] and one class a digit.
        normalise: whether features are divided by their length.
    """

    def __init__(self, vit: ViT, normalise: bool = True):
        super().__init__()
        self.vit, self.normalise = vit, normalise
        self.requires_grad_(False).eval()

    @property
    def frame_size(self) -> tuple[int, int]:
        """(height, width) in pixels to which frames are brought."""
        return self.vit.config.frame_size

    @torch.no_grad()
    def forward(self, clip: Float[Tensor, "batch 3 time height width"]) -> Teaching:
        """One layer of features, those after the last norm, [cls] first; and where [cls] looks in the last block.

        Args:
            clip: normalised with ImageNet's mean and deviation, as `clip_to_tensor` does; any size.
        """
        tokens, blocks = self.vit.forward_features(frames_of(clip, self.frame_size), return_attention=True)
        features = clip_tokens(tokens, len(clip), with_cls=True)
        if self.normalise:
            features = features / features.norm(dim=-1, keepdim=True)
        (last,) = blocks[-1]
        return Teaching(features[None], cls_attention(last.weights[:, 0], len(clip)))

    @torch.no_grad()
    def read(self, clip: Float[Tensor, "batch 3 time height width"]) -> Float[Tensor, "batch time 10"]:
        """How likely each frame is to show each digit: probabilities."""
        logits = self.vit(frames_of(clip, self.frame_size))
        return reduce(logits.softmax(-1), "(b t) digit -> b t digit", "mean", b=len(clip))


def digit_teacher(normalise: bool = True) -> DigitTeacher:
    """The teacher with the weights of the package. Needs no network.

    Args:
        normalise: whether its features are divided by their length, as the published masked run has it.
    """
    vit = ViT(CONFIG)
    with as_file(files("vmamba_edu.models") / "data" / WEIGHTS) as path, safe_open(path, "pt") as stored:
        vit.load_state_dict({name: stored.get_tensor(name).float() for name in stored.keys()})  # noqa: SIM118
    return DigitTeacher(vit, normalise)


def digit_teacher_record() -> dict[str, Any]:
    """Where the weights come from: the script, its seed, and what it measured on digits it had not seen."""
    with as_file(files("vmamba_edu.models") / "data" / WEIGHTS) as path, safe_open(path, "pt") as stored:
        return json.loads(stored.metadata()["record"])
