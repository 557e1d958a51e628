"""A model that is shown videos: one that comes with the package, a fresh one by name, or one from a checkpoint."""

import difflib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from vmamba_edu.analysis import Cost, cost
from vmamba_edu.models import CheckpointError, create_model, list_models, list_pretrained, load_checkpoint
from vmamba_edu.models.checkpoints.read import read_checkpoint
from vmamba_edu.models.checkpoints.zoo import published_weights
from vmamba_edu.models.configuration import VideoMambaConfig, VideoMambaImageConfig
from vmamba_edu.models.masked_student_configuration import MaskedStudentConfig
from vmamba_edu.models.registry import MODELS
from vmamba_edu.models.self_distillation import VideoMambaDistillationConfig
from vmamba_edu.panels.computed.arguments import came
from vmamba_edu.recipes import Trained, load_trained
from vmamba_edu.recipes.build import choose_device, kind_of
from vmamba_edu.recipes.frames import Frames
from vmamba_edu.scan_orders import Grid

SHIPPED = "moving_digits_classifier"
"""The classifier that comes with the package."""
OF_CHECKPOINT, GIVEN = "checkpoint", "given"
"""What a model is called that a checkpoint brings along, and one that was given in code."""
WITHIN: Mapping[type, Any] = MappingProxyType(
    {MaskedStudentConfig: VideoMambaConfig, VideoMambaDistillationConfig: VideoMambaImageConfig}
)
"""What students of masking and distillation are extensions of; only that has a cost of its own."""
FRESH = "fresh weights, drawn with seed 0: it was never trained, and what it says is chance"


@dataclass(frozen=True, eq=False)
class Reader:
    """A model with what its outputs stand for. It is built when its `model` is first asked for, and then kept.

    Args:
        choice: the name under which it is chosen: of `list_models()`, SHIPPED, OF_CHECKPOINT or GIVEN.
        name: for the reader.
        described: where its weights are from, in words.
        config: of the model.
        classes: what its outputs stand for; empty where it has none.
        make: builds it, where it is not there yet.
        trained: whether its weights are more than drawn.
        built: the model, once it is there.
    """

    choice: str
    name: str
    described: str
    config: Any
    classes: tuple[str, ...]
    make: Callable[[], nn.Module] | None = None
    trained: bool = True
    built: list[nn.Module] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        height, width = self.config.frame_size
        if height != width:
            raise ValueError(f"model: expected one that reads square frames, {self.name} reads {height} × {width}")

    @property
    def model(self) -> nn.Module:
        """The model itself; what is made here is in evaluation mode, and on the GPU where there is one."""
        if not self.built:
            assert self.make is not None
            self.built.append(self.make())
        return self.built[0]

    @property
    def is_built(self) -> bool:
        return bool(self.built)

    @property
    def frames(self) -> Frames:
        """What it wants to be shown; a model for pictures, a clip of one frame."""
        return Frames(getattr(self.config, "num_frames", 1), self.config.frame_size[0])

    @property
    def grid(self) -> Grid:
        """(time, height, width) in tokens of what it is shown."""
        return self.config.grid if hasattr(self.config, "grid") else (1, *self.config.frame_grid)

    @property
    def tubelet_size(self) -> int:
        """How many frames become one token."""
        return self.frames.num_frames // self.grid[0]

    @property
    def depth(self) -> int:
        """Blocks."""
        return int(self.config.depth)

    def cost(self, batch: int = 1) -> Cost:
        """What so many clips at once cost; of a student, without its decoders."""
        return cost(_as_classifier(self.config), batch=batch)

    @torch.no_grad()
    def logits(self, clips: Tensor) -> Tensor:
        """What it says of clips (batch, 3, time, height, width), (batch, classes) on the CPU in float32."""
        pixels = clips.to(next(self.model.parameters()))
        said = self.model(pixels if hasattr(self.config, "num_frames") else pixels[:, :, 0])
        return getattr(said, "logits", said).float().cpu()


def open_reader(model: str = SHIPPED, checkpoint: str = "") -> Reader:
    """The model that a reader names.

    Args:
        model: SHIPPED, or one of `list_models()`, which gets fresh weights.
        checkpoint: the folder of a training run or a checkpoint of one: it brings its model along. Or a file of weights
            alone, which `load_checkpoint` fits into `model`; one that is named as in the published zoo says itself
            which model it is of.

    Raises:
        ValueError: there is no such model, the checkpoint cannot be read, does not fit, or does not classify.
    """
    if checkpoint:
        try:
            return _of_checkpoint(model, Path(checkpoint).expanduser())
        except (OSError, ImportError, ValueError) as error:
            if str(error).startswith("checkpoint: "):
                raise
            raise ValueError(f"checkpoint: expected one that can be read, got {_cause(error)}") from error
    if model == SHIPPED:
        return _of_trained(SHIPPED, load_trained(SHIPPED), SHIPPED, "comes with the package")
    if model in (OF_CHECKPOINT, GIVEN):
        where = (
            "that of a checkpoint, and none is named" if model == OF_CHECKPOINT else "a given one, and there is none"
        )
        raise ValueError(f"model: expected a name of the list, or a checkpoint's file beside it, got {where}")
    return _fresh(model)


