"""Which parameters are decayed, how fast each layer learns, and the AdamW that is told so.

Two rules, by name:

- "published": what the released training code does. It decays every parameter but those of one dimension, those whose
  names end in .bias, and those that the model lists in `no_weight_decay()`. So it decays A_log and A_b_log too: the
  mixer marks them as not to be decayed, and the marks are never read. Its layer decay slows the embeddings alone: the
  line for names that start with "layers" is commented out, so that all blocks of a VideoMamba learn at full speed, and
  the temporal embedding does too, since the rule looks for another spelling of its name.
- "meant": what the marks and the rule's own description ask for. A_log, A_b_log and D are not decayed (decay pulls
  A_log to 0, that is every A to −1, whatever memory it had learned), every block has its own layer, and the temporal
  embedding is an embedding like the others.

Source: videomamba/video_sm/optim_factory.py; mamba/mamba_ssm/modules/mamba_simple.py for the marks; layer decay is that
of BEiT (arXiv 2106.08254).
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import nn

Rule = Literal["published", "meant"]
RULES: tuple[str, ...] = get_args(Rule)

_PUBLISHED_EMBEDDINGS = (
    *("cls_token", "mask_token", "pos_embed"),
    *("class_embedding", "positional_embedding", "temporal_positional_embedding"),
)
_MEANT_EMBEDDINGS = (*_PUBLISHED_EMBEDDINGS, "temporal_pos_embedding", "time_embed", "temporal_embed")
_PATCHES = ("patch_embed", "conv1")
_BLOCKS = ("blocks", "transformer.resblocks")
_SYSTEM = ("A_log", "A_b_log", "D", "D_b")


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that are treated alike.

    Attributes:
        names: as the model calls them, in its order.
        weight_decay: of AdamW.
        lr_scale: what the learning rate of the schedule is multiplied with.
    """

    names: tuple[str, ...]
    weight_decay: float | int
    lr_scale: float | int


def parameter_groups(
    model: nn.Module, weight_decay: float | int, *, layer_decay: float | int = 1.0, rule: str = "published"
) -> list[ParameterGroup]:
    """Sort the trainable parameters of a model into groups, in the order in which their kinds first come.

    Args:
        weight_decay: of what is decayed.
        layer_decay: each layer learns this much slower than the one above it; 1 for all alike. With L blocks, layer i
            of 0 (embeddings) … L + 1 (head) has the scale layer_decay^(L + 1 − i).
        rule: "published" or "meant", see above.

    Raises:
        ValueError: there is no rule of that name, or layer_decay is not in (0, 1].
    """
    if rule not in RULES:
        raise ValueError(f"rule: expected {' or '.join(map(repr, RULES))}, got {rule!r}")
    if not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay: expected a number in (0, 1], got {layer_decay!r}; 1 is none")
    last = num_blocks(model) + 1
    listed = frozenset(getattr(model, "no_weight_decay", frozenset)())
    members: dict[tuple[int, float | int], list[str]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = weight_decay if is_decayed(name, parameter, listed, rule=rule) else 0.0
            # Without layer decay there is one speed, and the layers would only make more groups of the same kind.
            layer = layer_index(name, last + 1, rule=rule) if layer_decay < 1 else last
            members.setdefault((layer, decay), []).append(name)
    return [
        ParameterGroup(tuple(names), decay, layer_decay ** (last - layer)) for (layer, decay), names in members.items()
    ]


def is_decayed(name: str, parameter: torch.Tensor, listed: Iterable[str] = (), *, rule: str = "published") -> bool:
    """Whether weight decay pulls at this parameter; `listed` are the names of the model's `no_weight_decay()`."""
    if parameter.dim() == 1 or name.endswith(".bias") or name in listed:
        return False
    if rule == "published":
        return True
    return name.rsplit(".", 1)[-1] not in _SYSTEM and name.rsplit(".", 1)[-1] not in _MEANT_EMBEDDINGS


def layer_index(name: str, num_layers: int, *, rule: str = "published") -> int:
    """Which layer a parameter belongs to: 0 for embeddings, i + 1 for block i, num_layers − 1 for all above.

    Args:
        name: of the parameter.
        num_layers: blocks + 2.
        rule: "published" knows the blocks of transformers by the start of the name ("blocks.3.",
            "transformer.resblocks.3.") and gives those of a VideoMamba ("layers.3.") to the last layer. "meant" finds a
            block of any of these names anywhere, an encoder's in a larger model too.
    """
    last = num_layers - 1
    if rule == "published":
        block = re.match(rf"(?:{'|'.join(map(re.escape, _BLOCKS))})\.(\d+)\.", name)
        is_embedding = name in _PUBLISHED_EMBEDDINGS or name.startswith(_PATCHES)
    else:
        block = _meant_block(name)
        is_embedding = name.rsplit(".", 1)[-1] in _MEANT_EMBEDDINGS or any(part in _PATCHES for part in name.split("."))
    if is_embedding:
        return 0
    return int(block[1]) + 1 if block else last


def num_blocks(model: nn.Module) -> int:
    """How many blocks a model stacks, by the names of its parameters; of several stacks, the longest counts."""
    found = [_meant_block(name) for name, _ in model.named_parameters()]
    return max((int(block[1]) + 1 for block in found if block), default=0)


def make_adamw(
    model: nn.Module,
    others: Sequence[nn.Parameter] = (),
    *,
    weight_decay: float | int = 0.05,
    layer_decay: float | int = 1.0,
    rule: str = "published",
    betas: tuple[float | int, float | int] = (0.9, 0.999),
    eps: float | int = 1e-8,
) -> torch.optim.AdamW:
    """AdamW over the model's groups, each with its `lr_scale`, and over what else learns (an objective's parameters).

    The learning rate is 0 until `set_learning_rate` says otherwise. Others are decayed unless of one dimension or none.
    """
    parameters = dict(model.named_parameters())
    groups: list[dict[str, Any]] = [
        {
            "params": [parameters[name] for name in group.names],
            "weight_decay": group.weight_decay,
            "lr_scale": group.lr_scale,
        }
        for group in parameter_groups(model, weight_decay, layer_decay=layer_decay, rule=rule)
    ]
    for decay, chosen in (
        (0.0, [p for p in others if p.requires_grad and p.dim() < 2]),
        (weight_decay, [p for p in others if p.requires_grad and p.dim() >= 2]),
    ):
        if chosen:
            groups.append({"params": chosen, "weight_decay": decay, "lr_scale": 1.0})
    if not groups:
        raise ValueError("model: expected parameters to train, but none of them requires a gradient")
    return torch.optim.AdamW(groups, lr=0.0, betas=betas, eps=eps)


def set_learning_rate(optimiser: torch.optim.Optimizer, learning_rate: float | int) -> None:
    """Give every group the learning rate of the schedule, times its own scale."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate * group["lr_scale"]


def _meant_block(name: str) -> re.Match[str] | None:
    return re.search(r"(?:^|\.)(?:layers|blocks|resblocks)\.(\d+)\.", name)
