"""Starting a video transformer from an image model, which has seen far more pictures than there are clips.

Three things have no counterpart in an image model. Positions are repeated for every step in time. A kernel that spans
several frames is made from one that spans one: by averaging, by taking the central frame alone, or by rank pooling,
which begins with how the frames differ. And an attention along time starts by saying nothing, so that at first every
frame is read exactly as the image model reads it.

Source: ViViT (arXiv 2103.15691) §3.4, eq. 8 and 9; `init_posemb`, `init_embedding` and `init_encoderblock`
(projects/vivit/model_utils.py of google-research/scenic); `load_pretrained` (timesformer/models/helpers.py).
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from vmamba_edu.models.attention import Encoder
from vmamba_edu.models.configuration import check_choice
from vmamba_edu.models.timesformer import DividedBlock, TimeSformer
from vmamba_edu.models.vit import ViT
from vmamba_edu.models.vivit import ViViT
from vmamba_edu.models.vivit_blocks import FactorisedEncoder, FactorisedSelfAttentionBlock

INFLATIONS = ("average", "central_frame", "rank_pooling")


def initialise_from_image_(video: ViViT | TimeSformer, image: ViT, inflation: str = "average") -> None:
    """Copy what an image model has learnt into a video model. The head stays as it is: the classes are others.

    Positions are resized if the pictures differ in size. [cls] is copied if both have one. Left as they were: the
    second encoder of ViViT's model 2 and the time positions of TimeSformer. Attention along time is set to say nothing
    in ViViT's model 3; in TimeSformer it is a copy of that in space before a `temporal_fc` of zeros. See
    `zero_temporal_attention_`.

    Args:
        video: the model to change.
        image: of the same depth, width, number of heads, MLP and patch size. ViViT approximates gelu and an image model
            usually does not; the two differ by less than 0.001 and that is not held against them.
        inflation: "average", "central_frame" or "rank_pooling": how tubelets are made from patches, see
            `inflate_kernel`.

    Raises:
        ValueError: the models do not fit, or there is no such inflation.
    """
    check_choice("inflation", inflation, INFLATIONS)
    for name in ("embed_dim", "depth", "num_heads", "mlp_dim", "patch_size"):
        expected, came = getattr(video.config, name), getattr(image.config, name)
        if expected != came:
            raise ValueError(f"image: expected {name} = {expected} as in the video model, got {came}")
    with torch.no_grad():
        _copy_patch_embedding(video, image, inflation)
        _copy_encoder(_reader_of_frames(video), image, video.config.frame_grid)
    zero_temporal_attention_(video)


def inflate_kernel(
    kernel: Float[Tensor, "dim channel height width"], tubelet_size: int, inflation: str = "average"
) -> Float[Tensor, "dim channel frames height width"]:
    """A kernel for tubelets from one for patches (ViViT eq. 8 and 9).

    "average" divides it over all frames, "central_frame" puts it at frame tubelet_size // 2 and zeros elsewhere: the
    model starts as if it saw that frame alone. "rank_pooling" weights frames from negative to positive, so that what
    stands still is not seen at all (Dynamic Image Networks, eq. 3, divided by the number of frames; not in the paper,
    but in the released code). The released function that *draws* a central-frame kernel cuts it along its width instead
    of time; the one that inflates a trained kernel, which this follows, does not.

    Raises:
        ValueError: there is no such inflation.
    """
    check_choice("inflation", inflation, INFLATIONS)
    if inflation == "average":
        weights = torch.full((tubelet_size,), 1 / tubelet_size, dtype=torch.float64)
    elif inflation == "central_frame":
        weights = F.one_hot(torch.tensor(tubelet_size // 2), tubelet_size)
    else:
        weights = rank_pooling_weights(tubelet_size)
    return torch.einsum("dchw,t->dcthw", kernel, weights.to(kernel))


def rank_pooling_weights(frames: int) -> Float[Tensor, " frames"]:
    """α_t / T with α_t = 2 (T - t + 1) - (T + 1) (H_T - H_{t-1}), t = 1 … T, H the harmonic numbers. They sum to 0."""
    t = torch.arange(1, frames + 1, dtype=torch.float64)
    still_to_come = (1 / t).flip(0).cumsum(0).flip(0)  # H_T - H_{t-1}
    return (2 * (frames - t + 1) - (frames + 1) * still_to_come) / frames


def resize_positions(
    positions: Float[Tensor, "1 old_patches dim"], old: tuple[int, int], new: tuple[int, int]
) -> Float[Tensor, "1 new_patches dim"]:
    """Positions of a grid (height, width) of patches for one of another size: bilinear, corners stay corners."""
    if old == new:
        return positions
    grid = rearrange(positions, "1 (h w) dim -> 1 dim h w", h=old[0])
    resized = F.interpolate(grid, size=new, mode="bilinear", align_corners=True)
    return rearrange(resized, "1 dim h w -> 1 (h w) dim")


def resize_time_positions(positions: Float[Tensor, "1 old_time dim"], time: int) -> Float[Tensor, "1 new_time dim"]:
    """Positions in time for another number of steps: linear, the first stays first and the last stays last.

    For a clip of another length than the model was trained with, such as in model 2's second encoder.
    """
    channels_first = rearrange(positions, "1 t dim -> 1 dim t")
    resized = F.interpolate(channels_first, size=time, mode="linear", align_corners=True)
    return rearrange(resized, "1 dim t -> 1 t dim")


def repeat_positions(positions: Float[Tensor, "1 patches dim"], time: int) -> Float[Tensor, "1 all_patches dim"]:
    """The positions of one frame for all of them, frame by frame."""
    return repeat(positions, "1 s dim -> 1 (t s) dim", t=time)


def zero_temporal_attention_(model: ViViT | TimeSformer, scope: str = "output") -> None:
    """Let the attention along time of ViViT's model 3, or of TimeSformer's divided blocks, say nothing at first.

    Each block then starts as the image model's. The other models have no such attention and stay as they are.

    Args:
        model: the model to change.
        scope: "output" sets the last map to zero, and learning begins there. "all" sets every weight of model 3's
            attention to zero, as the paper says (§3.4) and the released code does. It starts as the same function but
            cannot leave it: where values and output map are both zero, neither gets a gradient, and only the last
            bias ever learns. In TimeSformer it is `temporal_fc` that is zero, after an attention that is not, in either
            case.

    Raises:
        ValueError: there is no such scope.
    """
    check_choice("scope", scope, ("output", "all"))
    for block in model.modules():
        if isinstance(block, FactorisedSelfAttentionBlock):
            set_to_zero_(block.attn_time.proj if scope == "output" else block.attn_time)
        elif isinstance(block, DividedBlock):
            set_to_zero_(block.temporal_fc)


def set_to_zero_(module: nn.Module) -> None:
    """Every parameter of a module."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)


