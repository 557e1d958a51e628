"""The losses on tensors: against the published ones (groups 04 to 06), and against loops written out."""

import math

import pytest
import torch
from agreement import assert_agrees
from hypothesis import given
from hypothesis import strategies as st
from reference_data import reference_names

from vmamba_edu.training.objectives import (
    alignment_loss,
    classification_loss,
    contrastive_loss,
    corrupt_tokens,
    draw_negatives,
    masked_language_loss,
    match_targets,
    matching_loss,
    negative_weights,
    similarity,
)

CONTRASTS = reference_names("06_losses")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# The published similarities are computed in float32 from whatever comes in: half a unit in the last place of values
# near 14 (a cosine divided by 0.07), summed over a few dozen terms.
FLOAT32 = {"rtol": 1e-5, "atol": 1e-5}


@pytest.mark.parametrize("name", CONTRASTS)
def test_similarity_and_contrast_are_the_published_ones(reference, name):
    tensors, _ = reference(name)
    vision, text, temp = (tensors[f"in.{key}"].clone().requires_grad_() for key in ("vision_proj", "text_proj", "temp"))
    similarities = similarity(vision, text, temp)
    loss = contrastive_loss(similarities, tensors["in.idx"])
    loss.backward()

    torch.testing.assert_close(similarities.float(), tensors["out.sim_v2t"], **FLOAT32)
    torch.testing.assert_close(similarities.mT.float(), tensors["out.sim_t2v"], **FLOAT32)
    largest = similarity(vision, text, temp, over_frames="max")
    torch.testing.assert_close(largest.float(), tensors["out.sim_v2t_max"], **FLOAT32)
    torch.testing.assert_close(largest.mT.float(), tensors["out.sim_t2v_max"], **FLOAT32)
    torch.testing.assert_close(match_targets(tensors["in.idx"]).float(), tensors["aux.targets"])
    torch.testing.assert_close(loss.float(), tensors["out.loss_vtc"], **FLOAT32)
    for key, value in (("vision_proj", vision), ("text_proj", text), ("temp", temp)):
        expected = tensors[f"grad.{key}"]
        scale = expected.abs().max().item()  # gradients through that float32
        torch.testing.assert_close(value.grad, expected, rtol=1e-5, atol=1e-5 * scale, msg=lambda m, k=key: f"{k}: {m}")


@pytest.mark.parametrize("name", CONTRASTS)
def test_similarity_and_contrast_are_what_loops_say_in_double_precision(reference, name):
    tensors, _ = reference(name)
    vision, text, temp = tensors["in.vision_proj"], tensors["in.text_proj"], tensors["in.temp"].item()
    index = tensors["in.idx"].tolist()
    frames = vision if vision.dim() == 3 else vision[:, None]
    size = len(index)
    scores = [
        [
            sum(float(f @ t / (f.norm() * t.norm())) / temp for f in frames[v]) / frames.shape[1]
            for t in text
        ]
        for v in range(size)
    ]  # fmt: skip

    def cross_entropy(rows: list[list[float]]) -> float:
        total = 0.0
        for i, row in enumerate(rows):
            partition = math.log(sum(math.exp(score) for score in row))
            true = [j for j in range(size) if index[j] == index[i]]
            total -= sum(row[j] - partition for j in true) / len(true)
        return total / size

    expected = (cross_entropy(scores) + cross_entropy([list(column) for column in zip(*scores, strict=True)])) / 2
    ours = contrastive_loss(similarity(vision, text, tensors["in.temp"]), tensors["in.idx"])
    assert ours.item() == pytest.approx(expected, rel=1e-12)  # double precision, a few dozen terms


