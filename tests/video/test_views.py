"""Several views of each video: their order, where they are cut, and what they say together."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vmamba_edu.video.views import all_views, crop_start, merge_scalars, merge_views, published_video_id, view_crop


def columns(views: list) -> dict:
    videos, logits, labels, chunks, crops = zip(*views, strict=True)
    return {"videos": videos, "logits": torch.tensor(logits), "labels": labels, "chunks": chunks, "crops": crops}


class TestPublished:
    def test_the_order_of_views(self, reference):
        _, description = reference("10_frame_sampling")
        order = description["test_view_order"]
        videos = list(dict.fromkeys(order["dataset"]))
        views = all_views(len(videos), order["test_num_segment"], order["test_num_crop"])
        assert [videos[view.video] for view in views] == order["dataset"]
        assert [[view.chunk, view.crop] for view in views] == order["chunk_split"]

    def test_merging(self, reference):
        _, description = reference("10_multiview_merge")
        merged = merge_views(**columns(description["views"]))
        assert 100 * merged.top1 == pytest.approx(description["expected"]["top1"])
        assert 100 * merged.top5 == pytest.approx(description["expected"]["top5"])
        assert set(merged.videos) == set(description["per_video"])
        for video, means, label in zip(merged.videos, merged.probabilities, merged.labels, strict=True):
            expected = description["per_video"][video]
            torch.testing.assert_close(means, torch.tensor(expected["mean_softmax"]), atol=1e-6, rtol=0)  # float32
            assert label == expected["label"]

    def test_the_published_name_joins_what_the_path_keeps_apart(self):
        assert published_video_id("a/b/film.2.mp4") == "film"
        paths = ["cats/one.mp4", "dogs/one.mp4"]
        logits, rest = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), {"labels": [0, 1], "chunks": [0, 0], "crops": [0, 0]}
        assert merge_views(paths, logits, **rest).top1 == 1
        with pytest.raises(ValueError, match="labels: the views of 'one' have different labels"):
            merge_views([published_video_id(path) for path in paths], logits, **rest)


class TestMergingLaws:
    @given(seed=st.integers(0, 10**6))
    def test_neither_the_order_of_views_nor_repeats_matter(self, seed):
        generator = torch.Generator().manual_seed(seed)
        logits = torch.randn(24, 7, generator=generator)
        views = [
            (view.video, logits[row], view.video % 7, view.chunk, view.crop)
            for row, view in enumerate(all_views(4, 2, 3))
        ]
        order = torch.randperm(24, generator=generator).tolist()

        def merged(views):
            videos, rows, labels, chunks, crops = zip(*views, strict=True)
            return merge_views(videos, torch.stack(rows), labels, chunks, crops)

        here, there = merged(views), merged([views[place] for place in order] + [views[place] for place in order[:5]])
        places = [there.videos.index(video) for video in here.videos]
        torch.testing.assert_close(here.probabilities, there.probabilities[places])
        assert (here.top1, here.top5) == (there.top1, there.top5)
        torch.testing.assert_close(here.probabilities.sum(1), torch.ones(4))

    def test_probabilities_are_averaged_and_not_logits(self):
        logits = torch.tensor([[8.0, 0.0, 0.0], [0.0, 1.5, 0.0], [0.0, 1.5, 0.0]])
        merged = merge_views(["v"] * 3, logits, [0] * 3, [0, 1, 2], [0] * 3)
        torch.testing.assert_close(merged.probabilities[0], logits.softmax(1).mean(0))

    def test_with_fewer_than_five_classes_all_are_among_the_likeliest(self):
        merged = merge_views(["a", "b"], torch.tensor([[1.0, 0.0], [1.0, 0.0]]), [0, 1], [0, 0], [0, 0])
        assert (merged.top1, merged.top5) == (0.5, 1.0)

    def test_scalars_are_averaged_first_and_squared_then(self):
        values = torch.tensor([1.0, 3.0, 10.0, 3.0])
        means, error = merge_scalars(["a", "a", "b", "a"], values, [4.0, 4.0, 9.0, 4.0], [0, 1, 0, 1], [0] * 4)
        assert means == {"a": 2.0, "b": 10.0}  # the last view of "a" is a repeat
        assert error == pytest.approx(((2 - 4) ** 2 + (10 - 9) ** 2) / 2)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"chunks": [0]}, "chunks must have one entry a view, 2 of them and at least 1, but has 1"),
            ({"labels": [0]}, "labels must have one entry a view, 2, but has 1"),
            ({"videos": ["a", "a"], "labels": [0, 1], "chunks": [0, 1]}, "the views of 'a' have different labels"),
        ],
    )
    def test_what_does_not_fit_together_is_named(self, change, message):
        whole = {"videos": ["a", "b"], "labels": [0, 1], "chunks": [0, 0], "crops": [0, 0]}
        with pytest.raises(ValueError, match=message):
            merge_views(logits=torch.zeros(2, 3), **whole | change)

    def test_nothing_cannot_be_merged(self):
        with pytest.raises(ValueError, match="at least 1, but has 0"):
            merge_views([], torch.zeros(0, 3), [], [], [])


class TestCrops:
    @pytest.mark.parametrize(("long", "size", "starts"), [(340, 224, [0, 58, 116]), (341, 256, [0, 42, 85])])
    def test_three_crops_reach_from_end_to_end(self, long, size, starts):
        assert [crop_start(long, size, crop, 3) for crop in range(3)] == starts
        assert crop_start(long, size) == int((long - size) / 2)

    @pytest.mark.parametrize("shape", [(20, 31), (31, 20), (40, 62)])
    def test_a_crop_is_cut_along_the_longer_side(self, shape):
        frames = torch.randint(256, (2, *shape, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        crops = [view_crop(frames, 20, crop, 3) for crop in range(3)]
        assert {tuple(crop.shape) for crop in crops} == {(2, 20, 20, 3)}
        if min(shape) == 20:
            along = 1 if shape[0] > shape[1] else 2
            for crop, start in zip(crops, (0, 5, 11), strict=True):
                assert torch.equal(crop, frames.narrow(along, start, 20))

    def test_a_crop_that_is_none_is_named(self):
        with pytest.raises(ValueError, match="crop must be from 0 to 2, but got 3"):
            crop_start(300, 224, 3, 3)
