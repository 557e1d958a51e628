"""Selection: against the formulas written out, the fixed twin against a convolution, and the task against its words."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vmamba_edu.models.mixer import Mixer
from vmamba_edu.ssm import (
    CopyingModel,
    CopyingTask,
    FixedLayer,
    SelectiveLayer,
    convolution_kernel,
    convolve,
    copying_accuracy,
    mamba,
    select,
    train_copying,
)

DIM, STATE, LENGTH = 20, 3, 7


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def tokens() -> torch.Tensor:
    return torch.randn(2, LENGTH, DIM, generator=generator(1), dtype=torch.float64)


@pytest.fixture
def layer() -> SelectiveLayer:
    return SelectiveLayer(DIM, STATE, generator=generator()).double()


@torch.no_grad()
def test_a_token_chooses_by_formulas_that_one_can_write_out(layer, tokens):
    chosen = layer.select(tokens)
    rank = math.ceil(DIM / 16)
    for batch in range(2):
        for t in range(LENGTH):
            made = [float(row @ tokens[batch, t]) for row in layer.x_weight]
            assert chosen.B[batch, t].tolist() == pytest.approx(made[rank : rank + STATE])
            assert chosen.C[batch, t].tolist() == pytest.approx(made[rank + STATE :])
            for d in range(DIM):
                x = sum(float(layer.dt_weight[d, r]) * made[r] for r in range(rank)) + float(layer.dt_bias[d])
                assert float(chosen.delta[batch, t, d]) == pytest.approx(math.log1p(math.exp(x)))


def test_the_mixer_of_videomamba_selects_in_the_same_way(tokens):
    """The same maps, taken out of a mixer; its bias and softplus stand in the scan's arguments."""
    mixer = Mixer(DIM // 2, d_state=STATE, bidirectional=False).double()
    found = mixer.scan_arguments(mixer.in_proj(tokens[..., : DIM // 2]), "forward")
    ours = select(found["u"].mT, mixer.x_proj.weight, mixer.dt_proj.weight, mixer.dt_proj.bias)
    step = torch.nn.functional.softplus(found["delta"] + found["delta_bias"][:, None])
    for one, other in zip(ours, (step, found["B"], found["C"]), strict=True):
        torch.testing.assert_close(one, other.mT)


def test_the_layer_is_the_recurrence_of_what_was_chosen(layer, tokens):
    delta, B, C = (one.detach() for one in layer.select(tokens))
    A = -torch.exp(layer.A_log.detach())
    h, expected = torch.zeros(2, DIM, STATE).double(), []
    for t in range(LENGTH):
        h = torch.exp(delta[:, t, :, None] * A) * h
        h = h + delta[:, t, :, None] * B[:, t, None] * tokens[:, t, :, None]
        expected.append((h * C[:, t, None]).sum(-1))
    torch.testing.assert_close(layer(tokens), torch.stack(expected, dim=1))


def test_the_fixed_twin_is_a_convolution_and_the_selective_layer_is_not_linear(layer, tokens):
    fixed = FixedLayer(DIM, STATE, generator=generator()).double()
    delta = torch.nn.functional.softplus(fixed.dt_bias)
    kernel = convolution_kernel(*mamba(-torch.exp(fixed.A_log), fixed.B, delta), fixed.C, LENGTH)
    torch.testing.assert_close(fixed(tokens), convolve(tokens.mT, kernel).mT)
    torch.testing.assert_close(fixed(2 * tokens), 2 * fixed(tokens))
    assert not torch.allclose(layer(2 * tokens), 2 * layer(tokens), rtol=0.1)


@pytest.mark.parametrize("kind", [SelectiveLayer, FixedLayer])
def test_both_layers_read_forwards_survive_a_shift_and_learn_in_every_parameter(kind, tokens):
    layer = kind(DIM, STATE, generator=generator()).double()
    late = torch.cat([torch.zeros(2, 3, DIM).double(), tokens], dim=1)
    torch.testing.assert_close(layer(late)[:, 3:], layer(tokens))
    later = tokens.clone()
    later[:, 4:] += 1
    torch.testing.assert_close(layer(later)[:, :4], layer(tokens)[:, :4])
    layer(tokens).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in layer.parameters())


def test_rows_that_do_not_come_out_even_are_refused():
    with pytest.raises(ValueError, match="x_weight: expected 2 rows for dt and then as many for B as for C, got 7"):
        select(torch.zeros(3, 4), torch.zeros(7, 4), torch.zeros(4, 2), torch.zeros(4))


@given(st.integers(2, 6), st.integers(1, 4), st.integers(0, 10), st.integers(0, 1000))
@settings(max_examples=20)
def test_a_sequence_holds_its_answers_in_order_among_noise(values, remember, noise, seed):
    task = CopyingTask(2 * remember + noise, values, remember)
    tokens, answers = task.draw(5, generator(seed))
    assert tokens.shape == (5, task.length)
    for sequence, answer in zip(tokens.tolist(), answers.tolist(), strict=True):
        assert sequence[-remember:] == [1] * remember
        assert [token for token in sequence if token > 1] == answer
        assert sequence.count(0) == noise
        assert max(sequence) < task.vocabulary == values + 2


def test_places_and_values_are_drawn_evenly():
    """Each of 4 places holds a value in half of 4000 sequences: 2000 ± 32, of which five times as much is allowed."""
    tokens, answers = CopyingTask(6, 2, 2).draw(4000, generator())
    assert ((tokens[:, :4] > 1).sum(0) - 2000).abs().max() < 160
    assert ((answers == 2).sum(0) - 2000).abs().max() < 160


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((5, 2, 3), "length: expected room for 3 values and as many signs, got 5 tokens"),
        ((8, 1, 2), "values, remember: expected at least 2 and at least 1, got 1 and 2"),
        ((8, 2, 0), "values, remember: expected at least 2 and at least 1, got 2 and 0"),
    ],
)
def test_a_task_that_cannot_be_is_refused(sizes, said):
    with pytest.raises(ValueError, match=said):
        CopyingTask(*sizes)


def test_the_twins_differ_in_nothing_but_their_layers():
    task = CopyingTask()
    ours, twin = (CopyingModel(task, selective=kind, generator=generator()) for kind in (True, False))
    names = [{name for name, _ in model.named_parameters() if "scans" not in name} for model in (ours, twin)]
    assert names[0] == names[1]
    assert {type(scan) for scan in ours.scans} == {SelectiveLayer}
    assert {type(scan) for scan in twin.scans} == {FixedLayer}


def test_training_follows_from_the_seed_and_learns():
    """A task that is done in a few steps: one value out of two, with hardly any noise."""
    task = CopyingTask(4, 2, 1)
    curves = []
    for _ in range(2):
        source = generator()
        model = CopyingModel(task, selective=True, dim=16, state=2, depth=1, generator=source)
        curves.append(train_copying(model, task, steps=40, generator=source))
    assert curves[0] == curves[1]
    assert len(curves[0]) == 40
    assert curves[0][-1] < 0.1 < curves[0][0]
    assert copying_accuracy(model, *task.draw(100, generator(1))) == 1


def test_accuracy_counts_each_value_at_its_place():
    class Parrot(torch.nn.Module):
        def forward(self, tokens):
            said = torch.tensor([2, 3, 2, 2])
            return torch.nn.functional.one_hot(said, 4).double().expand(len(tokens), -1, -1)

    tokens = torch.tensor([[2, 3, 1, 1], [3, 3, 1, 1]])
    assert copying_accuracy(Parrot(), tokens, tokens[:, :2]) == 0.25  # 2 of "2 3" and nothing of "3 3"


def test_the_steps_of_a_selective_model_are_those_its_layers_choose():
    task = CopyingTask(12, 3, 2)
    model = CopyingModel(task, selective=True, dim=16, state=2, generator=generator())
    tokens, _ = task.draw(2, generator())
    seen: list[torch.Tensor] = []
    for scan in model.scans:
        scan.register_forward_pre_hook(lambda module, given: seen.append(module.select(*given).delta))
    model(tokens)
    expected = list(seen)
    for ours, theirs in zip(model.steps(tokens), expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    with pytest.raises(ValueError, match="steps: expected a model with selective=True"):
        CopyingModel(task, selective=False).steps(tokens)
