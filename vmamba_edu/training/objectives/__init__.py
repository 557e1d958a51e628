"""What a model is trained for: objectives, one idea a file.

An objective is called with a model and a batch and answers with a dict of tensors: "loss", the scalar to descend on,
and beside it what it is made of, detached, by name. A batch is a dict: `clip` (batch, 3, time, height, width), `label`
(classes, or a distribution over them), `caption` (list of str), `index` (int64: equal for clips that are the same),
`step` (how many are done), as far as the objective needs them.

The functions underneath take tensors and nothing else: whoever has features of their own can use those.
"""

from vmamba_edu.training.objectives.alignment import alignment_loss
from vmamba_edu.training.objectives.contrastive import contrastive_loss, match_targets, similarity
from vmamba_edu.training.objectives.masked_alignment import MaskedAlignment
from vmamba_edu.training.objectives.masked_language import corrupt_tokens, masked_language_loss
from vmamba_edu.training.objectives.matching import draw_negatives, matching_loss, negative_weights
from vmamba_edu.training.objectives.self_distillation import SelfDistillation
from vmamba_edu.training.objectives.supervised import Supervised, classification_loss
from vmamba_edu.training.objectives.video_text import LossWeights, VideoText

__all__ = [
    "LossWeights",
    "MaskedAlignment",
    "SelfDistillation",
    "Supervised",
    "VideoText",
    "alignment_loss",
    "classification_loss",
    "contrastive_loss",
    "corrupt_tokens",
    "draw_negatives",
    "masked_language_loss",
    "match_targets",
    "matching_loss",
    "negative_weights",
    "similarity",
]
