"""Retrieval: ranks against the published ones (group 06) and against loops; re-ranking against scoring every pair."""

import numpy as np
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from reference_data import reference_names
from small_video_text import CAPTIONS, clips_of, published_model, tiny_model

from vmamba_edu.training.retrieval import (
    NOT_COMPARED,
    Scores,
    best_ranks,
    combine_clips,
    dual_scores,
    multiple_choice_accuracy,
    rerank,
    retrieval_metrics,
    zero_shot_scores,
)

METRICS = reference_names("06_retrieval")


def pairing(description: dict) -> torch.Tensor:
    return torch.tensor([description["txt2img"][str(caption)] for caption in range(len(description["txt2img"]))])


@pytest.mark.parametrize("name", METRICS)
def test_metrics_are_the_published_ones(reference, name):
    tensors, description = reference(name)
    i2t, t2i, reranked = (tensors[f"in.scores_{key}"] for key in ("i2t", "t2i", "i2t_reranked"))
    owner, expected = pairing(description), description["expected"]
    assert retrieval_metrics(i2t, video_of_caption=owner) == expected["dual_i2t_with_transpose"]
    assert retrieval_metrics(i2t, t2i, owner) == expected["separate"]
    # Behind the first K of a row all tie, and how many are found there is no more than how ties are broken.
    ours, theirs = retrieval_metrics(reranked, t2i, owner), expected["reranked_i2t"]
    defined = [f"txt_r{k}" for k in (1, 5, 10) if k <= description["K"]]
    defined += [key for key in ours if key.startswith("img")]
    assert defined
    assert {key: ours[key] for key in defined} == {key: theirs[key] for key in defined}


@given(st.integers(1, 6), st.integers(1, 3), st.integers(0, 2**16))
def test_ranks_are_those_of_a_sorted_list(videos, each, seed):
    scores = torch.rand(videos, videos * each, generator=torch.Generator().manual_seed(seed))
    owner = torch.arange(videos).repeat_interleave(each)
    for video, rank in enumerate(best_ranks(scores, torch.arange(videos)[:, None] == owner)):
        order = np.argsort(-scores[video].numpy())
        assert rank == next(
            place - sum(owner[c] == video for c in order[:place])
            for place, candidate in enumerate(order)
            if owner[candidate] == video
        )


def test_a_score_that_ties_with_everything_finds_nothing():
    metrics = retrieval_metrics(torch.zeros(20, 20))
    assert metrics["r_mean"] == 0
    assert retrieval_metrics(torch.eye(20))["r_mean"] == 100


