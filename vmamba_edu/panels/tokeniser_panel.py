"""The tokeniser: from a video to tokens. Which frames are taken, how they are cut, and what the tokens then cost."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots
from torch import Tensor

from vmamba_edu.palette import BLUE, GREEN, INK, MARK, SEQUENTIAL, VERMILLION
from vmamba_edu.panels.base import Panel
from vmamba_edu.panels.computed.arguments import one_of, within
from vmamba_edu.panels.computed.frames_of_videos import video_of
from vmamba_edu.panels.computed.tokens_of_videos import (
    CLIPS,
    FRAMES,
    PATCHES,
    SAMPLINGS,
    SIZES,
    STRIDES,
    TUBELETS,
    State,
    View,
    compute,
)
from vmamba_edu.panels.parts.clip_strip import ClipStrip
from vmamba_edu.panels.parts.upload import Upload

__all__ = ["State", "Tokeniser", "View", "compute"]

SEEN = 56
"""Pixels of the side of a frame in the picture: 32 of them would be a megabyte otherwise."""
LOOK = {"scan": (BLUE, "VideoMamba-Ti"), "joint": (VERMILLION, "joint attention"), "factorised": (GREEN, "factorised")}


class Tokeniser(Panel[State, View]):
    """A video, the frames that a model is shown of it, the tokens that they are cut into, and what those cost.

    Args:
        clip: a path, or uint8 frames (time, height, width, 3); a built-in video if not given. A file can also be chosen
            in the panel; an uploaded one is deleted when another is opened, and when the panel is closed.
        sampling, num_frames, stride, size, patch_size, tubelet_size, view: see `State`; `view` is its `clip`.

    Raises:
        ValueError: the file cannot be read, these are no frames, or a field is none of those that can be chosen.

    Operations are those of VideoMamba-Ti, and of ViViT's models 1 (joint) and 3 (factorised) of its width and depth.
    """

    State = State
    compute = staticmethod(compute)
    name = "tokeniser"
    claims = ("V1", "T1", "T2")
    plays = "num_frames"
    view: View

    def __init__(
        self,
        clip: str | os.PathLike[str] | Tensor | np.ndarray | None = None,
        *,
        sampling: str = "uniform",
        num_frames: int = 8,
        stride: int = 4,
        size: int = 112,
        patch_size: int = 16,
        tubelet_size: int = 1,
        view: int = 0,
    ) -> None:
        path = os.fspath(clip) if isinstance(clip, str | os.PathLike) else ""
        self.given = "clip, " if clip is not None and not path else ""
        self.opened = {path: video_of(clip, "clip")}
        one_of("sampling", sampling, SAMPLINGS)
        within("view", view, 0, CLIPS - 1 if sampling == "multi-clip" else 0)
        chosen = (sampling, num_frames, stride, size, patch_size, tubelet_size, view)
        super().__init__(State(*chosen, path, self.opened[path]))
        self.staged = self._stage()

    def make_controls(self) -> dict[str, ipywidgets.ValueWidget]:
        choices: dict[str, tuple[str, list[tuple[str, Any]]]] = {
            "sampling": ("frames", [(name, name) for name in SAMPLINGS]),
            "stride": ("take", [(_every(n), n) for n in STRIDES]),
            "size": ("pixels", [(f"{n} × {n}", n) for n in SIZES]),
            "patch_size": ("patches", [(f"{n} × {n}", n) for n in PATCHES]),
            "tubelet_size": (
                "over",
                [("1 frame: patches" if n == 1 else f"{n} frames: tubelets", n) for n in TUBELETS],
            ),
        }
        controls = self.lists(choices, "18em")
        controls["clip"] = ipywidgets.BoundedIntText(
            self.state.clip, 0, CLIPS - 1, description="clip", layout={"width": "10em"}
        )
        controls["num_frames"] = ipywidgets.SelectionSlider(
            options=FRAMES, value=self.state.num_frames, description="frames T", layout={"width": "100%"}
        )
        controls["path"] = ipywidgets.Text(
            self.state.path, description="file", placeholder="path of a video, then Enter", continuous_update=False
        )
        self.upload = Upload(
            lambda path: setattr(controls["path"], "value", path), lambda: self.state.path,
            accept="video/*", tooltip="a video from your computer",
        )  # fmt: skip
        self._enable(controls)
        return controls

    def arrange(self) -> ipywidgets.Box:
        source = [self.controls["path"], self.upload.widget, self.copy]
        chosen = [control for name, control in self.controls.items() if name not in ("path", "num_frames")]
        rows = [ipywidgets.HBox(row, layout={"flex_flow": "row wrap"}) for row in (source, chosen)]
        return ipywidgets.VBox([*rows, self.controls["num_frames"], self.canvas, self.caption])

    def show(self, **changes: Any) -> None:
        """As every panel; a path is opened, and where there is one clip only, that one is shown."""
        path = changes.get("path", self.state.path).strip()
        video = self.opened.get(path) or video_of(path)
        if changes.get("sampling", self.state.sampling) != "multi-clip":
            changes["clip"] = 0
        super().show(**changes | {"path": path, "video": video})
        self.opened = {name: one for name, one in self.opened.items() if not name} | {path: video}
        self._enable(self.controls)
        self.controls["clip"].value = self.state.clip
        self.upload.tidy()

    def close(self) -> None:
        """Take the panel out of the page, and delete what was uploaded."""
        self.upload.close()
        self.widget.close()

    def _enable(self, controls: Mapping[str, ipywidgets.ValueWidget]) -> None:
        controls["clip"].disabled = self.state.sampling != "multi-clip"
        controls["stride"].disabled = self.state.sampling == "uniform"

    def figure(self) -> go.Figure:
        titles = ("", "frames of the video", "operations, one clip")
        figure = make_subplots(
            rows=2, cols=2, specs=[[{"colspan": 2}, None], [{}, {}]], row_heights=[0.62, 0.38], subplot_titles=titles,
            horizontal_spacing=0.2, vertical_spacing=0.12, column_widths=[0.5, 0.5],
        )  # fmt: skip
        cut, *rest = self._traces()
        figure.add_heatmap(**cut, row=1, col=1)
        for trace in rest[:2]:
            figure.add_scatter(**trace, row=2, col=1)
        for trace in rest[2:]:
            figure.add_bar(**trace, row=2, col=2)
        strip = self.strip()
        strip.set_stage(figure, row=1, col=1)
        figure.update_xaxes(title="frame", range=self._whole_video(), showgrid=False, row=2, col=1)
        figure.update_yaxes(range=self._all_clips(), dtick=1, title="clip", showgrid=False, row=2, col=1)
        figure.update_xaxes(gridcolor="#EEEEEE", nticks=5, exponentformat="SI", rangemode="tozero", row=2, col=2)
        figure.update_yaxes(autorange="reversed", row=2, col=2)
        legend = {"orientation": "h", "x": 1, "xanchor": "right", "y": -0.1, "yanchor": "top", "traceorder": "normal"}
        narrow = {"l": 10, "r": 10, "t": 20, "b": 10}
        figure.update_layout(height=600, margin=narrow, plot_bgcolor="white", font={"color": INK}, legend=legend)
        figure.update_annotations(font_size=14)
        return figure

    def strip(self) -> ClipStrip:
        """The frames of the chosen clip, side by side in units of patches."""
        state = self.state
        frames = self.view.video.taken(self.view.indices[state.clip], SEEN)
        return ClipStrip((state.num_frames, *self.view.grid[1:]), frames)

    def redraw(self, canvas: go.FigureWidget) -> None:
        for trace, changed in zip(canvas.data, self._traces(), strict=True):
            trace.update(changed)
        if self.staged != self._stage():  # pictures are sent only when they change
            stage = make_subplots(rows=1, cols=1)
            self.strip().set_stage(stage, row=1, col=1)
            canvas.layout.images = stage.layout.images
            canvas.layout.xaxis.range, canvas.layout.yaxis.range = stage.layout.xaxis.range, stage.layout.yaxis.range
            canvas.layout.xaxis2.range, canvas.layout.yaxis2.range = self._whole_video(), self._all_clips()
            self.staged = self._stage()

    def _stage(self) -> tuple[Any, ...]:
        """What the pictures on the stage depend on."""
        taken = tuple(self.view.indices[self.state.clip].tolist())
        return id(self.view.video), self.view.grid[1:], taken, len(self.view.indices)

    def _whole_video(self) -> list[float]:
        last = self.view.video.num_frames - 1
        return [-0.03 * last - 0.5, 1.03 * last + 0.5]

    def _all_clips(self) -> list[float]:
        """From the bottom up: the first one stands on top."""
        return [len(self.view.indices) - 0.5, -0.5]

    def _traces(self) -> Iterator[dict[str, Any]]:
        """The tokens over the frames, the frames of all clips and of this one, and the bars of each model."""
        state, view = self.state, self.view
        time, height, width = view.grid
        token = np.arange(view.length).reshape(view.grid).repeat(state.tubelet_size, axis=0)
        strip = ClipStrip((state.num_frames, height, width))
        step = strip.spread((token // (height * width)).ravel().astype(float))
        look = {"colorscale": SEQUENTIAL, "opacity": 0.35, "xgap": 1, "ygap": 1, "showscale": False}
        numbers = np.nan_to_num(strip.spread(token.ravel().astype(float)), nan=-1)
        hover = {"customdata": numbers, "hoverongaps": False}
        words = "token %{customdata:d}<extra></extra>"
        z = step.astype(object)
        z[np.isnan(step)] = None
        yield {"z": z, "zmin": 0, "zmax": max(time - 1, 1), **look, **hover, "hovertemplate": words}
        clips = np.arange(len(view.indices)).repeat(state.num_frames)
        quiet = {"symbol": "line-ns-open", "size": 11, "color": MARK, "line": {"width": 2}}
        dots = {"mode": "markers", "showlegend": False, "hovertemplate": "frame %{x}<extra></extra>"}
        yield {"x": view.indices.ravel(), "y": clips, "marker": quiet, **dots}
        chosen = quiet | {"color": BLUE, "size": 17}
        yield {"x": view.indices[state.clip], "y": [state.clip] * state.num_frames, "marker": chosen, **dots}
        names = [f"t = {t}: L = {length}" for t, length in view.lengths.items()]
        names = [f"<b>{name}</b>" if t == state.tubelet_size else name for t, name in zip(TUBELETS, names, strict=True)]
        for key, (colour, name) in LOOK.items():
            flops = list(view.operations[key].values())
            common = {"orientation": "h", "marker": {"color": colour}, "name": name}
            yield {"x": flops, "y": names, "hovertemplate": "%{x:.3s}<extra></extra>", **common}

    def _cut(self, tubelet_size: int) -> str:
        return f"{tubelet_size} × {self.state.patch_size} × {self.state.patch_size}"

    def picture(self) -> Figure:
        strip, (_, height, width) = self.strip(), self.view.grid
        rows, columns = strip.size
        drawing = Figure(figsize=(10, 10 * rows / columns + 1.2), layout="constrained")
        stage, line = drawing.subplots(2, 1, height_ratios=[10 * rows / columns, 0.8])
        assert strip.frames is not None  # just taken
        for x, y, frame in zip(*strip.corner(np.arange(len(strip.frames))), strip.frames, strict=True):
            stage.imshow(frame, extent=(x - 0.5, x - 0.5 + width, y - 0.5 + height, y - 0.5))
            for across in range(width + 1):
                stage.plot([x - 0.5 + across] * 2, [y - 0.5, y - 0.5 + height], color="white", linewidth=0.6)
            for down in range(height + 1):
                stage.plot([x - 0.5, x - 0.5 + width], [y - 0.5 + down] * 2, color="white", linewidth=0.6)
        stage.set(xlim=(-0.5, columns - 0.5), ylim=(rows - 0.5, -0.5))
        stage.set_axis_off()
        for clip, indices in enumerate(self.view.indices):
            line.plot(
                indices, [clip] * len(indices), "|", color=BLUE if clip == self.state.clip else MARK, markersize=10
            )
        line.set(xlim=self._whole_video(), ylim=(len(self.view.indices) - 0.5, -0.5), yticks=[], xlabel="frame")
        return drawing

    def sentence(self) -> str:
        state, view = self.state, self.view
        time, height, width = view.grid
        taken, clips = view.indices[state.clip], len(view.indices)
        every = f"{_every(state.stride)} of"
        ways = {"uniform": "spread over the whole", "dense": f"{every} its middle"}
        ways["multi-clip"] = f"{every} clip {state.clip + 1} of {clips}"
        repeated = len(taken) - len(np.unique(taken))
        again = f" ({repeated} times a frame again, for there are too few)" if repeated else ""
        costs = ", ".join(f"{LOOK[key][1]} {view.operations[key][state.tubelet_size] / 1e9:.3g} G" for key in LOOK)
        views = f" {clips} clips cost {clips} times that." if clips > 1 else ""
        numbers = [str(at) for at in taken]
        numbers = numbers if len(numbers) <= 8 else [*numbers[:6], "…", numbers[-1]]
        return (
            f"{view.video.name[0].upper()}{view.video.name[1:]}: {view.video.num_frames} frames of {view.video.height} "
            f"× {view.video.width} pixels. {state.num_frames} of them are taken, {ways[state.sampling]}: "
            f"{', '.join(numbers)}{again}. Cut into {self._cut(state.tubelet_size)} pixels, {state.size} × "
            f"{state.size} of each frame, they are {time} × {height} × {width} = {view.length} tokens. Operations of "
            f"one pass: {costs}.{views}"
        )

    def code(self) -> str:
        state = self.state
        names = ("sampling", "num_frames", "stride", "size", "patch_size", "tubelet_size")
        words = ", ".join(f"{name}={getattr(state, name)!r}" for name in names)
        path, note = self.upload.in_code(state.path)
        source = f"{path!r}, " if path else self.given
        return f"from vmamba_edu import panels\n\n{note}panels.tokeniser({source}{words}, view={state.clip})"


def _every(stride: int) -> str:
    """ "every frame", "every 2nd frame", "every 4th frame"."""
    return "every frame" if stride == 1 else f"every {stride}{'nd' if stride == 2 else 'th'} frame"
