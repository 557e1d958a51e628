"""Figures on a machine that needs three seconds to read plotly: drawn, and with every change that was made to them.

It is why `panels.parts.canvas` is there. The same with plotly's own widget comes to nothing; should that be seen to
work one day, the module can go.
"""

from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SLOW = """() => {
    const make = URL.createObjectURL;
    URL.createObjectURL = (content) => {
        const end = performance.now() + (content.size > 1e6 ? 3000 : 0);
        while (performance.now() < end);
        return make.call(URL, content);
    };
}"""
OURS = """
import numpy as np
import plotly.graph_objects as go
from vmamba_edu.panels.parts.canvas import Canvas

figure = Canvas(go.Figure([{"x": [1, 2], "y": [1, 2]}, {"x": [7, 8], "y": [0, 0]}]))
display(figure)
figure.data[0].y = [3, 1]
with figure.batch_update():
    figure.data[0].x, figure.data[1].y, figure.layout.title.text = np.array([4.0, 5.5]), [5, 5], "changed"
"""
LINES = """
import plotly.graph_objects as go
from vmamba_edu.panels.parts.canvas import Canvas

figure = Canvas(go.Figure([{"x": [0, 1], "y": [2, 3]}, {"x": [0, 1], "y": [0.5, 0.5]}]))


def change():
    with figure.batch_update():
        figure.data[0].update(x=[4, 5], y=[6, 7])
        figure.data[1].x = [4, 5]


figure
"""
PLOTLYS = OURS.replace("Canvas(go.Figure(", "go.FigureWidget((")
SEEN = """() => JSON.stringify([...document.querySelectorAll(".js-plotly-plot")].map(
    (drawn) => [...(drawn.data ?? []).map(({ x, y }) => [[...x], [...y]]), drawn.layout?.title?.text ?? ""]))"""
ALL = '[[[[4,5.5],[3,1]],[[7,8],[5,5]],"changed"]]'


def opened(open_notebook, path: Path, code: str):
    nbformat.write(new_notebook(cells=[new_code_cell(code)]), path)
    notebook = open_notebook(path)
    notebook.page.evaluate(SLOW)
    notebook.run_all()
    return notebook


def test_a_slow_machine_draws_a_figure_with_all_its_changes(open_notebook, tmp_path: Path) -> None:
    notebook = opened(open_notebook, tmp_path / "ours.ipynb", OURS)
    notebook.page.wait_for_function(f"({SEEN})() === '{ALL}'")
    notebook.page.wait_for_selector(".scatterlayer .trace")
    assert notebook.errors == []
    assert notebook.on_stderr() == []


def test_the_kernel_keeps_what_was_set_whatever_plotly_makes_of_it(open_notebook, tmp_path: Path) -> None:
    """It is what a page gets that is loaded again. Plotly's own widget would tell the kernel what to forget."""
    nbformat.write(new_notebook(cells=[new_code_cell(LINES)]), tmp_path / "lines.ipynb")
    notebook = open_notebook(tmp_path / "lines.ipynb")
    notebook.run_all()
    notebook.page.wait_for_selector(".scatterlayer .trace", state="attached")
    notebook.tells("change()")
    notebook.page.wait_for_function("document.querySelector('.js-plotly-plot').data[0].y[0] === 6")
    notebook.page.wait_for_timeout(1000)
    lines = notebook.tells("figure.get_state()['_widget_data']")
    assert [(line["x"], line.get("y")) for line in lines] == [([4, 5], [6, 7]), ([4, 5], [0.5, 0.5])]


def test_plotlys_own_figure_is_lost_there(open_notebook, tmp_path: Path) -> None:
    notebook = opened(open_notebook, tmp_path / "plotlys.ipynb", PLOTLYS)
    notebook.page.wait_for_selector(".js-plotly-plot .main-svg", state="attached")
    notebook.page.wait_for_timeout(3000)
    assert notebook.page.evaluate(f"({SEEN})()") == '[[""]]'
