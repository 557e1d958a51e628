"""Who hears whom in each block of several models, on one clip: rows of weights over its patches, [cls] left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from vmamba_edu.analysis import attention_of, block_scan, scan_matrix
from vmamba_edu.analysis.hidden_state import BlockScan, readings_of
from vmamba_edu.models import VideoMambaPro
from vmamba_edu.models.attention import AttentionMap
from vmamba_edu.models.backbone import Backbone
from vmamba_edu.panels.computed.arguments import frames_of
from vmamba_edu.panels.computed.models_side_by_side import (
    TRAINED,
    answer_of,
    clip_for,
    fresh_models,
    grid_of,
    named,
    pixels_for,
    reads,
    trained_model,
    with_variant,
)
from vmamba_edu.panels.computed.small_models import FRESH
from vmamba_edu.scan_orders import Grid

AT_ONCE = 2**23
"""Most weights that are held at once while channels are averaged."""
MOST_MODELS = 5
"""As many as there are colours that stay apart and stand out from white."""


class Look(NamedTuple):
    """What is asked of a model.

    Args:
        block: from 0.
        direction: "forward", "backward" or "both"; of a scan alone.
        weights: "size" (the mean of |w| over all channels), "mean" (of w), or "channel" (w of one); an attention has
            heads instead, and their mean is taken.
        channel: the one channel.
        variant: of a VideoMambaPro; "own" leaves it as it is.
    """

    block: int = 0
    direction: str = "both"
    weights: str = "size"
    channel: int = 0
    variant: str = "own"


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Models that look at one clip; what a block made of it is computed once and kept.

    Args:
        models: by name.
        frames: (time, height, width, 3) uint8.
        described: what the models are, in words.

    Raises:
        ValueError: there is none, one is none for such clips, or they cut the clip into different grids.
    """

    models: Mapping[str, nn.Module]
    frames: np.ndarray
    described: str = "the given models"
    _kept: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        grids = {name: grid_of(name, model, self.frames) for name, model in self.models.items()}
        if len(set(grids.values())) != 1:
            cut = ", ".join(f"{name}: {grid}" for name, grid in grids.items()) or "no model"
            raise ValueError(f"model: expected models that cut the clip alike, to be compared, got {cut}")

    @property
    def grid(self) -> Grid:
        name, model = next(iter(self.models.items()))
        return grid_of(name, model, self.frames)

    @property
    def depth(self) -> int:
        """Blocks of the shallowest."""
        return min(int(model.config.depth) for model in self.models.values())  # type: ignore[union-attr, arg-type]

    @property
    def channels(self) -> int:
        """Inner channels of the narrowest model that scans; 0 if none does."""
        inner = [model.block(0).mixer.inner_dim for model in self.models.values() if isinstance(model, Backbone)]
        return min(inner, default=0)

    def knows(self, look: Look) -> bool:
        """Whether the clip has been read with this block by all models already."""
        return all(self._key(name, look) in self._kept for name in self.models)

    def reads(self, name: str, look: Look) -> bool:
        """Whether a model reads in that direction at all."""
        return not isinstance(self.models[name], Backbone) or bool(self._scans(name, look))

    @torch.no_grad()
    def rows(self, name: str, tokens: Sequence[int], look: Look) -> tuple[np.ndarray, np.ndarray]:
        """The weights of some patches' outputs over all patches, and over [cls].

        Returns:
            (tokens, patches) and (tokens,): the second is 0 where there is no [cls]. Both are 0 where the model does
            not read in that direction.
        """
        if not isinstance(self.models[name], Backbone):
            return _rows_of_maps(self._maps(name, look), tokens, self.grid)
        scans, patches = self._scans(name, look), int(np.prod(self.grid))
        if not scans:
            return np.zeros((len(tokens), patches)), np.zeros(len(tokens))
        cls = self._model(name, look).cls_index(patches)
        stored = [token + (token >= cls) for token in tokens]
        weights = _sum_of(scans, stored, look).double().cpu().numpy()
        return np.delete(weights, cls, axis=1), weights[:, cls]

    def matrix(self, name: str, window: range, look: Look) -> np.ndarray:
        """The weights of the tokens of a window over each other. The last one is kept: patches share it."""
        key = (name, window, look)
        if self._kept.get("matrix", (None, None))[0] != key:
            self._kept["matrix"] = (key, self.rows(name, window, look)[0][:, window[0] : window[-1] + 1])
        return self._kept["matrix"][1]

    def _model(self, name: str, look: Look) -> Any:
        model = self.models[name]
        if not isinstance(model, VideoMambaPro) or look.variant in ("own", model.config.variant):
            return model
        key = (name, look.variant)
        if key not in self._kept:
            self._kept[key] = with_variant(model, look.variant)
        return self._kept[key]

    def _key(self, name: str, look: Look) -> tuple:
        variant = look.variant if isinstance(self.models[name], VideoMambaPro) else ""
        return name, variant, look.block

    def _scans(self, name: str, look: Look) -> list[BlockScan]:
        """What a block reads, in the directions that are looked at."""
        key = self._key(name, look)
        if key not in self._kept:
            model = self._model(name, look)
            pixels = pixels_for(model, self.frames)
            self._kept[key] = [
                block_scan(model, pixels, look.block, direction=reading.direction, order=reading.order)
                for reading in readings_of(model.block(look.block).mixer)
            ]
        return [scan for scan in self._kept[key] if look.direction in ("both", scan.reading.direction)]

    def _maps(self, name: str, look: Look) -> tuple[AttentionMap, ...]:
        key = self._key(name, look)
        if key not in self._kept:
            model = self.models[name]
            maps = attention_of(model, pixels_for(model, self.frames), look.block)
            self._kept[key] = tuple(AttentionMap(m.axis, m.weights.mean(2, keepdim=True), m.has_cls) for m in maps)
        return self._kept[key]


