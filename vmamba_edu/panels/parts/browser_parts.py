"""What the browser does for a panel by itself: reach the clipboard, know how wide the panel is, take keys, and play."""

import anywidget
import ipywidgets
import traitlets

COPY = """
function render({ model, el }) {
  const button = document.createElement("button");
  button.className = "jupyter-button vmamba-copy";
  const label = () => { button.textContent = model.get("label"); };
  const say = (words) => { button.textContent = words; setTimeout(label, 1500); };
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(model.get("text"));
      say("Copied");
    } catch (error) {
      window.prompt("Copy this:", model.get("text"));
    }
  });
  label();
  el.appendChild(button);
}
export default { render };
"""


FIT = """
function render({ el }) {
  // Plotly draws before the cell is in the page, and looks at its width again only when the window changes. So it is
  // told to, but only where the drawing is too wide or too narrow: a scroll bar that comes and goes makes it neither.
  const misfit = (drawing) => Math.abs(drawing.clientWidth - el.clientWidth) > 30;
  let width = 0, asked = 0;
  const refit = () => {
    if (Math.abs(el.clientWidth - width) > 30) { width = el.clientWidth; asked = 0; }
    const drawings = el.closest(".vmamba-panel")?.querySelectorAll(".main-svg:first-child") ?? [];
    if (width && asked < 3 && [...drawings].some(misfit)) {  // never for ever: it may be that nobody listens
      asked += 1;
      window.dispatchEvent(new Event("resize"));
    }
  };
  // What has the focus in a panel gets the keys: JupyterLab would take the arrows of a list for itself and letters as
  // commands for the cell. It looks for this attribute first, from where the focus is upwards, and some of its commands
  // want just what has the focus. Ctrl+S, Shift+Enter and Escape stay with JupyterLab.
  const keys = (event) => {
    const focused = event.target.closest?.(".vmamba-panel") ? event.target : null;
    const theirs = event.ctrlKey || event.metaKey || event.altKey || event.key === "Escape" ||
      (event.shiftKey && event.key === "Enter");
    focused?.toggleAttribute("data-lm-suppress-shortcuts", !theirs);
  };
  window.addEventListener("keydown", keys, true);
  const watcher = new ResizeObserver(refit);
  watcher.observe(el);
  document.addEventListener("plotlywidget-after-render", refit);
  return () => {
    watcher.disconnect();
    window.removeEventListener("keydown", keys, true);
    document.removeEventListener("plotlywidget-after-render", refit);
  };
}
export default { render };
"""


FOCUS = """
.vmamba-panel .noUi-handle:focus-visible,
.vmamba-panel button:focus-visible,
.vmamba-panel [tabindex]:focus-visible,
.vmamba-panel [contenteditable]:focus-visible,
.vmamba-panel input:focus-visible,
.vmamba-panel select:focus-visible {
  outline: 3px solid #0072b2;
  outline-offset: 2px;
}
.vmamba-panel .vmamba-copy { margin: 2px; }
.vmamba-busy .js-plotly-plot { opacity: 0.35; }
"""
"""Whoever works by keyboard sees where they are: themes of JupyterLab hide it on some of these.

The button that copies stands in line with the controls beside it. And what is soon to be another drawing is pale.
"""


class FitWidth(anywidget.AnyWidget):
    """Shows nothing; lets the figures beside it follow the width of their cell, and gives a panel its keys."""

    _esm = FIT
    _css = FOCUS


class CopyButton(anywidget.AnyWidget):
    """Copies `text` when it is pressed; where the browser forbids that, it shows the text to copy by hand."""

    _esm = COPY
    label = traitlets.Unicode("Copy as code").tag(sync=True)
    text = traitlets.Unicode("").tag(sync=True)


class Player:
    """Play, pause and stop for a slider, and how fast. The browser counts, and the slider follows.

    Args:
        slider: what is played, from its least value to its greatest.
        milliseconds: of a step, at which speed; the second one is taken at first.
    """

    def __init__(self, slider: ipywidgets.IntSlider, milliseconds: tuple[int, int, int]):
        options = list(zip(("slow", "medium", "fast"), milliseconds, strict=True))
        usual = milliseconds[1]
        self.play = ipywidgets.Play(slider.value, min=0, max=slider.max, interval=usual, show_repeat=False)
        self.speed = ipywidgets.Dropdown(options=options, value=usual, layout={"width": "7em"})
        ipywidgets.jslink((self.play, "value"), (slider, "value"))
        ipywidgets.link((self.speed, "value"), (self.play, "interval"))
