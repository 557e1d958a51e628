"""Which parameters are decayed and how fast they learn, against the published optimiser factory."""

import pytest
import torch
from reference_data import load_reference, reference_names
from torch import nn

from vmamba_edu import create_model
from vmamba_edu.training.optimiser import is_decayed, layer_index, make_adamw, parameter_groups, set_learning_rate

SMALL = {"img_size": 32, "depth": 3, "embed_dim": 32, "num_classes": 5, "num_frames": 2}
CASES = [case for name in reference_names("10_param_groups") for case in load_reference(name)[1]["cases"]]


def small_model(**overrides) -> nn.Module:
    return create_model("videomamba_tiny", **SMALL | overrides)


@pytest.mark.parametrize("case", CASES)
def test_groups_are_those_of_the_published_factory(case):
    groups = parameter_groups(small_model(**case["args"]), case["weight_decay"], layer_decay=case["layer_decay"] or 1.0)
    expected = [(tuple(group["params"]), group["weight_decay"], group["lr_scale"]) for group in case["groups"]]
    assert [(group.names, group.weight_decay, group.lr_scale) for group in groups] == expected  # powers of 3/4: exact


def test_layers_are_those_of_the_published_table():
    for name in reference_names("10_param_groups"):
        table = load_reference(name)[1]["layer_id_table_num_max_layer_6"]
        assert {name: layer_index(name, 6) for name in table} == table


def test_what_is_meant_differs_where_it_says():
    model = small_model()
    by_rule = {}
    for rule in ("published", "meant"):
        groups = parameter_groups(model, 0.05, layer_decay=0.5, rule=rule)
        by_rule[rule] = {name: (group.weight_decay, group.lr_scale) for group in groups for name in group.names}
    published, meant = by_rule["published"], by_rule["meant"]
    assert published.keys() == meant.keys() == dict(model.named_parameters()).keys()
    decays = {name for name in meant if published[name][0] != meant[name][0]}
    assert decays == {f"layers.{i}.mixer.{name}" for i in range(3) for name in ("A_log", "A_b_log")}
    assert [meant[f"layers.{i}.norm.weight"][1] for i in range(3)] == [0.5**3, 0.5**2, 0.5]
    assert meant["temporal_pos_embedding"][1] == meant["pos_embed"][1] == 0.5**4
    assert meant["head.weight"][1] == meant["norm_f.weight"][1] == 1


def test_the_blocks_of_a_transformer_have_their_layers_under_both_rules():
    assert layer_index("blocks.3.attn.qkv.weight", 14) == 4
    assert (
        layer_index("encoder.blocks.3.attn.qkv.weight", 14) == 13
    )  # the published rule looks at the start of the name
    assert layer_index("encoder.blocks.3.attn.qkv.weight", 14, rule="meant") == 4
    assert layer_index("encoder.pos_embed", 14, rule="meant") == 0


def test_without_layer_decay_there_are_two_groups():
    assert [(group.weight_decay, group.lr_scale) for group in parameter_groups(small_model(), 0.1)] == [
        (0, 1),
        (0.1, 1),
    ]


def test_frozen_parameters_are_left_out():
    model = small_model()
    model.patch_embed.requires_grad_(False)
    names = {name for group in parameter_groups(model, 0.1) for name in group.names}
    assert not any(name.startswith("patch_embed") for name in names)


def test_adamw_gets_groups_scales_and_what_the_objective_learns():
    model = nn.Linear(2, 2)
    temperature, projection = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(2, 2))
    optimiser = make_adamw(model, [temperature, projection], weight_decay=0.1, layer_decay=0.5)
    set_learning_rate(optimiser, 1.0)
    assert [(group["lr"], group["weight_decay"], len(group["params"])) for group in optimiser.param_groups] == [
        (1.0, 0.1, 1),
        (1.0, 0.0, 1),
        (1.0, 0.0, 1),
        (1.0, 0.1, 1),
    ]


def test_decay_pulls_a_log_and_not_what_is_spared():
    """Without gradient, a step of AdamW is decay alone: p ← (1 − lr · decay) p."""
    for rule, pulled in (("published", 0.9), ("meant", 1.0)):
        model = small_model()
        before = model.layers[0].mixer.A_log.detach().clone()
        optimiser = make_adamw(model, weight_decay=0.1, rule=rule)
        set_learning_rate(optimiser, 1.0)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimiser.step()
        torch.testing.assert_close(model.layers[0].mixer.A_log.detach(), pulled * before)
        assert is_decayed("layers.0.mixer.A_log", before, rule=rule) == (pulled < 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rule": "mean"}, "rule: expected 'published' or 'meant', got 'mean'"),
        ({"layer_decay": 0.0}, "layer_decay: exp"),
    ],
)
def test_what_cannot_be_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        parameter_groups(small_model(), 0.1, **options)


def test_a_frozen_model_has_nothing_to_train():
    with pytest.raises(ValueError, match="model: expected parameters to train"):
        make_adamw(small_model().requires_grad_(False))
