"""Predicted cost: the published tables to the last digit, and torch's own counters on small configurations."""

from typing import Any

import pytest
import torch
from small_transformers import CLIP_MODELS, SIZE
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from vmamba_edu import create_model, list_models
from vmamba_edu.analysis import cost, count_flops, count_saved_bytes
from vmamba_edu.analysis.counted_cost import our_formulas, scan_flops
from vmamba_edu.analysis.predicted_cost import CLASSIFIERS
from vmamba_edu.models import VideoMambaConfig, ViTConfig
from vmamba_edu.models.masked_student_configuration import MaskedStudentConfig
from vmamba_edu.models.registry import MODELS
from vmamba_edu.models.transformer_configuration import TransformerConfig

# Of the released class definitions: parameters, GMACs as their own counter reports them, GMACs of all linear layers and
# convolutions; for pictures of 224 pixels (1000 classes) and clips of 8, 16, 32 and 64 frames (400 classes).
PUBLISHED: dict[str, list[tuple[int, float, float]]] = {
    "tiny": [
        (7_148_008, 1.075, 1.293),
        (7_033_744, 8.560, 10.295),
        (7_035_280, 17.115, 20.584),
        (7_038_352, 34.225, 41.162),
        (7_044_496, 68.444, 82.318),
    ],
    "small": [
        (25_796_584, 4.241, 4.851),
        (25_568_656, 33.778, 38.637),
        (25_571_728, 67.535, 77.249),
        (25_577_872, 135.049, 154.473),
        (25_590_160, 270.076, 308.922),
    ],
    "middle": [
        (74_217_448, 12.636, 14.205),
        (73_875_856, 100.641, 113.134),
        (73_880_464, 201.218, 226.196),
        (73_889_680, 402.371, 452.321),
        (73_908_112, 804.678, 904.569),
    ],
    "base": [
        (97_598_440, 16.849, 18.766),
        (97_143_184, 134.188, 149.457),
        (97_149_328, 268.290, 298.820),
        (97_161_616, 536.495, 597.544),
        (97_186_192, 1072.904, 1194.993),
    ],
}

MAMBA = {"embed_dim": 16, "depth": 2, "img_size": (16, 24), "patch_size": 8, "num_classes": 3, "d_state": 4}
CLIP_MAMBA = MAMBA | {"num_frames": 2}


def small_cases() -> dict[str, tuple[str, dict[str, Any]]]:
    """id → (name, overrides): every model, and every keyword that changes what it computes."""
    clips = [
        *({"scan_order": order} for order in ("spatial_first", "temporal_first", "spatiotemporal_v1")),
        *({"scan_order": "spatiotemporal_v2", "cls_position": position} for position in ("first", "middle")),
        *({"norm": "layer", "pool": "mean"}, {"bidirectional": False}, {"num_classes": 0}, {"tubelet_size": 2}),
        {"expand": 1, "dt_rank": 3, "d_conv": 3, "d_state": 5},
    ]
    variants = [{"variant": variant} for variant in ("paper", "released_v1", "released_v2", "released_none")]
    cases = [("videomamba_tiny", CLIP_MAMBA | change) for change in clips]
    variants += [one | {"scan_order": "spatiotemporal_v2"} for one in variants] + [{"init_layer_scale": 0.1}]
    cases += [("videomambapro_tiny", CLIP_MAMBA | change) for change in variants]
    cases += [("videomamba_image_tiny", MAMBA | change) for change in ({}, {"stride": 4}, {"pool": "mean"})]
    cases += [("vit_base", SIZE | change) for change in ({}, {"pool": "mean"}, {"mlp_ratio": 2.5})]
    for name, size in CLIP_MODELS.values():
        cases += [(name, size), (name, size | {"num_classes": 0})]
        if name.startswith("vivit"):
            cases.append((name, size | {"tokeniser": "frame"}))
        if name.startswith(("vivit_1", "vivit_2")):
            cases.append((name, size | {"pool": "mean"}))
    return {f"{number}-{name}": (name, size) for number, (name, size) in enumerate(cases)}


SMALL = small_cases()


def model_and_pixels(name: str, overrides: dict[str, Any], batch: int) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(0)
    model = create_model(name, **overrides).eval()
    frames = (model.config.num_frames,) if hasattr(model.config, "num_frames") else ()
    return model, torch.randn(batch, 3, *frames, *model.config.frame_size)


@pytest.mark.parametrize("size", PUBLISHED)
def test_the_published_tables(size):
    costs = [cost(f"videomamba_image_{size}")]
    costs += [cost(f"videomamba_{size}", num_frames=frames) for frames in (8, 16, 32, 64)]
    for ours, (parameters, as_published, all_linear) in zip(costs, PUBLISHED[size], strict=True):
        assert ours.total_parameters == parameters
        assert f"{ours.published_macs / 1e9:.3f}" == f"{as_published:.3f}"
        assert f"{ours.linear_macs / 1e9:.3f}" == f"{all_linear:.3f}"


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("case", SMALL)
def test_closed_formulas_are_what_torch_counts(case, batch):
    name, overrides = SMALL[case]
    model, pixels = model_and_pixels(name, overrides, batch)
    ours = cost(name, batch=batch, **overrides)
    assert ours.total_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert ours.total_flops == sum(count_flops(model, pixels).values())
    assert ours.training_bytes == count_saved_bytes(model, pixels)


