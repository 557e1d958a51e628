"""Text and fusion encoder: the lower layers read a caption, the upper ones read it again while looking at a clip.

    ids ─ embeddings ─ layers 0 … f−1 ─ text tokens ─ layers f … (each looks at the clip's tokens) ─ fused tokens

It is a BERT of transformers' parts, post-norm, with cross-attention in the layers from `fusion_layer` on, whose keys
and values are read from tokens of the clip's width. Names of parameters are the published ones.

Source: videomamba/video_mm/models/backbones/bert/xbert.py (`BertModel`, `BertForMaskedLM`); ALBEF (arXiv 2107.07651)
§3.1; BERT (arXiv 1810.04805).
"""

from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, no_type_check

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from vmamba_edu.models.configuration import check_integer

TextTokens = Float[Tensor, "batch length dim"]
VisionTokens = Float[Tensor, "batch visible vision_dim"]
TextMask = Bool[Tensor, "batch length"]

FAR_BELOW = -10000.0  # added to the score of what must not be looked at: its weight is 0 after the softmax


@no_type_check  # __post_init__ checks every value, and its messages say more
@dataclass(frozen=True)
class TextConfig:
    """What decides the shape of a text and fusion encoder. The defaults are those of the published bert-base.

    Args:
        vocab_size: tokens that there are.
        dim: channels of a token.
        depth: layers.
        fusion_layer: from which layer on tokens look at the clip; with `depth` none does.
        num_heads: of every attention; divides dim.
        mlp_dim: hidden channels of an MLP.
        max_length: positions that there are.
        vision_dim: channels of the clip's tokens.
        dropout: of embeddings, attention weights and outputs.
        pad: id of [PAD].
        has_language_head: whether there is a head that names hidden words.

    Raises:
        ValueError: a value cannot be; the message names it, what was expected and what came.
    """

    vocab_size: int = 30522
    dim: int = 768
    depth: int = 12
    fusion_layer: int = 9
    num_heads: int = 12
    mlp_dim: int = 3072
    max_length: int = 512
    vision_dim: int = 576
    dropout: float = 0.1
    pad: int = 0
    has_language_head: bool = True

    def __post_init__(self) -> None:
        for name in ("vocab_size", "dim", "depth", "num_heads", "mlp_dim", "max_length", "vision_dim"):
            check_integer(name, getattr(self, name), least=1)
        for name in ("fusion_layer", "pad"):
            check_integer(name, getattr(self, name), least=0)
        if self.fusion_layer > self.depth:
            raise ValueError(f"fusion_layer: expected at most depth = {self.depth}, got {self.fusion_layer}")
        if self.dim % self.num_heads:
            raise ValueError(f"num_heads: expected a divisor of dim = {self.dim}, got {self.num_heads}")
        if not isinstance(self.dropout, Real) or not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: expected a number in [0, 1), got {self.dropout!r}")


BERT_BASE = TextConfig()
BERT_LARGE = replace(BERT_BASE, dim=1024, depth=24, fusion_layer=19, num_heads=16, mlp_dim=4096)
TINY = replace(BERT_BASE, dim=64, depth=4, fusion_layer=2, num_heads=4, mlp_dim=128, max_length=32, dropout=0.0)
"""For captions of a few words; give it the vocabulary's size and the clip's width."""


