"""Means and spreads of red, green and blue, on a scale from 0 to 1, that published models were trained with."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # OpenAI CLIP, and with it the teachers of masked pre-training
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
HALF_MEAN = (0.5, 0.5, 0.5)  # to -1 … 1: ViViT as published by Google, and Inception before it
HALF_STD = (0.5, 0.5, 0.5)
TIMESFORMER_MEAN = (0.45, 0.45, 0.45)
TIMESFORMER_STD = (0.225, 0.225, 0.225)

NORMALISATIONS = {
    "imagenet": (IMAGENET_MEAN, IMAGENET_STD),
    "clip": (CLIP_MEAN, CLIP_STD),
    "half": (HALF_MEAN, HALF_STD),
    "timesformer": (TIMESFORMER_MEAN, TIMESFORMER_STD),
}
