"""Laws of the masks: how many tokens are dropped, where, and that each sample is drawn by itself."""

import pytest
import torch
from einops import rearrange
from hypothesis import given
from hypothesis import strategies as st
from reference_data import reference_names

from vmamba_edu.masking import (
    MASKS,
    attention_mask,
    clip_row_mask,
    frame_row_mask,
    make_mask,
    random_mask,
    tube_mask,
    unbroken_windows,
    visible_runs,
    with_cls,
)

grids = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6))
# Ratios at which a product with a whole number is just below or just above another whole number, and the ends.
ratios = st.one_of(st.floats(0, 1), st.sampled_from([0, 0.0, 1, 1.0, 0.1, 0.2, 0.29, 0.6, 0.7, 0.8, 1 / 3, 5e-324]))
seeds = st.integers(0, 2**32)
PUBLISHED = {
    "TubeMaskingGenerator": "tube",
    "RandomMaskingGenerator": "random",
    "TubeRowMaskingGenerator": "frame_row",
    "RandomRowMaskingGenerator": "clip_row",
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def assert_is_a(name: str, masks: torch.Tensor, grid: tuple[int, int, int], ratio: float) -> None:
    """The invariants of the published generators, whoever drew these masks."""
    time, height, width = grid
    dropped = rearrange(masks, "b (t h w) -> b t h w", t=time, h=height)
    per_frame = dropped.sum((2, 3))
    match name:
        case "random":
            assert (per_frame.sum(1) == int(ratio * time * height * width)).all()
        case "tube":
            assert (per_frame == int(ratio * height * width)).all()
            assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
        case _:
            assert torch.equal(dropped, dropped[..., :1].expand_as(dropped)), "rows are dropped whole"
            rows = dropped[..., 0].sum(2)
            if name == "frame_row":
                assert (rows == int(ratio * height)).all()
            else:
                assert (rows.sum(1) == time * int(ratio * height)).all()


@given(grids, ratios, seeds, st.sampled_from(sorted(MASKS)), st.integers(1, 4))
def test_a_mask_drops_what_its_name_says(grid, ratio, seed, name, batch):
    masks = make_mask(name, grid, ratio, batch, generator=seeded(seed))
    assert masks.dtype == torch.bool
    assert masks.shape == (batch, grid[0] * grid[1] * grid[2])
    assert_is_a(name, masks, grid, ratio)
    assert torch.equal(masks, make_mask(name, grid, ratio, batch, generator=seeded(seed)))


def test_the_published_masks_obey_the_same_laws(reference):
    tensors, _ = reference("05_mask_generators")
    kinds = set()
    for key, masks in tensors.items():
        kind, grid, *ratio = key.split(".")
        kinds.add(kind)
        time, height, width = map(int, grid.split("x"))
        assert_is_a(PUBLISHED[kind], masks.bool(), (time, height, width), float(".".join(ratio)))
    assert kinds == PUBLISHED.keys()


def test_what_may_differ_between_frames_and_samples_does():
    grid, batch = (8, 6, 6), 20
    per_frame = rearrange(random_mask(grid, 0.5, batch, generator=seeded(0)), "b (t hw) -> b t hw", t=8).sum(2)
    rows = rearrange(clip_row_mask(grid, 0.5, batch, generator=seeded(0)), "b (t h w) -> b t h w", t=8, h=6)[..., 0]
    frames = rearrange(frame_row_mask(grid, 0.5, batch, generator=seeded(0)), "b (t hw) -> (b t) hw", t=8)
    assert per_frame.unique().numel() > 3
    assert rows.sum(2).unique().numel() > 3
    assert frames.unique(dim=0).shape[0] == 20  # every choice of three rows of six comes up in 160 draws
    for name in MASKS:
        assert make_mask(name, grid, 0.5, batch, generator=seeded(0)).unique(dim=0).shape[0] > 10, name


@pytest.mark.parametrize("draw", [random_mask, tube_mask])
def test_every_token_is_dropped_equally_often(draw):
    masks = draw((1, 3, 3), 0.4, 6000, generator=seeded(0))  # 3 of 9
    # Six standard deviations of the mean of 6000 draws of probability 1/3.
    assert masks.double().mean(0).sub(1 / 3).abs().max() < 6 * (2 / 9 / 6000) ** 0.5


@given(grids, ratios, seeds)
def test_the_attention_mask_leaves_the_published_number_of_tokens_in_each_frame(grid, ratio, seed):
    time, places = grid[0], grid[1] * grid[2]
    attention = torch.rand(2, time, places, generator=seeded(seed)).softmax(-1)
    masks = make_mask("attention", grid, ratio, 2, attention=attention, generator=seeded(seed))
    per_frame = rearrange(masks, "b (t hw) -> b t hw", t=time).sum(2)
    assert (per_frame == int(places * ratio)).all()


@pytest.mark.parametrize("name", reference_names("05_attention_mask"))
def test_the_attention_mask_follows_the_attention_as_the_published_one(reference, name):
    tensors, description = reference(name)
    args = description["args"]
    attention = rearrange(tensors["in.attn"], "(b t) n -> b t n", b=args["batch"])
    mask = attention_mask(attention, args["mask_ratio"], generator=seeded(0))
    assert with_cls(mask).shape == tensors["mask"].shape
    for masks in (with_cls(mask), tensors["mask"]):
        assert not masks[:, 0].any()
        visible = rearrange(~masks[:, 1:], "b (t n) -> b t n", t=args["frames"]).sum(2)
        assert (visible == args["n_visible_per_frame"]).all()

    draws = 4000
    many = attention_mask(attention[:1, :1].expand(draws, 1, -1), args["mask_ratio"], generator=seeded(1))
    frequency = (~many).double().mean(0)
    # Both are means of 4000 draws: a standard deviation of at most 0.011 for their difference; six of them.
    assert (frequency - tensors["visible_freq_row0_4000draws"]).abs().max() < 6 * (2 * 0.25 / draws) ** 0.5


def test_the_attention_mask_draws_pairs_with_the_right_probability():
    """Two of three are drawn without replacement: the exact probabilities can be written down."""
    weight = torch.tensor([0.6, 0.3, 0.1])
    masks = attention_mask(weight.expand(20000, 1, 3), 0.34, generator=seeded(0))  # int(1.02) is dropped
    # The one left out is i with the sum over the orders of the other two.
    expected = torch.tensor([
        0.3 * 0.1 / 0.7 + 0.1 * 0.3 / 0.9,
        0.6 * 0.1 / 0.4 + 0.1 * 0.6 / 0.9,
        0.6 * 0.3 / 0.4 + 0.3 * 0.6 / 0.7,
    ])  # fmt: skip
    assert (masks.double().mean(0) - expected).abs().max() < 6 * (0.25 / 20000) ** 0.5


def test_what_gets_no_attention_is_dropped_first():
    attention = torch.tensor([0.0, 0.5, 0.0, 0.5, 0.0, 0.0]).expand(50, 2, 6)
    masks = rearrange(attention_mask(attention, 0.5, generator=seeded(0)), "b (t n) -> b t n", t=2)
    assert (masks.sum(2) == 3).all()
    assert not masks[..., [1, 3]].any()


def test_runs_of_visible_tokens_are_those_of_a_loop():
    masks = random_mask((3, 3, 4), 0.5, 20, generator=seeded(0))
    for mask, runs in zip(masks, visible_runs(masks), strict=True):
        expected, length = [], 0
        for token, dropped in enumerate([*mask.tolist(), True]):
            if dropped and length:
                expected.append([token - length, length])
            length = 0 if dropped else length + 1
        assert runs.tolist() == expected


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.integers(1, 6))
def test_unbroken_windows_are_those_of_a_loop(mask, width):
    visible = [token for token, dropped in enumerate(mask) if not dropped]
    whole = 0
    for place, token in enumerate(visible):
        window = visible[max(0, place - width + 1) : place + 1]
        whole += window == list(range(token - len(window) + 1, token + 1))
    expected = whole / len(visible) if visible else 1.0
    assert unbroken_windows(torch.tensor([mask]), width).item() == pytest.approx(expected)


