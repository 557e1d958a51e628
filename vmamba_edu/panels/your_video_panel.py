"""Your own video: drop a file, choose a model, and watch its prediction, its tokens, masks, attention and memory."""

import html
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from torch import Tensor, nn

from vmamba_edu.panels.base import Panel
from vmamba_edu.panels.computed.arguments import came, one_of
from vmamba_edu.panels.computed.attention_readings import busiest_patch
from vmamba_edu.panels.computed.own_videos import LOOKS, VIEWS, State, View, compute, film_of, is_long, token_of
from vmamba_edu.panels.computed.readers_of_videos import GIVEN, OF_CHECKPOINT, SHIPPED, open_reader, reader_of
from vmamba_edu.panels.computed.watched_videos import Watched
from vmamba_edu.panels.parts import video_controls, video_figure
from vmamba_edu.panels.parts.background import Background
from vmamba_edu.panels.parts.mosaic import Mosaic
from vmamba_edu.panels.parts.upload import Upload
from vmamba_edu.panels.parts.video_controls import PATCH, SHOWN_WITH
from vmamba_edu.panels.parts.video_looks import FramesAndBars, look_at

__all__ = ["State", "View", "YourVideo", "compute"]

SOURCES = ("path", "model", "checkpoint")
LARGE = 50 * 2**20
"""Bytes of a checkpoint; a larger one is opened in the background."""


