"""Loading a checkpoint into a model, all of it or nothing, and making a model of the published zoo by name."""

import difflib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from vmamba_edu.models.checkpoints.fitting import fit
from vmamba_edu.models.checkpoints.hub import download, split_hub_id
from vmamba_edu.models.checkpoints.read import read_checkpoint, weights_in
from vmamba_edu.models.checkpoints.report import CheckpointError, LoadReport
from vmamba_edu.models.checkpoints.shipped import list_shipped, make_shipped
from vmamba_edu.models.checkpoints.zoo import REPOSITORY, close_names, list_pretrained, published_weights
from vmamba_edu.models.registry import create_model
from vmamba_edu.models.state_dicts import load_transformer_weights
from vmamba_edu.models.timesformer import TimeSformer
from vmamba_edu.models.vit import ViT
from vmamba_edu.models.vivit import ViViT

Source = str | Path | Mapping[str, Any]


def load_checkpoint(
    model: nn.Module,
    source: Source,
    *,
    strict: bool = True,
    inflation: str = "center",
    classes: Sequence[int] | None = None,
) -> LoadReport:
    """Load weights into a model, fitted to it where that can be done: all that fits, or nothing.

        report = load_checkpoint(model, "videomamba_t16_k400_f16_res224.pth")
        print(report)

    Fitted are: names with the prefixes of wrappers; `norm` of masked pre-training for `norm_f`; kernels of pictures for
    tubelets; positions for frames of another size (square at first) and clips of another length; the first 400 of 710
    classes for Kinetics-400. A head for other classes is left out and the model's stays, with a warning. The heads of
    pre-training are left out where the model has none. What the published code does differently stands in `fitting`.

    Args:
        model: a `VideoMamba` or one of its kin (for pictures, masked, distilled, Pro); a `ViT`, `ViViT` or
            `TimeSformer` is handed to `load_transformer_weights`, which takes what fits exactly.
        source: a file (.safetensors, or .pth, .pt, .bin, of which nothing is run); a name of the published zoo
            (`list_pretrained()`); on the hub "owner/name/file" or "owner/name"; or the content of a checkpoint.
        strict: whether it is an error if tensors of the model's trunk are missing, or some of the checkpoint are left
            over. Shapes that cannot be made to fit are an error in any case.
        inflation: "center" or "mean", how a kernel of pictures becomes one of tubelets; see `inflate_patch_kernel`.
        classes: for a head with other classes, which of its rows are the model's.

    Returns:
        What was loaded, resized, renamed, skipped, and what is missing. Its warnings were given as warnings too.

    Raises:
        CheckpointError (a ValueError): the file is no checkpoint, is cut off or holds code, or the weights do not fit.
        FileNotFoundError, IsADirectoryError: there is no such file, or it is a folder.
        ConnectionError, PermissionError: the hub cannot be reached, or does not give the file to everybody.
        ImportError: huggingface_hub is not installed.
        ValueError: `inflation` or `classes` cannot be.
    """
    weights, name = find_weights(source)
    report = _load(model, weights, name, strict=strict, inflation=inflation, classes=classes)
    for warning in report.warnings:
        warnings.warn(f"{name}: {warning}", UserWarning, stacklevel=2)
    return report


def from_pretrained(name: str, *, folder: str | Path | None = None, **overrides: Any) -> nn.Module:
    """A model by name with its weights, in evaluation mode: of the published zoo, or one that comes with the package.

        model = from_pretrained("videomamba_t16_k400_f16_res224")
        model = from_pretrained("moving_digits_classifier")         # needs no network, see `shipped`

    Files of masked pre-training make a `MaskedStudent`; those trained with texts give their vision part alone, without
    a head. `load_checkpoint` reads the same names into a model of yours, and returns a report.

    Args:
        name: one of `list_shipped()` or of `list_pretrained()`.
        folder: where the file of the zoo lies, if it was downloaded by hand.
        overrides: keywords of `create_model` that are to differ from the file's, such as num_frames; then the weights
            are fitted, see `load_checkpoint`. "digit_teacher" takes `normalise` alone, see `digit_teacher`.

    Raises:
        ValueError: there is no such name, or as `create_model`.
        The others: as `load_checkpoint`.
    """
    if name in list_shipped():
        return make_shipped(name, **overrides)
    if close := difflib.get_close_matches(name, list_shipped(), n=1, cutoff=0.8):
        raise ValueError(f"name: there is no model {name!r}; did you mean {close[0]}?")
    published = published_weights(name)
    path = download(REPOSITORY, published.file) if folder is None else Path(folder) / published.file
    weights, name = find_weights(path)  # before a model is made: what is not there should be said at once
    model = create_model(published.model, **published.keywords | overrides)
    for warning in _load(model, weights, name).warnings:
        warnings.warn(f"{name}: {warning}", UserWarning, stacklevel=2)
    return model.eval()


def find_weights(source: Source) -> tuple[dict[str, Tensor], str]:
    """The weights that `source` stands for, and what to call them; see `load_checkpoint`."""
    if isinstance(source, Mapping):
        return weights_in(source, "the checkpoint"), "the checkpoint"
    path = find_file(source)
    return read_checkpoint(path), path.name


def find_file(source: str | Path) -> Path:
    """The file that `source` stands for: what lies here comes first, then the zoo, then the hub."""
    path = Path(source).expanduser()
    if path.exists() or isinstance(source, Path):
        return path  # what is wrong with it is said when it is read
    if source in list_pretrained():
        return download(REPOSITORY, published_weights(source).file)
    if (found := split_hub_id(source)) and not path.parent.is_dir():
        return download(*found)
    hint = "" if path.suffix or path.name != source else f", nor has the model zoo such a name; {close_names(source)}"
    raise FileNotFoundError(f"source: there is no file {source}{hint}")


def _load(model: nn.Module, weights: Mapping[str, Tensor], name: str, **options: Any) -> LoadReport:
    if any(tensor.is_meta for tensor in model.state_dict().values()):
        hint = 'try model.to_empty(device="cpu")'
        raise ValueError(f'model: expected one with memory, got one on the device "meta"; {hint}')
    if isinstance(model, ViT | ViViT | TimeSformer):
        return _load_transformer(model, weights, name)
    fitted, report = fit(weights, model, source=name, **options)
    model.load_state_dict(fitted, strict=False)  # names and shapes were compared: from here on nothing can fail
    return report


def _load_transformer(model: ViT | ViViT | TimeSformer, weights: Mapping[str, Tensor], name: str) -> LoadReport:
    try:
        load_transformer_weights(model, weights)
    except (ValueError, RuntimeError) as error:
        raise CheckpointError(f"source: {name}: {error}. Nothing was loaded") from None
    return LoadReport(name, tuple(model.state_dict()))
