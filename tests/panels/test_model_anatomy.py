"""Model anatomy: counts against the closed formulas and against a model that really runs, every control, the source."""

import inspect
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from vmamba_edu import create_model, list_models, panels
from vmamba_edu.analysis import cost, count_flops, count_saved_bytes
from vmamba_edu.models.registry import MODELS
from vmamba_edu.panels.anatomy_panel import State, compute, first_block, short
from vmamba_edu.panels.computed.anatomy_parts import anatomy_of, in_words

STUDENTS = ("videomamba_masked_tiny", "videomamba_distill_tiny")
VIVITS = tuple(f"vivit_{model}_base_16x2" for model in (1, 2, 3, 4))
KINDS = ("videomamba_tiny", "videomamba_image_tiny", "videomambapro_tiny", "vit_tiny", "timesformer_base_8f", *VIVITS)


@pytest.mark.parametrize("name", KINDS)
def test_the_whole_is_what_the_formulas_say(name):
    """Parameters, operations and bytes to the last digit, at another size than the model's own."""
    is_clip = hasattr(MODELS[name], "num_frames")
    whole = anatomy_of(name, 4, 64).whole
    expected = cost(name, img_size=64, **({"num_frames": 4} if is_clip else {}))
    assert whole.parameters == expected.total_parameters
    assert whole.flops == expected.total_flops
    assert whole.kept == expected.training_bytes


@pytest.mark.parametrize("name", STUDENTS)
def test_the_whole_of_a_student_is_what_it_really_does(name):
    is_clip = hasattr(MODELS[name], "num_frames")
    shape = (1, 3, 2, 32, 32) if is_clip else (1, 3, 32, 32)
    torch.manual_seed(0)
    model = create_model(name, img_size=32, **({"num_frames": 2} if is_clip else {})).eval()
    whole, pixels = anatomy_of(name, 2, 32).whole, torch.randn(shape)
    assert whole.parameters == sum(p.numel() for p in model.parameters())
    assert whole.flops == sum(count_flops(model, pixels).values())
    assert whole.kept == count_saved_bytes(model, pixels)


@pytest.mark.parametrize("name", ["videomamba_tiny", "vivit_2_base_16x2", "timesformer_base_8f", "vit_base"])
def test_stages_add_up_to_the_whole(name):
    anatomy = anatomy_of(name, 4, 64)
    stages, whole = [anatomy.parts[path] for path in anatomy.stages], anatomy.whole
    assert sum(stage.parameters for stage in stages) + anatomy.loose == whole.parameters
    assert sum(stage.flops for stage in stages) == whole.flops
    assert sum(stage.kept for stage in stages) <= whole.kept  # what stands between stages keeps a little too
    assert sum(stage.kept for stage in stages) > 0.9 * whole.kept
    blocks = [stage for stage in stages if stage.path.split(".")[-1].isdigit()]
    config: Any = MODELS[name]
    assert len(blocks) == config.depth + (config.temporal_depth if "vivit_2" in name else 0)
    assert anatomy.stages[0] == "patch_embed"
    assert anatomy.stages[-1] == "head"  # in the order of running, not of naming


def test_a_block_has_what_its_formula_says():
    """One block of tiny: norm D; in_proj 2DE; out_proj ED; and both directions' conv, x_proj, dt_proj, A and D."""
    dim, inner, state, rank, tokens = 192, 384, 16, 12, 1 + 8 * 14 * 14
    block = anatomy_of("videomamba_tiny", 8, 224).parts["layers.5"]
    direction = inner * 4 + inner + inner * (rank + 2 * state) + rank * inner + inner + inner * state + inner
    assert block.parameters == dim + 2 * dim * inner + inner * dim + 2 * direction
    products = 4 * inner + inner * (rank + 2 * state) + rank * inner
    scan = 2 * tokens * inner * (7 * state + 4)
    assert block.flops == 2 * tokens * (3 * dim * inner + 2 * products) + scan
    assert block.output == (1, tokens, dim)
    linear = anatomy_of("videomamba_tiny", 8, 224).parts["layers.5.mixer.in_proj"]
    assert (linear.parameters, linear.flops) == (2 * dim * inner, 4 * tokens * dim * inner)


