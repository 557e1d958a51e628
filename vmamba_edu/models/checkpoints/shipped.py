"""Models that come with the package: small, trained by scripts of this repository, there without a network.

    model = from_pretrained("moving_digits_classifier")
    shipped_record("moving_digits_classifier")["accuracy"]

Each is one file of weights, rounded to float16, with a record in it: the script that made it, its seed, what it was
trained on, and what was measured of it afterwards. What was trained by a recipe has the recipe in its record too, and
what its outputs stand for: `vmamba_edu.recipes.load_trained` takes the same names.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import as_file, files
from types import MappingProxyType
from typing import Any

from safetensors import safe_open
from torch import Tensor, nn

from vmamba_edu.models.checkpoints.fitting import fit
from vmamba_edu.models.digit_teacher import digit_teacher
from vmamba_edu.models.registry import create_model

Record = dict[str, Any]
Maker = Callable[..., nn.Module]


def list_shipped() -> list[str]:
    """The names of the models that come with the package."""
    return list(_MAKERS)


def make_shipped(name: str, **overrides: Any) -> nn.Module:
    """The model of that name with its weights, in evaluation mode; see `from_pretrained`."""
    return _MAKERS[_known(name)](name, **overrides).eval()


def shipped_record(name: str) -> Record:
    """Where a model that comes with the package is from: script, seed, data, and what was measured.

    Raises:
        ValueError: there is none of that name.
    """
    with _opened(name) as stored:
        return json.loads(stored.metadata()["record"])


def shipped_weights(name: str) -> dict[str, Tensor]:
    """Its weights, in float32.

    Raises:
        ValueError: there is none of that name.
    """
    with _opened(name) as stored:
        return {key: stored.get_tensor(key).float() for key in stored.keys()}  # noqa: SIM118


@contextmanager
def _opened(name: str) -> Iterator[Any]:
    file = files("vmamba_edu.models") / "data" / f"{_known(name)}.safetensors"
    with as_file(file) as path, safe_open(path, "pt") as stored:
        yield stored


def _known(name: str) -> str:
    if name not in _MAKERS:
        raise ValueError(f"name: no model {name!r} comes with the package; there are {', '.join(_MAKERS)}")
    return name


def _teacher(name: str, normalise: bool = True) -> nn.Module:
    return digit_teacher(normalise)


def _classifier(name: str, **overrides: Any) -> nn.Module:
    """A model that a recipe classifies with: what its table [model] says, unless told otherwise."""
    record = shipped_record(name)
    keywords = {"num_classes": len(record["classes"])} | record["recipe"]["model"] | overrides
    model = create_model(keywords.pop("name"), **keywords)
    fitted, report = fit(shipped_weights(name), model, source=name)
    model.load_state_dict(fitted, strict=False)  # names and shapes were compared: from here on nothing can fail
    for warning in report.warnings:
        warnings.warn(f"{name}: {warning}", UserWarning, stacklevel=4)
    return model


def _video_text(name: str) -> nn.Module:
    """A model of clips and captions. Its vocabulary is in the record: `vmamba_edu.recipes.load_trained` has both."""
    from vmamba_edu.models.text_encoder import TextConfig
    from vmamba_edu.models.video_text import VideoText, VideoTextConfig, load_video_text_weights
    from vmamba_edu.models.vision_tower import VisionTowerConfig

    config = shipped_record(name)["config"]
    parts = {"vision": VisionTowerConfig(**config["vision"]), "text": TextConfig(**config["text"])}
    model = VideoText(VideoTextConfig(**config | parts))
    load_video_text_weights(model, shipped_weights(name))
    return model


_MAKERS: Mapping[str, Maker] = MappingProxyType(
    {
        "digit_teacher": _teacher,
        "moving_digits_classifier": _classifier,
        "moving_digits_video_text": _video_text,
    }
)
