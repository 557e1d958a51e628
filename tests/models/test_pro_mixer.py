"""VideoMambaPro's mixers against the released ones (reference group 07), and the laws of its variants."""

import pytest
import torch
from agreement import ENGINES, assert_agrees, state_dict_of
from reference_data import reference_names
from scans import needs
from vmamba_kernels import selective_scan

from vmamba_edu.models import Mixer, ProMixer, masked_scan, residual_scan
from vmamba_edu.models.pro_mixer import PRO_VARIANTS
from vmamba_edu.models.pro_scan import first_input

DTYPES = [torch.float64, torch.float32]
KEYWORDS = ("d_state", "d_conv", "expand", "dt_rank", "if_divide_out", "init_layer_scale")
# The released functions that group 07's `inner` cases ran, and the variant whose mixer calls them.
FUNCTIONS = {
    "bimamba_inner_ref": "released_v1",
    "mamba_inner_fn_no_out_proj": "released_v2",
    "mamba_inner_ref": "released_none",
}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", reference_names("07_pro_mamba"))
def test_agrees_with_the_released_mixer(reference, name, engine, dtype):
    tensors, description = reference(name)
    args = description["args"]
    keywords = {key: args[key] for key in KEYWORDS if key in args}
    mixer = ProMixer(args["d_model"], variant=f"released_{args['bimamba_type']}", **keywords).to(dtype)
    mixer.load_state_dict(state_dict_of(tensors), strict=True)
    mixer.backend = needs(engine)
    x = tensors["in.x"].to(dtype).requires_grad_()

    y = mixer(x)
    (y * tensors["rand_out"].to(dtype)).sum().backward()

    assert_agrees(y, tensors["out.y.f64"], "y")
    compared = compare_gradients({"x": x, **dict(mixer.named_parameters())}, tensors, "grad.")
    assert compared >= 5


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("name", reference_names("07_pro_inner"))
def test_agrees_with_the_released_functions_inside(reference, name, function, engine, dtype):
    """Whatever they leave out, in_proj and sometimes out_proj, is left out here as well."""
    tensors, description = reference(name)
    mixer = mixer_of_inner(tensors, description["args"], FUNCTIONS[function]).to(dtype)
    mixer.backend = needs(engine)
    xz = tensors["in.xz"].to(dtype).requires_grad_()
    both = function == "bimamba_inner_ref"

    y = sum(mixer.read(xz.transpose(1, 2), direction) for direction in (mixer.directions if both else ["forward"]))
    y = y.transpose(1, 2) if function == "mamba_inner_fn_no_out_proj" else mixer.out_proj(y)

    assert_agrees(y, tensors[f"{function}.y.f64"], function)
    if not any(key.startswith(f"{function}.grad") for key in tensors):
        return
    (y * tensors["rand.bdl" if function == "mamba_inner_fn_no_out_proj" else "rand.bld"].to(dtype)).sum().backward()
    parameters = dict(mixer.named_parameters())
    ours = {"xz": xz} | {theirs: parameters[name] for theirs, name in INNER_NAMES.items() if name in parameters}
    assert compare_gradients(ours, tensors, f"{function}.grad.") >= 5
    for theirs in {"A", "A_b"} & ours.keys():
        if f"{function}.grad.{theirs}.f64" in tensors:  # dL/dA = dL/dA_log · dA_log/dA, and A_log = log(-A)
            gradient = ours[theirs].grad / tensors[f"in.{theirs}"].to(dtype)
            assert_agrees(gradient, tensors[f"{function}.grad.{theirs}.f64"], f"gradient of {theirs}")


INNER_NAMES = {
    "conv1d_weight": "conv1d.weight",
    "conv1d_bias": "conv1d.bias",
    "x_proj_weight": "x_proj.weight",
    "delta_proj_weight": "dt_proj.weight",
    "delta_bias": "dt_proj.bias",
    "out_proj_weight": "out_proj.weight",
    "D": "D",
    "A": "A_log",
    "A_b": "A_b_log",
}


def mixer_of_inner(tensors: dict, args: dict, variant: str) -> ProMixer:
    """A mixer in double precision with the arguments of the released functions as its parameters."""
    sizes = {"d_state": args["dstate"], "dt_rank": args["dt_rank"], "expand": args["expand"]}
    mixer = ProMixer(args["d_model"], variant=variant, **sizes).double()
    parameters = dict(mixer.named_parameters())
    with torch.no_grad():
        for theirs, ours in INNER_NAMES.items():
            if ours in parameters:
                value = tensors[f"in.{theirs}"].double()
                parameters[ours].copy_((-value).log() if theirs in ("A", "A_b") else value)
    return mixer


def compare_gradients(ours: dict, tensors: dict, prefix: str) -> int:
    """Compare every stored gradient but those of A, and return how many there were."""
    stored = [key for key in tensors if key.startswith(prefix) and key.endswith(".f64")]
    for key in stored:
        name = key.removeprefix(prefix).removesuffix(".f64")
        if name not in ("A", "A_b"):
            assert_agrees(ours[name].grad, tensors[key], f"gradient of {name}")
    return len(stored)


def random_mixer(variant: str, **keywords) -> tuple[ProMixer, torch.Tensor]:
    torch.manual_seed(0)
    mixer = ProMixer(8, variant=variant, d_state=4, **keywords).double()
    mixer.backend = "reference"
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return mixer, torch.randn(2, 7, 8, dtype=torch.float64)