def test_published_counts_can_be_read_off():
    """VideoMamba table 1: 7, 26 and 74 M. ViViT §3.3: model 3 has more parameters than 1, 4 as many, 2 fewer FLOPs."""
    mamba = [anatomy_of(f"videomamba_{size}", 8, 224).whole.parameters for size in ("tiny", "small", "middle")]
    assert [round(count / 1e6) for count in mamba] == [7, 26, 74]
    one, two, three, four = (anatomy_of(name, 4, 64).whole for name in VIVITS)
    assert three.parameters > one.parameters
    assert abs(four.parameters - one.parameters) < 0.001 * one.parameters  # [cls] and its position
    assert anatomy_of(VIVITS[1], 32, 224).whole.flops < anatomy_of(VIVITS[0], 32, 224).whole.flops
    assert two.parameters > one.parameters


def test_the_largest_costs_nothing():
    """Numbers of M at 64 frames would be gigabytes: none is ever made."""
    anatomy = anatomy_of("videomamba_middle", 64, 224)
    assert anatomy.whole.kept > 10 * 2**30
    assert anatomy.whole.output == (1, 400)


def test_a_part_shows_the_source_of_its_class():
    view = compute(State(part="layers.1.mixer"))
    where, text = view.part.source
    from vmamba_edu.models import Mixer

    assert text == inspect.getsource(Mixer)
    assert where.startswith("vmamba_edu/models/mixer.py, line ")
    assert view.part.kind == "Mixer"
    assert view.anatomy.stages[view.stage or 0] == "layers.1"
    whole = compute(State(part=""))
    assert whole.stage is None
    assert compute(State(part="layers.1.mixer.conv1d")).part.output is None  # read by the mixer, never called


@pytest.fixture
def small() -> Any:
    return lambda **words: panels.model_anatomy(**{"model": "videomamba_tiny", "frames": 4, "size": 64} | words)


def test_the_source_follows_the_part(small):
    panel = small()
    assert "class Block" in panel.source.value
    panel.controls["part"].value = "patch_embed"
    assert "class TubeletEmbedding" in panel.source.value
    assert "vmamba_edu/models/embeddings.py, line" in panel.source.value
    assert 'tabindex="0"' in panel.source.value  # so that keys can scroll it
    panel.controls["part"].value = "layers.0.mixer.out_proj"
    assert "torch/nn/modules/linear.py, line" in panel.source.value


def test_the_tree_goes_along_and_can_be_clicked(small):
    panel = small()
    panel.controls["part"].value = "layers.4"
    assert panel.tree.value == "layers.4"
    panel.tree.value = "layers.1.norm"
    assert panel.state.part == panel.controls["part"].value == "layers.1.norm"
    panel.controls["model"].value = "vit_tiny"
    panel.settle()
    assert panel.tree.options == panel.controls["part"].options
    assert panel.tree.value == panel.state.part == "encoder.blocks.0"


def test_a_click_goes_to_the_stage(small):
    panel = small()
    panel._clicked(None, SimpleNamespace(point_inds=[3]), None)
    assert panel.state.part == panel.controls["part"].value == "layers.2"
    panel._clicked(None, SimpleNamespace(point_inds=[]), None)
    assert panel.state.part == "layers.2"
    assert all(trace._click_callbacks for trace in panel.canvas.data)


