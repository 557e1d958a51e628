"""The plans of reading a clip: temporal-first and both orders at once, against spatial-first on reordered tokens."""

import pytest
import torch
from agreement import random_clip, small_model
from small_mambas import shaken, small_student

from vmamba_edu.models import Mixer
from vmamba_edu.models.token_order import insert_cls, order_of_kept, reorder, temporal_order
from vmamba_edu.scan_orders import temporal_first, with_cls

PLANS = ("spatial_first", "temporal_first", "spatiotemporal_v1", "spatiotemporal_v2")
GRID = (3, 2, 2)
CLOSE = {"rtol": 1e-12, "atol": 1e-12}  # the same numbers in another order of sums, in double precision


def mixer_of(scan_order: str, **keywords) -> Mixer:
    """The same weights for every plan."""
    torch.manual_seed(0)
    mixer = shaken(Mixer(8, d_state=4, scan_order=scan_order, **keywords)).double()
    mixer.backend = "reference"
    return mixer


def tokens(length: int = 13) -> torch.Tensor:
    return torch.randn(2, length, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("cls_index", [0, 6])
@pytest.mark.parametrize("bidirectional", [True, False])
def test_temporal_first_is_spatial_first_on_tokens_put_in_that_order(bidirectional, cls_index):
    order, x = temporal_order(GRID, cls_index), tokens()
    plain, temporal = (mixer_of(name, bidirectional=bidirectional) for name in PLANS[:2])
    torch.testing.assert_close(temporal(x, order), plain(x[:, order.there])[:, order.back], **CLOSE)
    assert not torch.allclose(temporal(x, order), plain(x))


def test_v2_is_the_sum_of_both_plans():
    """out_proj has no bias: the sum before it is the sum after it."""
    order, x = temporal_order(GRID, 0), tokens()
    spatial, temporal, _, both = (mixer_of(name) for name in PLANS)
    torch.testing.assert_close(both(x, order), spatial(x) + temporal(x, order), **CLOSE)


def test_v1_is_forward_in_space_and_backward_in_time():
    order, x = temporal_order(GRID, 0), tokens()
    mixer = mixer_of("spatiotemporal_v1")
    projected = mixer.in_proj(x)
    backward = mixer.read(projected[:, order.there], "backward")[:, order.back]
    expected = mixer.out_proj(mixer.read(projected, "forward") + backward)
    torch.testing.assert_close(mixer(x, order), expected, **CLOSE)


@pytest.mark.parametrize("plan", PLANS[1:])
def test_all_weights_are_trained_by_every_plan(plan):
    mixer = mixer_of(plan)
    mixer(tokens(), temporal_order(GRID, 0)).square().sum().backward()
    assert all(parameter.grad.any() for parameter in mixer.parameters())


@pytest.mark.parametrize("plan", PLANS)
def test_no_plan_has_weights_of_its_own(plan):
    assert mixer_of(plan).state_dict().keys() == mixer_of("spatial_first").state_dict().keys()
    small_model(scan_order=plan).load_state_dict(small_model().state_dict(), strict=True)


@pytest.mark.parametrize("cls_position", ["first", "middle"])
@pytest.mark.parametrize("plan", ["temporal_first", "spatiotemporal_v1"])
def test_a_clip_of_one_frame_has_no_other_order(plan, cls_position):
    size = {"num_frames": 1, "cls_position": cls_position}
    plain, other = (shaken(small_model(scan_order=name, **size)).double() for name in ("spatial_first", plan))
    clip = random_clip(plain)
    torch.testing.assert_close(other(clip), plain(clip), **CLOSE)


@pytest.mark.parametrize("plan", PLANS[1:])
def test_more_frames_are_read_differently(plan):
    plain, other = (shaken(small_model(scan_order=name)).double() for name in ("spatial_first", plan))
    clip = random_clip(plain)
    assert not torch.allclose(other(clip), plain(clip), rtol=1e-3)


def test_a_model_of_a_temporal_plan_gives_its_tokens_as_they_are_stored():
    """Without mixing and without positions every token is its own patch, wherever it was read."""
    plain, other = (small_model(scan_order=name) for name in ("spatial_first", "temporal_first"))
    with torch.no_grad():
        for model in (plain, other):
            for layer in model.layers:
                layer.mixer.out_proj.weight.zero_()
    clip = random_clip(plain)
    assert torch.equal(other.forward_features(clip), plain.forward_features(clip))


@pytest.mark.parametrize(("cls_position", "index"), [("first", 0), ("middle", 12)])
def test_a_clip_of_another_size_is_read_in_its_own_order(cls_position, index):
    model = shaken(small_model(scan_order="temporal_first", cls_position=cls_position))
    order = model.reading_order(torch.zeros(1, 3, 4, 24, 16))
    assert torch.equal(order.there, insert_cls(temporal_first((4, 3, 2)), index))
    assert torch.equal(order.there[order.back], torch.arange(25))
    assert model(torch.randn(1, 3, 4, 24, 16)).isfinite().all()


def test_cls_keeps_its_place():
    path = torch.tensor([2, 0, 3, 1])
    assert insert_cls(path, 0).tolist() == [0, 3, 1, 4, 2] == with_cls(path).tolist()
    assert insert_cls(path, 2).tolist() == [3, 0, 2, 4, 1]
    for index in range(5):
        assert insert_cls(path, index)[index] == index


@pytest.mark.parametrize("cls_index", [0, 6])
def test_tokens_that_are_kept_are_read_in_the_order_of_the_whole(cls_index):
    order = temporal_order(GRID, cls_index)
    kept = torch.tensor([[0, 2, 5, 6, 11], [1, 3, 4, 6, 12]])
    there, back = order_of_kept(order, kept)
    for sample, read in zip(kept.tolist(), kept.gather(1, there).tolist(), strict=True):
        assert read == [token for token in order.there.tolist() if token in sample]
    x = tokens(5)
    assert torch.equal(reorder(reorder(x, there), back), x)


def test_a_student_reads_what_is_visible_in_the_order_of_its_plan():
    """Masking whole frames leaves a shorter clip: the same as a student with no mask on the frames that are left."""
    student = shaken(small_student(num_frames=4, scan_order="temporal_first")).double()
    with torch.no_grad():
        student.temporal_pos_embedding.zero_()
    clip = random_clip(student)
    mask = torch.zeros(2, 4, 4, dtype=torch.bool)
    mask[0, [0, 3]] = True
    mask[1, [1, 2]] = True
    shorter = torch.stack([clip[0, :, [1, 2]], clip[1, :, [0, 3]]])
    visible = student.encode(clip, mask.flatten(1)).tokens
    torch.testing.assert_close(visible, student.encode(shorter).tokens, **CLOSE)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"scan_order: expected one of 'spatial_first'.* got 'zigzag'"):
        Mixer(8, scan_order="zigzag")
    with pytest.raises(ValueError, match=r"order: expected the temporal-first order.*'temporal_first', got None"):
        mixer_of("temporal_first")(tokens())
