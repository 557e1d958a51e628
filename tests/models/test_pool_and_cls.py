"""What the head is told, and where [cls] stands."""

import pytest
import torch
from agreement import random_clip, small_model
from small_mambas import shaken

from vmamba_edu.models import VideoMambaConfig


def test_the_mean_is_that_of_the_patches():
    model = shaken(small_model(pool="mean")).double()
    clip = random_clip(model)
    tokens = model.forward_features(clip)
    torch.testing.assert_close(model(clip), model.head(tokens[:, 1:].mean(1)), rtol=1e-12, atol=1e-12)


def test_a_model_with_the_other_pool_has_the_same_weights_and_tokens():
    model, other = shaken(small_model()), small_model(pool="mean", num_classes=3)
    other.load_state_dict(model.state_dict(), strict=True)
    clip = random_clip(model)
    assert torch.equal(other.forward_features(clip), model.forward_features(clip))
    assert not torch.allclose(other(clip), model(clip))


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_in_the_middle_cls_stands_between_the_halves_with_its_own_position(pool):
    """Eight patches: [cls] is token 4, row 0 of pos_embed is its own, and row 1 that of the first patch of a frame."""
    model = small_model(cls_position="middle", pool=pool)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.cls_token += 1000
        model.pos_embed += torch.arange(5.0)[:, None] * 10
        model.temporal_pos_embedding += torch.tensor([[1.0], [2.0]])
    tokens = model.embed(random_clip(model, batch=1))[0, :, 0]
    assert tokens.tolist() == [11, 21, 31, 41, 1000, 12, 22, 32, 42]
    assert model.pool(tokens[None, :, None]).item() == (1000 if pool == "cls" else 26.5)


def heard_by_cls(**keywords) -> list[bool]:
    """Of which frames the logits know anything."""
    model = shaken(small_model(num_frames=4, **keywords))
    clip = random_clip(model, batch=1).requires_grad_()
    model(clip).sum().backward()
    return clip.grad.flatten(3).any(-1)[0].any(0).tolist()


def test_in_the_middle_each_direction_tells_cls_of_one_half():
    assert heard_by_cls(cls_position="middle", bidirectional=False) == [True, True, False, False]
    assert heard_by_cls(cls_position="middle") == [True] * 4
    assert heard_by_cls(bidirectional=False) == [False] * 4
    assert heard_by_cls(bidirectional=False, pool="mean") == [True] * 4


def test_moving_cls_moves_no_weight():
    model, other = shaken(small_model()), small_model(cls_position="middle")
    other.load_state_dict(model.state_dict(), strict=True)
    clip = random_clip(model)
    first, middle = model.embed(clip), other.embed(clip)
    assert torch.equal(middle[:, 4], first[:, 0])
    assert torch.equal(torch.cat([middle[:, :4], middle[:, 5:]], 1), first[:, 1:])


def test_without_classes_what_is_pooled_comes_out():
    model = small_model(num_classes=0, pool="mean")
    clip = random_clip(model)
    assert torch.equal(model(clip), model.forward_features(clip)[:, 1:].mean(1))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"pool": "max"}, "pool: expected 'cls' or 'mean', got 'max'"),
        ({"cls_position": "last"}, "cls_position: expected 'first' or 'middle', got 'last'"),
    ],
)
def test_what_cannot_be_is_named(keywords, message):
    with pytest.raises(ValueError, match=message):
        VideoMambaConfig(**keywords)
