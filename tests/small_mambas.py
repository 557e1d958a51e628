"""Small relatives of VideoMamba to try things on, and how their gradients are held to the published ones."""

import torch
from agreement import assert_agrees, small_model
from torch import nn

import vmamba_edu
from vmamba_edu.models import MaskedStudent, VideoMambaDistillation, VideoMambaImage

SMALL = {"embed_dim": 16, "depth": 2, "img_size": 16, "patch_size": 8, "d_state": 4}


def small_image(name: str = "videomamba_image_tiny", **overrides) -> VideoMambaImage:
    """Two blocks on 1 + 4 tokens, in evaluation mode, on the engine that can do everything."""
    torch.manual_seed(0)
    return vmamba_edu.create_model(name, **SMALL | {"num_classes": 3} | overrides).eval().set_backend("reference")


def small_student(**overrides) -> MaskedStudent:
    """Two blocks on 1 + 2 · 4 tokens, told by a teacher of five channels."""
    torch.manual_seed(0)
    keywords = SMALL | {"num_frames": 2, "teacher_dim": 5} | overrides
    return vmamba_edu.create_model("videomamba_masked_tiny", **keywords).eval().set_backend("reference")


def small_distillation(**overrides) -> VideoMambaDistillation:
    """A student for a teacher of five channels."""
    keywords = {"teacher_dim": 5} | overrides
    return small_image("videomamba_distill_tiny", **keywords)  # type: ignore[return-value]


FAMILY = {
    "video": small_model,
    "temporal first": lambda: small_model(scan_order="temporal_first"),
    "both orders": lambda: small_model(scan_order="spatiotemporal_v2"),
    "image": small_image,
    "overlapping image": lambda: small_image(stride=4, cls_position="middle", pool="mean"),
    "masked student": small_student,
    "distilled student": small_distillation,
    "teacher": lambda: small_distillation(role="teacher"),
}


def pixels_for(model: nn.Module, batch: int = 2, seed: int = 1) -> torch.Tensor:
    """Clips or pictures that fit a model, in the dtype of its weights."""
    generator = torch.Generator().manual_seed(seed)
    frames = [model.config.num_frames] if hasattr(model.config, "num_frames") else []
    pixels = torch.randn(batch, 3, *frames, *model.config.frame_size, generator=generator)
    return pixels.to(model.cls_token.dtype)


def shaken(model: nn.Module, scale: float = 0.2) -> nn.Module:
    """The same model with every parameter moved, so that none is zero, or like another, by initialisation."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return model


def tensors_of(output: object) -> list[torch.Tensor]:
    """What a model returned, one tensor or a few, as a list."""
    return [output] if isinstance(output, torch.Tensor) else list(output)  # type: ignore[call-overload]


def assert_blocks_agree(
    blocks: list[tuple[torch.Tensor, torch.Tensor]], tensors: dict[str, torch.Tensor], prefix: str = "block."
) -> None:
    """The hidden and residual of every block that a case has stored."""
    for index, pair in enumerate(blocks):
        for what, came in zip(("hidden", "residual"), pair, strict=True):
            if f"{prefix}{index}.{what}.f64" in tensors:
                assert_agrees(came, tensors[f"{prefix}{index}.{what}.f64"], f"{what} of block {index}")


def assert_gradients_agree(model: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    """Every parameter's gradient that a case has stored; what autograd left out there may be left out or zero here."""
    stored = {key.removeprefix("grad.").removesuffix(".f64") for key in tensors if key.startswith("grad.")}
    parameters = dict(model.named_parameters())
    names = {name for name in stored if name in parameters}
    assert len(names) > 5, "a case without gradients says nothing of them"
    for name in names:
        gradient = parameters[name].grad
        came = torch.zeros_like(parameters[name]) if gradient is None else gradient
        assert_agrees(came, tensors[f"grad.{name}.f64"], f"gradient of {name}")
