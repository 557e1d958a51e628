"""The published model zoo: every file of it by name, and what model it is of.

A name says all: `videomamba_m16_k400_mask_ft_f16_res224` is VideoMamba-M with patches of 16, fine-tuned on Kinetics-400
after masked pre-training, for 16 frames of 224 × 224. Nobody has opened one of these files with this project yet: they
are described by the code that wrote them.

Source: MODEL_ZOO.md in videomamba/image_sm, videomamba/video_sm and videomamba/video_mm of OpenGVLab/VideoMamba. Two of
its rows, masked pre-training at 16 frames of 224 on Kinetics-400 and on Something-Something, link to the files without
masked pre-training. The files meant are in the list here: others who use the repository load them by these names.
"""

import difflib
import re
from dataclasses import dataclass
from typing import Any

from vmamba_edu.models.checkpoints.report import first_few

REPOSITORY = "OpenGVLab/VideoMamba"

IMAGES = (
    *("t16_in1k_res224", "t16_in1k_res224to448", "t16_in1k_res224to448to576"),
    *("s16_in1k_res224", "s16_in1k_res224to448", "s16_in1k_res224to448to576"),
    *("m16_in1k_res224", "m16_in1k_res224to448", "m16_in1k_res224to448to576", "b16_in1k_res224"),
)
CLIPS = (
    *("t16_k400_f8_res224", "t16_k400_f16_res224", "t16_k400_f32_res224", "t16_k400_f64_res224"),
    *("s16_k400_f8_res224", "s16_k400_f16_res224", "s16_k400_f32_res224", "s16_k400_f64_res224"),
    *("m16_k400_f8_res224", "m16_k400_f16_res224", "m16_k400_f32_res224", "m16_k400_f64_res224"),
    *("t16_k400_f64_res224to384", "s16_k400_f64_res224to384", "m16_k400_f64_res224to384"),
    *("m16_k400_mask_ft_f8_res224", "m16_k400_mask_ft_f16_res224", "m16_k400_mask_ft_f32_res224"),
    *("m16_k400_mask_ft_f64_res224", "m16_k400_mask_ft_f64_res224to384"),
    *("t16_ssv2_f8_res224", "t16_ssv2_f16_res224", "t16_ssv2_f16_res224to288"),
    *("s16_ssv2_f8_res224", "s16_ssv2_f16_res224", "s16_ssv2_f16_res224to288"),
    *("m16_ssv2_f8_res224", "m16_ssv2_f16_res224", "m16_ssv2_f16_res224to288"),
    *("m16_ssv2_mask_ft_f8_res224", "m16_ssv2_mask_ft_f16_res224", "m16_ssv2_mask_ft_f16_res224to288"),
    *("t16_breakfast_f32_res224", "t16_breakfast_f64_res224", "s16_breakfast_f32_res224", "s16_breakfast_f64_res224"),
    *("m16_breakfast_f32_res224", "m16_breakfast_f64_res224"),
    *("m16_breakfast_mask_ft_f32_res224", "m16_breakfast_mask_ft_f64_res224"),
    *("t16_coin_f32_res224", "t16_coin_f64_res224", "s16_coin_f32_res224", "s16_coin_f64_res224"),
    *("m16_coin_f32_res224", "m16_coin_f64_res224", "m16_coin_mask_ft_f32_res224", "m16_coin_mask_ft_f64_res224"),
)
PRETRAINED = (
    *("m16_k400_mask_pt_f8_res224", "m16_ssv2_mask_pt_f8_res224"),  # masked pre-training
    *("m16_5M_f8_res224", "m16_17M_f8_res224", "m16_25M_f8_res224"),  # clips and texts, with a text model and a teacher
)

SIZES = {"t": "tiny", "s": "small", "m": "middle", "b": "base"}
CLASSES = {"in1k": 1000, "k400": 400, "ssv2": 174, "breakfast": 10, "coin": 180}  # others have no head


@dataclass(frozen=True)
class PublishedWeights:
    """One file of the model zoo.

    Attributes:
        name: without the ending.
        model: the name for `create_model`.
        keywords: what that is to be given.
    """

    name: str
    model: str
    keywords: dict[str, Any]

    @property
    def file(self) -> str:
        """The file in the repository."""
        return f"{self.name}.pth"


def list_pretrained() -> list[str]:
    """The names of the published zoo that `from_pretrained` knows; `list_shipped()` has those that need no network."""
    return [f"videomamba_{name}" for name in (*IMAGES, *CLIPS, *PRETRAINED)]


def published_weights(name: str) -> PublishedWeights:
    """What a name of the model zoo stands for; the ending .pth may be left out.

    Raises:
        ValueError: there is no such name; the message has close ones.
    """
    name = name.removesuffix(".pth")
    if name not in list_pretrained():
        raise ValueError(f"name: the model zoo has no {name!r}; {close_names(name)}")
    size, data, sides = re.fullmatch(r"videomamba_(.)16_(.+)_res([\dto]+)", name).groups()  # type: ignore[union-attr]
    keywords: dict[str, Any] = {"img_size": int(sides.split("to")[-1])}
    if frames := re.search(r"_f(\d+)$", data):
        keywords["num_frames"] = int(frames[1])
    kind = "image_" if data == "in1k" else "masked_" if "_mask_pt_" in data else ""
    if kind != "masked_":
        keywords["num_classes"] = CLASSES.get(data.split("_")[0], 0)
    return PublishedWeights(name, f"videomamba_{kind}{SIZES[size]}", keywords)


def close_names(name: str) -> str:
    """Names like this one, in a few words."""
    known = list_pretrained()
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(close)}?" if close else f"there are {first_few(known)}"
