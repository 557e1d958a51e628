"""The reference data that travels with the tests: small, complete, and free of tensors that nothing reads."""

import pytest
import torch
from reference_data import FOLDER, load_reference, reference_names


def test_the_folder_stays_small():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 6_000_000


@pytest.mark.parametrize("name", reference_names())
def test_a_case_holds_the_tensors_its_description_lists(name):
    tensors, description = load_reference(name)
    shapes = {key: list(tensor.shape) for key, tensor in tensors.items()}
    assert shapes == {key: entry["shape"] for key, entry in description.get("tensors", {}).items()}


@pytest.mark.parametrize("name", reference_names())
def test_what_is_called_double_is_double(name):
    tensors, _ = load_reference(name)
    assert {tensor.dtype for key, tensor in tensors.items() if key.endswith(".f64")} <= {torch.float64}


@pytest.mark.parametrize("name", reference_names())
def test_no_single_precision_twin_was_kept(name):
    tensors, _ = load_reference(name)
    twins = [key for key in tensors if key.endswith(".f32") and key.removesuffix(".f32") + ".f64" in tensors]
    assert twins == []


def test_a_wrong_name_lists_the_right_ones():
    with pytest.raises(ValueError, match="01_scan_basic"):
        load_reference("01_scan_basics")
