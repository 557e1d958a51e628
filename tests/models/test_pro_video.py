"""VideoMambaPro against the released classifier (reference group 07): logits, every block, every gradient stored."""

import copy
import pickle
import subprocess
import sys

import pytest
import torch
from agreement import ENGINES, assert_agrees, random_clip, state_dict_of
from reference_data import reference_names
from scans import needs

from vmamba_edu import create_model
from vmamba_edu.models import ProMixer, VideoMambaPro, VideoMambaProConfig
from vmamba_edu.models.pro_mixer import PRO_VARIANTS

SMALL = {"embed_dim": 16, "depth": 2, "img_size": 16, "patch_size": 8, "num_frames": 2, "num_classes": 3, "d_state": 4}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", reference_names("07_pro_video"))
def test_agrees_with_the_released_classifier(reference, name, engine, dtype):
    tensors, description = reference(name)
    model = create_model("videomambapro_tiny", **description["args"])
    model.load_state_dict(state_dict_of(tensors), strict=True)
    model = model.eval().to(dtype).set_backend(needs(engine))
    clip = tensors["in.x"].to(dtype).requires_grad_()

    logits = model(clip)
    (logits * tensors["rand.logits"].to(dtype)).sum().backward()
    _, blocks = model.forward_features(clip, return_blocks=True)

    assert_agrees(logits, tensors["out.logits.f64"], "logits")
    for index, (hidden, residual) in enumerate(blocks):
        for what, value in (("hidden", hidden), ("residual", residual)):
            if f"block.{index}.{what}.f64" in tensors:
                assert_agrees(value, tensors[f"block.{index}.{what}.f64"], f"{what} of block {index}")
    ours = {"x": clip} | dict(model.named_parameters())
    stored = [key for key in tensors if key.startswith("grad.") and key.endswith(".f64")]
    assert len(stored) > 20
    for key in stored:
        assert_agrees(ours[key.removeprefix("grad.").removesuffix(".f64")].grad, tensors[key], key)


def small_pro(**overrides) -> VideoMambaPro:
    torch.manual_seed(0)
    return create_model("videomambapro_tiny", **SMALL | overrides).eval().set_backend("reference")


def test_the_names_make_the_sizes_of_videomamba():
    for size in ("tiny", "small", "middle"):
        with torch.device("meta"):
            ours = create_model(f"videomambapro_{size}", variant="paper")
            theirs = create_model(f"videomamba_{size}")
        assert isinstance(ours, VideoMambaPro)
        assert {k: v.shape for k, v in ours.state_dict().items()} == {
            k: v.shape for k, v in theirs.state_dict().items()
        }
        assert {type(module) for module in ours.modules() if hasattr(module, "in_proj")} == {ProMixer}


@pytest.mark.parametrize("variant", PRO_VARIANTS)
def test_every_variant_is_a_model_of_its_own_that_trains_and_copies(variant):
    model = small_pro(variant=variant)
    clip = random_clip(model)
    logits = model(clip)
    assert logits.shape == (2, 3)
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(copied(clip), logits)
    model.train()(clip).sum().backward()
    silent = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert not silent


def test_variants_differ():
    """With one set of weights, that of VideoMamba; so no variant silently computes another."""
    state = small_pro(variant="paper").state_dict()
    plain = create_model("videomamba_tiny", **SMALL).eval().set_backend("reference")
    outputs = []
    for model in (plain, small_pro(variant="paper"), small_pro(variant="released_v2")):
        model.load_state_dict(state)
        torch.manual_seed(3)
        with torch.no_grad():
            model.head.weight.copy_(torch.randn_like(model.head.weight))  # a fresh one says little
        outputs.append(model(random_clip(model)))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        assert (outputs[i] - outputs[j]).abs().max() > 1e-6 * outputs[i].abs().max()


def test_in_half_precision_the_start_of_the_scan_is_not_rounded():
    model = small_pro(variant="released_v1").bfloat16()
    arguments = model.block(0).mixer.scan_arguments(torch.randn(1, 5, 64, dtype=torch.bfloat16), "backward")
    assert arguments["initial_state"].dtype == arguments["A"].dtype == torch.float32
    assert {arguments[name].dtype for name in ("u", "delta", "B", "C", "z")} == {torch.bfloat16}
    assert model(random_clip(model)).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("published", "variant"), [("v1", "released_v1"), ("v2", "released_v2"), ("none", "released_none")]
)
def test_the_published_keyword_means_a_variant(published, variant):
    config = VideoMambaProConfig(variant="paper")
    assert config.with_overrides(bimamba_type=published, kernel_size=2) == VideoMambaProConfig(
        variant=variant, tubelet_size=2
    )


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"variant": "v2"}, ValueError, "variant: expected 'paper', 'released_v1'.* got 'v2'"),
        ({"bimamba_type": "v3"}, ValueError, "bimamba_type: expected 'v1', 'v2', 'none', got 'v3'"),
        ({"bimamba_type": "v1", "variant": "paper"}, TypeError, "variant: given twice, once by bimamba_type"),
        ({"bimamba": False}, ValueError, "bidirectional: expected True, .* try variant='released_none'"),
        ({"if_divide_out": True}, ValueError, "if_divide_out: expected False"),
        ({"init_layer_scale": "small"}, ValueError, "init_layer_scale: expected a number or None, got 'small'"),
        ({"variant": "released_none", "scan_order": "spatiotemporal_v1"}, ValueError, "scan_order: expected another"),
        ({"variants": "paper"}, TypeError, r"did you mean variant\?"),
    ],
)
def test_a_keyword_that_cannot_be_is_named(keywords, error, message):
    with pytest.raises(error, match=message):
        create_model("videomambapro_tiny", **keywords)


@pytest.mark.parametrize("variant", ["paper", "released_v1"])
def test_reading_in_another_order_is_reading_reordered_tokens(variant):
    """On a grid of one step in time both orders are one, and reading both of them is reading one twice."""
    model = small_pro(variant=variant, num_frames=1)
    twice = small_pro(variant=variant, num_frames=1, scan_order="spatiotemporal_v2")
    twice.load_state_dict(model.state_dict())
    clip = random_clip(model)
    _, ((once, _), _) = model.forward_features(clip, return_blocks=True)
    _, ((both, _), _) = twice.forward_features(clip, return_blocks=True)
    torch.testing.assert_close(both, 2 * once, rtol=1e-5, atol=1e-6 * once.abs().max().item())
    moving = small_pro(variant=variant, scan_order="temporal_first")
    assert moving(random_clip(moving)).shape == (2, 3)


COMPILED = """
import torch
from vmamba_edu import create_model

clip = torch.randn(2, 3, 2, 16, 16)
for variant in ("paper", "released_v1"):
    model = create_model("videomambapro_tiny", variant=variant, **{size!r}).eval()
    with torch.no_grad():
        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(clip), model(clip), rtol=1e-5, atol=1e-6)
"""


@pytest.mark.slow
def test_the_forward_is_one_graph_for_the_compiler():
    """In a process of its own: the compiler cannot look through the tests' checks of shapes."""
    code = COMPILED.format(size=SMALL | {"depth": 1})
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