def test_every_classifier_by_name_has_its_parameters():
    """Built without memory: the largest has 300 million."""
    for name in list_models():
        if isinstance(MODELS[name], TransformerConfig) or type(MODELS[name]) in CLASSIFIERS:
            with torch.device("meta"):
                model = create_model(name)
            assert cost(name).total_parameters == sum(p.numel() for p in model.parameters()), name


def test_the_scan_by_itself():
    """4 multiplications, 2 additions and an exponential a state; Δu, Du, its sum and the gate a channel."""
    ours = cost("videomamba_tiny")
    assert ours.scan_flops == 24 * 2 * 1569 * 384 * (7 * 16 + 4)
    assert cost("videomamba_tiny", scan_order="spatiotemporal_v2").scan_flops == 2 * ours.scan_flops
    assert cost("videomamba_tiny", scan_order="spatiotemporal_v1").scan_flops == ours.scan_flops
    assert cost("videomamba_tiny", bidirectional=False).scan_flops == ours.scan_flops // 2
    assert cost("vit_tiny").scan_flops == 0


def test_both_directions_in_one_launch_cost_what_two_scans_do():
    """As the GPU engine computes them; a fake tensor has shapes only, so that no engine is needed."""
    with FakeTensorMode(), FlopCounterMode(display=False, custom_mapping=our_formulas()) as counter:
        u, A, B = torch.empty(2, 6, 9), torch.empty(6, 4), torch.empty(2, 1, 4, 9)
        tensors = [u, u, A, B, B, None, None, None, None] * 2
        torch.ops.vmamba.bidirectional_scan(*tensors, True, True, False, False, "triton", False)
    assert counter.get_total_flops() == 2 * scan_flops(2 * 9, 6, 4)


def test_scans_are_linear_and_attention_quadratic_in_the_frames():
    frames = (64, 128, 256)
    mamba = [cost("videomamba_tiny", num_frames=count).total_flops for count in frames]
    assert mamba[2] - mamba[1] == 2 * (mamba[1] - mamba[0])
    joint = [
        cost("timesformer_base_8f", num_frames=count, attention_type="joint_space_time").flops["attention"]
        for count in frames
    ]
    assert 3.99 < joint[1] / joint[0] < 4
    divided = [cost("timesformer_base_8f", num_frames=count).flops["attention"] for count in frames]
    assert all(few < many for few, many in zip(divided, joint, strict=True))


def test_what_vivit_says_of_its_four_models():
    """ViViT §3.3: 3 has more parameters than 1, 4 as many, 2 more layers and fewer operations (its [cls] aside)."""
    one, two, three, four = (cost(f"vivit_{model}_base_16x2", pool="mean") for model in (1, 2, 3, 4))
    assert three.total_parameters > one.total_parameters == four.total_parameters
    assert two.total_parameters > one.total_parameters
    assert two.total_flops < one.total_flops
    assert three.flops["attention"] < one.flops["attention"]
    assert two.attention_weights < one.attention_weights == 12 * 12 * (16 * 196) ** 2


def test_checkpointed_blocks_keep_less():
    """Hidden and residual for each but the first, and all of one block while it is computed again."""
    kept = [cost("videomamba_tiny", checkpoint_blocks=some).training_numbers for some in (0, 1, 2, 23, 24)]
    pair = 2 * 1569 * 192
    block = (kept[1] - kept[2]) + pair
    assert kept[0] - kept[1] == block - pair // 2
    assert kept[2] - kept[3] == 21 * (block - pair)
    assert kept[3] - kept[4] == -pair


def test_a_batch_and_wider_numbers():
    one, four = cost("videomamba_tiny"), cost("videomamba_tiny", batch=4, bytes_per_number=8)
    assert four.total_flops == 4 * one.total_flops
    assert four.inference_bytes == 8 * one.inference_bytes
    assert four.patches == one.patches == 1568
    assert cost(VideoMambaConfig()).flops == one.flops
    assert cost(ViTConfig(), embed_dim=192, num_heads=3).flops == cost("vit_tiny").flops


def test_what_cannot_be_is_named():
    with pytest.raises(ValueError, match="model: no model 'videomamba_huge'; there are videomamba_tiny"):
        cost("videomamba_huge")
    with pytest.raises(ValueError, match="batch: expected at least 1, got 0"):
        cost("videomamba_tiny", batch=0)
    with pytest.raises(TypeError, match=r"model: expected a name or one of VideoMambaConfig.*got MaskedStudentConfig"):
        cost("videomamba_masked_tiny")
    with pytest.raises(ValueError, match="num_frames: expected"):
        cost("videomamba_tiny", num_frames=0)
    assert MaskedStudentConfig not in CLASSIFIERS
    model, pixels = model_and_pixels("videomamba_tiny", CLIP_MAMBA, 1)
    with pytest.raises(ValueError, match="model: expected scans by 'numba' or 'triton', whose operations"):
        count_flops(model.set_backend("reference"), pixels)
