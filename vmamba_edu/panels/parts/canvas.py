"""Plotly's figure widget, so that it comes whole and answers on a slow machine too.

anywidget gives a widget two seconds to start. One that needs longer is drawn as it was when its channel was opened, and
all changes that come later are lost without a word. As plotly has it, a figure is empty when its channel is opened, and
each one brings the whole of plotly, 5 MB, which a busy machine does not read in two seconds: what stands in the page
then is empty axes for ever.

Here a figure is complete when its channel is opened, and what it brings is a page of code. Plotly itself comes once
from a kernel, and is read once in a page, when the first figure is drawn; changes that come before that are kept. And a
page that is loaded again gets the figure as it is, where plotly's own widget gives what it was when it was displayed.
"""

from typing import Any

import ipywidgets
import plotly
import plotly.graph_objects as go
import traitlets
from plotly.basewidget import BaseFigureWidget

__all__ = ["Canvas"]

START = """
const CHANGES = [
  "addTraces", "deleteTraces", "moveTraces", "restyle", "relayout", "update", "animate", "removeLayoutProps",
  "removeTraceProps",
].map((name) => `_py2js_${name}`);

// Plotly as a module, the same one for every figure of the page that wants this version.
async function plotly(model) {
  const library = await model.widget_manager.get_model(model.get("_library").replace("IPY_MODEL_", ""));
  const modules = (window.vmambaPlotly ??= new Map()), version = library.get("version");
  if (!modules.has(version)) {
    const url = URL.createObjectURL(new Blob([library.get("code")], { type: "text/javascript" }));
    modules.set(version, import(url).finally(() => URL.revokeObjectURL(url)));
    modules.get(version).catch(() => modules.delete(version));
  }
  return modules.get(version);
}

// Plotly takes its time to read and to draw, and nothing else in the page gets on then: what has begun comes first.
async function quiet() {
  for (let turn = 0; turn < 20; turn++) {
    const start = performance.now();
    await new Promise((done) => setTimeout(done, 30));
    if (performance.now() - start < 60) return;
  }
}

// A change of several traces has a word where one of them keeps what it had. Plotly's model takes it for a value.
function spell_out(change) {
  for (const values of Object.values(change.style_data ?? {})) {
    values?.forEach?.((value, trace) => { if (value === "_undefined_") values[trace] = undefined; });
  }
}

export default () => {
  let figure, early = [], of_figure;
  const keep = (name) => () => {
    const change = of_figure.get(name);
    if (change === null) return;
    spell_out(change);
    if (!figure) early.push([name, change]);
  };
  return {
    initialize({ model }) {
      of_figure = model;
      CHANGES.forEach((name) => model.on(`change:${name}`, keep(name)));
    },
    async render({ el, signal }) {
      await quiet();
      const { default: widget } = await plotly(of_figure);
      if (!figure) {
        figure = widget();
        // What plotly fills in by itself stays here: Python would forget its own values wherever plotly has the same.
        const set = (name, value) => { if (!name.includes("Delta")) of_figure.set(name, value); };
        figure.initialize({ model: { ...of_figure, set } });
        for (const [name, change] of early) {
          of_figure.set(name, change);
          of_figure.set(name, null);
        }
        early = [];
      }
      if (!signal?.aborted) return figure.render({ el });
    },
  };
};
"""


class Library(ipywidgets.Widget):
    """Plotly's own code for figure widgets, which shows nothing: all figures of a kernel share one."""

    version = traitlets.Unicode(plotly.__version__).tag(sync=True)
    code = traitlets.Unicode().tag(sync=True)
    shared: "Library | None" = None

    @classmethod
    def of_kernel(cls) -> "Library":
        """The one; a new one where it has been closed (`Widget.close_all`)."""
        if cls.shared is None or cls.shared.comm is None:
            cls.shared = cls(code=str(BaseFigureWidget._esm))
        return cls.shared


class Canvas(go.FigureWidget):
    """A figure in a notebook, to be changed in place.

    Args:
        figure: what it shows.
        config: plotly's, https://plotly.com/python/configuration-options/.
    """

    _esm = START
    _library = traitlets.Instance(Library).tag(sync=True, **ipywidgets.widget_serialization)
    _is_filled = False

    def __init__(self, figure: go.Figure, config: dict[str, Any] | None = None) -> None:
        super().__init__(figure)
        self._config = config or {}
        self._library = Library.of_kernel()
        self._is_filled = True
        self.open()

    def open(self) -> None:
        """Open the channel; not in the midst of plotly's own constructor, where nothing is in the figure yet."""
        if self._is_filled:
            super().open()

    def get_state(self, key: Any = None, drop_defaults: bool = False) -> dict[str, Any]:
        """As ipywidgets has it; the figure is the one of now."""
        state = super().get_state(key, drop_defaults)
        if self._is_filled:
            now = {"_widget_data": self._data, "_widget_layout": self._layout_obj._props}
            for name in state.keys() & now.keys():
                state[name] = self.trait_metadata(name, "to_json")(now[name], self)
        return state
