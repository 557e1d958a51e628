"""Video: from files, lists and drawn digits to the clips that a model takes.

    sample = moving_digits(digit=7, motion="left")
    path = write_video("left.mp4", sample.frames, fps=8)
    clip = read_clip(path, 8)
    x = clip_to_tensor(clip.frames, size=224)

    records = read_list("train.csv", "kinetics400", prefix="/data")
    data = VideoDataset(records, SparseSampler(8), training_transform(224), on_error="skip")

The room, from left to right; a file is one idea:

- **files**: `reader` (chosen frames of any file), `streaming` (one frame at a time, whatever the length), `encode` (to
  write one); behind them `container`, `frame_index`, `decode`, `orientation`, `errors`.
- **which frames**: `sampling` (sparse and dense, Kinetics), `ssv2_sampling`, `segment_sampling` (masked pre-training,
  captions), `windows` (LVU); `samplers` makes objects of them that a data set holds.
- **views**: `views`, several clips and crops of each video in a test, and what they say together.
- **pixels**: `resizing`, `jitter`, `pixel_ops`, `rand_augment`, `multi_scale_crop` on uint8 frames; `normalisation` and
  `transforms` make the tensor; `recipes` puts the published ones together; `batch_mixing` is mixup and CutMix.
- **lists**: `list_files`, `annotation_files`, `caption_files`, `image_lists` turn published lists into `records`.
- **data sets**: `datasets` (records in, samples out; `media` reads them), `moving_digits_data`, `long_digits`;
  `write_clips` puts drawn ones on disk.
- **digits**: `moving_digits`, `digit_scene`, `digit_images`, `digit_ink`, `photo_backgrounds`.

Frames are uint8 (time, height, width, 3), clips float32 (channel, time, height, width). Decoders, digits and Pillow are
imported when they are used; they need the extra `video`, pictures and photographs `lab`.
"""

from vmamba_edu.video.annotation_files import (
    parse_coin_annotations,
    parse_epic_kitchens,
    parse_kinetics_annotations,
    parse_moments_categories,
    parse_moments_in_time,
    parse_ssv2_annotations,
)
from vmamba_edu.video.batch_mixing import BatchMixing, soft_targets
from vmamba_edu.video.caption_files import (
    CAPTION_SETS,
    RetrievalTruth,
    clean_caption,
    media_numbers,
    one_caption_each,
    parse_captions,
    read_captions,
    retrieval_truth,
)
from vmamba_edu.video.datasets import VideoDataset, collate_samples, sample_generator
from vmamba_edu.video.digit_images import SPLITS
from vmamba_edu.video.digit_scene import MOTIONS
from vmamba_edu.video.encode import write_video
from vmamba_edu.video.errors import VideoReadError
from vmamba_edu.video.image_lists import read_image_folder
from vmamba_edu.video.jitter import ColourJitter, RandomErasing, TemporalJitter
from vmamba_edu.video.list_files import LIST_FORMS, ListForm, parse_list, read_list
from vmamba_edu.video.long_digits import LongDigits, LongFilm
from vmamba_edu.video.moving_digits import MovingDigitsSample, moving_digits
from vmamba_edu.video.moving_digits_data import MovingDigits
from vmamba_edu.video.multi_scale_crop import MultiScaleCrop
from vmamba_edu.video.normalisation import (
    CLIP_MEAN,
    CLIP_STD,
    HALF_MEAN,
    HALF_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    NORMALISATIONS,
    TIMESFORMER_MEAN,
    TIMESFORMER_STD,
)
from vmamba_edu.video.photo_backgrounds import PHOTO_ATTRIBUTION
from vmamba_edu.video.rand_augment import RandAugment
from vmamba_edu.video.reader import Clip, VideoInfo, read_clip, video_info
from vmamba_edu.video.recipes import (
    TRAINING_RECIPES,
    Compose,
    SquareResize,
    TestTransform,
    ToModel,
    TrainingRecipe,
    test_transform,
    training_transform,
    validation_transform,
)
from vmamba_edu.video.records import ListError, Record
from vmamba_edu.video.resizing import (
    CentreCrop,
    RandomHorizontalFlip,
    RandomResizedCrop,
    ShortSideResize,
    resize,
    resize_short_side,
)
from vmamba_edu.video.samplers import (
    CaptionSampler,
    DenseSampler,
    PretrainingSampler,
    Sampler,
    SparseSampler,
    SSv2FramesSampler,
    SSv2Sampler,
)
from vmamba_edu.video.sampling import (
    dense_test_indices,
    dense_train_indices,
    dense_validation_indices,
    dense_validation_indices_as_published,
    sparse_test_indices,
    sparse_train_indices,
    uniform_indices,
)
from vmamba_edu.video.segment_sampling import (
    caption_middle_indices,
    caption_random_indices,
    caption_random_indices_as_published,
    pretraining_clip_indices,
    pretraining_indices,
    rate_indices,
)
from vmamba_edu.video.ssv2_sampling import (
    raw_frame_name,
    ssv2_all_test_indices,
    ssv2_frames_test_indices,
    ssv2_frames_train_indices,
    ssv2_frames_validation_indices,
    ssv2_test_indices,
    ssv2_train_indices,
    ssv2_validation_indices,
)
from vmamba_edu.video.streaming import StreamedFrame, stream_frames
from vmamba_edu.video.transforms import clip_to_tensor
from vmamba_edu.video.views import (
    MergedViews,
    View,
    all_views,
    crop_start,
    merge_scalars,
    merge_views,
    published_video_id,
    view_crop,
)
from vmamba_edu.video.windows import Window, cut_into_windows, sliding_windows
from vmamba_edu.video.write_clips import write_clips

