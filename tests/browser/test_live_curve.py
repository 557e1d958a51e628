"""The live curve in a real JupyterLab: while a model trains, one picture below the cell grows with it."""

import re

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

pytestmark = [pytest.mark.browser, pytest.mark.slow]

STEPS = 150
TRAINING = f"""
import time

import torch

from vmamba_edu import create_model
from vmamba_edu.training import Callback, LiveCurve, TrainingSettings, train
from vmamba_edu.training.objectives import Supervised


class Slowly(Callback):
    def on_step(self, row):
        time.sleep(0.02)


torch.manual_seed(0)
size = dict(embed_dim=8, depth=1, img_size=8, patch_size=8, num_frames=2, num_classes=2, d_state=4)
model = create_model("videomamba_tiny", **size)
clips = [dict(clip=torch.full((3, 2, 8, 8), float(2 * i - 1)), label=i) for i in (0, 1)] * 10
settings = TrainingSettings(epochs={STEPS // 10}, batch_size=2, learning_rate=1e-2)
curve = LiveCurve(seconds=0.3)
history = train(model, Supervised(), clips, settings, validation=clips, callbacks=[Slowly(), curve], progress=False)
"""
# Every text that the picture ever had, in order, and how often a second picture stood beside it.
WATCH = """() => {
    window.told = []; window.doubled = 0;
    const look = () => {
        const pictures = document.querySelectorAll('.jp-OutputArea img');
        if (pictures.length > 1) window.doubled += 1;
        pictures.forEach(picture => { if (window.told.at(-1) !== picture.alt) window.told.push(picture.alt); });
    };
    new MutationObserver(look).observe(document.body, {subtree: true, childList: true, attributes: true});
}"""


@pytest.fixture(scope="module")
def notebook(lab, chromium_browser, tmp_path_factory):
    path = tmp_path_factory.mktemp("training") / "curve.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell(TRAINING)]), path)
    opened = lab.open(chromium_browser, path, (1400, 1000))
    opened.page.evaluate(WATCH)
    opened.run_all()
    yield opened
    opened.close()


def test_the_curve_grows_while_the_model_trains(notebook) -> None:
    steps = [int(re.search(r"training from [\d.e-]+ to [\d.e-]+ at step (\d+)", told)[1]) for told in told_by(notebook)]
    assert len(steps) >= 5  # at least three seconds of training, a picture every 0.3 s
    assert steps == sorted(steps)
    assert steps[0] < STEPS / 2
    assert steps[-1] == STEPS


def test_the_last_picture_is_drawn_and_there_is_one(notebook) -> None:
    picture = notebook.page.locator(".jp-OutputArea img")
    assert picture.count() == 1
    assert picture.evaluate("picture => picture.naturalWidth") > 300
    assert re.search(rf"validation from .* at step {STEPS}", picture.get_attribute("alt"))


def test_nothing_complains(notebook) -> None:
    assert notebook.errors == []
    assert notebook.on_stderr() == []


def told_by(notebook) -> list[str]:
    return notebook.page.evaluate("window.told")
