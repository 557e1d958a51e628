"""Laws of the masked student: what it sees, what is aligned, and which weights that trains."""

import pytest
import torch
from agreement import random_clip
from small_mambas import shaken, small_student

from vmamba_edu.models import MaskedStudentConfig
from vmamba_edu.models.masked_student import kept_tokens, sinusoidal_places


def half_masked(tokens: int = 8) -> torch.Tensor:
    """Half of the patches of two samples, others in each."""
    return torch.stack([torch.arange(tokens) % 2 == sample for sample in range(2)])


def trained(student, mask=None) -> set[str]:
    """The parameters that the alignment has any influence on."""
    said = student(random_clip(student), mask)
    (said * torch.randn(said.shape, generator=torch.Generator().manual_seed(3))).sum().backward()
    return {name for name, value in student.named_parameters() if value.grad is not None and value.grad.any()}


@pytest.mark.parametrize("cls_position", ["first", "middle"])
def test_what_is_dropped_has_no_influence_and_what_is_visible_has(cls_position):
    student = shaken(small_student(cls_position=cls_position))
    clip = random_clip(student).requires_grad_()
    mask = half_masked()
    student(clip, mask).square()[..., 0].sum().backward()
    pixels = clip.grad.unfold(3, 8, 8).unfold(4, 8, 8)  # batch, channel, time, and the grid of patches
    seen = pixels.flatten(5).any(-1).any(1).flatten(1)
    assert torch.equal(seen, ~mask)


def test_no_mask_and_an_empty_one_show_everything():
    student = shaken(small_student())
    clip = random_clip(student)
    everything = torch.zeros(2, 8, dtype=torch.bool)
    assert torch.equal(student(clip), student(clip, everything))
    assert torch.equal(student.encode(clip).tokens, student.forward_features(clip))


@pytest.mark.parametrize(("cls_position", "column"), [("first", 0), ("middle", 4)])
def test_a_mask_may_have_a_column_for_cls(cls_position, column):
    student = shaken(small_student(cls_position=cls_position))
    clip, mask = random_clip(student), half_masked()
    with_cls = torch.cat([mask[:, :column], torch.zeros(2, 1, dtype=torch.bool), mask[:, column:]], dim=1)
    assert torch.equal(student(clip, mask), student(clip, with_cls))


def test_each_visible_token_is_told_its_place_in_the_whole_clip():
    student = shaken(small_student())
    encoded = student.encode(random_clip(student), half_masked())
    assert encoded.kept.tolist() == [[0, 2, 4, 6, 8], [0, 1, 3, 5, 7]]
    decoder = student.clip_decoder[0]
    places = sinusoidal_places(9, 16)[encoded.kept]
    expected = decoder.norm(decoder.head(encoded.aligned[0] + places))
    assert torch.equal(student.decode(encoded)[0], expected)


