"""The tokeniser: frame numbers worked out by hand, L and cost by their formulas, files good and bad, every control."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from own_films import kept, uploaded

from vmamba_edu import panels
from vmamba_edu.analysis import cost
from vmamba_edu.panels.computed.frames_of_videos import Video, video_of
from vmamba_edu.panels.computed.tokens_of_videos import CLIPS, FRAMES, PATCHES, SIZES, TUBELETS, State, compute
from vmamba_edu.video import write_video


def video(total: int) -> Video:
    """Frames that say their own number: frame t is all t."""
    frames = torch.arange(total, dtype=torch.uint8)[:, None, None, None].expand(total, 8, 12, 3)
    return Video("numbered", total, 8, 12, frames=frames)


def test_uniform_frames_are_the_middles_of_equal_parts() -> None:
    """s = (100 - 1) / 4 = 24.75: round(0, 24.75, 49.5, 74.25), a half to even, + floor(s / 2) = 12."""
    assert compute(State(num_frames=4, video=video(100))).indices.tolist() == [[12, 37, 62, 86]]


def test_a_dense_clip_lies_in_the_middle_and_several_reach_from_end_to_end() -> None:
    one = compute(State("dense", num_frames=4, stride=2, video=video(100))).indices
    assert one.tolist() == [[46, 48, 50, 52]]  # (100 - 8) / 2
    several = compute(State("multi-clip", num_frames=4, stride=2, video=video(100))).indices
    assert several.tolist() == [[start, start + 2, start + 4, start + 6] for start in (0, 30, 61, 92)]


def test_a_video_that_is_too_short_has_frames_repeated_and_says_so() -> None:
    panel = panels.tokeniser(torch.zeros(5, 16, 16, 3, dtype=torch.uint8), sampling="dense", stride=4)
    assert panel.view.indices.tolist() == [[0, 4, 4, 4, 4, 4, 4, 4]]
    assert "6 times a frame again" in panel.sentence()


@pytest.mark.parametrize("num_frames", FRAMES)
@pytest.mark.parametrize("size", SIZES)
def test_tokens_and_operations_are_those_of_the_formulas(num_frames: int, size: int) -> None:
    for patch in (patch for patch in PATCHES if size % patch == 0):
        view = compute(State(num_frames=num_frames, size=size, patch_size=patch, tubelet_size=2, video=video(50)))
        assert view.grid == (num_frames // 2, size // patch, size // patch)
        for tubelet in TUBELETS:
            assert view.lengths[tubelet] == (num_frames // tubelet) * (size // patch) ** 2
        shape = {"num_frames": num_frames, "img_size": size, "patch_size": patch, "tubelet_size": 2}
        assert view.operations["scan"][2] == cost("videomamba_tiny", **shape).total_flops
        like = {"embed_dim": 192, "depth": 24, "num_heads": 3}
        assert view.operations["joint"][2] == cost("vivit_1_base_16x2", **shape, **like).total_flops
        assert view.operations["factorised"][2] == cost("vivit_3_base_16x2", **shape, **like).total_flops


def test_frames_are_taken_from_the_middle_square() -> None:
    frames = torch.zeros(3, 8, 12, 3, dtype=torch.uint8)
    frames[:, :, 2:10] = 200
    taken = video_of(frames).taken(np.array([2, 0, 2]), 8)
    assert taken.shape == (3, 8, 8, 3)
    assert (taken == 200).all()
    assert video_of(frames).taken(np.array([1]), 4).shape == (1, 4, 4, 3)


def test_frames_come_in_the_order_that_was_asked_for() -> None:
    assert video(9).taken(np.array([7, 1, 1, 4]), 4)[:, 0, 0, 0].tolist() == [7, 1, 1, 4]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("videos") / "small.mp4"
    ramp = torch.arange(20, dtype=torch.uint8)[:, None, None, None] * 10
    write_video(path, ramp.expand(20, 32, 48, 3).contiguous(), fps=10)
    return path


def test_a_file_is_read_frame_by_frame(file: Path) -> None:
    panel = panels.tokeniser(file, num_frames=4)
    assert (panel.view.video.num_frames, panel.view.video.height, panel.view.video.width) == (20, 32, 48)
    shown = panel.strip().frames[:, 20, 20].mean(axis=1)
    np.testing.assert_allclose(shown, 10 * panel.view.indices[0], atol=6)  # what the codec loses
    assert "Small.mp4: 20 frames of 32 × 48 pixels" in panel.sentence()


@pytest.fixture
def panel() -> Any:
    return panels.tokeniser(num_frames=4, size=64)


def test_a_path_that_is_typed_opens_and_a_bad_one_says_so_and_changes_nothing(panel: Any, file: Path) -> None:
    panel.controls["path"].value = str(file)
    assert panel.view.video.num_frames == 20
    assert repr(str(file)) in panel.copy.text
    drawn = repr(panel.canvas.to_dict())
    panel.controls["path"].value = str(file.with_name("nowhere.mp4"))
    assert "nowhere.mp4" in panel.caption.value
    assert "The view stays as it was." in panel.caption.value
    assert repr(panel.canvas.to_dict()) == drawn
    assert panel.controls["path"].value == str(file)
    panel.controls["path"].value = ""
    assert panel.view.video.num_frames == 64  # the built-in one again


def test_an_uploaded_file_is_shown_and_kept_only_while_it_is_looked_at(panel: Any, file: Path) -> None:
    panel.upload.widget.value = uploaded("../mine.mp4", file.read_bytes())
    assert panel.view.video.num_frames == 20
    assert panel.upload.holds(panel.state.path)  # and it is not where its name points
    assert panel.upload.widget.value == ()  # a notebook that stores the state of its widgets has no film in it
    assert [path.name for path in kept(panel)] == ["mine.mp4"]
    assert "# mine.mp4 was uploaded: put it beside this notebook\npanels.tokeniser('mine.mp4', " in panel.copy.text
    panel.controls["path"].value = ""
    assert kept(panel) == []
    assert "uploaded" not in panel.copy.text


def test_another_upload_of_the_same_name_is_another_video(panel: Any, file: Path, tmp_path: Path) -> None:
    other = write_video(tmp_path / "other.mp4", torch.full((12, 32, 32, 3), 200, dtype=torch.uint8), fps=10)
    panel.upload.widget.value = uploaded("mine.mp4", file.read_bytes())
    first = panel.strip().frames
    panel.upload.widget.value = uploaded("mine.mp4", other.read_bytes())
    assert "Mine.mp4: 12 frames of 32 × 32 pixels" in panel.sentence()
    np.testing.assert_allclose(panel.strip().frames, 200, atol=6)  # what the codec loses
    panel.upload.widget.value = uploaded("mine.mp4", file.read_bytes())
    np.testing.assert_array_equal(panel.strip().frames, first)
    assert len(kept(panel)) == 1


def test_clip_and_stride_can_be_set_where_they_mean_something(panel: Any) -> None:
    assert panel.controls["clip"].disabled
    assert panel.controls["stride"].disabled
    panel.controls["sampling"].value = "multi-clip"
    panel.controls["clip"].value = CLIPS - 1
    panel.controls["stride"].value = 2
    assert panel.view.indices[CLIPS - 1][0] == 64 - 4 * 2
    assert "every 2nd frame of clip 4 of 4: 56, 58, 60, 62" in panel.sentence()
    panel.controls["sampling"].value = "uniform"
    assert (panel.state.clip, panel.controls["clip"].value) == (0, 0)


def test_patches_that_do_not_fit_are_refused_in_words(panel: Any) -> None:
    panel.controls["size"].value = 112
    panel.controls["patch_size"].value = 32
    assert "expected a divisor of 112 pixels, got 32" in panel.caption.value
    assert (panel.state.patch_size, panel.controls["patch_size"].value) == (16, 16)


def test_what_cannot_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sampling: expected one of 'uniform', 'dense', 'multi-clip', got 'all'"):
        compute(State("all"))
    with pytest.raises(ValueError, match="num_frames: expected one of 4, 8, 16, 32, got 5"):
        compute(State(num_frames=5))
    with pytest.raises(ValueError, match="clip: expected 0 to 0, got 1"):
        compute(State(clip=1))
    with pytest.raises(ValueError, match=r"clip: expected a path, or uint8 frames .*, got float32 \(2, 3\)"):
        panels.tokeniser(torch.zeros(2, 3))
    with pytest.raises(
        ValueError, match=r"clip: expected a video that can be read.*missing.mp4: there is no such file"
    ):
        panels.tokeniser(tmp_path / "missing.mp4")
