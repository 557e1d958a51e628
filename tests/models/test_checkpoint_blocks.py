"""Computing blocks again in the backward pass instead of keeping what they made: the same results and gradients."""

import pytest
import torch
from agreement import random_clip, small_model
from scans import needs
from small_mambas import FAMILY, pixels_for, shaken, tensors_of

from vmamba_edu.models.backbone import Block

MEMBERS = pytest.mark.parametrize("make", FAMILY.values(), ids=FAMILY.keys())


@MEMBERS
def test_results_and_gradients_are_the_same(make):
    """Also with drop path, which must leave out the same samples when a block is computed again."""
    plain = shaken(make())
    config = plain.config.with_overrides(drop_path_rate=0.5)
    models = [type(plain)(config.with_overrides(checkpoint_blocks=blocks)).train() for blocks in (0, 1, 2)]
    results = []
    for model in models:
        model.load_state_dict(plain.state_dict())
        model.set_backend("reference")
        torch.manual_seed(5)
        outputs = tensors_of(model(pixels_for(model, batch=8)))
        sum(output.square().sum() for output in outputs).backward()
        results.append([*outputs, *(parameter.grad for parameter in model.parameters())])
    for other in results[1:]:
        for ours, theirs in zip(other, results[0], strict=True):
            assert theirs is None if ours is None else torch.equal(ours, theirs)


@pytest.mark.parametrize(("blocks", "runs"), [(0, [1, 1, 1]), (1, [2, 1, 1]), (2, [2, 2, 1])])
def test_the_first_blocks_run_twice(monkeypatch, blocks, runs):
    model = small_model(depth=3, checkpoint_blocks=blocks)
    counted, forward = [0, 0, 0], Block.forward

    def counting(block, *arguments):
        counted[list(model.layers).index(block)] += 1
        return forward(block, *arguments)

    monkeypatch.setattr(Block, "forward", counting)
    model(random_clip(model)).sum().backward()
    assert counted == runs


def test_less_is_kept_for_the_backward_pass():
    def kept(blocks: int) -> int:
        model = small_model(depth=4, checkpoint_blocks=blocks)
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: sizes.append(x.numel()) or x, lambda x: x):
            model(random_clip(model))
        return sum(sizes)

    assert kept(4) < 0.3 * kept(0)  # a block keeps far more than the two tensors that enter it
    assert kept(4) < kept(2) < kept(0)


def test_without_gradients_nothing_is_computed_twice_or_kept():
    model = small_model(checkpoint_blocks=2)
    with torch.no_grad():
        assert torch.equal(model(random_clip(model)), small_model()(random_clip(model)))


def test_the_fast_engine_computes_blocks_again_too():
    gradients = []
    for blocks in (0, 2):
        model = small_model(checkpoint_blocks=blocks).set_backend(needs("numba"))
        model(random_clip(model)).square().sum().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*gradients, strict=True))
