"""The hidden state of a block: with the map C, the skip D and the gate z it must give the scan's own output."""

import pytest
import torch
import torch.nn.functional as F
from agreement import random_clip, small_model
from scans import needs
from small_transformers import shaken
from vmamba_kernels import selective_scan

import vmamba_edu
from vmamba_edu.analysis import block_scan, block_scan_arguments, hidden_states
from vmamba_edu.models import VideoMamba
from vmamba_edu.models.videomamba_pro import VideoMambaPro, VideoMambaProConfig


@pytest.fixture
def model() -> VideoMamba:
    torch.manual_seed(0)
    size = {
        "embed_dim": 8,
        "depth": 3,
        "img_size": 16,
        "patch_size": 8,
        "num_frames": 2,
        "num_classes": 2,
        "d_state": 4,
    }
    model = vmamba_edu.create_model("videomamba_tiny", **size).double().eval().set_backend("reference")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


@pytest.fixture
def clip() -> torch.Tensor:
    return torch.randn(2, 3, 2, 16, 16, generator=torch.Generator().manual_seed(1)).double()


@pytest.mark.parametrize("engine", ["reference", "associative", "numba"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("block", [0, 2])
def test_reading_the_state_out_is_what_the_scan_returns(model, clip, block, direction, engine):
    model.set_backend(needs(engine))
    h = hidden_states(model, clip, block, direction=direction)
    assert h.shape == (2, 9, 16, 4)

    a = block_scan_arguments(model, clip, block, direction=direction)
    read_out = torch.einsum("bldn,bnl->bdl", h, a["C"]) + a["D"][:, None] * a["u"]
    mixer = model.block(block).mixer
    _, blocks = model.forward_features(clip, return_blocks=True)
    tokens = mixer.in_proj(model.block(block).norm(blocks[block][1]))
    scanned = mixer.read(tokens, direction).transpose(1, 2)
    torch.testing.assert_close(F.silu(a["z"]) * read_out, scanned, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_state_follows_the_recurrence(model, clip, direction):
    h = hidden_states(model, clip, 1, direction=direction)
    a = block_scan_arguments(model, clip, 1, direction=direction)
    step = F.softplus(a["delta"] + a["delta_bias"][:, None])[..., None].transpose(1, 2)
    decayed = torch.exp(step * a["A"])
    own = step * a["B"].transpose(1, 2)[:, :, None] * a["u"].transpose(1, 2)[..., None]
    before = torch.zeros_like(h)
    if direction == "forward":
        before[:, 1:] = h[:, :-1]
    else:
        before[:, :-1] = h[:, 1:]
    torch.testing.assert_close(h, decayed * before + own, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("order", ["spatial_first", "temporal_first"])
def test_another_order_is_given_in_the_order_of_the_tokens(clip, order):
    model = shaken(small_model(scan_order="spatiotemporal_v2")).double()
    clip = random_clip(model)
    h = hidden_states(model, clip, 1, direction="backward", order=order)
    scan = block_scan(model, clip, 1, direction="backward", order=order)
    a = scan.arguments
    y = selective_scan(**a, reverse=True, backend="reference")
    read_out = torch.einsum("bldn,bnl->bdl", h, scan.as_stored(a["C"])) + a["D"][:, None] * scan.as_stored(a["u"])
    torch.testing.assert_close(F.silu(scan.as_stored(a["z"])) * read_out, scan.as_stored(y), rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match=r"direction, order: .*got \('forward', 'temporal_first'\)"):
        block_scan(small_model(), clip, 1, order="temporal_first")


def test_states_of_videomambapro_start_from_the_first_input(clip):
    config = VideoMambaProConfig(
        variant="released_v2", img_size=16, patch_size=8, num_frames=2, num_classes=2, depth=1, embed_dim=8
    )
    torch.manual_seed(0)
    model = shaken(VideoMambaPro(config)).double().set_backend("reference")
    for direction in ("forward", "backward"):
        h = hidden_states(model, clip, 0, direction=direction)
        a = block_scan_arguments(model, clip, 0, direction=direction)
        read_out = torch.einsum("bldn,bnl->bdl", h, a["C"]) + a["D"][:, None] * a["u"]
        y = selective_scan(**a, reverse=direction == "backward", backend="reference")
        torch.testing.assert_close(F.silu(a["z"]) * read_out, y, rtol=1e-9, atol=1e-9)


def test_chosen_channels_are_those_of_all(model, clip):
    h = hidden_states(model, clip, 1)
    chosen = hidden_states(model, clip, 1, channels=[5, 0, 11])
    torch.testing.assert_close(chosen, h[:, :, [5, 0, 11]], rtol=1e-12, atol=1e-12)


def test_half_precision_weights_have_states_in_float32(model, clip):
    assert hidden_states(model.bfloat16(), clip, 0, channels=[0]).dtype == torch.float32


def test_what_is_not_there_is_named(model, clip):
    with pytest.raises(ValueError, match="block: expected 0 to 2, got 3"):
        hidden_states(model, clip, 3)
    with pytest.raises(ValueError, match="channels: expected some of 0 to 15, got \\[16\\]"):
        hidden_states(model, clip, 0, channels=[16])
    with pytest.raises(ValueError, match="channels: expected some of 0 to 15, got \\[\\]"):
        hidden_states(model, clip, 0, channels=[])
