"""Laws of the whole model, and what it does with clips that do not fit."""

import copy
import pickle
import re

import pytest
import torch
from agreement import random_clip, small_model
from torch.utils._python_dispatch import TorchDispatchMode

from vmamba_edu.models.embeddings import TubeletEmbedding
from vmamba_edu.models.videomamba import check_clip


def test_clips_of_a_batch_do_not_hear_of_each_other():
    model = small_model().double()
    clip = random_clip(model, batch=4)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(model(clip[order]), model(clip)[order], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_cls_stands_first_so_that_only_a_backward_scan_tells_it_anything(bidirectional):
    model = small_model(bidirectional=bidirectional)
    clip = random_clip(model).requires_grad_()
    model(clip).sum().backward()
    assert clip.grad.any().item() is bidirectional


def test_the_last_forward_scan_is_never_trained():
    """Only [cls] is read out, which the last forward scan sees first, when there is nothing to decay yet."""
    model = small_model()
    model(random_clip(model)).sum().backward()
    assert not model.block(1).mixer.A_log.grad.any()
    assert model.block(1).mixer.A_b_log.grad.any()
    assert model.block(0).mixer.A_log.grad.any()


def test_a_pixel_moves_the_token_of_its_patch():
    """Tokens run frame by frame: 1 + t · (H' W') + h · W' + w."""
    model = small_model(img_size=(16, 24), num_frames=4, tubelet_size=2)
    assert model.config.grid == (2, 2, 3)
    clip = random_clip(model)
    touched = clip.clone()
    touched[:, 1, 3, 9, 17] += 1  # frame 3 is in step 1, row 9 in patch row 1, column 17 in patch column 2
    moved = (model.embed(touched) != model.embed(clip)).any(-1)
    assert moved.nonzero().tolist() == [[sample, 1 + 1 * 6 + 1 * 3 + 2] for sample in range(2)]
    assert model(clip).shape == (2, 3)


def test_embedding_tubelets_is_the_convolution_whose_weights_it_holds():
    torch.manual_seed(0)
    embedding = TubeletEmbedding(5, tubelet_size=2, patch_size=4).double()
    clip = torch.randn(2, 3, 4, 8, 12, dtype=torch.float64)
    convolved = embedding.proj(clip).flatten(3).permute(0, 2, 3, 1)
    torch.testing.assert_close(embedding(clip), convolved, rtol=1e-12, atol=1e-12)


def test_positions_tell_patches_where_and_when_but_cls_only_its_own():
    model = small_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.cls_token += 1000
        model.pos_embed += torch.arange(5.0)[:, None] * 10
        model.temporal_pos_embedding += torch.tensor([[1.0], [2.0]])
    tokens = model.embed(random_clip(model, batch=1))[0, :, 0]
    assert tokens.tolist() == [1000, 11, 21, 31, 41, 12, 22, 32, 42]


class Dtypes(TorchDispatchMode):
    """Notes the dtype of every floating-point tensor that any operation makes."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **kwargs or {})
        for value in result if isinstance(result, tuple | list) else [result]:
            if isinstance(value, torch.Tensor) and value.is_floating_point():
                self.seen.add(value.dtype)
        return result


@pytest.mark.parametrize("norm", ["rms", "layer"])
def test_in_double_precision_nothing_is_computed_below_it(norm):
    model = small_model(norm=norm, drop_path_rate=0).double().train()
    clip = random_clip(model).requires_grad_()
    with Dtypes() as dtypes:
        model(clip).sum().backward()
    assert dtypes.seen == {torch.float64}


def half_precision_run(model, clip, autocast):
    if autocast:
        with torch.autocast("cpu", torch.bfloat16):
            return model(clip), *model.forward_features(clip, return_blocks=True)
    model = copy.deepcopy(model).bfloat16()
    return model(clip), *model.forward_features(clip, return_blocks=True)


@pytest.mark.parametrize("norm", ["rms", "layer"])
@pytest.mark.parametrize("autocast", [False, True])
def test_in_half_precision_the_residual_stream_is_not_rounded(autocast, norm):
    model = small_model(norm=norm)
    clip = random_clip(model)
    logits, _, blocks = half_precision_run(model, clip, autocast)

    assert logits.dtype == torch.bfloat16
    (hidden, first), (_, second) = blocks
    assert (hidden.dtype, first.dtype, second.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    assert torch.equal(second, first + hidden.float())
    # bfloat16 keeps 8 bits, so each of a few dozen roundings is worth 0.4 %.
    expected = model(clip)
    torch.testing.assert_close(logits.float(), expected, rtol=0.05, atol=0.05 * expected.abs().max().item())


def test_without_classes_there_is_no_head_and_the_normed_cls_comes_out():
    model = small_model(num_classes=0)
    clip = random_clip(model)
    assert not [name for name in model.state_dict() if name.startswith("head")]
    torch.nn.init.ones_(model.cls_token)  # far above the norm's ε
    assert torch.equal(model(clip), model.forward_features(clip)[:, 0])
    torch.testing.assert_close(model(clip).square().mean(-1), torch.ones(2), rtol=1e-3, atol=0)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_is_the_same_model(copied):
    model = small_model()
    clip = random_clip(model)
    assert torch.equal(copied(model)(clip), model(clip))


def test_weights_go_out_and_come_in():
    model, other = small_model(), small_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    clip = random_clip(model)
    assert not torch.equal(other(clip), model(clip))
    other.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(other(clip), model(clip))


def test_the_same_seed_gives_the_same_training_step():
    def gradients():
        model = small_model(drop_path_rate=0.5).train()
        model(random_clip(model, batch=4)).sum().backward()
        return [parameter.grad for parameter in model.parameters()]

    assert all(torch.equal(a, b) for a, b in zip(gradients(), gradients(), strict=True))


def test_what_is_not_decayed_exists():
    model = small_model()
    assert model.no_weight_decay() <= dict(model.named_parameters()).keys()


def test_set_backend_reaches_every_block_and_knows_the_names():
    model = small_model().set_backend("associative")
    assert {layer.mixer.backend for layer in model.layers} == {"associative"}
    with pytest.raises(ValueError, match=r"backend: expected one of 'auto', .* got 'fastest'"):
        model.set_backend("fastest")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3, 16, 16), r"clip: expected \(batch, channel, time, height, width\), got \(2, 3, 16, 16\)"),
        ((2, 1, 2, 16, 16), "channel = 3.*look at channel$"),
        ((2, 3, 4, 16, 16), "num_frames = 2.*look at num_frames$"),
        ((2, 3, 2, 8, 16), "height = 16.*look at height$"),
        ((2, 3, 2, 32, 32), r"got \(2, 3, 2, 32, 32\); look at height and width$"),
    ],
)
def test_a_clip_that_does_not_fit_is_told_where(shape, message):
    model = small_model()
    with pytest.raises(ValueError, match=message):
        model(torch.zeros(shape))


@pytest.mark.parametrize("clip", [torch.zeros(1, 3, 2, 16, 16, dtype=torch.uint8), [0.0]])
def test_a_clip_of_bytes_or_no_tensor_at_all_is_refused(clip):
    with pytest.raises(TypeError, match=re.escape("clip: expected a floating-point tensor, got")):
        check_clip(clip, small_model().config)