def test_places_are_sines_and_cosines_in_turn():
    places = sinusoidal_places(50, 6).double()
    position = torch.arange(50, dtype=torch.float64)
    for channel in range(6):
        wave = torch.sin if channel % 2 == 0 else torch.cos
        expected = wave(position / 10000 ** (2 * (channel // 2) / 6))
        torch.testing.assert_close(places[:, channel], expected, rtol=0, atol=1e-7)  # they are rounded to float32
    assert sinusoidal_places(4, 5).shape == (4, 5)


def test_what_is_said_has_length_one_unless_it_is_left_as_it_is():
    student, plain = shaken(small_student()), shaken(small_student(align_norm="none"))
    clip, mask = random_clip(student), half_masked()
    said = student(clip, mask)
    assert said.shape == (1, 2, 5, 5)
    torch.testing.assert_close(said.norm(dim=-1), torch.ones(1, 2, 5))
    assert torch.equal(plain(clip, mask), student.decode(student.encode(clip, mask)))


def test_as_published_the_last_block_and_the_norm_are_never_trained():
    names = trained(shaken(small_student(depth=3)), half_masked())
    untrained = {name for name in names if name.startswith(("layers.2.", "norm."))}
    assert untrained == set()
    assert {"layers.1.mixer.A_log", "layers.1.norm.weight", "clip_decoder.0.head.weight"} <= names


def test_complete_trains_the_last_block_but_not_the_norm():
    student = shaken(small_student(depth=3, align_last="complete"))
    names = trained(student, half_masked())
    assert {name for name, _ in student.named_parameters()} - names == {"norm.weight"}


@pytest.mark.parametrize("align_last", ["published", "complete"])
def test_a_second_feature_trains_the_norm(align_last):
    student = shaken(small_student(depth=3, aligned_layers=2, align_last=align_last))
    names = trained(student)
    assert "norm.weight" in names
    assert any(name.startswith("layers.2.mixer.") for name in names) is (align_last == "complete")
    assert any(name.startswith("layers.1.mixer.") for name in names)


def test_the_aligned_features_are_what_their_blocks_left_from_shallow_to_deep():
    student = shaken(small_student(depth=5, aligned_layers=3, align_interval=1.5))
    assert student.config.aligned_blocks == (1, 3, 4)  # 5 - 1 - int(3), - int(1.5), - 0
    clip = random_clip(student)
    _, blocks = student.forward_features(clip, return_blocks=True)
    encoded = student.encode(clip)
    for feature, block in zip(encoded.aligned, (1, 3), strict=False):
        hidden, residual = blocks[block]
        assert torch.equal(feature, student.norm(residual + hidden))
    assert torch.equal(encoded.aligned[2], blocks[4][1])


def test_complete_is_published_and_what_the_last_mixer_said():
    published, complete = shaken(small_student()), shaken(small_student(align_last="complete"))
    clip = random_clip(published)
    _, blocks = published.forward_features(clip, return_blocks=True)
    (ours,), (whole,) = published.encode(clip).aligned, complete.encode(clip).aligned
    assert torch.equal(whole, ours + blocks[-1][0])


def test_in_training_the_tokens_and_the_last_feature_drop_the_same_samples():
    student = shaken(small_student(align_last="complete", drop_path_rate=0.5)).train()
    torch.manual_seed(0)
    encoded = student.encode(torch.randn(16, 3, 2, 16, 16))
    assert torch.equal(encoded.tokens, student.norm(encoded.aligned[0]))


def test_the_norm_has_the_name_of_pre_training_and_there_is_no_head():
    names = {name.split(".")[0] for name in small_student().state_dict()}
    assert names == {
        *("cls_token", "pos_embed", "temporal_pos_embedding", "patch_embed", "layers", "norm", "clip_decoder"),
    }


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.zeros(2, 7, dtype=torch.bool), r"mask: expected \(2, 8\).*or \(2, 9\) with \[cls\], got \(2, 7\)"),
        (torch.zeros(1, 8, dtype=torch.bool), r"got \(1, 8\)"),
        (torch.eye(2, 9).bool(), r"mask: expected \[cls\], token 0, never to be dropped"),
        (torch.ones(2, 8).tril().bool(), r"as many visible tokens in every sample, got \[8, 7\]"),
    ],
)
def test_a_mask_that_does_not_fit_is_named(mask, message):
    student = small_student()
    with pytest.raises(ValueError, match=message):
        student(random_clip(student), mask)


@pytest.mark.parametrize("mask", [torch.zeros(2, 8), [[True] * 8] * 2])
def test_a_mask_of_numbers_is_refused(mask):
    with pytest.raises(TypeError, match="mask: expected a boolean tensor, True for what is dropped, got"):
        kept_tokens(mask, 2, 9)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"num_classes": 400}, "num_classes: expected 0, as a masked student has no head, got 400"),
        ({"aligned_layers": 0}, "aligned_layers: expected an integer of at least 1, got 0"),
        ({"depth": 3, "aligned_layers": 4}, "aligned_layers: expected layers that depth = 3 blocks have, got 4 layers"),
        ({"align_interval": 0.5}, r"align_interval: expected a number of at least 1, got 0\.5"),
        ({"align_norm": "l1"}, "align_norm: expected 'l2' or 'none', got 'l1'"),
        ({"align_last": "fused"}, "align_last: expected 'published' or 'complete', got 'fused'"),
        ({"clip_decoder_embed_dim": 768}, "clip_decoder_embed_dim: expected embed_dim = 192, got 768"),
    ],
)
def test_a_value_that_cannot_be_is_named(keywords, message):
    with pytest.raises(ValueError, match=message):
        MaskedStudentConfig().with_overrides(**keywords)


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ({"clip_output_dim": 7}, {"teacher_dim": 7}),
        ({"clip_return_layer": 2, "clip_student_return_interval": 3}, {"aligned_layers": 2, "align_interval": 3}),
        ({"clip_norm_type": "none"}, {"align_norm": "none"}),
        ({"fused_add_norm": False}, {"align_last": "complete"}),
        ({"fused_add_norm": True, "kernel_size": 2}, {"align_last": "published", "tubelet_size": 2}),
        ({"clip_decoder_embed_dim": 64, "embed_dim": 64}, {"embed_dim": 64}),
    ],
)
def test_published_spellings_mean_ours(published, ours):
    start = MaskedStudentConfig()
    assert start.with_overrides(**published) == start.with_overrides(**ours)