class YourVideo(Panel[State, View]):
    """A video of your own in the eyes of a model: its prediction, its tokens, masks, attention and memory.

    Args:
        clip: a path, or uint8 frames (time, height, width, 3); a built-in video if not given. A file can also be chosen
            in the panel.
        model: the classifier that comes with the package; one of `list_models()`, with fresh weights; or a model of
            your own, in evaluation mode.
        checkpoint: the folder or a checkpoint of a training run, which brings its model along; or weights alone, which
            are fitted into `model`.
        classes: what the outputs of your own model stand for; their numbers if not given.
        look, views, mask, ratio, seed, block, direction, view: see `State`; `view` is its `clip`.
        frame, row, column: the patch that is asked for; the one with most to see if not given.

    Raises:
        ValueError, TypeError: video, model or checkpoint cannot be opened, the video is shorter than the model reads,
            or there is no such look, view, mask, patch, block or direction.

    What takes long waits for a press of Run, and is done in the background. What is predicted to need more than 60 % of
    the free memory is refused. An uploaded file is deleted when another is opened, and when the panel is closed or the
    kernel ends.
    """

    State = State
    compute = staticmethod(compute)
    name = "your-video"
    claims = ("V1", "M1", "P1")
    plays = "look"
    view: View

    def __init__(
        self,
        clip: str | os.PathLike[str] | Tensor | np.ndarray | None = None,
        model: str | nn.Module = SHIPPED,
        *,
        checkpoint: str | os.PathLike[str] | None = None,
        classes: Sequence[str] = (),
        look: str = "prediction",
        views: str = "4 × 3",
        view: int = 0,
        mask: str = "clip_row",
        ratio: float = 0.75,
        seed: int = 0,
        frame: int | None = None,
        row: int | None = None,
        column: int | None = None,
        block: int = 0,
        direction: str = "both",
    ) -> None:
        one_of("look", look, LOOKS)
        one_of("views", views, VIEWS)
        one_of("view", view, range(VIEWS[views][0]))
        if classes and not isinstance(model, nn.Module):
            raise ValueError(f"classes: expected none beside {model!r}, which brings its own, got {came(classes)}")
        path = os.fspath(clip) if isinstance(clip, str | os.PathLike) else ""
        where = "" if checkpoint is None else os.fspath(checkpoint)
        self.given: dict[str, Any] = {
            "clip": clip is not None and not path,
            "model": isinstance(model, nn.Module),
            "classes": classes,
        }
        reader = reader_of(model, classes) if isinstance(model, nn.Module) else open_reader(model, where)
        self.videos, self.readers = {path: film_of(clip, "clip")}, {(reader.choice, where): reader}
        self.wanted = ""
        watched = Watched(self.videos[path], reader)
        asked = zip(_busiest(watched, view, views), (frame, row, column), strict=True)
        patch = dict(zip(PATCH, (own if one is None else one for own, one in asked), strict=True))
        shown: dict[str, Any] = {"look": look, "views": views, "clip": view, "block": block, "direction": direction}
        shown |= {"mask": mask, "ratio": ratio, "seed": seed, **patch}
        sources: dict[str, Any] = {"path": path, "model": reader.choice, "checkpoint": where}
        super().__init__(State(**shown, **sources, wait=True, watched=watched))
        self.canvas.data[0].on_click(self._clicked)
        self._follow()

    def make_controls(self) -> dict[str, ipywidgets.ValueWidget]:
        reader = self.view.watched.reader
        controls = video_controls.made(self.state, reader.grid, reader.depth, self.lists, given=self.given["model"])
        self.upload = Upload(
            lambda path: setattr(controls["path"], "value", path), lambda: self.state.path,
            accept="video/*", tooltip="a video from your computer",
        )  # fmt: skip
        return controls

    def arrange(self) -> ipywidgets.Box:
        self.background = Background("Run", self._jobs, self._work, self._done, lambda job: job[0])
        self.background.start.tooltip = "run the model on this video"
        parts = self.controls
        rows = [
            [parts["path"], self.upload.widget, parts["model"], parts["checkpoint"], self.copy],
            [parts["look"], parts["clip"], *(parts[name] for name in SHOWN_WITH)],
        ]
        boxes = [ipywidgets.HBox(row, layout={"flex_flow": "row wrap"}) for row in rows]
        return ipywidgets.VBox([*boxes, self.background.widget, self.canvas, self.caption])

    def show(self, **changes: Any) -> None:
        """As every panel; video, model or checkpoint are opened, and what there is no longer of falls back."""
        before = self.state
        if "model" in changes and changes["model"] != before.model:
            changes.setdefault("checkpoint", "")
        if changes.get("checkpoint") == "" and before.model == OF_CHECKPOINT:
            changes.setdefault("model", SHIPPED)
        opened = {name: changes.get(name, getattr(before, name)).strip() for name in SOURCES}
        if any(opened[name] != getattr(before, name) for name in SOURCES):
            changes |= self._opened(**opened)
        if "views" in changes:
            one_of("views", changes["views"], VIEWS)
            changes["clip"] = min(changes.get("clip", before.clip), VIEWS[changes["views"]][0] - 1)
        super().show(**changes)
        self._follow()
        self.upload.tidy()

    def close(self) -> None:
        """End what runs, take the panel out of the page, and delete what was uploaded."""
        self.background.stop()
        self.upload.close()
        self.widget.close()

    def at(self, field: str, value: Any) -> "YourVideo":
        """As every panel; what takes long is done now: a page that plays views has all of them."""
        other: Any = super().at(field, value)
        if other.view.seen is None:
            other.view = compute(replace(other.state, wait=False))
        return other

    def _opened(self, path: str, model: str, checkpoint: str) -> dict[str, Any]:
        """The fields of a state with another source; nothing is kept of one that cannot be opened."""
        video = self.videos.get(path) or film_of(path)
        reader = self.readers.get((model, checkpoint)) or open_reader(model, checkpoint)
        watched = Watched(video, reader)
        given = {key: one for key, one in self.readers.items() if GIVEN in key}
        self.videos = {"": self.videos.get("") or film_of(None), path: video}
        self.readers = given | {(model, checkpoint): reader, (reader.choice, checkpoint): reader}
        new: dict[str, Any] = {"path": path, "model": reader.choice, "checkpoint": checkpoint, "watched": watched}
        if watched.reader.grid != self.view.grid or path != self.state.path:
            new |= zip(PATCH, _busiest(watched, self.state.clip, self.state.views), strict=True)
        return new | {"block": min(self.state.block, reader.depth - 1)}

    def _changed(self, change: Any) -> None:
        wanted = change["new"].strip() if change["owner"] is self.controls["checkpoint"] else ""
        if (
            wanted
            and wanted != self.state.checkpoint
            and _bytes_of(Path(wanted).expanduser()) > LARGE
            and not self._runs()
        ):
            self.wanted = wanted
            self.background.begin()
        else:
            super()._changed(change)

    def _open_later(self, checkpoint: str) -> dict[str, Any]:
        """Read a large checkpoint, for `_opened` to find it read; or say why it cannot be."""
        key = (self.state.model, checkpoint)
        try:
            self.readers[key] = open_reader(*key)
        except ValueError as error:
            return {"refused": str(error)}
        return {"checkpoint": checkpoint}

    def _runs(self) -> bool:
        return self.background.thread is not None and self.background.thread.is_alive()

    def _jobs(self) -> list[tuple[str, Any]]:
        """What Run has to do, a description and what it is each."""
        if self.wanted:
            wanted, self.wanted = self.wanted, ""
            return [(f"opening {html.escape(Path(wanted).name)}", wanted)]
        state, watched, (clips, crops) = self.state, self.view.watched, VIEWS[self.state.views]
        if not is_long(state, watched):
            return []
        if state.look == "prediction":
            left = [clip for clip in range(clips) if not watched.has_said(clip, clips, crops)]
            return [(f"clip {clip + 1} of {clips}", (watched, clip, clips, crops)) for clip in left]
        return [(f"reading the clip up to block {state.block}", replace(state, wait=False))]

    def _work(self, job: tuple[str, Any]) -> Any:
        what = job[1]
        if isinstance(what, State):
            compute(what)
        elif isinstance(what, tuple):
            what[0].says(*what[1:])
        else:
            return self._open_later(what)
        return {}

    def _done(self, changes: dict[str, Any]) -> None:
        try:
            if "refused" in changes:
                raise ValueError(changes["refused"])
            self.show(**changes)
        except ValueError as error:
            self._follow()
            self._refuse(error)

    def _clicked(self, trace: Any, points: Any, selector: Any) -> None:
        token = self.stage.token_at(points.xs[0], points.ys[0]) if points.xs and self.look.asks else None
        if token is not None:
            places = (int(at) for at in np.unravel_index(token, self.view.grid))
            self.show(**dict(zip(PATCH, places, strict=True)))

    def _follow(self) -> None:
        """Bring the controls to the state: their ends, their values, and which of them there are."""
        state, reader = self.state, self.view.watched.reader
        most = dict(zip((*PATCH, "block"), (size - 1 for size in (*reader.grid, reader.depth)), strict=True))
        most["clip"] = VIEWS[state.views][0] - 1
        with self.moving_controls():
            for name, control in self.controls.items():
                if name in most and control.max != most[name]:
                    control.max = most[name]
                control.value = getattr(state, name)
                control.layout.display = None if state.look in SHOWN_WITH.get(name, LOOKS) else "none"
        waits = self.view.seen is None
        self.background.widget.layout.display = None if waits or self._runs() else "none"

    @property
    def look(self) -> FramesAndBars:
        """How the present view is drawn."""
        if self._made is None or self._made[0] is not self.view:
            self._made = (self.view, look_at(self.state, self.view), Mosaic(self.view.grid, self.view.frames))
        return self._made[1]

    @property
    def stage(self) -> Mosaic:
        """Where the frames of the present view lie."""
        assert self.look
        return self._made[2]

    _made: Any = None

    def figure(self) -> go.Figure:
        self.below = self._below()
        return video_figure.drawn(self.look, self.stage, self._patch())

    def redraw(self, canvas: go.FigureWidget) -> None:
        anew = self.below != self._below()
        self.below = self._below()
        video_figure.redraw(canvas, self.look, self.stage, self._patch(), pictures_too=anew)

    def _below(self) -> tuple[Any, ...]:
        """What the picture below the patches depends on."""
        return id(self.view.watched), self.state.clip, self.state.views, self.look.pale, self.look.cut

    def _patch(self) -> int:
        return token_of(self.state, self.view.grid)

    def picture(self) -> Figure:
        return video_figure.printed(self.look, self.stage, self._patch())

    def sentence(self) -> str:
        return self.look.sentence

    def code(self) -> str:
        state = self.state
        path, note = self.upload.in_code(state.path)
        words = [repr(path)] if path else ["clip"] if self.given["clip"] else []
        if state.model == GIVEN:
            words += ["model=model", *(["classes=classes"] if self.given["classes"] else [])]
        elif state.model != OF_CHECKPOINT:
            words.append(f"model={state.model!r}")
        words += [f"checkpoint={state.checkpoint!r}"] if state.checkpoint else []
        fields = {"look": "look", "views": "views", "view": "clip"}
        fields |= {name: name for name, looks in SHOWN_WITH.items() if state.look in looks and name != "views"}
        words += [f"{name}={getattr(state, own)!r}" for name, own in fields.items()]
        return f"from vmamba_edu import panels\n\n{note}panels.your_video({', '.join(words)})"


def _busiest(watched: Watched, clip: int, views: str) -> tuple[int, int, int]:
    """The patch of a clip where there is most to see."""
    clips, crops = VIEWS[views]
    return busiest_patch(watched.frames(clip, clips, crops // 2, crops), watched.reader.grid)


def _bytes_of(path: Path) -> int:
    """How large a checkpoint is, or the largest file of a run's folder; 0 if there is none."""
    try:
        files = [one for one in path.iterdir() if one.is_file()] if path.is_dir() else [path]
        return max((one.stat().st_size for one in files), default=0)
    except OSError:
        return 0
