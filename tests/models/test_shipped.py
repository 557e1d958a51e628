"""What comes with the package is there without a network, says where it is from, and fits other clips than its own."""

import socket

import pytest
import torch

from vmamba_edu.models import DigitTeacher, VideoMamba, from_pretrained, list_shipped, shipped_record
from vmamba_edu.models.checkpoints.shipped import shipped_weights

CLASSIFIER = "moving_digits_classifier"
MOST = {"digit_teacher": 1_000_000, CLASSIFIER: 1_500_000}  # bytes


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("nothing may be fetched"))


@pytest.mark.parametrize("name", MOST)
def test_it_is_small_and_says_where_it_is_from(repository, name):
    assert name in list_shipped()
    file = repository / "vmamba_edu" / "models" / "data" / f"{name}.safetensors"
    assert file.stat().st_size < MOST[name]
    record = shipped_record(name)
    assert (repository / record["script"]).is_file()
    assert isinstance(record["seed"], int)
    assert all(torch.isfinite(value).all() for value in shipped_weights(name).values())


def test_the_teacher_has_the_same_entrance():
    teacher = from_pretrained("digit_teacher", normalise=False)
    assert isinstance(teacher, DigitTeacher)
    assert not teacher.normalise
    assert not teacher.training


def test_the_classifier_is_the_model_of_its_recipe_with_the_weights_of_its_file(repository):
    model, record = from_pretrained(CLASSIFIER), shipped_record(CLASSIFIER)
    assert isinstance(model, VideoMamba)
    assert not model.training
    assert model.config.pool == "cls", "as published"
    assert (model.config.cls_position, model.config.scan_order) == ("first", "spatial_first")
    assert (repository / record["source"]).is_file()
    assert record["accuracy"].keys() == record["clips"].keys() == {"validation", "test"}
    stored = shipped_weights(CLASSIFIER)
    assert all(torch.equal(value, stored[name]) for name, value in model.state_dict().items())
    assert len(record["classes"]) == model.config.num_classes == 12


def test_it_can_be_made_for_longer_clips_and_for_other_classes():
    longer = from_pretrained(CLASSIFIER, num_frames=16)
    assert longer.temporal_pos_embedding.shape[1] == 16
    assert longer(torch.zeros(1, 3, 16, 32, 32)).shape == (1, 12)
    with pytest.warns(UserWarning, match="moving_digits_classifier: .*head"):
        other = from_pretrained(CLASSIFIER, num_classes=3)
    assert other.head.out_features == 3


def test_an_unknown_name_is_answered_with_the_one_meant():
    with pytest.raises(
        ValueError, match=r"no model 'moving_digit_classifier'; did you mean moving_digits_classifier\?"
    ):
        from_pretrained("moving_digit_classifier")
    with pytest.raises(ValueError, match=r"no model 'nothing' comes with the package; there are digit_teacher, "):
        shipped_record("nothing")
