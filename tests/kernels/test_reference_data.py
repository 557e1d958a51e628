"""Every engine against what the published selective scan computed (reference group 01)."""

import pytest
import torch
from reference_data import load_reference, reference_names
from scans import ENGINES, needs, relative_error
from vmamba_kernels import selective_scan

CASES = reference_names("01_")
# Float32 to float64 of the same inputs: a few roundings forward; sums over length and dim in the gradients.
TOLERANCE = {torch.float64: (1e-9, 1e-9), torch.float32: (2e-6, 2e-5)}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES)
def test_agrees_with_the_published_scan(case: str, engine: str, dtype: torch.dtype) -> None:
    tensors, description = load_reference(case)
    inputs = {name[3:]: x.to(dtype).requires_grad_() for name, x in tensors.items() if name.startswith("in.")}
    forward_tolerance, gradient_tolerance = TOLERANCE[dtype]

    y, last_state = selective_scan(
        **inputs,
        delta_softplus=description["args"]["delta_softplus"],
        return_last_state=True,
        backend=needs(engine),
    )
    assert relative_error(y, tensors["out.y.f64"]) <= forward_tolerance
    assert relative_error(last_state, tensors["out.last_state.f64"]) <= forward_tolerance

    for key, objective in {
        "grad": (y * tensors["rand_out"]).sum(),
        "grad_with_state": (y * tensors["rand_out"]).sum() + (last_state * tensors["rand_state"]).sum(),
    }.items():
        gradients = torch.autograd.grad(objective, list(inputs.values()), retain_graph=True, materialize_grads=True)
        for name, gradient in zip(inputs, gradients, strict=True):
            truth = tensors[f"{key}.{name}.f64"]
            assert relative_error(gradient, truth) <= gradient_tolerance, f"{key}.{name}"
