"""What every panel is: a small frozen state, a pure compute, and a view of what compute returns.

    State → compute(state) → view

Compute knows no widget and is tested without a browser. The view is drawn once, then changed in place in one message.
A panel can also be written to a page that plays views computed beforehand: `panel.to_html(path)`.
"""

import base64
import copy
import html
import io
import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import ipywidgets
import plotly.graph_objects as go
from matplotlib.figure import Figure
from PIL import Image
from tqdm.auto import tqdm

from vmamba_edu.panels.parts import claims, offline_page
from vmamba_edu.panels.parts.browser_parts import CopyButton, FitWidth
from vmamba_edu.panels.parts.canvas import Canvas
from vmamba_edu.panels.parts.later import Later
from vmamba_edu.panels.parts.opening import opened
from vmamba_edu.panels.parts.playable import labels_of, main_control, values_of

S = TypeVar("S")
V = TypeVar("V")


class OwnMoves(threading.local):
    """Whether a panel moves its controls by itself now, in this thread: in another one a reader may turn them."""

    now = False


class Panel(ABC, Generic[S, V]):
    """The part that panels share. A panel is shown by being the last expression of a cell.

    A subclass says what its `State` is, what `compute` makes of it, which controls change it, and how the result is
    drawn (`figure`), redrawn (`redraw`), printed (`picture`), said in words (`sentence`) and had again (`code`).
    Where a change may take longer than an eye blinks, it says so beforehand (`long_work`).
    `claims` are the ids of the published claims that it lets a reader see (`parts.claims`): they stand in its foot.
    What a reader gives to its `__init__` is compared with the annotations there, see `parts.opening`.
    """

    State: ClassVar[type]
    name: ClassVar[str]
    claims: ClassVar[tuple[str, ...]] = ()
    plays: ClassVar[str | None] = None
    """The field of the state that a page of the panel plays; None stands for its first slider, or else first list."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "__init__" in cls.__dict__:
            cls.__init__ = opened(cls.__init__)  # type: ignore[method-assign]

    def __init__(self, state: S) -> None:
        self.state = state
        self.view = self.compute(state)
        self.later = Later(self._prepare, self._turn)
        self.own_moves = OwnMoves()
        self.drawing = threading.RLock()
        self.canvas = Canvas(self.figure(), {"responsive": True, "displayModeBar": False})
        self.controls = self.make_controls()
        self.caption = ipywidgets.HTML(self.html_sentence())
        self.caption.add_class("vmamba-sentence")
        self.copy = CopyButton(text=self.code())
        for field, control in self.controls.items():
            self._is_offered(field, control)
            control.add_class(f"vmamba-{field}")
            self.listen(control, self._changed)
        self.widget = self.arrange()
        self.widget.children += (*self.foot(), FitWidth())
        self.widget.add_class("vmamba-panel").add_class(f"vmamba-{self.name}")

    @staticmethod
    @abstractmethod
    def compute(state: Any) -> Any:
        """Everything the view shows, as a pure function of the state."""

    @abstractmethod
    def make_controls(self) -> dict[str, ipywidgets.ValueWidget]:
        """The controls by the field of the state that each one sets."""

    @abstractmethod
    def figure(self) -> go.Figure:
        """The current view as a plotly figure that needs no kernel."""

    @abstractmethod
    def redraw(self, canvas: go.FigureWidget) -> None:
        """Change the traces of `canvas` in place to the current view. Called inside one batch update."""

    @abstractmethod
    def picture(self) -> Figure:
        """The current view for print, and for where no widget runs."""

    @abstractmethod
    def sentence(self) -> str:
        """What the current view shows, in words; also its text alternative."""

    @abstractmethod
    def code(self) -> str:
        """Python that reproduces the current view."""

    def long_work(self, changes: Mapping[str, Any]) -> tuple[str, Callable[[], Any]] | None:
        """What has to be done before `show` is quick with these changes: in words ("Counting a model"), and to call.

        None, the usual answer, where it is quick anyway. A control that asks for more is answered by the words at once,
        and by the view when the reader has let go of the control and the work is done.
        """
        return None

    def lists(
        self, choices: Mapping[str, tuple[str, Sequence[tuple[str, Any]]]], width: str = "19em"
    ) -> dict[str, ipywidgets.ValueWidget]:
        """A drop-down list for each of some fields: the words in front of it, and what it offers by name."""
        return {
            name: ipywidgets.Dropdown(
                options=options, value=getattr(self.state, name), description=words, layout={"width": width}
            )
            for name, (words, options) in choices.items()
        }

    def arrange(self) -> ipywidgets.Box:
        """Controls above, view, sentence below."""
        above = ipywidgets.HBox([*self.controls.values(), self.copy], layout={"flex_flow": "row wrap"})
        return ipywidgets.VBox([above, self.canvas, self.caption])

    def foot(self) -> tuple[ipywidgets.HTML, ...]:
        """What stands below: the published claims that the panel shows; nothing where there are none."""
        if not self.claims:
            return ()
        items = "".join(f"<li>{html.escape(line)}</li>" for line in claims.lines(self.claims))
        small = "font-size:85%;line-height:1.4;margin:0;padding-left:1.2em"
        return (ipywidgets.HTML(f'<ul style="{small}">{items}</ul>').add_class("vmamba-claims"),)

    def still(self) -> go.Figure | bytes:
        """The current view for a page without a kernel: a figure, or, where the view is made of pictures, a PNG."""
        return self.figure()

    def to_html(
        self, path: str | Path, field: str | None = None, values: Sequence[Any] | None = None, *, progress: bool = True
    ) -> Path:
        """Write a page of its own: views computed now, played by a slider over one field. It needs no network.

        Args:
            path: of the file, some 5 MB, nearly all of it plotly; what was there is overwritten.
            field: of the state, one that has a control; `plays` if not given.
            values: that it takes; those that its control offers if not given, at most 32 of them.
            progress: whether a bar is shown.

        Returns:
            The path.

        Raises:
            ValueError: there is no such control, or the state allows none of the values. No file is written then.
            OSError: the file cannot be written.
        """
        field = main_control(self.controls, field or self.plays)
        values = values_of(self.controls, field, getattr(self.state, field)) if values is None else list(values)
        moments: list[offline_page.Moment] = []
        start = 0
        for value in tqdm(values, desc="views", leave=False, disable=not progress):
            try:
                seen = self.at(field, value)
            except ValueError:  # a control may offer what its neighbours do not allow: the page leaves it out
                continue
            start = len(moments) if value == getattr(self.state, field) else start
            moments.append(offline_page.Moment(labels_of(self.controls, field, value), seen.still(), seen.sentence()))
        control = getattr(self.controls.get(field), "description", "") or field
        title = self.name.replace("-", " ").capitalize()
        text = offline_page.page(title, control, moments, claims.lines(self.claims), start)
        Path(path).write_text(text, "utf-8")
        return Path(path)

    def at(self, field: str, value: Any) -> "Panel[S, V]":
        """This panel as it would be at another value of one field, to be drawn or asked; this one stays as it is.

        Raises:
            ValueError: the state does not allow the value.
        """
        other = copy.copy(self)
        other.state = replace(self.state, **{field: value})  # type: ignore[type-var]
        other.view = other.compute(other.state)
        return other

    def html_sentence(self) -> str:
        return in_words(self.sentence())

    def show(self, **changes: Any) -> None:
        """Set fields of the state, from code or from a control, and bring the view up to date.

        Raises:
            ValueError: the state does not allow the value; the view stays as it was.
        """
        state = replace(self.state, **changes)  # type: ignore[type-var]
        view = self.compute(state)
        with self.drawing:
            self.view, self.state = view, state
            with self.canvas.batch_update():
                self.redraw(self.canvas)
            self.caption.value = self.html_sentence()
            self.copy.text = self.code()

    def _is_offered(self, field: str, control: Any) -> None:
        """Raise a ValueError where a control cannot stand at the state: ipywidgets would move it without a word."""
        value = getattr(self.state, field, None)
        if not isinstance(value, int | float) or not hasattr(control, "min"):
            return
        if not math.isclose(value, control.value, rel_tol=1e-9, abs_tol=1e-12):
            raise ValueError(f"{field}: expected {control.min:g} to {control.max:g}, got {value:g}")

    def listen(self, control: ipywidgets.ValueWidget, wish: Callable[[Mapping[str, Any]], None]) -> None:
        """Have a function called with every change of a control's value that the panel has not made itself."""
        control.observe(lambda change: None if self.own_moves.now else wish(change), "value")

    @contextmanager
    def moving_controls(self) -> Iterator[None]:
        """In here the panel brings its controls to the state; a list with other options also moves by itself."""
        self.own_moves.now = True
        try:
            yield
        finally:
            self.own_moves.now = False

    def _changed(self, change: Mapping[str, Any]) -> None:
        field = next(name for name, control in self.controls.items() if control is change["owner"])
        wanted = {**self.later.changes, field: change["new"]}
        if all(getattr(self.state, name) == value for name, value in wanted.items()):
            self._stop_waiting()
        elif work := self.long_work(wanted):
            self.widget.add_class("vmamba-busy")
            self.caption.value = in_words(f"{work[0]} …")
            self.later.ask(wanted)
        else:
            self.later.drop()
            self._turn(wanted)

    def _turn(self, changes: Mapping[str, Any]) -> None:
        """Make the changes that controls ask for, or let the controls go back."""
        try:
            self.show(**changes)
        except ValueError as error:  # a reader who turns a knob gets a sentence, and the knob goes back
            for name in changes:
                self.controls[name].value = getattr(self.state, name)
            self._refuse(error)
        finally:
            self.widget.remove_class("vmamba-busy")

    def _refuse(self, error: ValueError) -> str:
        """Say, in place of the sentence, why something cannot be; returns the words."""
        words = f"{str(error).strip('.')}. The view stays as it was."
        self.caption.value = in_words(words)
        return words

    def _prepare(self, changes: Mapping[str, Any]) -> None:
        if work := self.long_work(changes):
            work[1]()

    def _stop_waiting(self) -> None:
        if self.later.changes:
            self.later.drop()
            self.widget.remove_class("vmamba-busy")
            self.caption.value = self.html_sentence()

    def settle(self) -> None:
        """Wait until the view shows what the controls ask for."""
        self.later.wait()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live widget, and beside it the picture and the sentence that a saved or exported notebook still shows."""
        bundle = self.widget._repr_mimebundle_(**kwargs) or {}
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        return {**data, "image/png": self._png(), "text/plain": self.sentence()}, metadata

    def _png(self) -> str:
        buffer = io.BytesIO()
        self.picture().savefig(buffer, format="png", dpi=80)
        small = io.BytesIO()  # 64 colours are enough for a picture of lines, and a third of the bytes
        Image.open(buffer).convert("RGB").quantize(64).save(small, format="PNG", optimize=True)
        return base64.b64encode(small.getvalue()).decode()


def in_words(sentence: str) -> str:
    """A sentence as screen readers find it: read aloud when it changes."""
    return f'<p role="status" aria-live="polite" style="line-height:1.5">{html.escape(sentence)}</p>'