@pytest.mark.parametrize("name", CONTRASTS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("kind", ["l2", "mse", "smooth_l1"])
@pytest.mark.parametrize("normalise", [True, False], ids=["unit", "as_it_is"])
def test_alignment_is_the_published_one(reference, name, dtype, kind, normalise):
    tensors, _ = reference(name)
    student, teacher = (tensors[f"in.uta_{who}"].to(dtype) for who in ("student", "teacher"))
    ours = alignment_loss(student, teacher, kind, normalise)
    # The stored value is float32: 1e-6 of it.
    torch.testing.assert_close(
        ours.float(), tensors[f"out.uta.{'l2' if normalise else 'none'}.{kind}"], rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", reference_names("05_pretrain"))
def test_alignment_is_that_of_the_published_pre_training(reference, name, dtype):
    tensors, description = reference(name)
    ratio = description["clip_loss_ratio"]
    for kind in ("l2", "mse", "smooth_l1"):
        if f"loss_{kind}.f64" in tensors:
            ours = ratio * alignment_loss(
                tensors["out.x_clip.f64"].to(dtype), tensors["aux.teacher_visible"].to(dtype), kind
            )
            assert_agrees(ours, tensors[f"loss_{kind}.f64"].squeeze(), kind)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("name", reference_names("04_distill"))
def test_distillation_is_cross_entropy_and_alignment_with_weight_one(reference, name, dtype):
    tensors, _ = reference(name)
    logits, features, target = (
        tensors[f"{key}.f64"].to(dtype) for key in ("out.logits", "out.feats", "teacher.out.feats")
    )
    classification, guidance = classification_loss(logits, tensors["in.label"]), alignment_loss(features, target)
    assert_agrees(classification, tensors["loss_cls.f64"], "cross entropy")
    assert_agrees(guidance, tensors["loss_distill.f64"], "distillation")
    assert_agrees(classification + guidance, tensors["loss.f64"], "sum")


@pytest.mark.parametrize("kind", ["l2", "mse", "smooth_l1"])
def test_mixed_precision_does_not_reach_the_comparisons(kind):
    """Clips that differ in the third digit must not look the same: bfloat16 has two."""
    vision, text = torch.randn(3, 2, 8, generator=seeded()), torch.randn(3, 8, generator=seeded(1))
    features, target = (torch.randn(2, 3, 8, generator=seeded(seed)).bfloat16() for seed in (2, 3))
    expected = similarity(vision, text, 0.07), alignment_loss(features.float(), target.float(), kind)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(similarity(vision, text, 0.07), expected[0])
        assert torch.equal(alignment_loss(features, target, kind), expected[1])


def test_the_teacher_of_an_alignment_gets_no_gradient():
    student, teacher = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 3, 4, requires_grad=True)
    alignment_loss(student, teacher, "mse").backward()
    assert student.grad is not None
    assert teacher.grad is None


def test_labels_hard_smoothed_and_soft():
    logits, label = torch.randn(5, 4, dtype=torch.float64, generator=seeded()), torch.tensor([0, 3, 1, 1, 2])
    logs = logits.log_softmax(1)
    hard = -sum(logs[i, k] for i, k in enumerate(label)) / 5
    one_hot = torch.eye(4, dtype=torch.float64)[label]
    torch.testing.assert_close(classification_loss(logits, label), hard)
    smoothed = 0.9 * one_hot + 0.1 / 4
    torch.testing.assert_close(classification_loss(logits, label, 0.1), -(smoothed * logs).sum(1).mean())
    # A distribution is taken as it is, whatever the smoothing.
    for smoothing in (0.0, 0.1):
        torch.testing.assert_close(classification_loss(logits, smoothed, smoothing), -(smoothed * logs).sum(1).mean())


@given(st.lists(st.integers(0, 3), min_size=2, max_size=8).filter(lambda index: len(set(index)) > 1), st.booleans())
def test_negatives_are_never_of_the_same_index(index, hard):
    index = torch.tensor(index)
    similarities = torch.randn(len(index), len(index), generator=seeded(len(index)), dtype=torch.float64)
    weights = negative_weights(similarities, index, hard)
    same = index[:, None] == index
    assert (weights[same] == 0).all()
    expected = (similarities.softmax(1) if hard else torch.ones_like(similarities)).masked_fill(same, 0)
    assert torch.equal(weights, expected)
    drawn = draw_negatives(weights, seeded())
    assert (index[drawn] != index).all()


def test_hard_negatives_are_drawn_as_often_as_they_are_confused():
    similarities = torch.tensor([[5.0, 2.0, 1.0, 0.0]]).expand(4, 4)
    weights = negative_weights(similarities, torch.arange(4))[:1].expand(20000, 4)
    share = draw_negatives(weights, seeded()).bincount(minlength=4) / 20000
    expected = torch.tensor([2.0, 1.0, 0.0]).softmax(0)
    assert share[0] == 0
    assert (share[1:] - expected).abs().max() < 6 * (0.25 / 20000) ** 0.5  # six standard deviations


def test_negatives_can_be_drawn_even_when_the_true_pair_outweighs_them_all():
    weights = negative_weights(torch.tensor([[2000.0, 0.0, 0.0]] * 3), torch.tensor([0, 1, 1]))
    assert torch.equal(weights[0], torch.tensor([0.0, 1.0, 1.0]))
    assert draw_negatives(weights, seeded())[0] in (1, 2)


def test_matching_calls_the_first_third_matches():
    logits = torch.randn(6, 2, dtype=torch.float64, generator=seeded())
    logs = logits.log_softmax(1)
    expected = -(logs[0, 1] + logs[1, 1] + logs[2:, 0].sum()) / 6
    torch.testing.assert_close(matching_loss(logits), expected)


def test_words_are_hidden_as_often_as_published(reference):
    tensors, description = reference("06_mlm_masking")
    measured = description["measured"]
    pad, cls, mask, sep, vocabulary = 0, 2, 3, 4, 50
    ids = torch.randint(5, vocabulary, (400, 40), generator=seeded())
    ids[:, 0], ids[:, 30], ids[:, 31:] = cls, sep, pad
    corrupted, labels = corrupt_tokens(ids, pad=pad, cls=cls, mask=mask, vocab_size=vocabulary, generator=seeded(1))
    chosen, ordinary = labels != -100, ids > sep

    def near(share: torch.Tensor, expected: float, draws: int) -> bool:
        return abs(share.float().mean().item() - expected) < 6 * (2 * 0.25 / draws) ** 0.5  # two samples, six sigma

    assert torch.equal(labels[chosen], ids[chosen])
    assert torch.equal(corrupted[~chosen], ids[~chosen])
    assert not chosen[(ids == pad) | (ids == cls)].any()
    assert near(chosen[ordinary], measured["frac_selected_ordinary"], int(ordinary.sum()))
    assert near(chosen[ids == sep], measured["frac_selected_sep"], 400)
    number = int(chosen.sum())
    assert near((corrupted == mask)[chosen], measured["frac_mask_of_selected"], number)
    assert near((corrupted == ids)[chosen], measured["frac_unchanged_of_selected"], number)

    # The example that is stored obeys the same rules.
    given_ids, masked, stored = (tensors[k] for k in ("in.input_ids", "example.masked_ids", "example.labels"))
    asked = stored != -100
    assert torch.equal(stored[asked], given_ids[asked])
    assert torch.equal(masked[~asked], given_ids[~asked])
    assert not asked[(given_ids == pad) | (given_ids == cls)].any()


def test_the_loss_of_hidden_words_counts_those_that_were_chosen():
    logits, labels = torch.randn(2, 3, 7, dtype=torch.float64), torch.tensor([[-100, 4, -100], [0, -100, 6]])
    logs = logits.log_softmax(-1)
    expected = -(logs[0, 1, 4] + logs[1, 0, 0] + logs[1, 2, 6]) / 3
    torch.testing.assert_close(masked_language_loss(logits, labels), expected)


def test_where_no_word_was_chosen_the_loss_is_nothing_and_not_nan():
    logits = torch.randn(2, 3, 7, requires_grad=True)
    loss = masked_language_loss(logits, torch.full((2, 3), -100))
    loss.backward()
    assert loss.item() == 0
    assert not logits.grad.any()


def test_what_cannot_be_is_refused_by_name():
    features = torch.randn(2, 3)
    with pytest.raises(ValueError, match=r"kind: expected 'l2', 'mse', 'smooth_l1', got 'l1'"):
        alignment_loss(features, features, "l1")
    with pytest.raises(ValueError, match=r"over_frames: expected 'mean' or 'max', got 'sum'"):
        similarity(features, features, over_frames="sum")
    with pytest.raises(ValueError, match=r"index: expected at least two that differ.*got \[1, 1\]"):
        negative_weights(torch.randn(2, 2), torch.tensor([1, 1]))
    with pytest.raises(ValueError, match="logits: expected three pairs for each caption, got 4"):
        matching_loss(torch.randn(4, 2))
    with pytest.raises(ValueError, match=r"label: expected a distribution \(2, 3\), got \(2,\)"):
        classification_loss(features, torch.ones(2))
    with pytest.raises(ValueError, match=r"label: expected \(2,\) classes, got \(3,\)"):
        classification_loss(features, torch.ones(3).long())
    with pytest.raises(ValueError, match="probability: expected a number from 0 to 1, got 2"):
        corrupt_tokens(torch.ones(1, 2).long(), pad=0, cls=2, mask=3, vocab_size=5, probability=2.0)