@pytest.mark.parametrize("variant", PRO_VARIANTS)
def test_a_mixer_is_the_two_scans_of_its_table_row(variant):
    """The one that is masked is `masked_scan`, for which the released function vouches; all others `residual_scan`."""
    mixer, x = random_mixer(variant)
    tokens = mixer.in_proj(x)
    plain = Mixer(8, d_state=4, bidirectional=hasattr(mixer, "D_b")).double()
    plain.load_state_dict({k: v for k, v in mixer.state_dict().items() if k in plain.state_dict()})
    plain.backend = "reference"
    total = 0
    for direction in mixer.directions:
        shared = direction == "backward" and variant == "released_v1"
        arguments = plain.scan_arguments(tokens, "forward" if shared else direction)
        if shared:
            arguments["A"] = -mixer.A_b_log.exp()
        if variant in ("released_v1", "released_v2"):
            arguments["u"] = tokens[..., : mixer.inner_dim].transpose(1, 2)
        masked = direction == "backward" and variant in ("paper", "released_v1")
        scan = masked_scan if masked else residual_scan
        total = total + scan(**arguments, reverse=direction == "backward", backend="reference")[0]
    torch.testing.assert_close(mixer(x), mixer.out_proj(total.transpose(1, 2)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("variant", ["paper", "released_v1", "released_v2"])
def test_no_token_reads_itself_where_the_backward_scan_is_masked(variant):
    """Not even the first one read, whose input the scan starts from. D, which is no part of the state, is left out."""
    mixer, x = random_mixer(variant)
    arguments = mixer.scan_arguments(mixer.in_proj(x), "backward")
    u = arguments["u"].detach().requires_grad_()
    arguments |= {"u": u, "initial_state": first_input(u, arguments["A"], reverse=True), "D": None}
    y = selective_scan(**arguments, reverse=True, backend="reference")
    for token in range(x.shape[1]):
        (gradient,) = torch.autograd.grad(y[..., token].sum(), u, retain_graph=True)
        assert gradient[..., token].any().item() is (variant == "released_v2"), token
        assert gradient[..., token + 1 :].any().item() is (token < x.shape[1] - 1), token  # the others are read


@pytest.mark.parametrize("variant", PRO_VARIANTS)
def test_both_directions_hear_of_every_token(variant):
    mixer, x = random_mixer(variant)
    last_changed, first_changed = x.clone(), x.clone()
    last_changed[:, -1] += 1
    first_changed[:, 0] += 1
    y = mixer(x)
    assert (mixer(last_changed)[:, 0] != y[:, 0]).any().item() is (variant != "released_none")
    assert (mixer(first_changed)[:, -1] != y[:, -1]).any()


@pytest.mark.parametrize("variant", ["paper", "released_v2"])
def test_two_variants_hold_the_parameters_of_videomamba_in_its_order(variant):
    assert list(ProMixer(8, variant=variant).state_dict()) == list(Mixer(8).state_dict())


def test_the_others_hold_those_of_one_direction():
    one = list(Mixer(8, bidirectional=False).state_dict())
    assert list(ProMixer(8, variant="released_none").state_dict()) == one
    assert list(ProMixer(8, variant="released_v1").state_dict()) == ["A_log", "D", "A_b_log", *one[2:]]


def test_the_directions_of_v1_share_everything_but_A():
    mixer, _ = random_mixer("released_v1")
    forward, backward = mixer.parameters_of("forward"), mixer.parameters_of("backward")
    assert backward.A_log is mixer.A_b_log is not forward.A_log
    assert backward._replace(A_log=forward.A_log) == forward


def test_the_sum_is_halved_and_the_output_scaled_where_asked_for():
    mixer, x = random_mixer("released_v2")
    halved, _ = random_mixer("released_v2", if_divide_out=True)
    halved.load_state_dict(mixer.state_dict())
    assert torch.equal(halved(x), mixer(x) / 2)
    scaled, _ = random_mixer("paper", init_layer_scale=0.5)
    assert torch.equal(ProMixer(8, init_layer_scale=1e-4).gamma, torch.full((8,), 1e-4))
    once = scaled(x)
    scaled.gamma.data *= torch.arange(8)
    torch.testing.assert_close(scaled(x), once * torch.arange(8), rtol=1e-12, atol=0)


@pytest.mark.parametrize("variant", PRO_VARIANTS)
@pytest.mark.parametrize("length", [1, 2])
def test_short_sequences_are_read_alike_by_every_engine(variant, length):
    mixer, x = random_mixer(variant)
    expected = mixer(x[:, :length])
    for engine in (*ENGINES[1:], "triton"):
        mixer.backend = needs(engine)
        torch.testing.assert_close(mixer(x[:, :length]), expected, rtol=1e-10, atol=1e-12)


def test_what_cannot_be_is_named():
    with pytest.raises(ValueError, match=r"variant: expected 'paper', 'released_v1', .* got 'v1'"):
        ProMixer(8, variant="v1")
    with pytest.raises(ValueError, match=r"if_divide_out: expected False.* got True with 'paper'"):
        ProMixer(8, variant="paper", if_divide_out=True)
    mixer, _ = random_mixer("released_none")
    with pytest.raises(ValueError, match="direction: expected 'forward', got 'backward'"):
        mixer.scan_arguments(torch.zeros(1, 2, 32), "backward")
