"""The video-text objective as the loop calls it: its parts, its masks, its draws, and that it teaches something."""

import copy
import math

import pytest
import torch
from small_video_text import CAPTIONS, tiny_model

from vmamba_edu.models.teaching import Teaching
from vmamba_edu.training.objectives import LossWeights, VideoText

pytest.importorskip("transformers")


def assert_is_an_answer(answer: dict[str, torch.Tensor], *parts: str) -> None:
    """A scalar to descend on, and detached, named numbers beside it."""
    assert set(answer) == {"loss", *parts}
    assert answer["loss"].requires_grad
    for name, value in answer.items():
        assert value.shape == ()
        assert name == "loss" or not value.requires_grad


def teacher_of_tokens(dim: int = 12):
    return lambda clip: Teaching(
        torch.ones(1, len(clip), 1 + clip.shape[2] * 4, dim), torch.full((len(clip), clip.shape[2], 4), 0.2)
    )


def batch_of_captions(frames: int = 4) -> dict:
    torch.manual_seed(1)
    return {"clip": torch.randn(4, 3, frames, 16, 16), "caption": CAPTIONS, "index": torch.tensor([0, 1, 2, 2])}


def test_video_text_sums_its_parts_as_weighed():
    model, tokeniser = tiny_model()
    model.eval()
    weights = LossWeights(contrast=1.0, matching=0.5, words=2.0, alignment=0.1)
    objective = VideoText(tokeniser, weights, teacher=teacher_of_tokens(), generator=torch.Generator().manual_seed(0))
    answer = objective(model, batch_of_captions())
    assert_is_an_answer(answer, "contrast", "matching", "words", "alignment")
    expected = answer["contrast"] + 0.5 * answer["matching"] + 2 * answer["words"] + 0.1 * answer["alignment"]
    torch.testing.assert_close(answer["loss"], expected)
    answer["loss"].backward()
    silent = {name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()}
    assert not [name for name in silent if not name.startswith("vision_encoder.layers.1.mixer.conv1d")], silent


def test_a_part_that_does_not_count_is_not_computed():
    model, tokeniser = tiny_model()
    only = VideoText(tokeniser, LossWeights(contrast=1.0, matching=0.0, words=0.0))(model, batch_of_captions())
    assert_is_an_answer(only, "contrast")
    with pytest.raises(ValueError, match="weights: expected at least one part to count"):
        VideoText(tokeniser, LossWeights(0, 0, 0, 0))(model, batch_of_captions())


@pytest.mark.parametrize(
    ("mask", "image_mask", "frames", "pooled"),
    [
        (None, None, 4, 4),
        ("tube", "tube", 4, 4),
        ("tube", None, 4, 1),
        ("attention", "tube", 4, 1),
        ("tube", "tube", 1, 1),
    ],
)
def test_masks_decide_whether_frames_are_pooled_one_by_one(mask, image_mask, frames, pooled, monkeypatch):
    model, tokeniser = tiny_model()
    seen = []
    monkeypatch.setattr(model, "see", lambda *a, see=model.see: seen.append(see(*a)) or seen[-1])
    objective = VideoText(
        tokeniser, mask=mask, mask_ratio=0.5, image_mask=image_mask, image_mask_ratio=0.25, teacher=teacher_of_tokens()
    )
    objective(model, batch_of_captions(frames))
    assert seen[0].pooled.shape == (4, pooled, 16)
    dropped = {1: 1 if image_mask else 0, 4: 8 if mask else 0}[frames]
    assert seen[0].tokens.shape[1] == frames * 4 - dropped


def test_negatives_are_drawn_clips_first():
    _, tokeniser = tiny_model()
    scores, index = torch.randn(4, 4), torch.tensor([0, 1, 2, 2])
    objective = VideoText(tokeniser, generator=torch.Generator().manual_seed(7))
    clips, captions = objective.draw_pairs(scores, index)
    generator = torch.Generator().manual_seed(7)
    for came, rows in ((clips, scores.mT), (captions, scores)):
        weights = rows.softmax(1).masked_fill(index[:, None] == index, 0)
        assert torch.equal(came, torch.multinomial(weights, 1, generator=generator).squeeze(1))


def test_the_temperature_is_clamped_before_the_step():
    model, tokeniser = tiny_model()
    model.temp.data.fill_(7.0)
    VideoText(tokeniser)(model, batch_of_captions())
    assert model.temp.item() == 0.5


def test_a_video_text_model_learns_which_caption_belongs_to_which_clip():
    model, tokeniser = tiny_model()
    objective = VideoText(tokeniser, generator=torch.Generator().manual_seed(0))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batch = batch_of_captions() | {"index": torch.arange(4)}
    first = objective(model, batch)
    for _ in range(60):
        optimiser.zero_grad()
        answer = objective(model, batch)
        answer["loss"].backward()
        optimiser.step()
    assert first["contrast"] > 0.5 * math.log(4)
    assert answer["contrast"] < 0.1
    assert answer["loss"] < 0.6 * first["loss"]


def test_what_cannot_be_is_refused_by_name():
    _, tokeniser = tiny_model()
    with pytest.raises(ValueError, match=r"mask: expected None or one of .*got 'holes'"):
        VideoText(tokeniser, mask="holes")
    for needs_teacher in ({"mask": "attention"}, {"weights": LossWeights(alignment=1.0)}):
        with pytest.raises(ValueError, match="teacher: expected one, for the alignment or for the attention mask"):
            VideoText(tokeniser, **needs_teacher)


def test_an_objective_leaves_its_batch_as_it_was():
    model, tokeniser = tiny_model()
    batch = batch_of_captions()
    before = copy.deepcopy(batch)
    VideoText(tokeniser)(model, batch)
    assert batch.keys() == before.keys()
    assert all(torch.equal(batch[k], before[k]) for k in ("clip", "index"))
