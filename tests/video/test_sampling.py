"""Every sampler takes the published frames, stays inside the video, and is settled by its generator."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vmamba_edu.video import sampling, segment_sampling, ssv2_sampling, uniform_indices


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cases(reference, kind: str, mode: str | None = None) -> list[dict]:
    _, description = reference("10_frame_sampling")
    found = [case for case in description["frame_indices"][kind] if mode in (None, case["mode"])]
    assert found, f"the reference holds no {kind} {mode or ''}"
    return found


class TestPublishedCases:
    """Group 10 (indices of every published data set's validation and test) and group 06 (captions), frame by frame."""

    @pytest.mark.parametrize("kind", ["kinetics_sparse", "lvu"])
    def test_sparse(self, reference, kind):
        for case in cases(reference, kind):
            window = {name: case[name] for name in ("start_frame", "end_frame") if name in case}
            views = (case["chunk"], case["test_num_segment"])
            indices = sampling.sparse_test_indices(case["video_len"], case["num_frames"], *views, **window)
            assert indices.tolist() == case["indices"], case

    def test_validation_is_uniform(self, reference):
        for case in cases(reference, "kinetics_sparse", "validation"):
            assert uniform_indices(case["video_len"], case["num_frames"]).tolist() == case["indices"], case

    def test_dense(self, reference):
        for case in cases(reference, "kinetics_dense"):
            sizes = (case["video_len"], case["num_frames"], case["sampling_rate"])
            if case["mode"] == "validation":
                indices = sampling.dense_validation_indices_as_published(*sizes)
            else:
                indices = sampling.dense_test_indices(*sizes, case["chunk"], case["test_num_segment"])
            assert indices.tolist() == case["indices"], case

    def test_ssv2_videos(self, reference):
        for case in cases(reference, "ssv2_video"):
            sizes = (case["video_len"], case["num_frames"])
            if case["mode"] == "validation":
                assert ssv2_sampling.ssv2_validation_indices(*sizes).tolist() == case["indices"], case
                continue
            assert ssv2_sampling.ssv2_all_test_indices(*sizes).tolist() == case["indices"], case
            for view in (0, 1):
                assert ssv2_sampling.ssv2_test_indices(*sizes, view).tolist() == case["indices"][view::2], case

    def test_captions(self, reference):
        _, description = reference("06_frame_indices")
        for case in description["cases"]:
            total, count, sample = case["video_len"], case["num_frames"], case["sample"]
            if sample == "middle":
                indices = segment_sampling.caption_middle_indices(total, count)
            else:
                rate = float(sample.removeprefix("fps"))
                indices = segment_sampling.rate_indices(total, case["input_fps"], rate)
            assert indices.tolist() == case["indices"], case


RANDOM = {
    "sparse": sampling.sparse_train_indices,
    "dense": lambda total, count, generator: sampling.dense_train_indices(total, count, 3, generator),
    "ssv2": ssv2_sampling.ssv2_train_indices,
    "ssv2 frames": ssv2_sampling.ssv2_frames_train_indices,
    "pretraining": segment_sampling.pretraining_indices,
    "pretraining clip": lambda total, count, generator: segment_sampling.pretraining_clip_indices(
        total, count, 3, generator
    ),
    "captions": segment_sampling.caption_random_indices,
    "captions as published": segment_sampling.caption_random_indices_as_published,
}
FIXED = {
    "uniform": uniform_indices,
    "sparse, third of four": lambda total, count: sampling.sparse_test_indices(total, count, 2, 4),
    "dense": lambda total, count: sampling.dense_validation_indices(total, count, 3),
    "dense, last of three": lambda total, count: sampling.dense_test_indices(total, count, 3, 2, 3),
    "ssv2": ssv2_sampling.ssv2_validation_indices,
    "ssv2, second of two": lambda total, count: ssv2_sampling.ssv2_test_indices(total, count, 1),
    "ssv2 frames": ssv2_sampling.ssv2_frames_validation_indices,
    "ssv2 frames, third of three": lambda total, count: ssv2_sampling.ssv2_frames_test_indices(total, count, 2, 3),
    "captions": segment_sampling.caption_middle_indices,
}


class TestLaws:
    @pytest.mark.parametrize("name", RANDOM)
    @given(total=st.integers(1, 500), count=st.integers(1, 40), seed=st.integers(0, 2**32))
    def test_random_frames_lie_inside_in_order_and_are_settled_by_the_generator(self, name, total, count, seed):
        indices = RANDOM[name](total, count, seeded(seed))
        assert (indices.shape, indices.dtype) == ((count,), torch.int64)
        assert indices.min() >= 0
        assert indices.max() < total
        assert (indices.diff() >= 0).all()
        assert torch.equal(indices, RANDOM[name](total, count, seeded(seed)))

    @pytest.mark.parametrize("name", FIXED)
    @given(total=st.integers(1, 10**6), count=st.integers(1, 100))
    def test_fixed_frames_lie_inside_in_order(self, name, total, count):
        indices = FIXED[name](total, count)
        assert (indices.shape, indices.dtype) == ((count,), torch.int64)
        assert indices.min() >= 0
        assert indices.max() < total
        assert (indices.diff() >= 0).all()

    @pytest.mark.parametrize("name", RANDOM)
    def test_the_global_random_state_is_neither_read_nor_changed(self, name):
        torch.manual_seed(1)
        before = torch.get_rng_state()
        first = RANDOM[name](300, 8, seeded())
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(2)
        assert torch.equal(RANDOM[name](300, 8, seeded()), first)
        draws = {tuple(RANDOM[name](300, 8, seeded(seed)).tolist()) for seed in range(20)}
        assert len(draws) > 15, "it should be random"

    @given(total=st.integers(1, 10**6), count=st.integers(1, 300))
    def test_uniform_frames_spread_evenly(self, total, count):
        gaps = uniform_indices(total, count).diff().numpy()
        assert gaps.size == 0 or gaps.max() - gaps.min() <= 1
        if count <= total - 1:
            assert gaps.size == 0 or gaps.min() >= 1, "no frame twice while there are enough"

    def test_a_half_is_rounded_to_even(self):
        """11 frames in 4 segments of 2.5: the starts 0, 2.5, 5, 7.5 become 0, 2, 5, 8; half a segment is 1 frame."""
        assert uniform_indices(11, 4).tolist() == [1, 3, 6, 9]

    @given(total=st.integers(1, 5000), count=st.integers(1, 40), chunks=st.integers(1, 10))
    def test_later_views_look_later(self, total, count, chunks):
        views = [sampling.sparse_test_indices(total, count, chunk, chunks) for chunk in range(chunks)]
        assert (torch.stack(views).diff(dim=0) >= 0).all()

    @given(total=st.integers(1, 5000), count=st.integers(1, 40), start=st.integers(0, 6000), more=st.integers(0, 3000))
    def test_a_window_is_kept(self, total, count, start, more):
        window = {"start_frame": start, "end_frame": start + more}
        for indices in (
            sampling.sparse_test_indices(total, count, **window),
            sampling.sparse_train_indices(total, count, seeded(), **window),
        ):
            assert indices.min() >= min(start, total - 1)
            assert indices.max() <= min(start + more, total - 1)

    def test_a_window_over_the_whole_is_no_window(self):
        whole = sampling.sparse_test_indices(300, 8, 1, 4)
        assert torch.equal(whole, sampling.sparse_test_indices(300, 8, 1, 4, start_frame=0, end_frame=299))


class TestArithmetic:
    """Frame by frame as NumPy computes the published formulas: a last bit more or less is another frame."""

    @given(total=st.integers(1, 2000), count=st.sampled_from([1, 4, 8, 16, 32, 64]), stride=st.integers(1, 8))
    def test_dense_steps_are_numpys(self, total, count, stride):
        span = count * stride
        if total <= span:
            steps = np.linspace(0, total, num=total // stride)
            expected = np.clip([*steps, *[total] * (count - len(steps))], 0, total - 1)
        else:
            end = (total - span) // 2
            expected = np.clip(np.linspace(end - span, end, num=count), end - span, end - 1)
        indices = sampling.dense_validation_indices_as_published(total, count, stride)
        assert indices.tolist() == expected.astype(np.int64).tolist()

    @pytest.mark.parametrize(("total", "count", "stride"), [(101, 16, 3), (93, 16, 3)])
    def test_where_torchs_steps_would_be_another_frame(self, total, count, stride):
        end = (total - count * stride) // 2
        expected = np.linspace(end - count * stride, end, num=count).astype(np.int64)[:-1]
        indices = sampling.dense_validation_indices_as_published(total, count, stride)[:-1]
        assert indices.tolist() == expected.tolist()

    @given(total=st.integers(1, 20_000), count=st.integers(1, 64))
    def test_caption_intervals_are_numpys(self, total, count):
        borders = np.linspace(start=0, stop=total, num=min(count, total) + 1).astype(int)
        expected = [(low + high - 1) // 2 for low, high in itertools.pairwise(borders)]
        indices = segment_sampling.caption_middle_indices(total, count)
        assert indices.tolist() == expected + expected[-1:] * (count - len(expected))


class TestDraws:
    """What is drawn is drawn from the published sets, all of them and nothing else."""

    def seen(self, draw, times: int = 400) -> list[set[int]]:
        rows = torch.stack([draw(seeded(seed)) for seed in range(times)])
        return [set(column.tolist()) for column in rows.T]

    def test_sparse_segments_share_their_borders(self):
        borders = [round(21 / 4 * i) for i in range(5)]  # 22 frames; Python rounds a half to even too
        expected = [set(range(low, high + 1)) for low, high in itertools.pairwise(borders)]
        assert self.seen(lambda generator: sampling.sparse_train_indices(22, 4, generator)) == expected

    def test_ssv2_segments_do_not(self):
        expected = [set(range(low, low + 5)) for low in (0, 5, 10, 15)]
        for draw in (ssv2_sampling.ssv2_train_indices, ssv2_sampling.ssv2_frames_train_indices):
            assert self.seen(lambda generator, draw=draw: draw(23, 4, generator)) == expected
        assert self.seen(lambda generator: segment_sampling.pretraining_indices(23, 4, generator)) == expected

    def test_captions_as_published_leave_out_the_end_of_each_interval(self):
        meant = self.seen(lambda generator: segment_sampling.caption_random_indices(16, 4, generator))
        published = self.seen(lambda generator: segment_sampling.caption_random_indices_as_published(16, 4, generator))
        assert meant == [set(range(low, low + 4)) for low in (0, 4, 8, 12)]
        assert published == [set(range(low, low + 3)) for low in (0, 4, 8, 12)]

    def test_captions_as_published_fall_back_to_a_random_choice(self):
        """6 frames in 4 intervals of 1 or 2: one of a single frame is enough for any four frames of the six."""
        draws = self.seen(lambda generator: segment_sampling.caption_random_indices_as_published(6, 4, generator))
        assert draws[0] == {0, 1, 2}
        assert draws[3] == {3, 4, 5}
        indices = segment_sampling.caption_random_indices_as_published(3, 8, seeded())
        assert indices.tolist() == [0, 1, 2, 2, 2, 2, 2, 2]

    def test_a_dense_clip_starts_everywhere_but_at_the_last_place(self):
        starts = self.seen(lambda generator: sampling.dense_train_indices(30, 4, 5, generator))[0]
        assert starts == set(range(10))  # its end, from 20 to 29, is the number of a frame

    def test_a_pretraining_clip_moves_while_a_frame_follows(self):
        assert segment_sampling.pretraining_clip_indices(7, 4, 3, seeded()).tolist() == [0, 3, 3, 3]
        clips = {
            tuple(segment_sampling.pretraining_clip_indices(14, 4, 3, seeded(seed)).tolist()) for seed in range(60)
        }
        assert clips == {(0, 3, 6, 9), (1, 4, 7, 10), (2, 5, 8, 11)}
        assert {clip[0] % 3 for clip in clips} == {0, 1, 2}

    def test_jitter_moves_each_frame_by_less_than_a_step(self):
        for seed in range(50):
            plain = segment_sampling.pretraining_clip_indices(100, 8, 4, seeded(seed))
            late = segment_sampling.pretraining_clip_indices(100, 8, 4, seeded(seed), jitter=True) - plain
            assert ((late >= 0) & (late < 4)).all()
        assert late.any()


class TestOddities:
    def test_the_dense_validation_clip_is_meant_to_be_in_the_middle(self):
        meant = sampling.dense_validation_indices(300, 8, 4)
        published = sampling.dense_validation_indices_as_published(300, 8, 4)
        assert (meant[0] + meant[-1] + 1 - 300).abs() <= 1
        assert torch.equal(meant - 32, published), "as published it lies earlier by its own length"
        assert sampling.dense_validation_indices_as_published(95, 8, 4)[0] < 0
        assert sampling.dense_validation_indices_as_published(96, 8, 4)[0] >= 0

    def test_a_single_dense_view_is_the_middle(self):
        assert sampling.dense_test_indices(100, 4, 5).tolist() == [40, 45, 50, 55]

    def test_short_raw_frames_begin_with_the_first(self):
        for indices in (
            ssv2_sampling.ssv2_frames_validation_indices(3, 5),
            ssv2_sampling.ssv2_frames_train_indices(3, 5, seeded()),
        ):
            assert indices.tolist() == [0, 0, 0, 1, 2]
        assert ssv2_sampling.ssv2_train_indices(3, 5, seeded()).tolist() == [0] * 5
        assert segment_sampling.pretraining_indices(3, 5, seeded()).tolist() == [0] * 5

    def test_raw_frame_views_interleave(self):
        """All views together, sorted, are every view's frames in turn."""
        views = [ssv2_sampling.ssv2_frames_test_indices(90, 8, view, 3) for view in range(3)]
        assert torch.equal(torch.stack(views, dim=1).flatten(), torch.cat(views).sort().values)
        assert views[0].tolist() == [math.floor(90 / 8 * i) for i in range(8)]

    def test_raw_frame_validation_is_the_middle_of_whole_segments(self):
        assert ssv2_sampling.ssv2_frames_validation_indices(23, 4).tolist() == [2, 7, 12, 17]
        assert ssv2_sampling.ssv2_frames_validation_indices(7, 4).tolist() == [0, 1, 2, 3]

    def test_raw_frames_are_counted_from_one(self):
        assert ssv2_sampling.raw_frame_name(0) == "img_00001.jpg"
        assert ssv2_sampling.raw_frame_name(41, "{:06d}.png") == "000042.png"

    def test_a_rate_may_give_no_frame_and_a_bound(self):
        assert segment_sampling.rate_indices(20, 25, 0.5).tolist() == []
        assert segment_sampling.rate_indices(1000, 24, 1).tolist() == list(range(12, 1000, 24))
        assert len(segment_sampling.rate_indices(1000, 25, 1, max_frames=7)) == 7


class TestErrors:
    @pytest.mark.parametrize(
        ("total", "count", "name"), [(0, 8, "num_frames_total"), (8, 0, "num_frames"), (8, -1, "num_frames")]
    )
    def test_impossible_counts_are_named(self, total, count, name):
        for sampler in FIXED.values():
            with pytest.raises(ValueError, match=f"{name} must be at least 1"):
                sampler(total, count)
        for draw in RANDOM.values():
            with pytest.raises(ValueError, match="must be at least 1"):
                draw(total, count, seeded())

    def test_counts_are_whole(self):
        with pytest.raises(TypeError):
            uniform_indices(8, 2.5)
        with pytest.raises(TypeError, match="num_frames must be an int"):
            uniform_indices(8, True)

    def test_a_view_that_is_none_is_named(self):
        with pytest.raises(ValueError, match="chunk must be from 0 to 3, but got 4; there are 4 of them"):
            sampling.sparse_test_indices(100, 8, 4, 4)
        with pytest.raises(ValueError, match="chunk must be from 0 to 2"):
            sampling.dense_test_indices(100, 8, 2, -1, 3)
        with pytest.raises(TypeError, match="chunk must be an int"):
            sampling.sparse_test_indices(100, 8, True, 4)
        with pytest.raises(ValueError, match="num_views must be 2"):
            ssv2_sampling.ssv2_test_indices(100, 8, 0, 3)

    def test_other_mistakes_are_named(self):
        with pytest.raises(ValueError, match="end_frame must not lie before start_frame"):
            sampling.sparse_test_indices(100, 8, start_frame=50, end_frame=20)
        with pytest.raises(ValueError, match="fps must be positive"):
            segment_sampling.rate_indices(100, 25, 0)


def test_the_indices_can_be_read(films):
    """A sampler is what `read_clip` takes."""
    from vmamba_edu.video import read_clip

    clip = read_clip(films("h264.mp4"), lambda total: sampling.dense_test_indices(total, 4, 3, 1, 3))
    assert clip.indices.tolist() == sampling.dense_test_indices(48, 4, 3, 1, 3).tolist()