def _reader_of_frames(video: ViViT | TimeSformer) -> Encoder | TimeSformer:
    """The part of a video model that has what an image model's encoder has."""
    if isinstance(video, TimeSformer):
        return video
    return video.encoder.spatial if isinstance(video.encoder, FactorisedEncoder) else video.encoder


def _copy_patch_embedding(video: ViViT | TimeSformer, image: ViT, inflation: str) -> None:
    kernel = rearrange(image.patch_embed.proj.weight, "dim channel 1 h w -> dim channel h w")
    video.patch_embed.proj.weight.copy_(inflate_kernel(kernel, video.patch_embed.tubelet_size, inflation))
    video.patch_embed.proj.bias.copy_(image.patch_embed.proj.bias)  # type: ignore[union-attr, arg-type]


def _copy_encoder(target: Encoder | TimeSformer, image: ViT, grid: tuple[int, int]) -> None:
    """[cls], positions, blocks and norm; `grid` is that of a frame of the target."""
    source = image.encoder
    if target.cls_token is not None and source.cls_token is not None:
        target.cls_token.copy_(source.cls_token)
        target.pos_embed[:, :1].copy_(source.pos_embed[:, :1])
    places = target.pos_embed[:, int(target.cls_token is not None) :]
    resized = resize_positions(source.pos_embed[:, int(source.has_cls) :], image.config.frame_grid, grid)
    places.copy_(repeat_positions(resized, places.shape[1] // resized.shape[1]))
    for block, image_block in zip(target.blocks, source.blocks, strict=True):
        block.load_state_dict(block.state_dict() | in_words_of(block, image_block.state_dict()))
    target.norm.load_state_dict(source.norm.state_dict())


def in_words_of(block: nn.Module, image_block: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of an image model's block under the names, and in the places, that a block of a video model has."""
    if isinstance(block, FactorisedSelfAttentionBlock):
        words = {"norm1.": "norm_space.", "attn.": "attn_space.", "norm2.": "norm_mlp."}
        return {rename(name, words): value for name, value in image_block.items()}
    copies = {}
    if isinstance(block, DividedBlock):
        words = {"norm1.": "temporal_norm1.", "attn.": "temporal_attn."}
        copies = {rename(name, words): value for name, value in image_block.items()}
    return {**image_block, **copies}


def rename(name: str, words: Mapping[str, str]) -> str:
    """The name with its beginning replaced, if that is among the words."""
    for theirs, ours in words.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name