__all__ = [
    "CAPTION_SETS",
    "CLIP_MEAN",
    "CLIP_STD",
    "HALF_MEAN",
    "HALF_STD",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "LIST_FORMS",
    "MOTIONS",
    "NORMALISATIONS",
    "PHOTO_ATTRIBUTION",
    "SPLITS",
    "TIMESFORMER_MEAN",
    "TIMESFORMER_STD",
    "TRAINING_RECIPES",
    "BatchMixing",
    "CaptionSampler",
    "CentreCrop",
    "Clip",
    "ColourJitter",
    "Compose",
    "DenseSampler",
    "ListError",
    "ListForm",
    "LongDigits",
    "LongFilm",
    "MergedViews",
    "MovingDigits",
    "MovingDigitsSample",
    "MultiScaleCrop",
    "PretrainingSampler",
    "RandAugment",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "Record",
    "RetrievalTruth",
    "SSv2FramesSampler",
    "SSv2Sampler",
    "Sampler",
    "ShortSideResize",
    "SparseSampler",
    "SquareResize",
    "StreamedFrame",
    "TemporalJitter",
    "TestTransform",
    "ToModel",
    "TrainingRecipe",
    "VideoDataset",
    "VideoInfo",
    "VideoReadError",
    "View",
    "Window",
    "all_views",
    "caption_middle_indices",
    "caption_random_indices",
    "caption_random_indices_as_published",
    "clean_caption",
    "clip_to_tensor",
    "collate_samples",
    "crop_start",
    "cut_into_windows",
    "dense_test_indices",
    "dense_train_indices",
    "dense_validation_indices",
    "dense_validation_indices_as_published",
    "media_numbers",
    "merge_scalars",
    "merge_views",
    "moving_digits",
    "one_caption_each",
    "parse_captions",
    "parse_coin_annotations",
    "parse_epic_kitchens",
    "parse_kinetics_annotations",
    "parse_list",
    "parse_moments_categories",
    "parse_moments_in_time",
    "parse_ssv2_annotations",
    "pretraining_clip_indices",
    "pretraining_indices",
    "published_video_id",
    "rate_indices",
    "raw_frame_name",
    "read_captions",
    "read_clip",
    "read_image_folder",
    "read_list",
    "resize",
    "resize_short_side",
    "retrieval_truth",
    "sample_generator",
    "sliding_windows",
    "soft_targets",
    "sparse_test_indices",
    "sparse_train_indices",
    "ssv2_all_test_indices",
    "ssv2_frames_test_indices",
    "ssv2_frames_train_indices",
    "ssv2_frames_validation_indices",
    "ssv2_test_indices",
    "ssv2_train_indices",
    "ssv2_validation_indices",
    "stream_frames",
    "test_transform",
    "training_transform",
    "uniform_indices",
    "validation_transform",
    "video_info",
    "view_crop",
    "write_clips",
    "write_video",
]
