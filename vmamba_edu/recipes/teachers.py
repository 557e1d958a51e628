"""The teachers that recipes name, what a student has to know of them, and trunks that were trained before."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vmamba_edu.models.checkpoints.fitting import PRETRAINING, fit
from vmamba_edu.models.checkpoints.report import CheckpointError
from vmamba_edu.models.digit_teacher import digit_teacher
from vmamba_edu.models.teaching import Teaching
from vmamba_edu.models.vision_tower import VisionTower

DIGIT_TEACHER = "digit_teacher"


def make_teacher(name: str, layers: int = 1, normalise: bool = True) -> nn.Module:
    """A teacher of single frames: "digit_teacher", which comes with the package, or CLIP from a folder or the hub.

    Args:
        name: "digit_teacher", or a folder or hub id, such as "openai/clip-vit-base-patch16".
        layers: how many of CLIP's layers teach; the digit teacher has one.
        normalise: whether features are divided by their length.

    Raises:
        ValueError: there is no such teacher.
    """
    if name == DIGIT_TEACHER:
        return digit_teacher(normalise=normalise)
    if not Path(name).expanduser().is_dir() and name.count("/") != 1:
        expected = f"'{DIGIT_TEACHER}', a folder with a CLIP model, or its hub id such as openai/clip-vit-base-patch16"
        raise ValueError(f"teacher: expected {expected}, got {name!r}")
    from vmamba_edu.models.clip_teacher import clip_teacher

    try:
        return clip_teacher(name, layers=layers, normalise=normalise)
    except OSError as error:
        raise ValueError(f"teacher: {name} cannot be had ({str(error).splitlines()[0]})") from error


def teacher_dim(teacher: nn.Module, grid: tuple[int, int], frame_size: tuple[int, int]) -> int:
    """How wide the teacher's features are.

    Args:
        teacher: is asked about one black frame.
        grid: (height, width) in tokens of the student's frames, which must be the teacher's.
        frame_size: of the student's frames in pixels.

    Raises:
        ValueError: the teacher divides frames into other tokens.
    """
    teaching: Teaching = teacher(torch.zeros(1, 3, 1, *frame_size))
    tokens, ours = teaching.features.shape[2] - 1, grid[0] * grid[1]
    if tokens != ours:
        advice = f"give tokens_per_frame = {tokens}"
        raise ValueError(f"teacher: expected one with {ours} tokens a frame, as the model, got {tokens}; {advice}")
    return teaching.features.shape[-1]


def start_trunk_(model: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Let a model start with the trunk of another that was trained: all of it but heads, which stay as drawn.

    Positions are interpolated if frames or clips have other sizes. Everything of the trunk must be there.

    Args:
        model: a model of mixers, or one of video and text, whose tower it will be.
        weights: of a classifier, a masked student, or a model of video and text.
        source: what to call the weights.

    Raises:
        CheckpointError: they do not fit; nothing was loaded.
    """
    trunk = getattr(model, "vision_encoder", model)
    has_tower = any(name.startswith("vision_encoder.") for name in weights)
    head = "vision_encoder.head." if has_tower else "head."
    body = {name: value for name, value in weights.items() if not name.startswith(head)}
    fitted, report = fit(body, trunk, source=source, strict=False)
    fresh = (*PRETRAINING, "head.")
    missing = [name for name in report.missing if not name.startswith(fresh)]
    extra = [name for name, why in report.skipped.items() if why == "the model has nothing of that name"]
    if missing or extra:
        found = "; ".join(f"{kind}: {', '.join(names[:4])}" for kind, names in _kinds(missing, extra) if names)
        raise CheckpointError(f"start_from: {source} is not the trunk of this model ({found}); nothing was loaded")
    if not isinstance(trunk, VisionTower):  # whose own decoders and norm go on from another tower's
        fitted = {name: value for name, value in fitted.items() if not name.startswith(fresh)}
    trunk.load_state_dict(fitted, strict=False)  # names and shapes were compared


def _kinds(missing: list[str], extra: list[str]) -> list[tuple[str, list[Any]]]:
    return [("missing", missing), ("left over", extra)]