def test_another_model_shows_its_first_block_where_it_has_no_such_part(small):
    panel = small(part="layers.2.mixer")
    panel.controls["model"].value = "videomamba_small"
    panel.settle()
    assert panel.state.part == "layers.2.mixer"
    panel.controls["model"].value = "vivit_2_base_16x2"
    panel.settle()
    assert panel.state.part == panel.controls["part"].value == "encoder.spatial.blocks.0"
    assert panel.canvas.layout.xaxis3.ticktext[1] == "spatial 0"
    assert not panel.controls["frames"].disabled
    panel.controls["model"].value = "vit_tiny"
    panel.settle()
    assert panel.controls["frames"].disabled
    assert "a picture of 64 × 64" in panel.sentence()


@pytest.mark.parametrize("name", [*KINDS, *STUDENTS])
def test_every_kind_of_model_begins_with_its_first_block_and_names_its_stages_apart(name):
    anatomy = anatomy_of(name, *((2, 32) if name in STUDENTS else (4, 64)))  # as above: it is counted once
    assert first_block(anatomy).endswith("0")
    assert len({short(path) for path in anatomy.stages}) == len(anatomy.stages)


def test_the_list_offers_every_registered_model(small):
    assert [name for name, _ in small().controls["model"].options] == list_models()


def test_a_clip_that_a_model_cannot_read_is_said_and_taken_back(small):
    panel = small(model="vivit_1_base_16x2", frames=3 + 1)
    panel.controls["frames"].options = (1, 4)
    panel.controls["frames"].value = 1
    panel.settle()
    assert panel.state.frames == panel.controls["frames"].value == 4
    assert "frames: expected a multiple of tubelet_size = 2, got 1" in panel.caption.value
    assert "The view stays as it was" in panel.caption.value


def test_another_model_brings_its_parts_along(small):
    panel = small()
    panel.controls["model"].value = "videomamba_image_tiny"
    panel.settle()
    assert panel.controls["part"].options == small(model="videomamba_image_tiny").controls["part"].options
    assert len(panel.source.value) < 20_000  # it is stored with the notebook


def test_the_sentence_has_the_numbers(small):
    panel = small(part="layers.0.mixer.conv1d")
    words, expected = panel.sentence(), cost("videomamba_tiny", num_frames=4, img_size=64)
    assert f"{expected.total_flops / 2e9:.4g} GMAC as counted" in words
    assert "24 of its 27 stages are numbered" in words
    assert "layers.0.mixer.conv1d, a Conv1d, has 1.92 k parameters" in words
    assert "is read by the part around it, where it is counted" in words


def test_counts_in_words():
    assert [in_words(n) for n in (0, 7, 1234, 7_028_000)] == ["0", "7", "1.23 k", "7.03 M"]
    assert [in_words(n, "B") for n in (0, 1024, 3 * 2**29)] == ["0 B", "1 KiB", "1.5 GiB"]
    assert short("layers.3") == "3"
    assert short("clip_decoder.0") == "decoder 0"


def test_what_cannot_be_is_named(small):
    for words, message in (
        ({"model": "videomamba_huge"}, "model: expected one of 'videomamba_tiny'"),
        ({"part": "layers.99"}, "part: expected one of patch_embed, layers.0.*in videomamba_tiny, got 'layers.99'"),
        ({"size": 50}, "size: expected multiples of patch_size = 16, got 50"),
        ({"frames": 0}, "frames: expected 1 to 4096, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            small(**words)


def test_bars_stand_for_the_stages(small):
    panel = small(part="layers.1.norm")
    anatomy = anatomy_of("videomamba_tiny", 4, 64)
    parameters, macs, kept = panel.canvas.data
    np.testing.assert_array_equal(parameters.y, [anatomy.parts[path].parameters for path in anatomy.stages])
    np.testing.assert_array_equal(macs.y, [anatomy.parts[path].flops / 2 for path in anatomy.stages])
    np.testing.assert_array_equal(kept.y, [anatomy.parts[path].kept for path in anatomy.stages])
    assert [number for number, shape in enumerate(macs.marker.pattern.shape) if shape] == [2]
