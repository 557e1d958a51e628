"""How closely a result has to agree with the reference data, and a small model to try things on."""

import torch

import vmamba_edu
from vmamba_edu.models import VideoMamba

ENGINES = ("reference", "associative", "numba")

# The published float32 is itself up to 1e-5 relative away from its float64; another order of sums may be a little more.
TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}


def assert_agrees(actual: torch.Tensor, expected: torch.Tensor, what: str) -> None:
    """Equal up to the tolerance of the dtype of `actual`, measured against the largest value of `expected`."""
    tolerance = TOLERANCE[actual.dtype]
    torch.testing.assert_close(
        actual.double(),
        expected,
        rtol=tolerance,
        atol=tolerance * expected.abs().max().item(),
        msg=lambda text: f"{what}: {text}",
    )


def state_dict_of(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict that is stored in a reference case."""
    return {name.removeprefix("sd."): value for name, value in tensors.items() if name.startswith("sd.")}


def small_model(**overrides) -> VideoMamba:
    """Two blocks on 1 + 2 · 4 tokens, in evaluation mode, on the engine that can do everything."""
    torch.manual_seed(0)
    size = {
        "embed_dim": 16,
        "depth": 2,
        "img_size": 16,
        "patch_size": 8,
        "num_frames": 2,
        "num_classes": 3,
        "d_state": 4,
    }
    return vmamba_edu.create_model("videomamba_tiny", **size | overrides).eval().set_backend("reference")


def random_clip(model: VideoMamba, batch: int = 2) -> torch.Tensor:
    """Clips that fit a model, in the dtype of its weights."""
    generator = torch.Generator().manual_seed(1)
    config = model.config
    clip = torch.randn(batch, 3, config.num_frames, *config.frame_size, generator=generator)
    return clip.to(model.cls_token.dtype)
