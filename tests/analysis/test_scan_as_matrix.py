"""The matrix of a scan: with the skip D and the gate z it must give what the scan itself gives."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scans import draw_scan, relative_error, scan_arguments
from torch import Tensor
from vmamba_kernels import selective_scan

from vmamba_edu.analysis import scan_matrix
from vmamba_edu.analysis.scan_as_matrix import check_direction
from vmamba_edu.models import masked_scan, residual_scan

EXACT = 1e-9  # float64, and every number is a short sum of products of exponentials


def output_by(matrix: Tensor, arguments: dict[str, Any]) -> Tensor:
    """silu(z) ⊙ ((M + diag D) u), with what is given of D and z."""
    y = torch.einsum("bdij,bdj->bdi", matrix, arguments["u"])
    if "D" in arguments:
        y = y + arguments["D"][:, None] * arguments["u"]
    return y * F.silu(arguments["z"]) if "z" in arguments else y


def every_channel(arguments: dict[str, Any], **options: Any) -> Tensor:
    return scan_matrix(arguments, channel=range(arguments["u"].shape[1]), **options)


@given(scan_arguments(max_length=70, max_dim=5, max_state=5), st.booleans())
@settings(max_examples=60)
def test_the_matrix_is_the_scan(drawn, residual):
    """Every layout and option, lengths beyond a piece; the residual start and the masked diagonal too."""
    arguments = {name: x for name, x in drawn.items() if name not in ("reverse", "exclude_self", "initial_state")}
    reverse, masked = drawn["reverse"], drawn["exclude_self"]
    direction = "backward" if reverse else "forward"
    matrix = every_channel(arguments, direction=direction, residual=residual, masked=masked)
    if residual:
        y, _ = (masked_scan if masked else residual_scan)(**arguments, reverse=reverse, backend="reference")
    else:
        y = selective_scan(**arguments, reverse=reverse, exclude_self=masked, backend="reference")
    assert relative_error(output_by(matrix, arguments), y) < EXACT


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize(("residual", "masked"), [(False, False), (True, False), (False, True), (True, True)])
def test_the_sum_as_it_is_written(direction, residual, masked):
    """M[i, j] = Σ_n C_i[n] (Π Ā_k) Δ_j B_j[n], number by number."""
    a = draw_scan(1, 2, 7, 3, optional=())
    step = a["delta"].abs()
    matrix = every_channel({**a, "delta": step}, direction=direction, residual=residual, masked=masked)
    order = range(7) if direction == "forward" else range(6, -1, -1)
    for d in range(2):
        for place, i in enumerate(order):
            for earlier, j in enumerate(order):
                between = step[0, d, list(order)[earlier + 1 : place + 1]].sum()
                held = torch.exp(between * a["A"][d]) * step[0, d, j] * a["B"][0, :, j]
                if residual and earlier == 0:
                    held = held + torch.exp((between + step[0, d, j]) * a["A"][d])
                expected = (a["C"][0, :, i] * held).sum()
                if earlier > place or (masked and i == j):
                    expected = torch.zeros(())
                assert matrix[0, d, i, j].item() == pytest.approx(expected.item(), rel=1e-12, abs=1e-14)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("rows", [[0], [99], [64, 3, 31, 32, 3]])
def test_chosen_rows_are_those_of_the_whole_matrix(direction, rows):
    a = draw_scan(2, 3, 100, optional=("delta_bias",)) | {"delta_softplus": True}
    for channel in (1, [2, 0], "mean"):
        chosen = scan_matrix(a, channel=channel, rows=rows, direction=direction)
        whole = scan_matrix(a, channel=channel, direction=direction)
        torch.testing.assert_close(chosen, whole[:, :, rows], rtol=1e-12, atol=1e-14)


def test_the_mean_is_that_of_all_channels(monkeypatch):
    monkeypatch.setattr("vmamba_edu.analysis.scan_as_matrix.NUMBERS", 1)  # one channel at a time
    a = draw_scan(2, 5, 40, optional=("delta_bias",)) | {"delta_softplus": True}
    mean = scan_matrix(a)
    assert mean.shape == (2, 1, 40, 40)
    torch.testing.assert_close(mean, every_channel(a).mean(1, keepdim=True), rtol=1e-12, atol=1e-14)


def test_what_has_decayed_to_nothing_does_not_hurt():
    """A down to -1e4 over 3000 tokens: the product of all Ā is e^(-3e6), and a quotient of two such is not a number."""
    a = draw_scan(1, 2, 3000, 2, optional=())
    a["delta"] = a["delta"].abs() + 0.1
    a["A"] = torch.tensor([[-1e4, -1e-3], [-5.0, -0.5]], dtype=torch.float64)
    rows = [0, 31, 32, 1500, 2999]
    matrix = every_channel(a, rows=rows)
    y = selective_scan(**a, backend="reference")[..., rows]
    ours = torch.einsum("bdij,bdj->bdi", matrix, a["u"])
    assert relative_error(ours, y) < EXACT
    assert matrix[0, 0, -1, -1] != 0


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_nobody_hears_what_is_not_read_yet(direction):
    matrix = every_channel(draw_scan(1, 2, 70, optional=()), direction=direction)
    assert (matrix.triu(1) if direction == "forward" else matrix.tril(-1)).count_nonzero() == 0


def test_one_row_of_a_long_sequence_takes_little():
    """Length 100,000: a whole matrix would be 80 GB in float64."""
    a = draw_scan(1, 2, 100_000, 2, optional=("delta_bias",)) | {"delta_softplus": True}
    row = scan_matrix(a, rows=[99_999])
    assert row.shape == (1, 1, 1, 100_000)
    y = selective_scan(**a, backend="numba")[..., -1].mean()
    assert torch.allclose((every_channel(a, rows=[99_999])[:, :, 0] * a["u"]).sum(-1).mean(), y, rtol=1e-9)


def test_half_precision_is_widened():
    arguments = draw_scan(optional=(), dtype=torch.bfloat16)
    assert scan_matrix(arguments).dtype == torch.float32


def test_what_is_not_there_is_named():
    a = draw_scan(optional=())
    with pytest.raises(ValueError, match="channel: expected 'mean' or some of 0 to 2, got 3"):
        scan_matrix(a, channel=3)
    with pytest.raises(ValueError, match="channel: expected 'mean', a number or several, got 'max'"):
        scan_matrix(a, channel="max")
    with pytest.raises(ValueError, match=r"rows: expected some of 0 to 8, got \[-1\]"):
        scan_matrix(a, rows=[-1])
    with pytest.raises(ValueError, match=r"rows: expected some of 0 to 8, got \[\]"):
        scan_matrix(a, rows=[])
    with pytest.raises(ValueError, match="direction: expected 'forward' or 'backward', got 'both'"):
        check_direction("both")
