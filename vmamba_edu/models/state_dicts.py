"""Published weights of transformers under our names.

Our names are those of timm and of the original TimeSformer; the encoder inside a `ViT` or `ViViT` puts `encoder.` in
front. Hugging Face has names of its own, and for ViViT two sets of them: one in its files, one in the modules of its
recent versions. Both are read.

Source: the state dicts of facebookresearch/TimeSformer, of timm's `VisionTransformer`, and of
`VivitForVideoClassification` and `TimesformerForVideoClassification` in transformers.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from vmamba_edu.models.vit import ViT

# (their words, ours), replaced from top to bottom: what contains another comes before it.
VIVIT = (
    ("vivit.", ""),
    ("encoder.layer.", "layers."),
    ("layers.", "encoder.blocks."),
    ("attention.attention.query.", "attn.q."),
    ("attention.attention.key.", "attn.k."),
    ("attention.attention.value.", "attn.v."),
    ("attention.output.dense.", "attn.proj."),
    ("attention.q_proj.", "attn.q."),
    ("attention.k_proj.", "attn.k."),
    ("attention.v_proj.", "attn.v."),
    ("attention.o_proj.", "attn.proj."),
    ("intermediate.dense.", "mlp.fc1."),
    ("output.dense.", "mlp.fc2."),
    ("layernorm_before.", "norm1."),
    ("layernorm_after.", "norm2."),
    ("layernorm.", "encoder.norm."),
    ("embeddings.cls_token", "encoder.cls_token"),
    ("embeddings.position_embeddings", "encoder.pos_embed"),
    ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
    ("classifier.", "head."),
)
TIMESFORMER = (
    ("timesformer.", ""),
    ("encoder.layer.", "blocks."),
    ("temporal_attention.attention.", "temporal_attn."),
    ("temporal_attention.output.dense.", "temporal_attn.proj."),
    ("attention.attention.", "attn."),
    ("attention.output.dense.", "attn.proj."),
    ("intermediate.dense.", "mlp.fc1."),
    ("output.dense.", "mlp.fc2."),
    ("temporal_layernorm.", "temporal_norm1."),
    ("temporal_dense.", "temporal_fc."),
    ("layernorm_before.", "norm1."),
    ("layernorm_after.", "norm2."),
    ("layernorm.", "norm."),
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.time_embeddings", "time_embed"),
    ("embeddings.patch_embeddings.projection.", "patch_embed.proj."),
    ("classifier.", "head."),
)
WRAPPERS = ("module.", "model.")  # of DistributedDataParallel, and of the class TimeSformer around its transformer


def load_transformer_weights(model: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Load published weights, or our own, into a `ViT`, `ViViT` or `TimeSformer`. All must fit; else nothing is loaded.

    Args:
        model: of the configuration that the weights were trained with.
        state_dict: of Hugging Face's `VivitForVideoClassification` (model 1) or `TimesformerForVideoClassification`, of
            the original TimeSformer, or of timm's `VisionTransformer`; kernels of patches in two or three dimensions.

    Raises:
        ValueError: names or shapes differ; the message lists what is missing, unexpected, or of another shape.
    """
    translated = translate_names(state_dict)
    if isinstance(model, ViT):
        translated = {in_encoder(name): value for name, value in translated.items()}
    if differences := list_differences(model.state_dict(), translated):
        raise ValueError(f"state_dict: expected the weights of this {type(model).__name__}; {'; '.join(differences)}")
    model.load_state_dict(translated, strict=True)


def translate_names(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights under our names, with q, k and v in one matrix and three dimensions in every patch kernel."""
    translated = {}
    for name, value in state_dict.items():
        words = VIVIT if name.startswith("vivit.") else TIMESFORMER if name.startswith("timesformer.") else ()
        if name.startswith("classifier."):  # the same in both
            words = VIVIT
        for wrapper in WRAPPERS:
            name = name.removeprefix(wrapper)
        for theirs, ours in words:
            name = name.replace(theirs, ours)
        is_image_kernel = name == "patch_embed.proj.weight" and value.dim() == 4
        translated[name] = value[:, :, None] if is_image_kernel else value
    return join_qkv(translated)


def join_qkv(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put `attn.q`, `attn.k` and `attn.v` of every block into one `attn.qkv`, in this order."""
    joined = {name: value for name, value in state_dict.items() if not re.search(r"attn\.[qkv]\.", name)}
    for name in state_dict:
        if "attn.q." in name:
            parts = [state_dict.get(name.replace("attn.q.", f"attn.{part}.")) for part in "qkv"]
            joined[name.replace("attn.q.", "attn.qkv.")] = torch.cat([part for part in parts if part is not None])
    return joined


def in_encoder(name: str) -> str:
    """The name of a parameter of timm's `VisionTransformer` in `ViT`."""
    return re.sub(r"^(cls_token$|pos_embed$|blocks\.|norm\.)", r"encoder.\1", name)


def list_differences(expected: Mapping[str, Tensor], came: Mapping[str, Tensor]) -> list[str]:
    """What keeps one state dict from being loaded into the other, in words."""
    wrong = [
        f"{name} {tuple(came[name].shape)} instead of {tuple(value.shape)}"
        for name, value in expected.items()
        if name in came and came[name].shape != value.shape
    ]
    kinds = {
        "missing": sorted(expected.keys() - came.keys()),
        "unexpected": sorted(came.keys() - expected.keys()),
        "of another shape": wrong,
    }
    return [f"{kind}: {', '.join(names)}" for kind, names in kinds.items() if names]
