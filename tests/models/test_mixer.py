"""The mixer against the published one (reference group 02), and the laws of its two directions."""

import pytest
import torch
from agreement import ENGINES, assert_agrees, state_dict_of
from reference_data import reference_names
from scans import needs

from vmamba_edu.models import Mixer


def published_mixer(tensors: dict, description: dict) -> Mixer:
    args = description["args"]
    # The published slow path computes the forward direction only, silently. Ours says so: bidirectional=False.
    bidirectional = args["bimamba"] and args["use_fast_path"]
    mixer = Mixer(args["d_model"], d_state=args["d_state"], bidirectional=bidirectional)
    weights = {k: v for k, v in state_dict_of(tensors).items() if k not in description["params_without_gradient"]}
    mixer.load_state_dict(weights, strict=True)
    return mixer


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", reference_names("02_"))
def test_agrees_with_the_published_mixer(reference, name, engine, dtype):
    tensors, description = reference(name)
    mixer = published_mixer(tensors, description).to(dtype)
    mixer.backend = needs(engine)
    x = tensors["in.x"].to(dtype).requires_grad_()

    y = mixer(x)
    (y * tensors["rand_out"].to(dtype)).sum().backward()

    assert_agrees(y, tensors["out.y.f64"], "y")
    assert_agrees(x.grad, tensors["grad.x.f64"], "gradient of x")
    for parameter, value in mixer.named_parameters():
        assert_agrees(value.grad, tensors[f"grad.{parameter}.f64"], f"gradient of {parameter}")


def random_mixer(**keywords) -> tuple[Mixer, torch.Tensor]:
    torch.manual_seed(0)
    mixer = Mixer(8, d_state=4, **keywords).double()
    mixer.backend = "reference"
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))  # so that both directions differ in everything
    return mixer, torch.randn(2, 7, 8, dtype=torch.float64)


def test_one_direction_hears_of_no_later_token():
    mixer, x = random_mixer(bidirectional=False)
    later = x.clone()
    later[:, 4:] += 1
    before, after = mixer(x), mixer(later)
    assert torch.equal(before[:, :4], after[:, :4])
    assert (before[:, 4:] != after[:, 4:]).any(-1).all()


def test_both_directions_hear_of_every_token():
    mixer, x = random_mixer()
    last_changed, first_changed = x.clone(), x.clone()
    last_changed[:, -1] += 1
    first_changed[:, 0] += 1
    y = mixer(x)
    assert (mixer(last_changed)[:, 0] != y[:, 0]).any()
    assert (mixer(first_changed)[:, -1] != y[:, -1]).any()


def test_exchanging_the_directions_is_reading_the_sequence_backwards():
    mixer, x = random_mixer()
    exchanged, _ = random_mixer()
    state = mixer.state_dict()
    names = {f"{stem}.{end}": f"{stem}_b.{end}" for stem in ("conv1d", "dt_proj") for end in ("weight", "bias")}
    names |= {"A_log": "A_b_log", "D": "D_b", "x_proj.weight": "x_proj_b.weight"}
    for forward, backward in names.items():
        state[forward], state[backward] = state[backward], state[forward]
    exchanged.load_state_dict(state)
    torch.testing.assert_close(exchanged(x.flip(1)).flip(1), mixer(x), rtol=1e-12, atol=1e-12)


def test_the_directions_are_added():
    mixer, x = random_mixer()
    tokens = mixer.in_proj(x)
    both = mixer.read(tokens, "forward") + mixer.read(tokens, "backward")
    assert torch.equal(mixer(x), mixer.out_proj(both))


def test_the_scan_gets_views_not_copies():
    """Tokens stay (batch, length, dim): with stride 1 along the channels, as the engine for CPUs reads them."""
    mixer, x = random_mixer()
    tokens = mixer.in_proj(x)
    arguments = mixer.scan_arguments(tokens, "forward")
    assert arguments["z"].untyped_storage().data_ptr() == tokens.untyped_storage().data_ptr()
    assert {name: arguments[name].stride(1) for name in ("delta", "B", "C", "z")} == dict.fromkeys(
        ("delta", "B", "C", "z"), 1
    )


@pytest.mark.parametrize(("dim", "rank"), [(192, 12), (24, 2), (16, 1), (8, 1)])
def test_the_rank_of_delta_is_a_sixteenth_of_the_width_rounded_up(dim, rank):
    assert Mixer(dim).dt_proj.in_features == rank
    assert Mixer(dim, dt_rank=3).dt_proj.in_features == 3


def test_what_does_not_fit_is_named():
    mixer, _ = random_mixer(bidirectional=False)
    with pytest.raises(ValueError, match=r"x: expected \(batch, length, 8\), got \(2, 7, 9\)"):
        mixer(torch.zeros(2, 7, 9, dtype=torch.float64))
    with pytest.raises(ValueError, match="direction: expected 'forward', got 'backward'"):
        mixer.parameters_of("backward")
