"""The panel of a reader's own video: looks, controls, clicks, code, pages, and work that waits for a press."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from agreement import small_model
from own_films import RIGHT, changes, finish, setting

from vmamba_edu import panels
from vmamba_edu.panels.computed import own_videos, watched_videos
from vmamba_edu.panels.computed.own_videos import LOOKS, State, watch
from vmamba_edu.panels.computed.readers_of_videos import FRESH, SHIPPED
from vmamba_edu.panels.computed.watched_videos import Watched


@pytest.mark.parametrize("look", LOOKS[1:])
def test_every_look_is_another_picture_with_other_controls(panel: Any, look: str) -> None:
    changes(panel, setting(panel, "look", look))
    shown = {name for name, control in panel.controls.items() if control.layout.display != "none"}
    patch = {"frame", "row", "column", "block", "direction"}
    own = {"tokens": set(), "masks": {"mask", "ratio", "seed"}, "attention": patch, "memory": patch}[look]
    assert shown == {"path", "model", "checkpoint", "look", "clip"} | own


@pytest.mark.parametrize(
    ("look", "control", "value"),
    [
        ("prediction", "clip", 3),
        ("prediction", "views", "1 × 1"),
        ("masks", "mask", "random"),
        ("masks", "ratio", 0.5),
        ("masks", "seed", 7),
        ("attention", "frame", 3),
        ("attention", "row", 1),
        ("attention", "column", 1),
        ("attention", "block", 3),
        ("attention", "direction", "forward"),
        ("memory", "direction", "backward"),
        ("memory", "block", 2),
        ("memory", "clip", 2),
    ],
)
def test_a_control_changes_state_drawing_words_and_code(panel: Any, look: str, control: str, value: Any) -> None:
    panel.controls["look"].value = look
    changes(panel, setting(panel, control, value))
    assert getattr(panel.state, control) == value


def test_the_names_of_bars_and_the_words_behind_them_are_kept_apart(panel: Any) -> None:
    """A bar of next to nothing would leave "down under 0.01 %", in one line and one letter."""
    assert any(share < 1e-3 for _, share, _ in panel.look.bars)
    axis = panel.canvas.layout.yaxis2
    assert axis.showline
    assert axis.ticklabelstandoff > 3


@pytest.mark.parametrize("look", LOOKS)
def test_a_change_in_place_draws_what_a_fresh_panel_draws(panel: Any, file: Path, look: str) -> None:
    for other in LOOKS:
        panel.controls["look"].value = other
    panel.controls["path"].value = str(file)
    panel.controls["clip"].value = 2
    panel.controls["look"].value = look
    at = {name: getattr(panel.state, name) for name in ("frame", "row", "column")}
    fresh = panels.your_video(file, look=look, view=2, **at)
    assert panel.sentence() == fresh.sentence()
    for ours, theirs in zip(panel.canvas.data, fresh.canvas.data, strict=True):
        assert repr(ours.to_plotly_json() | {"uid": 0}) == repr(theirs.to_plotly_json() | {"uid": 0})
    for part in ("images", "shapes", "height", "annotations"):
        assert repr(panel.canvas.layout[part]) == repr(fresh.canvas.layout[part]), part
    for axis in ("xaxis", "yaxis"):
        assert panel.canvas.layout[axis].range == fresh.canvas.layout[axis].range


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("given", [False, True])
def test_the_copied_code_reproduces_the_view(look: str, given: bool) -> None:
    clip, model = RIGHT, small_model(num_frames=2).float()
    classes = tuple(f"kind {number}" for number in range(model.config.num_classes))
    panel = panels.your_video(clip, model, classes=classes) if given else panels.your_video(view=1)
    panel.controls["look"].value = look
    *lines, call = panel.code().splitlines()
    scope: dict[str, Any] = {"clip": clip, "model": model, "classes": classes} if given else {}
    exec("\n".join(lines), scope)
    again = eval(call, scope)
    assert again.sentence() == panel.sentence()
    assert replace(again.state, watched=None) == replace(panel.state, watched=None)


def test_a_click_asks_for_the_patch_below_it_where_one_is_asked_for(panel: Any) -> None:
    class Points:
        xs, ys = (2.5,), (1.5,)  # beyond the gap: the first column of the second frame, second row

    panel._clicked(None, Points, None)
    assert (panel.state.frame, panel.state.row, panel.state.column) == (1, 0, 0)
    panel.controls["look"].value = "attention"
    panel._clicked(None, Points, None)
    assert (panel.state.frame, panel.state.row, panel.state.column) == (1, 1, 0)
    assert [panel.controls[name].value for name in ("frame", "row", "column")] == [1, 1, 0]


def test_a_path_is_opened_and_an_empty_one_is_the_built_in_video_again(panel: Any, file: Path) -> None:
    changes(panel, setting(panel, "path", f" {file} "))
    assert "Right.mp4: 20 frames of 64 × 64 pixels" in panel.sentence()
    assert "It says right" in panel.sentence()
    assert repr(str(file)) in panel.copy.text
    changes(panel, setting(panel, "path", ""))
    assert "It says left" in panel.sentence()


def test_another_model_brings_its_own_grid_and_the_patch_falls_back(panel: Any) -> None:
    panel.controls["look"].value = "tokens"
    changes(panel, setting(panel, "model", "videomamba_small"))
    assert "1568 tokens" in panel.sentence()
    assert FRESH in panel.sentence()
    assert [panel.controls[name].max for name in ("frame", "row", "column", "block")] == [7, 13, 13, 23]
    panel.controls["block"].value = 20
    changes(panel, setting(panel, "model", SHIPPED))
    assert panel.state.block == 3
    assert [panel.controls[name].max for name in ("frame", "row", "column", "block")] == [3, 1, 1, 3]


def test_the_views_of_an_offline_page_are_all_looks(panel: Any, tmp_path: Path) -> None:
    text = panel.to_html(tmp_path / "page.html", progress=False).read_text()
    for look in LOOKS:
        assert panel.at("look", look).sentence()[-60:] in text


def test_what_stays_in_a_saved_notebook_is_small_and_has_words(panel: Any) -> None:
    for look in LOOKS:
        panel.controls["look"].value = look
        data, _ = panel._repr_mimebundle_()
        assert data["text/plain"] == panel.sentence()
        assert 1000 < len(data["image/png"]) < 50_000


@pytest.fixture
def everything_is_long(monkeypatch) -> None:
    monkeypatch.setattr(own_videos, "LONG", 0)


def test_long_work_waits_for_a_press_and_then_shows_what_comes(everything_is_long) -> None:
    panel = panels.your_video()
    assert "It has not run yet: for its prediction press Run" in panel.sentence()
    assert panel.background.widget.layout.display is None
    assert list(panel.canvas.data[1].x) == []
    panel.background.start.click()
    assert "Done." in finish(panel)
    assert panel.background.bar.value == 4  # clips
    assert "It says left" in panel.caption.value
    panel.controls["look"].value = "attention"
    assert "for its attention press Run" in panel.sentence()
    panel.background.start.click()
    finish(panel)
    assert "It draws most on" in panel.caption.value
    panel.controls["row"].value = 1 - panel.state.row  # the block has been read: another patch is a matter of moments
    assert "It draws most on" in panel.caption.value
    panel.controls["look"].value = "memory"
    panel.background.start.click()
    finish(panel)
    assert "enters the states" in panel.caption.value
    panel.controls["look"].value = "prediction"
    assert "It says left" in panel.caption.value
    assert panel.background.widget.layout.display == "none"


def test_a_page_has_what_takes_long_too(everything_is_long) -> None:
    panel = panels.your_video()
    assert "It says left" in panel.at("look", "prediction").sentence()
    assert "It has not run yet" in panel.sentence()


def test_long_work_can_be_stopped_between_clips_and_goes_on(everything_is_long, monkeypatch) -> None:
    panel = panels.your_video()
    usual = Watched.says

    def slowly(self: Watched, clip: int, clips: int, crops: int) -> np.ndarray:
        if clip == 1 and not panel.background.stopped.is_set():
            panel.background.stop()
        return usual(self, clip, clips, crops)

    monkeypatch.setattr(Watched, "says", slowly)
    panel.background.start.click()
    assert "Stopped." in finish(panel)
    assert "It has not run yet" in panel.caption.value
    panel.background.start.click()
    finish(panel)
    assert panel.background.bar.max == 2  # what is left
    assert "It says left" in panel.caption.value


def test_a_failure_in_the_background_is_told(everything_is_long, monkeypatch) -> None:
    panel = panels.your_video()

    def fails(*_: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Watched, "says", fails)
    panel.background.start.click()
    assert "clip 1 of 4: out of memory" in finish(panel)


def test_a_view_comes_at_once_where_little_is_to_be_computed() -> None:
    assert not own_videos.is_long(State(), watch())
    assert own_videos.is_long(State(), watch("", "videomamba_tiny"))
    assert watch("", "vit_tiny").operations(12) > watched_videos.LONG
