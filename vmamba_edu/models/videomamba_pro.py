"""VideoMambaPro: VideoMamba with another mixer. Which one, `variant` says; see the table in `pro_mixer`.

Nothing but the mixer differs: embeddings, norms, residual stream and head are VideoMamba's, and so are the sizes of the
three named models.

Source: VideoMambaPro (arXiv 2406.19006) §4; `VisionMamba` (videomambapro/models/videomambapro.py of
hotfinda/VideoMambaPro). As released, that file does not run: it says bimamba=True to a mixer that knows `bimamba_type`
only. Beside the mixer of OpenGVLab/VideoMamba it runs, and is VideoMamba. So which of its mixers was meant is open, and
`variant` leaves the choice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from types import MappingProxyType
from typing import Any, ClassVar, no_type_check

from vmamba_edu.models.configuration import VideoMambaConfig
from vmamba_edu.models.mixer import Mixer
from vmamba_edu.models.pro_mixer import ProMixer, ProVariant, check_variant
from vmamba_edu.models.published_keywords import Translation
from vmamba_edu.models.videomamba import VideoMamba

BIMAMBA_TYPES = {"v1": "released_v1", "v2": "released_v2", "none": "released_none"}


def variant_of(bimamba_type: object) -> dict[str, Any]:
    """The published keyword as ours."""
    if bimamba_type not in BIMAMBA_TYPES:
        raise ValueError(f"bimamba_type: expected {', '.join(map(repr, BIMAMBA_TYPES))}, got {bimamba_type!r}")
    return {"variant": BIMAMBA_TYPES[bimamba_type]}


@no_type_check  # for checkers at run time: __post_init__ checks every value, and its messages say more
@dataclass(frozen=True)
class VideoMambaProConfig(VideoMambaConfig):
    """Everything that decides the shape of a VideoMambaPro: the keywords of VideoMamba and those of its mixer.

    Args:
        variant: "released_v1" (the default, the only released one that masks), "released_v2", "released_none" or
            "paper". The published keyword `bimamba_type` is read too: "v1", "v2" or "none".
        if_divide_out, init_layer_scale: of the mixer, see `ProMixer`.

    `bidirectional` stays True: "released_none" is the variant that reads in one direction. It looks at tokens that come
    before alone, so that [cls], which stands first, sees nothing.

    Raises:
        ValueError, TypeError: a value cannot be; the message names it, what was expected and what came.
    """

    variant: ProVariant = "released_v1"
    if_divide_out: bool = False
    init_layer_scale: float | None = None

    published: ClassVar[Mapping[str, Translation]] = MappingProxyType(
        {"bimamba_type": variant_of, **VideoMambaConfig.published}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_variant(self.variant, self.if_divide_out, self.scan_order)
        if not self.bidirectional:
            raise ValueError("bidirectional: expected True, as variant decides that here; try variant='released_none'")
        if self.init_layer_scale is not None and not isinstance(self.init_layer_scale, Real):
            raise ValueError(f"init_layer_scale: expected a number or None, got {self.init_layer_scale!r}")


class VideoMambaPro(VideoMamba):
    """Classifies clips as `VideoMamba` does, with the mixer of one variant of VideoMambaPro in every block.

    `vmamba_edu.create_model("videomambapro_tiny", variant="paper")` makes one by name. Its parameters have the released
    names. Those of "paper" and "released_v2" are VideoMamba's, whose checkpoints they load.
    """

    config: VideoMambaProConfig

    def make_mixer(self) -> Mixer:
        """One block's mixer, freshly made."""
        config = self.config
        return ProMixer(
            config.embed_dim,
            variant=config.variant,
            d_state=config.d_state,
            d_conv=config.d_conv,
            expand=config.expand,
            dt_rank=config.dt_rank,
            if_divide_out=config.if_divide_out,
            init_layer_scale=config.init_layer_scale,
            scan_order=config.scan_order,
        )