@pytest.mark.parametrize("name", reference_names("06_rerank"))
def test_dual_and_fused_scores_are_the_published_ones(reference, name):
    tensors, description = reference(name)
    model = published_model(tensors, description)
    attends = tensors["in.attention_mask"].bool()
    text, tokens, pooled = (tensors[f"mid.{key}"] for key in ("text_embeds", "vision_embeds", "pooled_vision_embeds"))
    if "in.video" in tensors:  # the whole way from pixels and words, in the full data
        with torch.no_grad():
            seen = model.see(clips_of(tensors, "in.video", torch.float32))
            text = model.read(tensors["in.input_ids"], attends)
        tokens, pooled = seen.tokens, seen.pooled

    dual = dual_scores(model, pooled, text)
    to_text, to_video = rerank(model, tokens[:, None], text, attends, dual, k=description["args"]["k_test"])

    # Published in float32, through up to four layers.
    close = {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(dual, tensors["out.i2t_dual"], **close)
    torch.testing.assert_close(dual.mT, tensors["out.t2i_dual"], **close)
    torch.testing.assert_close(to_text, tensors["out.i2t_rerank"], **close)
    torch.testing.assert_close(to_video, tensors["out.t2i_rerank"], **close)
    assert retrieval_metrics(dual) == description["expected_metrics"]["dual"]
    ours, theirs = retrieval_metrics(to_text, to_video), description["expected_metrics"]["rerank"]
    assert [ours[key] for key in ("txt_r1", "img_r1")] == [theirs[key] for key in ("txt_r1", "img_r1")]


@pytest.fixture
def read():
    """A tiny model, what it read of four captions, and what it might have seen of five videos of two clips each."""
    model, tokeniser = tiny_model()
    ids, attends = tokeniser.encode(CAPTIONS)
    with torch.no_grad():
        return model.eval(), torch.randn(5, 2, 3, 16), model.read(ids, attends), attends


@pytest.mark.parametrize("combine", ["concat", "mean", "max", "logsumexp"])
def test_the_best_are_scored_again_pair_by_pair(read, combine):
    model, vision, text, attends = read
    dual = torch.randn(5, 4)
    to_text, to_video = rerank(model, vision, text, attends, dual, k=2, combine=combine)
    assert to_text.shape == (5, 4)
    assert to_video.shape == (4, 5)
    for video in range(5):
        for caption in range(4):
            clips = vision[video].reshape(1, 6, 16) if combine == "concat" else vision[video]
            each = (x[caption : caption + 1].expand(len(clips), *x.shape[1:]) for x in (text, attends))
            with torch.no_grad():
                logits = model.match(*each, clips)[:, 1]
            expected = {"mean": logits.mean(), "max": logits.max(), "logsumexp": logits.exp().sum().log()}
            expected = expected.get(combine, logits[0])
            best_captions, best_videos = dual[video].argsort(descending=True)[:2], dual[:, caption].argsort()[-2:]
            for came, is_best in (
                (to_text[video, caption], caption in best_captions),
                (to_video[caption, video], video in best_videos),
            ):
                assert came.item() == pytest.approx(expected.item() if is_best else NOT_COMPARED, rel=1e-4, abs=1e-5)


def test_more_candidates_than_there_are_is_all_of_them(read):
    model, vision, text, attends = read
    to_text, to_video = rerank(model, vision, text, attends, torch.randn(5, 4), k=128)
    assert (to_text > NOT_COMPARED).all()
    torch.testing.assert_close(to_text, to_video.mT, rtol=1e-4, atol=1e-5)  # other batches, other orders of sums


@pytest.mark.parametrize("clips", [1, 2])
def test_zero_shot_scores_are_those_of_the_steps_one_by_one(clips):
    model, tokeniser = tiny_model()
    model.train()
    videos = torch.randn(5, clips, 3, 4, 16, 16)
    scores = zero_shot_scores(model, tokeniser, iter(videos.split(2)), CAPTIONS, k=3, combine="max")
    assert model.training
    model.eval()
    ids, attends = tokeniser.encode(CAPTIONS)
    with torch.no_grad():
        text = model.read(ids, attends)
        seen = [model.see(video) for video in videos]
        frames = torch.stack([each.pooled.flatten(0, 1) for each in seen])
        vision = torch.nn.functional.normalize(model.vision_proj(frames), dim=-1)
        words = torch.nn.functional.normalize(model.text_proj(text[:, 0]), dim=-1)
    close = {"rtol": 1e-4, "atol": 1e-5}  # other batches, other orders of sums
    torch.testing.assert_close(scores.dual, (vision @ words.mT).mean(1), **close)
    tokens = torch.stack([each.tokens for each in seen])
    expected = rerank(model, tokens, text, attends, scores.dual, k=3, combine="max")
    torch.testing.assert_close(scores.to_text, expected[0], **close)
    torch.testing.assert_close(scores.to_video, expected[1], **close)
    owner = torch.tensor([0, 1, 2, 3])
    metrics = Scores(scores.dual[:4], scores.to_text[:4], scores.to_video[:, :4]).metrics(owner)
    assert metrics["dual"] == retrieval_metrics(scores.dual[:4])
    assert metrics["fused"]["img_r10"] >= metrics["fused"]["img_r1"]


def test_clips_of_a_video_are_combined():
    scores = torch.tensor([[0.0, 3.0], [2.0, 1.0]])
    assert combine_clips(scores, "mean").tolist() == [1.0, 2.0]
    assert combine_clips(scores, "max").tolist() == [2.0, 3.0]
    torch.testing.assert_close(combine_clips(scores, "logsumexp"), scores.exp().sum(0).log())


def test_multiple_choice_weighs_match_and_similarity():
    match = torch.tensor([[[0.0, 2.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.1]]])
    similarities = torch.tensor([[0.0, 0.9], [0.9, 0.0]])
    # 0.7 · sigmoid(2) = 0.617 against 0.7 · 0.5 + 0.3 · 0.9 = 0.62; and 0.62 against 0.7 · sigmoid(0.1) = 0.367.
    assert multiple_choice_accuracy(match, similarities, torch.tensor([1, 0])) == 100
    assert multiple_choice_accuracy(match, similarities, torch.tensor([0, 0])) == 50


def test_processes_share_the_work_and_all_get_the_whole(read, monkeypatch):
    model, vision, text, attends = read
    dual = torch.randn(5, 4)
    expected = rerank(model, vision, text, attends, dual, k=2)
    summed = []  # what each process gives to the sum, first process first
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(dist, "all_reduce", lambda scores: summed.append(scores.clone()))
    for rank in range(2):
        monkeypatch.setattr(dist, "get_rank", lambda rank=rank: rank)
        rerank(model, vision, text, attends, dual, k=2)
    for of_first, of_second, wanted in zip(summed[:2], summed[2:], expected, strict=True):
        torch.testing.assert_close(of_first + of_second, wanted)
        assert (of_first != 0).all(1).tolist() == [place < len(wanted) // 2 + 1 for place in range(len(wanted))]


def test_what_cannot_be_is_refused_by_name(read):
    model, vision, text, attends = read
    with pytest.raises(ValueError, match="k: expected at least 1 candidate, got 0"):
        rerank(model, vision, text, attends, torch.randn(5, 4), k=0)
    with pytest.raises(ValueError, match="video_of_caption: expected for 3 captions of 2 videos, got None"):
        retrieval_metrics(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="video_of_caption: expected 3 numbers of videos, each from 0 to 1"):
        retrieval_metrics(torch.zeros(2, 3), video_of_caption=torch.tensor([0, 1, 2]))
    with pytest.raises(ValueError, match="expected a caption for every video, got none for 1"):
        retrieval_metrics(torch.zeros(2, 3), video_of_caption=torch.tensor([0, 0, 0]))
    with pytest.raises(ValueError, match="videos: expected at least one batch, got none"):
        zero_shot_scores(model, tiny_model()[1], [], CAPTIONS)
    with pytest.raises(ValueError, match="scores: expected numbers, got NaN"):
        retrieval_metrics(torch.full((2, 2), torch.nan))
