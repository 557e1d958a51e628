"""A panel as a page of its own: views computed beforehand, played by a slider, without a kernel and without a network.

A view is a plotly figure or a picture. Of every figure but the first, the page holds only the traces and the parts of
the layout that differ from the first one's.
"""

import base64
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go


@dataclass(frozen=True)
class Moment:
    """What the page shows at one place of its slider: the value there in words, the view, and the sentence for it.

    The view is a figure or the bytes of a PNG.
    """

    value: str
    view: go.Figure | bytes
    sentence: str


def page(title: str, control: str, moments: Sequence[Moment], foot: Sequence[str], start: int = 0) -> str:
    """A whole HTML page.

    Args:
        title: of the page.
        control: what the slider sets, in words.
        moments: one after the other.
        foot: lines below.
        start: which moment is shown first.

    Raises:
        ValueError: there are no moments.
    """
    if not moments:
        raise ValueError("moments: expected at least one view to play, got none")
    drawn = any(isinstance(moment.view, go.Figure) for moment in moments)
    holes = {
        "TITLE": html.escape(title),
        "CONTROL": html.escape(control),
        "LAST": str(len(moments) - 1),
        "START": str(start),
        "FOOT": "".join(f"<li>{html.escape(line)}</li>" for line in foot),
        "PLOTLY": _plotly() if drawn else "",
        "MOMENTS": _as_script(moments),
    }
    text = PAGE
    for name, value in holes.items():
        text = text.replace(f"%{name}%", value)
    return text


def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def _as_script(moments: Sequence[Moment]) -> str:
    """The moments as JSON that can stand inside a script: nothing in it ends the script."""
    first = next((_json(one.view) for one in moments if isinstance(one.view, go.Figure)), None)
    stored = [{"value": one.value, "sentence": one.sentence} | _difference(one.view, first) for one in moments]
    return json.dumps({"first": first, "moments": stored}, ensure_ascii=False).replace("<", "\\u003c")


def _json(figure: go.Figure) -> dict[str, Any]:
    return json.loads(figure.to_json())


def _difference(view: go.Figure | bytes, first: dict[str, Any] | None) -> dict[str, Any]:
    """What tells a view from the first figure; all of a picture."""
    if isinstance(view, bytes):
        return {"picture": "data:image/png;base64," + base64.b64encode(view).decode()}
    ours = _json(view)
    assert first is not None  # a figure is there, so there is a first one
    known = dict(enumerate(first["data"]))
    data = [None if trace == known.get(number) else trace for number, trace in enumerate(ours["data"])]
    layout = {name: part for name, part in ours["layout"].items() if part != first["layout"].get(name)}
    gone = [name for name in first["layout"] if name not in ours["layout"]]
    return {"data": data, "layout": layout | dict.fromkeys(gone)}


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%TITLE%</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; color: #333333; background: white; max-width: 75rem; margin: 1rem auto;
    padding: 0 1rem; }
  .controls { display: flex; gap: 1rem; align-items: center; flex-wrap: wrap; }
  input[type=range] { flex: 1 1 20rem; }
  button { font: inherit; padding: 0.2rem 1rem; }
  button:focus-visible, input:focus-visible { outline: 3px solid #0072b2; outline-offset: 2px; }
  output { min-width: 6rem; font-variant-numeric: tabular-nums; }
  img { max-width: 100%; }
  footer { font-size: 85%; }
  footer ul { padding-left: 1.2rem; }
</style>
</head>
<body>
<h1>%TITLE%</h1>
<div class="controls">
  <button id="play" type="button" aria-pressed="false">Play</button>
  <label for="slider">%CONTROL%</label>
  <input id="slider" type="range" min="0" max="%LAST%" step="1" value="%START%" aria-describedby="sentence">
  <output id="value" for="slider"></output>
</div>
<div id="view" role="img" aria-describedby="sentence"></div>
<p id="sentence" role="status" aria-live="polite"></p>
<noscript>This page draws with JavaScript, which is switched off here.</noscript>
<footer><ul>%FOOT%</ul></footer>
<script>%PLOTLY%</script>
<script type="application/json" id="moments">%MOMENTS%</script>
<script>
  const { first, moments } = JSON.parse(document.getElementById("moments").textContent);
  const [slider, view, play] = ["slider", "view", "play"].map(id => document.getElementById(id));
  const figure = ({ data, layout }) => ({
    data: data.map((trace, number) => structuredClone(trace ?? first.data[number])),
    layout: structuredClone({ ...first.layout, ...layout, autosize: true, width: undefined }),
  });
  async function draw() {
    const now = moments[slider.valueAsNumber];
    if (now.picture) {
      const image = new Image();
      Object.assign(image, { src: now.picture, alt: now.sentence });
      view.replaceChildren(image);
    } else {
      const { data, layout } = figure(now);
      await Plotly.react(view, data, layout, { responsive: true, displayModeBar: false });
    }
    view.setAttribute("aria-label", now.sentence);
    slider.setAttribute("aria-valuetext", now.value);
    document.getElementById("value").textContent = now.value;
    document.getElementById("sentence").textContent = now.sentence;
  }
  let playing = null;
  function stop() {
    clearInterval(playing);
    playing = null;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  }
  function step() {
    if (slider.valueAsNumber === moments.length - 1) return stop();
    slider.valueAsNumber += 1;
    draw();
  }
  play.addEventListener("click", () => {
    if (playing !== null) return stop();
    if (slider.valueAsNumber === moments.length - 1) { slider.valueAsNumber = 0; draw(); }
    playing = setInterval(step, 400);
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
  });
  slider.addEventListener("input", draw);
  draw();
</script>
</body>
</html>
"""