def reader_of(model: nn.Module, classes: Sequence[str] = ()) -> Reader:
    """A reader's own model.

    Args:
        model: one of ours, with a `config`.
        classes: what its outputs stand for; their numbers if not given.

    Raises:
        TypeError: it is none of ours.
        ValueError: it has another number of classes, or reads frames that are not square.
    """
    config: Any = getattr(model, "config", None)
    if not hasattr(config, "frame_size") or not hasattr(config, "depth"):
        raise TypeError(f"model: expected a name or a model of vmamba_edu.models, got {type(model).__name__}")
    count = getattr(config, "num_classes", 0)
    if classes and len(classes) != count:
        raise ValueError(f"classes: expected {count} names, one for each output, got {len(classes)}")
    name = type(model).__name__
    return Reader(GIVEN, name, "the given model", config, tuple(classes) or _numbered(count), built=[model])


def _fresh(name: str) -> Reader:
    if name not in MODELS:
        close = difflib.get_close_matches(str(name), [SHIPPED, *list_models()], n=1)
        guess = f"did you mean {close[0]}?" if close else ""
        raise ValueError(f"model: expected {SHIPPED!r} or one of list_models(), got {came(name)}; {guess}".rstrip("; "))
    config = MODELS[name]
    return Reader(name, name, FRESH, config, _numbered(config.num_classes), lambda: drawn(name), trained=False)


def drawn(name: str, **overrides: Any) -> nn.Module:
    """A fresh model in evaluation mode, always with the same weights; torch's own generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return create_model(name, **overrides).eval().to(choose_device("auto"))


def _of_checkpoint(model: str, path: Path) -> Reader:
    if not path.exists():
        raise ValueError(f"checkpoint: expected a file or the folder of a run, and there is no {path}; check the path")
    published = published_weights(path.stem) if path.stem in list_pretrained() else None
    if published is not None:
        return _of_weights(published.model, path, published.keywords)
    if path.is_dir() or path.suffix != ".safetensors":
        try:
            return _of_trained(OF_CHECKPOINT, load_trained(path), path.name, f"trained, from {path}")
        except CheckpointError:  # no run of ours: perhaps weights alone
            if path.is_dir():
                raise
    if model not in MODELS:
        read_checkpoint(path)  # says what is wrong with it, if anything is
        raise ValueError(
            f"checkpoint: expected a training run, which says what model it is of, got weights alone in {path.name}; "
            "choose their architecture in the list of models first"
        )
    return _of_weights(model, path, {})


def _of_trained(choice: str, trained: Trained, name: str, described: str) -> Reader:
    kind = kind_of(trained.recipe)
    if kind != "classifier":
        raise ValueError(f"checkpoint: expected a model that classifies, got a {kind}, {name}")
    words = f"{described}, {trained.step} steps of training"
    return Reader(choice, name, words, trained.model.config, tuple(trained.classes), built=[trained.model])


def _of_weights(name: str, path: Path, keywords: dict[str, Any]) -> Reader:
    """A model with weights fitted into it. They are fitted here and now: what does not fit is to be said at once."""
    weights = read_checkpoint(path)
    heads = [one.shape[0] for key, one in weights.items() if key.endswith("head.weight") and "clip_decoder" not in key]
    own = {"num_classes": heads[0]} if heads and MODELS[name].num_classes else {}
    model = drawn(name, **own | keywords)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            report = load_checkpoint(model, weights)
    except ValueError as error:
        raise ValueError(f"checkpoint: expected weights that fit {name}, got {path.name}: {_cause(error)}") from error
    config: Any = model.config
    described = "; ".join([f"weights from {path}", *report.warnings])
    return Reader(name, f"{name} of {path.name}", described, config, _numbered(config.num_classes), built=[model])


def _cause(error: Exception) -> str:
    """What another function complained of, without the name that the argument has there."""
    return " ".join(str(error).removeprefix("source: ").split()).removesuffix(".")


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"class {number}" for number in range(count))


def _as_classifier(config: Any) -> Any:
    """The configuration of the classifier that a student is an extension of; any other as it is."""
    kind = WITHIN.get(type(config))
    return config if kind is None else kind(**{one.name: getattr(config, one.name) for one in fields(kind)})
