"""Which tensor of a checkpoint belongs to which of a model, and what has to be done to it.

`fit` decides everything before anything is loaded, and returns what to load with a report of it.

Source: the loading of checkpoints in videomamba/video_sm/run_class_finetuning.py and `load_state_dict`
(videomamba/video_sm/models/videomamba.py). Where this departs from them:

- The old length of `temporal_pos_embedding` is that of the tensor. The published code is told it (--orig_t_size, or 8),
  and where that is wrong it skips the resizing without a word.
- Pictures of another size than the clips' frames are no hindrance. The published inflation leaves their positions as
  they are, and then fails.
- A checkpoint of pictures has no `temporal_pos_embedding`. One of the two published ways stumbles over that; here the
  model's own stays, as on the other way.
- `norm` of masked pre-training is loaded as `norm_f`. The published code loses it, and the last norm starts from ones.
  After the published pre-training that is the same, as nothing there trains `norm`; see `masked_student`.
- What is missing or left over is an error. The published code prints it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from vmamba_edu.models.checkpoints.adapt import (
    INFLATIONS,
    inflate_patch_kernel,
    rows_of_classes,
    square_grid,
    take_rows,
)
from vmamba_edu.models.checkpoints.report import CheckpointError, LoadReport, first_few
from vmamba_edu.models.configuration import check_choice
from vmamba_edu.models.interpolation import interpolate_positions, interpolate_times

PREFIXES = ("module.", "_orig_mod.", "backbone.", "encoder.")  # of wrappers: distributed, compiled, other projects
VISION = "vision_encoder."  # in a checkpoint of the video-text model, beside texts and teacher
PRETRAINING = ("clip_decoder.", "distill_head.", "pool_norm.")  # used in pre-training alone
NORMS = {"norm": "norm_f", "norm_f": "norm"}
KERNEL, PLACES, TIMES = "patch_embed.proj.weight", "pos_embed", "temporal_pos_embedding"


def fit(
    weights: Mapping[str, Tensor],
    model: nn.Module,
    *,
    source: str,
    strict: bool = True,
    inflation: str = "center",
    classes: Sequence[int] | None = None,
) -> tuple[dict[str, Tensor], LoadReport]:
    """What to load into a model, under its names and in its shapes, and a report of it. The model is not touched.

    Args, raises: as `load_checkpoint`; `source` is what to call the weights.
    """
    check_choice("inflation", inflation, INFLATIONS)
    fitting = Fitting(source, type(model).__name__, dict(model.state_dict()), strict)
    fitting.take_names(weights)
    fitting.rename_norm()
    fitting.leave_out_pretraining()
    fitting.fit_kernel(inflation)
    fitting.fit_positions(model)
    fitting.fit_head(classes)
    return fitting.finish()


@dataclass
class Fitting:
    """Work in progress: what was found so far, under the model's names as far as those are known."""

    source: str
    kind: str
    target: dict[str, Tensor]
    strict: bool
    weights: dict[str, Tensor] = field(default_factory=dict)
    origin: dict[str, str] = field(default_factory=dict)  # the model's name → that in the checkpoint
    resized: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    excused: dict[str, str] = field(default_factory=dict)  # what may be missing, and why
    warnings: list[str] = field(default_factory=list)
    of_pictures: bool = False

    def take_names(self, weights: Mapping[str, Tensor]) -> None:
        """Take every tensor under its name without the prefixes of wrappers."""
        has_other_parts = any(VISION in name for name in weights)
        for name, value in weights.items():
            ours = without_prefixes(name, self.target)
            if has_other_parts and ours.startswith(VISION):
                ours = ours.removeprefix(VISION)
            elif has_other_parts:
                self.skipped[name] = "of another part of the video-text model"
                continue
            if ours in self.weights:
                raise CheckpointError(
                    f"source: {self.source} has two tensors for {ours}: {self.origin[ours]} and {name}"
                )
            self.weights[ours], self.origin[ours] = value, name

    def rename_norm(self) -> None:
        """The last norm has one name in masked pre-training and another in the classifier."""
        for theirs, ours in NORMS.items():
            for kind in ("weight", "bias"):
                old, new = f"{theirs}.{kind}", f"{ours}.{kind}"
                if old in self.weights and old not in self.target and new in self.target and new not in self.weights:
                    self.weights[new], self.origin[new] = self.weights.pop(old), self.origin.pop(old)
                    self.warnings.append(
                        f"{old} was loaded as {new}; the published code loses it, and starts from ones"
                    )

    def leave_out_pretraining(self) -> None:
        """What only pre-training needs, where the model has nothing of that kind."""
        for name in [name for name in self.weights if name.startswith(PRETRAINING)]:
            if not any(other.startswith(name.split(".")[0] + ".") for other in self.target):
                self.skip(name, "used in pre-training alone")

    def fit_kernel(self, inflation: str) -> None:
        """A kernel of patches for tubelets."""
        kernel, target = self.weights.get(KERNEL), self.target.get(KERNEL)
        if kernel is None or target is None or target.dim() != 5:
            return
        self.of_pictures = kernel.dim() == 4
        flat = kernel[:, :, 0] if kernel.dim() == 5 and kernel.shape[2] == 1 else kernel
        if flat.dim() == 4 and kernel.shape != target.shape and flat.shape == target[:, :, 0].shape:
            self.resize(KERNEL, inflate_patch_kernel(flat, target.shape[2], inflation), f'inflated, "{inflation}"')

    def fit_positions(self, model: nn.Module) -> None:
        """Positions of frames of another size and of clips of another length."""
        places, times = self.weights.get(PLACES), self.weights.get(TIMES)
        grid = getattr(getattr(model, "config", None), "grid", None)
        if self.differs_in_rows(PLACES) and places is not None and grid is not None:
            try:
                old = square_grid(PLACES, places.shape[1] - 1)
            except ValueError as error:
                raise CheckpointError(f"source: {self.source}: {error}") from None
            self.resize(PLACES, interpolate_positions(places, old, tuple(grid[-2:])), "interpolated, bicubic")
        if self.differs_in_rows(TIMES) and times is not None:
            self.resize(TIMES, interpolate_times(times, self.target[TIMES].shape[1]), "interpolated, linear")
        if self.of_pictures and TIMES in self.target:
            self.excused[TIMES] = "pictures have no time; it stays as it was"

    def differs_in_rows(self, name: str) -> bool:
        """Whether a position embedding of another number of places, and of the same width, is there."""
        if name not in self.weights or name not in self.target:
            return False
        came, wanted = self.weights[name].shape, self.target[name].shape
        return len(came) == 3 and came[1] != wanted[1] and came[0] == wanted[0] == 1 and came[2] == wanted[2]

    def fit_head(self, classes: Sequence[int] | None) -> None:
        """The rows of the head that are the model's classes; without them the head stays as it is."""
        names = ("head.weight", "head.bias")
        heads = [name for name in names if name in self.weights]
        self.excused |= dict.fromkeys(names, "the checkpoint has no head for these classes; it stays as it was")
        if "head.weight" not in self.target or not heads:
            for name in heads:
                self.skip(name, "the model has no head")
            if "head.weight" in self.target:
                self.warnings.append("the head stays as it was: the checkpoint has none")
            return
        had = len(self.weights[heads[0]])
        rows = self.rows_of_head(had, len(self.target["head.weight"]), classes)
        for name in heads:
            if rows is None:
                self.skip(name, "a head for other classes")
            elif rows != list(range(had)):
                self.resize(name, take_rows(self.weights[name], rows), f"{len(rows)} of its {had} rows")

    def rows_of_head(self, had: int, wanted: int, classes: Sequence[int] | None) -> list[int] | None:
        """Which rows of the checkpoint's head are the model's classes; None, with a warning, where nobody can tell."""
        of_pictures = self.of_pictures and classes is None  # left out even if they are as many, as published
        rows = None if of_pictures else rows_of_classes(had, wanted, classes)
        if rows is None:
            self.warnings.append(
                f"the head for {wanted} classes stays as it was: that of the checkpoint is for {had} "
                f"{'kinds of picture' if of_pictures else 'classes'}. If you know which of its rows are the model's "
                "classes, say so: classes=[…]"
            )
        return rows

    def skip(self, name: str, reason: str) -> None:
        """Leave a tensor out."""
        del self.weights[name]
        self.skipped[self.origin.pop(name)] = reason

    def resize(self, name: str, value: Tensor, how: str) -> None:
        """Put a tensor in another shape."""
        self.resized[name] = f"{tuple(self.weights[name].shape)} → {tuple(value.shape)}, {how}"
        self.weights[name] = value

    def finish(self) -> tuple[dict[str, Tensor], LoadReport]:
        """Hold what was found against the model: everything fits, or it is an error."""
        names = [name for name in self.target if name in self.weights]
        missing = {name: self.excused.get(name, "") for name in self.target if name not in self.weights}
        lost = [name for name, reason in missing.items() if not reason]
        extra = [name for name in self.weights if name not in self.target]
        shapes = [self.other_shape(name) for name in names if self.weights[name].shape != self.target[name].shape]
        kinds = [name for name in names if not self.weights[name].is_floating_point()]
        if shapes or kinds or self.is_of_another_kind(names) or (self.strict and (lost or extra)):
            found = {"missing": lost, "unexpected": extra, "of another shape": shapes, "not floating-point": kinds}
            raise CheckpointError(self.does_not_fit(found))
        if lost or extra:
            self.warnings.append(f"{len(lost)} tensors of the model stay as they were, {len(extra)} are left over")
        for name in extra:
            self.skip(name, "the model has nothing of that name")
        missing |= dict.fromkeys(lost, "not in the checkpoint; stays as it was")
        renamed = {theirs: ours for ours, theirs in self.origin.items() if ours != theirs}
        maps = {"resized": self.resized, "renamed": renamed, "skipped": self.skipped, "missing": missing}
        report = LoadReport(self.source, tuple(names), warnings=tuple(self.warnings), **maps)
        return {name: self.weights[name] for name in names}, report

    def other_shape(self, name: str) -> str:
        """A name and its two shapes."""
        return f"{name} {tuple(self.weights[name].shape)} instead of {tuple(self.target[name].shape)}"

    def is_of_another_kind(self, names: Sequence[str]) -> bool:
        """Whether nothing fits, or no mixer of a model of mixers: other models have a `cls_token` and a `head` too."""
        has_mixers = any(".mixer." in name for name in self.target)
        return not any(".mixer." in name or not has_mixers for name in names)

    def does_not_fit(self, found: Mapping[str, Sequence[str]]) -> str:
        """The whole message of an error."""
        details = "; ".join(f"{kind}: {first_few(names)}" for kind, names in found.items() if names)
        return (
            f"source: {self.source} does not fit this {self.kind}. The checkpoint is {describe(self.weights)}; "
            f"the model is {describe(self.target)}. {details}. Nothing was loaded"
        )


def without_prefixes(name: str, target: Mapping[str, Tensor]) -> str:
    """The name without the prefixes of wrappers, in whatever order they come."""
    while name not in target and (prefix := next((p for p in PREFIXES if name.startswith(p)), None)):
        name = name.removeprefix(prefix)
    return name


def describe(weights: Mapping[str, Tensor]) -> str:
    """What kind of model weights are of, as far as their names and shapes tell."""
    mixers = [name for name in weights if ".mixer." in name]
    if not mixers or "cls_token" not in weights:
        return f"no VideoMamba (its tensors are {first_few(weights)})" if weights else "empty"
    depth = len({name.split(".mixer.")[0] for name in mixers})
    kernel = weights.get(KERNEL)
    reads = "" if kernel is None else " for pictures" if kernel.dim() == 4 else " for clips"
    if any(".conv1d_b." in name for name in mixers):
        directions = "both directions"
    else:
        directions = "released_v1 of VideoMambaPro" if any("A_b_log" in name for name in mixers) else "one direction"
    return f"a VideoMamba{reads} of embed_dim={weights['cls_token'].shape[-1]} and depth={depth}, {directions}"
