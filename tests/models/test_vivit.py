"""ViViT: what the four models share, what each leaves out, and the facts of the paper about their sizes."""

import copy
import pickle

import pytest
import torch
from small_transformers import CLIP_MODELS, VIVITS, clip_for, small_clip_model

from vmamba_edu import create_model

CLOSE = {"rtol": 1e-12, "atol": 1e-12}
EVERY = pytest.mark.parametrize("name", CLIP_MODELS)  # TimeSformer too: the laws of any model of clips


def parameters(**overrides) -> dict[int, int]:
    """How many parameters each of the four models has."""
    counts = {}
    for number, name in enumerate(VIVITS, start=1):
        with torch.device("meta"):
            model = create_model(name, **overrides)
        counts[number] = sum(parameter.numel() for parameter in model.parameters())
    return counts


def test_the_sizes_of_the_models_compare_as_the_paper_says():
    """ViViT §3.3: model 3 has a second attention, model 4 nothing new, model 2 more layers."""
    counts = parameters(pool="mean")
    dim, depth = 768, 12
    attention_with_norm = 3 * dim * dim + 3 * dim + dim * dim + dim + 2 * dim
    assert counts[3] - counts[1] == depth * attention_with_norm
    assert counts[4] == counts[1]
    with torch.device("meta"):
        model = create_model("vivit_2_base_16x2")
    assert len(model.encoder.spatial.blocks) + len(model.encoder.temporal.blocks) == 12 + 4


def test_vivit_1_has_the_number_of_parameters_of_hugging_face_s_class():
    """`VivitForVideoClassification` at 32 frames of 224 pixels and 400 classes: counted, and by its parts."""
    dim, hidden, tokens = 768, 3072, 16 * 14 * 14
    block = 4 * (dim * dim + dim) + 2 * dim * hidden + hidden + dim + 4 * dim
    embeddings = dim + (1 + tokens) * dim + 3 * 2 * 16 * 16 * dim + dim
    assert parameters()[1] == 88_954_000 == embeddings + 12 * block + 2 * dim + 400 * dim + 400


@EVERY
def test_clips_of_a_batch_do_not_hear_of_each_other(name):
    model = small_clip_model(name).double()
    clip = clip_for(model, batch=4)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(model(clip[order]), model(clip)[order], **CLOSE)


@EVERY
def test_every_pixel_is_seen_and_every_parameter_learns(name):
    model = small_clip_model(name).double()
    clip = clip_for(model).requires_grad_()
    model(clip).square().sum().backward()
    assert clip.grad.all()
    assert all(parameter.grad.any() for parameter in model.parameters())


@EVERY
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_is_the_same_model(name, copied):
    model = small_clip_model(name)
    clip = clip_for(model)
    assert torch.equal(copied(model)(clip), model(clip))


@EVERY
def test_weights_go_out_and_come_in(name):
    model = small_clip_model(name)
    model_name, size = CLIP_MODELS[name]
    other = create_model(model_name, **size).eval()
    clip = clip_for(model)
    assert not torch.equal(other(clip), model(clip))
    other.load_state_dict(model.state_dict(), strict=True)
    assert torch.equal(other(clip), model(clip))


@EVERY
def test_the_same_seed_gives_the_same_training_step_and_drop_path_is_part_of_it(name):
    model = small_clip_model(name, dropout=0.1, attention_dropout=0.1, drop_path_rate=0.5).train()
    clip = clip_for(model, batch=4)

    def run() -> torch.Tensor:
        torch.manual_seed(5)
        return model(clip)

    assert torch.equal(run(), run())
    assert not torch.equal(model(clip), model(clip))
    assert torch.equal(model.eval()(clip), small_clip_model(name)(clip))


@EVERY
def test_half_precision_stays_close(name):
    model = small_clip_model(name)
    clip = clip_for(model)
    expected = model(clip)
    # bfloat16 keeps 8 bits, so each of a few dozen roundings is worth 0.4 %.
    close = {"rtol": 0.05, "atol": 0.05 * expected.abs().max().item()}
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(model(clip).float(), expected, **close)
    halved = model.bfloat16()(clip)
    assert halved.dtype == torch.bfloat16
    torch.testing.assert_close(halved.float(), expected, **close)