class TextEncoder(nn.Module):
    """Reads captions (`forward`), reads them with a clip (`fuse`), and names hidden words (`predict_words`).

    Raises:
        ImportError: transformers is not installed (extra `lab`).
    """

    def __init__(self, config: TextConfig):
        super().__init__()
        self.config = config
        parts, bert_config = _bert(), _bert_config(config)
        layers = [_make_layer(parts, bert_config, config, index) for index in range(config.depth)]
        self.bert = nn.ModuleDict(
            {
                "embeddings": parts.BertEmbeddings(bert_config),
                "encoder": nn.ModuleDict({"layer": nn.ModuleList(layers)}),
            }
        )
        self.cls = nn.ModuleDict()
        if config.has_language_head:
            self.cls["predictions"] = parts.BertLMPredictionHead(bert_config)
        self.apply(_initialise_)
        self._tie()

    def forward(self, ids: Int64[Tensor, "batch length"], attends: TextMask) -> TextTokens:
        """The caption by itself: what the layers below `fusion_layer` make of it.

        Args:
            ids: (batch, length) with [CLS] first.
            attends: (batch, length), True for tokens, False for padding.

        Raises:
            ValueError: the caption is longer than there are positions.
        """
        if ids.shape[1] > self.config.max_length:
            raise ValueError(f"ids: expected at most max_length = {self.config.max_length} tokens, got {ids.shape[1]}")
        tokens = self.embeddings(ids)
        for layer in self.layers[: self.config.fusion_layer]:
            tokens = layer(tokens, _additive(attends, tokens))
        return tokens

    def fuse(self, tokens: TextTokens, attends: TextMask, vision: VisionTokens) -> TextTokens:
        """The caption read again with the clip in view, by the layers from `fusion_layer` on.

        Args:
            tokens: as `forward` returns them.
            attends: as for `forward`.
            vision: (batch, tokens, vision_dim), all of which are looked at.
        """
        for layer in self.layers[self.config.fusion_layer :]:
            tokens = layer(tokens, _additive(attends, tokens), encoder_hidden_states=vision)
        return tokens

    def predict_words(self, tokens: TextTokens) -> Float[Tensor, "batch length vocabulary"]:
        """Logits of the words that may have stood at each place.

        Raises:
            ValueError: the encoder was made without this head.
        """
        if not self.config.has_language_head:
            raise ValueError("has_language_head: expected True to predict words, got False; make the encoder with it")
        return self.cls["predictions"](tokens)

    @property
    def embeddings(self) -> Any:
        """Of words, positions and token types (which are all the same here)."""
        return self.bert["embeddings"]

    @property
    def layers(self) -> Any:
        """All layers, those that read text alone first."""
        return self.bert.get_submodule("encoder.layer")

    def _tie(self) -> None:
        """The head names words by the vectors with which the embedding reads them; its two biases are one."""
        if self.config.has_language_head:
            head: Any = self.cls["predictions"]
            head.decoder.weight = self.embeddings.word_embeddings.weight
            head.decoder.bias = head.bias


def _make_layer(parts: Any, bert_config: Any, config: TextConfig, index: int) -> nn.Module:
    fuses = index >= config.fusion_layer
    # transformers allows cross-attention in decoders only; these read in both directions all the same.
    bert_config = type(bert_config).from_dict(
        bert_config.to_dict() | {"is_decoder": fuses, "add_cross_attention": fuses}, attn_implementation="sdpa"
    )
    layer = parts.BertLayer(bert_config, layer_idx=index)
    layer.attention.self.is_causal = False  # a mask of padding says so to torch's attention; others look here
    if fuses:
        layer.crossattention.self.key = nn.Linear(config.vision_dim, config.dim)
        layer.crossattention.self.value = nn.Linear(config.vision_dim, config.dim)
    return layer


def _bert_config(config: TextConfig) -> Any:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=config.vocab_size,
        hidden_size=config.dim,
        num_hidden_layers=config.depth,
        num_attention_heads=config.num_heads,
        intermediate_size=config.mlp_dim,
        max_position_embeddings=config.max_length,
        hidden_dropout_prob=config.dropout,
        attention_probs_dropout_prob=config.dropout,
        layer_norm_eps=1e-12,
        pad_token_id=config.pad,
        attn_implementation="sdpa",
    )


@torch.no_grad()
def _initialise_(module: nn.Module) -> None:
    """BERT's own: weights of std 0.02, biases 0, [PAD] 0."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        nn.init.zeros_(module.weight[module.padding_idx])


def _additive(attends: TextMask, tokens: Tensor) -> Tensor:
    """(batch, 1, 1, length) to add to scores: 0 where there is a token."""
    return rearrange((~attends).to(tokens.dtype) * FAR_BELOW, "b length -> b 1 1 length")


def _bert() -> Any:
    try:
        from transformers.models.bert import modeling_bert
    except ImportError as error:
        raise ImportError("text encoders need transformers: pip install 'vmamba-edu[lab]'") from error
    return modeling_bert
