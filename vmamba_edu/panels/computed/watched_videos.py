"""A video and the model that is shown it: the clips it is tested with, what it says, and what its blocks do with them.

The clips are those of `recipes.classify`: the sampler and the crops of the published test on Kinetics. What was
computed once is kept.
"""

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vmamba_edu.analysis import block_scan, decay_of_arguments
from vmamba_edu.analysis.hidden_state import readings_of
from vmamba_edu.models.backbone import Backbone
from vmamba_edu.panels.computed.attention_of_models import Look, SideBySide
from vmamba_edu.panels.computed.frames_of_videos import Video
from vmamba_edu.panels.computed.machine_memory import SHARE, gigabytes
from vmamba_edu.panels.computed.masks_of_clips import attention_of_teacher
from vmamba_edu.panels.computed.models_side_by_side import pixels_for
from vmamba_edu.panels.computed.readers_of_videos import Reader
from vmamba_edu.video import SparseSampler, VideoReadError, clip_to_tensor, read_clip
from vmamba_edu.video.views import view_crop

LONG = 4e9
"""Operations that are done while the reader waits: some tenths of a second on a laptop. More are long work."""
DRAWING = 200
"""Operations that drawing, or loading, one weight is counted as."""
MOST_CHANNELS = 16
"""Of a block's inner channels so many are followed, spread evenly."""