@EVERY
def test_a_model_on_no_device_shows_the_shape_of_its_answer(name):
    model_name, size = CLIP_MODELS[name]
    with torch.device("meta"):
        model = create_model(model_name, **size)
        assert model(torch.zeros(2, 3, 4, 16, 24)).shape == (2, 3)


@EVERY
def test_what_is_not_decayed_are_the_positions_and_cls(name):
    model = small_clip_model(name)
    shapes = {kept: model.get_parameter(kept).shape for kept in model.no_weight_decay()}
    assert all(shape[0] == 1 and len(shape) == 3 for shape in shapes.values())
    assert len(shapes) >= 1


@EVERY
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3, 16, 24), r"clip: expected \(batch, channel, num_frames, height, width\), got \(2, 3, 16, 24\)"),
        ((2, 3, 8, 16, 24), "num_frames = 4.*look at num_frames$"),
        ((2, 4, 4, 16, 16), "channel = 3.*look at channel and width$"),
    ],
)
def test_a_clip_that_does_not_fit_is_told_where(name, shape, message):
    with pytest.raises(ValueError, match=message):
        small_clip_model(name)(torch.zeros(shape))


@pytest.mark.parametrize("name", VIVITS)
def test_a_fresh_vivit_gives_every_class_the_same_score(name):
    model_name, size = CLIP_MODELS[name]
    model = create_model(model_name, **size)
    assert not model(clip_for(model)).any()


@pytest.mark.parametrize("name", VIVITS)
def test_uniform_frame_sampling_sees_the_middle_frame_of_each_tubelet_and_no_other(name):
    model = small_clip_model(name, tokeniser="frame")
    clip = clip_for(model).requires_grad_()
    model(clip).sum().backward()
    seen = clip.grad.abs().sum((0, 1, 3, 4)) > 0
    assert seen.tolist() == [False, True, False, True]


@pytest.mark.parametrize("name", VIVITS)
def test_both_tokenisers_give_the_same_number_of_tokens(name):
    whole, sampled = (small_clip_model(name, tokeniser=tokeniser) for tokeniser in ("tubelet", "frame"))
    assert whole.forward_features(clip_for(whole)).shape == sampled.forward_features(clip_for(sampled)).shape


def test_without_positions_model_1_does_not_know_when_and_model_2_reads_frames_in_any_order():
    """Attention itself has no order; only the tables of positions tell frames apart."""
    for name in ("vivit_1_base_16x2", "vivit_2_base_16x2"):
        model = small_clip_model(name, tubelet_size=1).double()
        clip = clip_for(model)
        assert not torch.allclose(model(clip.flip(2)), model(clip))
        with torch.no_grad():
            for parameter, value in model.named_parameters():
                if parameter.endswith("pos_embed"):
                    value.zero_()
        torch.testing.assert_close(model(clip.flip(2)), model(clip), **CLOSE)


def test_one_block_of_model_3_hears_of_tokens_in_its_frame_or_at_its_place_through_both_attentions():
    """Two attentions in a row already reach every token; one of model 4's reaches a cross only."""
    reach = {}
    for name in ("vivit_3_base_16x2", "vivit_4_base_16x2"):
        model = small_clip_model(name, tubelet_size=1).double()
        x = torch.randn(1, 24, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64).requires_grad_()
        tokens, _ = model.encoder.blocks[0](x)
        tokens[0, 1 * 6 + 4].sum().backward()  # step 1, place 4
        reach[name] = x.grad[0].any(-1).nonzero().flatten().tolist()
    assert reach["vivit_3_base_16x2"] == list(range(24))
    assert reach["vivit_4_base_16x2"] == sorted({t * 6 + 4 for t in range(4)} | {1 * 6 + s for s in range(6)})


@pytest.mark.parametrize("number", [1, 2])
def test_models_1_and_2_can_average_instead_of_asking_cls(number):
    model = small_clip_model(f"vivit_{number}_base_16x2", pool="mean", num_classes=3)
    tokens = model.forward_features(clip_for(model))
    assert tokens.shape == (2, 12 if number == 1 else 2, 16)
    assert not [name for name in model.state_dict() if name.endswith("cls_token")]
    assert torch.equal(model(clip_for(model)), model.head(tokens.mean(1)))
