"""A video-text model: a tower for clips, an encoder for captions that can look at a clip too, and three small heads.

    clip ─ vision tower ─ pooled ─ vision_proj ─┐
                        └ tokens ─┐             ├ compared: are they alike?
    caption ─ text layers ─ tokens ─ text_proj ─┘
                            └ fusion layers, looking at the clip's tokens ─ itm_head: do they match?
                                                                          └ words that were hidden

Source: `UMT_VIDEOMAMBA` (videomamba/video_mm/models/umt_videomamba.py); VideoMamba (arXiv 2403.06977) §3.3 and §4.4;
Unmasked Teacher (arXiv 2303.16058).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import no_type_check

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from vmamba_edu.models.configuration import check_integer
from vmamba_edu.models.state_dicts import list_differences
from vmamba_edu.models.text_encoder import TextConfig, TextEncoder
from vmamba_edu.models.vision_tower import Seen, VisionTower, VisionTowerConfig

LEAST_TEMPERATURE, MOST_TEMPERATURE = 0.001, 0.5


@no_type_check  # __post_init__ checks every value, and its messages say more
@dataclass(frozen=True)
class VideoTextConfig:
    """What decides the shape of a video-text model.

    Args:
        vision: of the tower.
        text: of the encoder; its `vision_dim` must be the tower's width.
        embed_dim: of the space in which clips and captions are compared.
        temperature: by which cosines are divided at first; it is learnt.

    Raises:
        ValueError: a value cannot be.
    """

    vision: VisionTowerConfig = field(default_factory=VisionTowerConfig)
    text: TextConfig = field(default_factory=lambda: TextConfig(vision_dim=VisionTowerConfig().embed_dim))
    embed_dim: int = 512
    temperature: float = 0.07

    def __post_init__(self) -> None:
        check_integer("embed_dim", self.embed_dim, least=1)
        if not isinstance(self.temperature, Real) or not self.temperature > 0:
            raise ValueError(f"temperature: expected a number above 0, got {self.temperature!r}")
        if self.text.vision_dim != self.vision.embed_dim:
            expected, came = self.vision.embed_dim, self.text.vision_dim
            raise ValueError(f"text.vision_dim: expected the tower's embed_dim = {expected}, got {came}")


class VideoText(nn.Module):
    """Sees clips (`see`), reads captions (`read`), and says whether they match (`match`).

    Names of parameters are those of the released checkpoints. There is no `no_weight_decay`: the released model has
    none and decays its embeddings and its temperature.

    Raises:
        ImportError: transformers is not installed (extra `lab`).
    """

    def __init__(self, config: VideoTextConfig):
        super().__init__()
        self.config = config
        vision_dim, text_dim = config.vision.embed_dim, config.text.dim
        self.vision_encoder = VisionTower(config.vision)
        self.text_encoder = TextEncoder(config.text)
        self.vision_proj = nn.Linear(vision_dim, config.embed_dim)
        self.text_proj = nn.Linear(text_dim, config.embed_dim)
        self.temp = nn.Parameter(torch.tensor(float(config.temperature)))
        self.itm_head = nn.Linear(text_dim, 2)

    def forward(
        self, clip: Tensor, ids: Int64[Tensor, "captions length"], attends: Bool[Tensor, "captions length"]
    ) -> tuple[Float[Tensor, "clips frames embed_dim"], Float[Tensor, "captions embed_dim"]]:
        """Clips and captions in the space where they are compared; neither has length 1 yet.

        Args:
            clip: (clips, 3, time, height, width), normalised.
            ids, attends: token ids of captions, [CLS] first, and True where there is one and no padding.

        Raises:
            ValueError, TypeError: the clip does not fit.
        """
        return self.vision_proj(self.see(clip).pooled), self.text_proj(self.read(ids, attends)[:, 0])

    def see(self, clip: Tensor, mask: Tensor | None = None, keep_temporal: bool | None = None) -> Seen:
        """What the tower makes of clips, see `VisionTower.see`."""
        return self.vision_encoder.see(clip, mask, keep_temporal)

    def read(
        self, ids: Int64[Tensor, "captions length"], attends: Bool[Tensor, "captions length"]
    ) -> Float[Tensor, "captions length text_dim"]:
        """What the text layers make of captions; token 0 stands for all of it."""
        return self.text_encoder(ids, attends)

    def match(
        self,
        text: Float[Tensor, "pairs length text_dim"],
        attends: Bool[Tensor, "pairs length"],
        vision: Float[Tensor, "pairs tokens vision_dim"],
    ) -> Float[Tensor, "pairs 2"]:
        """Logits of "does not match" and "matches" for pairs of a caption, as `read`, and a clip's tokens, as seen."""
        return self.itm_head(self.text_encoder.fuse(text, attends, vision)[:, 0])

    @torch.no_grad()
    def clamp_temperature_(self) -> None:
        """Keep the temperature between 0.001 and 0.5, in place; the objective does it before every step."""
        self.temp.clamp_(LEAST_TEMPERATURE, MOST_TEMPERATURE)

    def set_backend(self, backend: str) -> "VideoText":
        """As `VideoMamba.set_backend`, for the tower."""
        self.vision_encoder.set_backend(backend)
        return self


def load_video_text_weights(model: VideoText, state_dict: Mapping[str, Tensor]) -> None:
    """Load released weights, or our own. All must fit; else nothing is loaded.

    Args:
        model: of the configuration that the weights were trained with. Fine-tuned weights without a head for words need
            `TextConfig(has_language_head=False)`: see `without_language_head`.
        state_dict: of `UMT_VIDEOMAMBA`. Its list of positions, which is no weight, is passed over, and a text encoder
            saved without its wrapper is recognised.

    Raises:
        ValueError: names or shapes differ; the message lists what is missing, unexpected, or of another shape.
    """
    ours = {_our_name(name): value for name, value in state_dict.items() if not name.endswith("position_ids")}
    if differences := list_differences(model.state_dict(), ours):
        raise ValueError(f"state_dict: expected the weights of this VideoText; {'; '.join(differences)}")
    model.load_state_dict(ours, strict=True)


def without_language_head(config: VideoTextConfig) -> VideoTextConfig:
    """The same configuration for a model that names no words, as the released retrieval models are."""
    return replace(config, text=replace(config.text, has_language_head=False))


def _our_name(name: str) -> str:
    for part in ("embeddings.", "encoder."):
        if name.startswith(f"text_encoder.{part}"):
            return name.replace("text_encoder.", "text_encoder.bert.", 1)
    return name
