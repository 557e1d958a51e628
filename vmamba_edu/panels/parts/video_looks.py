"""How each look at a reader's video is drawn: what lies over the frames, the bars beside them, and what is said."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import Any, cast

import numpy as np

from vmamba_edu.models.backbone import Backbone
from vmamba_edu.palette import BLUE, MARK, SEQUENTIAL
from vmamba_edu.panels.computed import masks_of_clips
from vmamba_edu.panels.computed.machine_memory import gigabytes
from vmamba_edu.panels.computed.own_videos import VIEWS, Cut, Drawn, Said, State, View
from vmamba_edu.panels.computed.watched_videos import MOST_CHANNELS
from vmamba_edu.panels.parts.film import over_frames, roots

COVER = "#DDDDDD"
"""Lies over what a mask hides."""
Bar = tuple[str, float, str]


@dataclass(frozen=True, eq=False)
class FramesAndBars:
    """What is drawn of a look: frames with values over them, and bars beside them.

    Args:
        title: above the frames.
        bars: (label, length, words) each, from top to bottom.
        bars_title: above them.
        sentence: what it shows.
        most: where the axis of the bars ends.
        chosen: the bar that stands out, None if all are alike.
        values: (patches,) what is laid over the frames; NaN where nothing is.
        told: (patches,) what a patch says when it is pointed at.
        scale, least, largest: the colours of the values, and what their ends stand for.
        opacity: of the values.
        pale, cut: how the frames look below, see `Mosaic.drawn`.
        asks: whether a patch is asked for, and outlined.
    """

    title: str
    bars: list[Bar]
    bars_title: str
    sentence: str
    most: float = 1.0
    chosen: int | None = None
    values: np.ndarray | None = None
    told: np.ndarray | None = None
    scale: Any = SEQUENTIAL
    least: float = 0.0
    largest: float = 1.0
    opacity: float = 1.0
    pale: bool = False
    cut: bool = False
    asks: bool = False

    @property
    def colours(self) -> list[str]:
        """Of the bars."""
        return [BLUE if self.chosen in (None, at) else MARK for at in range(len(self.bars))]


def look_at(state: State, view: View) -> FramesAndBars:
    """What is drawn of a view."""
    return LOOKS[state.look](state, view)


def of_prediction(state: State, view: View) -> FramesAndBars:
    reader, said = view.watched.reader, cast(Said | None, view.seen)
    title, bars_title = f"what {reader.name} is shown", "likeliest classes"
    clips, crops = VIEWS[state.views]
    views = f"the mean of {clips} clips × {crops} crops" if clips * crops > 1 else "one clip, its middle crop"
    if said is None:
        words = f"{_start(state, view)} {_not_yet(view, clips * crops, 'its prediction')}"
        return FramesAndBars(title, [], bars_title, words)
    if not len(said.mean):
        words = f"{_start(state, view)} It has no classes: it makes features, for others to compare."
        return FramesAndBars(title, [], bars_title, words)
    best = said.best
    bars = [(reader.classes[at], float(said.mean[at]), percent(said.mean[at])) for at in best]
    first, alone = best[0], int(said.shown.argmax())
    words = (
        f"{_start(state, view)} It says {reader.classes[first]} with {percent(said.mean[first])} ({views})"
        f"{_others(bars[1:3])}. This clip alone: {reader.classes[alone]} with {percent(said.shown[alone])}."
    )
    if not reader.trained:
        words += f" Chance would be {percent(1 / len(said.mean))} for each of its {len(said.mean)} classes."
    return FramesAndBars(title, bars, bars_title, words, chosen=0)


def of_tokens(state: State, view: View) -> FramesAndBars:
    reader, cut = view.watched.reader, cast(Cut, view.seen)
    time, height, width = view.grid
    length, side = prod(view.grid), reader.frames.size // height
    steps = np.repeat(np.arange(time), height * width)
    total = sum(cut.operations.values())
    bars = [
        (name.replace("_", " "), flops / total, f"{percent(flops / total)}, {counted(flops)}")
        for name, flops in cut.operations.items()
        if flops > 0.0005 * total
    ]
    box = f"{reader.tubelet_size} × {side} × {side}"
    words = (
        f"{_start(state, view)} It cuts them into boxes of {box} (frames × pixels × pixels), which makes {time} × "
        f"{height} × {width} = {length} tokens{_with_cls(reader.config)}. One clip takes {counted(total)} operations "
        f"and {gigabytes(cut.bytes)} of activations; the model has {counted(cut.parameters)} parameters."
    )
    told = np.array([f"token {number}" for number in range(length)])
    return FramesAndBars(
        f"{length} tokens, numbered frame by frame", bars, "operations of one clip", words, cut=True,
        values=steps.astype(float), told=told, largest=max(time - 1, 1), opacity=0.35,
    )  # fmt: skip


def of_masks(state: State, view: View) -> FramesAndBars:
    masked = cast(masks_of_clips.View, view.seen)
    name, left, most = state.mask.replace("_", "-"), len(masked.visible), len(masked.dropped)
    bars = [(other.replace("_", " "), share, percent(share)) for other, share in masked.shares.items()]
    words = (
        f"{_start(state, view)} A {name} mask of ratio {state.ratio:g} would leave {left} of its {most} tokens: "
        f"{_span(masked.by_frame)} of each frame. Of their windows of {masks_of_clips.WIDTH} in a convolution "
        f"{_share(masked.whole)} see only true neighbours. The bars give that share for every mask, the mean of "
        f"{masks_of_clips.DRAWS} draws; the attention mask follows the digit teacher that comes with the package."
    )
    told = np.where(masked.dropped, "dropped", "left")
    values = np.where(masked.dropped, 1.0, np.nan)
    return FramesAndBars(
        f"what a {name} mask leaves", bars, "windows of true neighbours", words, opacity=0.92,
        chosen=list(masked.shares).index(state.mask), values=values, told=told, scale=[[0, COVER], [1, COVER]],
    )  # fmt: skip


def of_attention(state: State, view: View) -> FramesAndBars:
    reader, drawn = view.watched.reader, cast(Drawn | None, view.seen)
    scans = isinstance(reader.model, Backbone) if reader.is_built else True
    title, bars_title = "what the outlined patch draws on", "share of |w| in each frame"
    if drawn is None:
        words = f"{_start(state, view)} {_not_yet(view, 1, 'its attention')}"
        return FramesAndBars(title, [], bars_title, words, pale=True, asks=True)
    bars = [(f"frame {t}", float(share), percent(share)) for t, share in enumerate(drawn.per_frame)]
    t, h, w = (int(i) for i in np.unravel_index(int(np.abs(drawn.values).argmax()), view.grid))
    how = {"both": "both directions", "forward": "forward alone", "backward": "backward alone"}[state.direction]
    how = f"the scan implies ({how}, mean |w| of all channels)" if scans else "softmax made (mean of all heads)"
    words = (
        f"{_start(state, view)} {_patch(state)} asks in block {state.block}; these are the weights that {how}. It "
        f"draws most on frame {t}, row {h}, column {w}; {percent(drawn.per_frame[state.frame])} of all |w| lies in its "
        "own frame. Colour grows as the root of |w|."
    )
    told = np.array([f"w = {value:.2e}" for value in drawn.values])
    return FramesAndBars(
        title, bars, bars_title, words, chosen=state.frame, values=roots(drawn.values).round(3), told=told,
        scale=over_frames(), least=-1.0, pale=True, asks=True,
    )  # fmt: skip


def of_memory(state: State, view: View) -> FramesAndBars:
    drawn = cast(Drawn | None, view.seen)
    title, bars_title = "how much is left of the outlined patch", "left of it, by frame"
    if drawn is None:
        words = f"{_start(state, view)} {_not_yet(view, 1, 'what is left of a patch')}"
        return FramesAndBars(title, [], bars_title, words, pale=True, asks=True)
    bars = [(f"frame {t}", float(share), percent(share)) for t, share in enumerate(drawn.per_frame)]
    near = min(drawn.token + 1, len(drawn.values) - 1) if state.direction != "backward" else max(drawn.token - 1, 0)
    which = {"both": "around it", "forward": "after it", "backward": "before it, as the scan from the end reads,"}
    words = (
        f"{_start(state, view)} {_patch(state)} enters the states of block {state.block}. The colour of a patch "
        f"{which[state.direction]} is the share of it that is left in the states when that one is read: the mean over "
        f"all states of {_channels(view)} channels. {percent(drawn.values[near])} is left one patch on, and "
        f"{percent(drawn.per_frame[state.frame])} in the mean over its own frame."
    )
    told = np.array([f"{percent(value)} is left" for value in drawn.values])
    return FramesAndBars(
        title, bars, bars_title, words, chosen=state.frame, values=drawn.values.round(4), told=told, opacity=0.65,
        pale=True, asks=True,
    )  # fmt: skip


LOOKS: Mapping[str, Callable[[State, View], FramesAndBars]] = MappingProxyType(
    {
        "prediction": of_prediction,
        "tokens": of_tokens,
        "masks": of_masks,
        "attention": of_attention,
        "memory": of_memory,
    }
)


def percent(share: float) -> str:
    """A share in words, with as many digits as it takes to tell it from none and from all."""
    hundredths = 100 * float(share)
    if 0 < hundredths < 0.01 or 99.99 < hundredths < 100:
        return "under 0.01 %" if hundredths < 1 else "over 99.99 %"
    return f"{hundredths:.2f} %" if 0 < hundredths < 1 or 99 < hundredths < 100 else f"{hundredths:.3g} %"


def counted(number: float) -> str:
    """A large number in words."""
    for size, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if number >= size:
            return f"{number / size:.3g} {name}"
    return f"{number:,.0f}"


def _start(state: State, view: View) -> str:
    """The video, the model, and which frames it is shown."""
    video, reader = view.watched.video, view.watched.reader
    numbers = [str(at) for at in view.indices]
    numbers = numbers if len(numbers) <= 8 else [*numbers[:6], "…", numbers[-1]]
    clips = VIEWS[state.views][0]
    which = f" (clip {state.clip + 1} of {clips})" if clips > 1 else ""
    frames = "frame" if len(view.indices) == 1 else "frames"
    return (
        f"{video.name[0].upper()}{video.name[1:]}: {video.num_frames} frames of {video.height} × {video.width} pixels. "
        f"{reader.name} ({reader.described}) is shown {frames} {', '.join(numbers)}{which} at {reader.frames.size} × "
        f"{reader.frames.size}."
    )


def _not_yet(view: View, clips: int, what: str) -> str:
    operations = view.watched.operations(clips)
    return f"It has not run yet: for {what} press Run, which takes about {counted(operations)} operations."


def _others(bars: list[Bar]) -> str:
    return f", before {' and '.join(f'{name} with {words}' for name, _, words in bars)}" if bars else ""


def _with_cls(config: Any) -> str:
    pooling = getattr(config, "pooling", getattr(config, "pool", "cls"))
    return ", and [cls]" if pooling == "cls" or hasattr(config, "cls_position") else ""


def _patch(state: State) -> str:
    return f"The patch in row {state.row}, column {state.column} of frame {state.frame}"


def _channels(view: View) -> int:
    inner = view.watched.reader.config.embed_dim * view.watched.reader.config.expand
    return len(range(0, inner, -(-inner // MOST_CHANNELS)))


def _span(counts: np.ndarray) -> str:
    return f"{counts.min()} to {counts.max()}" if counts.min() < counts.max() else f"{counts.min()}"


def _share(seen: np.ndarray) -> str:
    return percent(float(seen.mean())) if len(seen) else "none"