def test_rows_keep_the_neighbours_that_random_holes_take():
    """Why the paper masks rows: at the published ratio of 0.8 hardly a window of random masks is whole."""
    rows = unbroken_windows(frame_row_mask((8, 14, 14), 0.8, 10, generator=seeded(0))).mean()
    holes = unbroken_windows(random_mask((8, 14, 14), 0.8, 10, generator=seeded(0))).mean()
    assert rows > 0.75
    assert holes < 0.05


@pytest.mark.parametrize("ratio", [-0.1, 1.1, float("nan"), float("inf"), -1, 2])
def test_a_ratio_that_is_none_is_refused(ratio):
    for name in MASKS:
        with pytest.raises(ValueError, match=r"ratio: expected the share of tokens to drop.*got"):
            make_mask(name, (2, 2, 2), ratio)
    with pytest.raises(ValueError, match="ratio"):
        attention_mask(torch.ones(1, 2, 4), ratio)


def test_what_cannot_be_is_refused_by_name():
    with pytest.raises(ValueError, match=r"name: expected one of 'random', 'tube'.*got 'holes'"):
        make_mask("holes", (2, 2, 2), 0.5)
    with pytest.raises(ValueError, match=r"grid: expected \(time, height, width\).*got \(2, 0, 2\)"):
        random_mask((2, 0, 2), 0.5)
    with pytest.raises(ValueError, match="batch: expected an integer of at least 1, got 0"):
        tube_mask((2, 2, 2), 0.5, 0)
    with pytest.raises(ValueError, match="attention: this mask follows a teacher"):
        make_mask("attention", (2, 2, 2), 0.5)
    with pytest.raises(ValueError, match=r"attention: expected .*\(3, 2, 4\), got \(1, 2, 4\)"):
        make_mask("attention", (2, 2, 2), 0.5, 3, attention=torch.ones(1, 2, 4))
    for bad in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="attention: expected finite weights"):
            attention_mask(torch.full((1, 2, 4), bad), 0.5)
    with pytest.raises(ValueError, match="width: expected an integer of at least 1, got 0"):
        unbroken_windows(random_mask((1, 2, 2), 0.5), 0)
