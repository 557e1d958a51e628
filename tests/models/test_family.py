"""What holds for every VideoMamba, for clips and pictures, plain or student: copies, precision, seeds, weights."""

import copy
import pickle

import pytest
import torch
from small_mambas import FAMILY, pixels_for, shaken, tensors_of
from torch.utils._python_dispatch import TorchDispatchMode

MEMBERS = pytest.mark.parametrize("make", FAMILY.values(), ids=FAMILY.keys())


def run(model: torch.nn.Module, pixels: torch.Tensor) -> list[torch.Tensor]:
    return tensors_of(model(pixels))


def assert_same(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> None:
    assert len(ours) == len(theirs)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@MEMBERS
@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"]
)
def test_a_copy_is_the_same_model_and_a_separate_one(make, copied):
    model = shaken(make())
    pixels = pixels_for(model)
    expected = run(model, pixels)
    other = copied(model)
    assert_same(run(other, pixels), expected)
    shaken(other)
    assert_same(run(model, pixels), expected)


@MEMBERS
def test_weights_go_out_and_come_in(make):
    model, other = shaken(make()), make()
    pixels = pixels_for(model)
    assert not torch.equal(run(other, pixels)[0], run(model, pixels)[0])
    other.load_state_dict(model.state_dict(), strict=True)
    assert_same(run(other, pixels), run(model, pixels))


@MEMBERS
def test_the_same_seed_gives_the_same_training_step(make):
    def gradients() -> list[torch.Tensor | None]:
        model = make().train()
        torch.manual_seed(3)
        sum(output.square().sum() for output in run(model, pixels_for(model, batch=8))).backward()
        return [parameter.grad for parameter in model.parameters()]

    for ours, theirs in zip(gradients(), gradients(), strict=True):
        assert theirs is None if ours is None else torch.equal(ours, theirs)


@MEMBERS
def test_an_autograd_of_double_precision_computes_nothing_below_it(make):
    model = shaken(make()).double()
    pixels = pixels_for(model).requires_grad_()
    with Dtypes() as dtypes:
        sum(output.sum() for output in run(model, pixels)).backward()
    # The places of a masked student are rounded to float32, as released, and are no more than a constant.
    allowed = {torch.float64, torch.float32} if hasattr(model, "clip_decoder") else {torch.float64}
    assert torch.float64 in dtypes.seen <= allowed


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


@MEMBERS
def test_to_another_precision_and_back_is_the_same_model(make):
    model = shaken(make())
    pixels = pixels_for(model)
    expected = run(model, pixels)
    doubled = run(model.double(), pixels.double())
    for ours, theirs in zip(doubled, expected, strict=True):
        assert ours.dtype == torch.float64
        torch.testing.assert_close(ours.float(), theirs, rtol=1e-4, atol=1e-5)  # what float32 rounds in two blocks
    assert_same(run(model.float(), pixels), expected)


@MEMBERS
@pytest.mark.parametrize("norm", ["rms", "layer"])
@pytest.mark.parametrize("autocast", [False, True], ids=["weights", "autocast"])
def test_in_half_precision_the_residual_stream_is_not_rounded(make, norm, autocast):
    model = make()
    model = type(model)(model.config.with_overrides(norm=norm)).eval().set_backend("reference")
    pixels = pixels_for(model)
    expected = run(model, pixels)
    if not autocast:
        model = copy.deepcopy(model).bfloat16()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        outputs, (_, blocks) = run(model, pixels), model.forward_features(pixels, return_blocks=True)

    (hidden, first), (_, second) = blocks
    assert (hidden.dtype, first.dtype, second.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    assert torch.equal(second, first + hidden.float())
    # bfloat16 keeps 8 bits, so each of a few dozen roundings is worth 0.4 %.
    for came, wanted in zip(outputs, expected, strict=True):
        torch.testing.assert_close(came.float(), wanted, rtol=0.05, atol=0.05 * wanted.abs().max().item())


@MEMBERS
def test_a_model_on_no_device_shows_the_shape_of_its_answer(make):
    model = make()
    pixels = pixels_for(model)
    shapes = [output.shape for output in run(model, pixels)]
    assert [output.shape for output in run(model.to("meta"), pixels.to("meta"))] == shapes


@MEMBERS
def test_what_is_not_decayed_exists(make):
    model = make()
    assert {"cls_token", "pos_embed"} <= model.no_weight_decay() <= dict(model.named_parameters()).keys()


@MEMBERS
def test_samples_of_a_batch_do_not_hear_of_each_other(make):
    model = shaken(make()).double()
    pixels = pixels_for(model, batch=4)
    together = model.forward_features(pixels)
    apart = torch.cat([model.forward_features(sample[None]) for sample in pixels])
    torch.testing.assert_close(together, apart, rtol=1e-12, atol=1e-12)