@dataclass(frozen=True, eq=False)
class Watched:
    """A video with a model that is shown clips of it.

    Args:
        video: with at least as many frames as the model reads.
        reader: the model.

    Raises:
        ValueError: the video is shorter than that.
    """

    video: Video
    reader: Reader
    _kept: dict[Any, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        needed = self.reader.frames.num_frames
        if self.video.num_frames < needed:
            raise ValueError(
                f"clip: expected at least the {needed} frames that {self.reader.name} reads, got "
                f"{self.video.num_frames} of {self.video.name}; take a longer video, or a model for fewer frames"
            )

    def indices(self, chunk: int, chunks: int) -> np.ndarray:
        """The frame numbers of clip `chunk` of `chunks`, (time,)."""
        sampler = SparseSampler(self.reader.frames.num_frames)
        return sampler.indices("test", self.video.num_frames, chunk=chunk, num_chunks=chunks).numpy()

    def frames(self, chunk: int, chunks: int, crop: int, crops: int) -> np.ndarray:
        """What the model is shown in one crop of one clip, uint8 (time, size, size, 3).

        Raises:
            ValueError: the file cannot be read any more.
        """
        key = ("frames", chunk, chunks)
        if key not in self._kept:
            self._kept[key] = self._read(self.indices(chunk, chunks))
        return view_crop(self._kept[key], self.reader.frames.size, crop, crops).numpy()

    def says(self, chunk: int, chunks: int, crops: int) -> np.ndarray:
        """What the model finds probable in each crop of one clip, (crops, classes): its softmax."""
        key = ("says", chunk, chunks, crops)
        if key not in self._kept:
            views = (self.frames(chunk, chunks, crop, crops) for crop in range(crops))
            clips = torch.stack([clip_to_tensor(torch.as_tensor(view)) for view in views])
            self._kept[key] = self.reader.logits(clips).softmax(-1).double().numpy()
        return self._kept[key]

    def has_said(self, chunk: int, chunks: int, crops: int) -> bool:
        """Whether `says` was asked before."""
        return ("says", chunk, chunks, crops) in self._kept

    def attention(self, chunk: int, chunks: int, crops: int) -> SideBySide:
        """The model on the middle crop of one clip.

        Raises:
            ValueError: it reads pictures, or is none whose attention is known.
        """
        key = ("attention", chunk, chunks, crops)
        if key not in self._kept:
            frames = self.frames(chunk, chunks, crops // 2, crops)
            self._kept[key] = SideBySide({self.reader.name: self.reader.model}, frames)
        return self._kept[key]

    def teacher(self, chunk: int, chunks: int, crops: int) -> Tensor:
        """Where the shipped digit teacher looks in the middle crop of one clip, (time, height · width)."""
        key = ("teacher", chunk, chunks, crops)
        if key not in self._kept:
            self._kept[key] = attention_of_teacher(self.frames(chunk, chunks, crops // 2, crops), self.reader.grid)
        return self._kept[key]

    def left(self, view: tuple[int, int, int], token: int, block: int, direction: str) -> np.ndarray:
        """How much of a patch is left in a block's states when each patch is read, (patches,), from 0 to 1.

        The mean over all states of `MOST_CHANNELS` channels; of several readings the one that has most of it left.

        Args:
            view: chunk, chunks and crops, as for `attention`.
            token: the patch.
            block: from 0.
            direction: "forward", "backward" or "both".

        Raises:
            ValueError: the model has no scans, or does not read in that direction.
        """
        model: Any = self.reader.model
        if not isinstance(model, Backbone):
            raise ValueError(
                f"look: expected another one than memory, for {self.reader.name} attends, and keeps no state to decay"
            )
        scans = [one for name, one in self._decays(view, block) if direction in ("both", name)]
        if not scans:
            raise ValueError(f"direction: expected one in which {self.reader.name} reads, got {direction!r}")
        cls = model.cls_index(prod(self.reader.grid))
        stored, found = token + (token >= cls), []
        for order, decay in scans:
            shares = decay.remaining(stored if order is None else int(order.back[stored]))[0].flatten(0, 1)
            found.append(shares.mean(0) if order is None else shares.mean(0)[order.back])
        return np.delete(torch.stack(found).amax(0).double().cpu().numpy(), cls)

    def _decays(self, view: tuple[int, int, int], block: int) -> Any:
        key = ("decay", *view, block)
        if key not in self._kept:
            model: Any = self.reader.model
            frames = self.frames(view[0], view[1], view[2] // 2, view[2])
            pixels, mixer = pixels_for(model, frames), model.block(block).mixer
            some = range(0, mixer.inner_dim, -(-mixer.inner_dim // MOST_CHANNELS))
            found = []
            with torch.no_grad():
                for one in readings_of(mixer):
                    scan = block_scan(model, pixels, block, direction=one.direction, order=one.order)
                    decay = decay_of_arguments(scan.arguments, channels=some, direction=one.direction)
                    found.append((one.direction, (scan.order, decay)))
            self._kept[key] = found
        return self._kept[key]

    def knows_block(self, look: str, view: tuple[int, int, int], block: int) -> bool:
        """Whether a block has been asked before for its "attention" or for its "memory" on this clip."""
        if look == "memory":
            return ("decay", *view, block) in self._kept
        kept = self._kept.get(("attention", *view))
        return kept is not None and kept.knows(Look(block))

    def operations(self, batch: int, blocks: int | None = None) -> float:
        """What running so many clips takes, up to some block; the building of the model included, where it is due."""
        part = 1.0 if blocks is None else (blocks + 1) / self.reader.depth
        one = self.reader.cost()
        return one.total_flops * batch * part + (0 if self.reader.is_built else DRAWING * one.total_parameters)

    def refusal(self, batch: int, free: int, weights: bool = False) -> str | None:
        """Why so many clips at once are not run, None if they are. `weights`: with those of an attention written down.

        Args:
            batch: clips.
            free: bytes of memory.
            weights: whether the weights of one block's attention are written down.
        """
        predicted = self.reader.cost(batch)
        need = predicted.inference_bytes + (0 if self.reader.is_built else 4 * predicted.total_parameters)
        need += 4 * 3 * batch * self.reader.frames.num_frames * self.reader.frames.size**2
        need += 4 * predicted.attention_weights // self.reader.depth if weights else 0
        if need <= SHARE * free:
            return None
        return (
            f"{self.reader.name} needs {gigabytes(need)} for {batch} clip{'s' * (batch > 1)}, more than {SHARE:.0%} of "
            f"the {gigabytes(free)} that are free; take a smaller model, or fewer views"
        )

    def _read(self, indices: np.ndarray) -> Tensor:
        if self.video.frames is not None:
            return self.video.frames[torch.as_tensor(indices)]
        assert self.video.path is not None
        try:
            return read_clip(self.video.path, indices, short_side=self.reader.frames.size).frames
        except (VideoReadError, OSError) as error:
            raise ValueError(f"path: {error}") from error