def _sum_of(scans: Sequence[BlockScan], rows: Sequence[int], look: Look) -> Tensor:
    """The weights of all these scans together, (rows, length): channel by channel where their size is asked for."""
    if look.weights != "size":
        channel = "mean" if look.weights == "mean" else look.channel
        return torch.stack([_weights_of(scan, rows, channel) for scan in scans]).sum(0)[0]
    _, inner, length = scans[0].arguments["u"].shape
    some = max(1, AT_ONCE // (len(rows) * length))
    total = torch.zeros((), dtype=torch.float64)
    for first in range(0, inner, some):
        channels = range(first, min(first + some, inner))
        weights = torch.stack([_weights_of(scan, rows, channels) for scan in scans]).sum(0)
        total = total + weights.abs().sum(0).double()
    return total / inner


def _weights_of(scan: BlockScan, rows: Sequence[int], channel: Any) -> Tensor:
    """One scan's weights, (heads, rows, length), rows and columns as the tokens are stored."""
    arguments: dict[str, Any] = dict(scan.arguments)
    if scan.order is not None:
        rows = scan.order.back[torch.tensor(rows)].tolist()
    matrix = scan_matrix(
        scan.arguments,
        channel=channel,
        rows=rows,
        direction=scan.reading.direction,
        residual=arguments.get("initial_state") is not None,
        masked=bool(arguments.get("exclude_self")),
    )
    return scan.as_stored(matrix)[0]


def _rows_of_maps(maps: Sequence[AttentionMap], tokens: Sequence[int], grid: Grid) -> tuple[np.ndarray, np.ndarray]:
    """The mean of a block's attentions, each of whose weights is put on the tokens it is given to.

    Where frames are the tokens (ViViT's model 2, second encoder), each patch gets its part of its frame's weight.
    """
    time, space = grid[0], grid[1] * grid[2]
    at = torch.as_tensor(tokens)
    t, s, number = at // space, at % space, torch.arange(len(at))
    total, to_cls = torch.zeros(len(at), time, space, dtype=torch.float64), torch.zeros(len(at), dtype=torch.float64)
    for one in maps:
        weights = one.weights[0].mean(1).double().cpu()  # (groups, queries, keys)
        group, query = {"space-time": (at, at), "space": (t, s), "time": (s, t)}[one.axis]
        group = group if len(weights) > 1 else torch.zeros_like(group)
        asked = weights[group, query + one.has_cls]  # (tokens, keys)
        if one.has_cls:
            to_cls += asked[:, 0]
            asked = asked[:, 1:]
        if one.axis == "space-time":
            total += asked.reshape(total.shape)
        elif one.axis == "space":
            total[number, t] += asked
        elif len(weights) == 1:
            total += asked[:, :, None] / space
        else:
            total[number, :, s] += asked
    return (total.flatten(1) / len(maps)).numpy(), (to_cls / len(maps)).numpy()


def with_a_trained_one(frames: Tensor | np.ndarray | None, patch_size: int) -> SideBySide:
    """The small fresh models, and before them the shipped classifier where the clip is of the kind it has learned from.

    Args:
        frames: as for `side_by_side`; a clip of that kind if None.
        patch_size: how the clip is cut.

    Raises:
        ValueError: they do not fit.
    """
    trained = trained_model()
    pixels = clip_for(trained) if frames is None else frames_of(frames)
    if not reads(trained, pixels, patch_size):
        return side_by_side(pixels, None, patch_size)
    depth = trained.config.depth  # type: ignore[union-attr]
    fresh = {f"{name}, fresh": one for name, one in fresh_models(pixels, patch_size, depth).items()}  # type: ignore[arg-type]
    motion, share = answer_of(trained, pixels)
    described = (
        f"VideoMamba, trained, is {TRAINED}, which tells twelve motions apart and calls this clip "
        f"{motion!r} ({share:.0%} sure); the others have fresh weights, none trained; VideoMamba, fresh, is {FRESH}"
    )
    return SideBySide({"VideoMamba, trained": trained, **fresh}, pixels, described)


def side_by_side(
    frames: Tensor | np.ndarray, model: nn.Module | Mapping[str, nn.Module] | None, patch_size: int
) -> SideBySide:
    """The reader's models on a clip, or the small ones.

    Raises:
        ValueError: they do not fit, or are more than there are colours for.
    """
    pixels = frames_of(frames)
    if model is None:
        if patch_size < 1:
            raise ValueError(f"patch_size: expected at least 1, got {patch_size}")
        if pixels.shape[1] % patch_size or pixels.shape[2] % patch_size:
            raise ValueError(f"clip, patch_size: expected whole patches of {patch_size}, got {pixels.shape[1:3]}")
        models = fresh_models(pixels, patch_size)
        return SideBySide(models, pixels, f"fresh weights, none trained; VideoMamba is {FRESH}")
    models = named(model)
    if len(models) > MOST_MODELS:
        raise ValueError(f"model: expected at most {MOST_MODELS} models, got {len(models)}")
    return SideBySide(models, pixels)
