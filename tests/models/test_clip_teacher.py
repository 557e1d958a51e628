"""CLIP as a teacher: against the published tower (group 05), and against transformers' own outputs."""

import pytest
import torch
from agreement import TOLERANCE, state_dict_of
from einops import rearrange
from reference_data import reference_names

from vmamba_edu.models.clip_teacher import ClipTeacher, clip_teacher, clip_teacher_from_openai
from vmamba_edu.models.teaching import Teaching, frames_of

transformers = pytest.importorskip("transformers")
SIZES = {
    "hidden_size": 24,
    "intermediate_size": 48,
    "projection_dim": 10,
    "num_hidden_layers": 4,
    "num_attention_heads": 3,
    "image_size": 16,
    "patch_size": 8,
}


@pytest.fixture
def tower():
    torch.manual_seed(0)
    config = transformers.CLIPVisionConfig(**SIZES, attn_implementation="eager")
    tower = transformers.CLIPVisionModelWithProjection(config).eval()
    for parameter in tower.parameters():  # fresh norms and biases would hide a norm or a bias that is left out
        torch.nn.init.normal_(parameter, std=0.3)
    return tower


def close(came: torch.Tensor, expected: torch.Tensor) -> None:
    # The published norms compute in float32 always, so there is no float64 to compare with.
    tolerance = TOLERANCE[torch.float32]
    torch.testing.assert_close(came, expected, rtol=tolerance, atol=tolerance * expected.abs().max().item())


@pytest.mark.parametrize("name", reference_names("05_clip_teacher"))
def test_agrees_with_the_published_teacher(reference, name):
    tensors, description = reference(name)
    args = description["args"]
    teacher = clip_teacher_from_openai(
        state_dict_of(tensors),
        num_heads=args["heads"],
        layers=args["clip_return_layer"],
        interval=args["clip_return_interval"],
        with_cls=args["clip_return_cls"],
        normalise=args["clip_norm_type"] == "l2",
        need_attention=args["return_attn"],
    )
    teaching = teacher(tensors["in.x"])
    close(teaching.features, tensors["out.features.f32"])
    if not args["return_attn"]:
        assert teaching.attention is None
        return
    close(rearrange(teaching.attention, "b t n -> (b t) n"), tensors["out.attn.f32"])


IN_FULL_DATA = reference_names("06_umt_attention") or [
    pytest.param(None, marks=pytest.mark.skip(reason="this case is in the full reference data only"))
]


@pytest.mark.parametrize("name", IN_FULL_DATA)
def test_agrees_with_the_teacher_of_the_video_text_model(reference, name):
    tensors, description = reference(name)
    weights = {key.removeprefix("teacher.sd."): value for key, value in tensors.items() if key.startswith("teacher.")}
    # There the alignment divides features by their length, not the teacher.
    teacher = clip_teacher_from_openai(weights, num_heads=description["teacher"]["heads"], normalise=False)
    visible = ~tensors["mid.mask"]
    said = teacher(rearrange(tensors["in.image"], "b t c h w -> b c t h w")).features
    close(rearrange(said[:, visible], "k (b n) c -> k b n c", b=len(visible)), tensors["mid.clip_output"])


@pytest.mark.parametrize(
    ("layers", "interval", "read"), [(1, 1, [4]), (2, 1, [3, 4]), (2, 3, [1, 4]), (4, 1, [1, 2, 3, 4])]
)
def test_features_and_attention_are_what_transformers_says_of_every_frame(tower, layers, interval, read):
    clip = torch.randn(2, 3, 5, 16, 16)
    teaching = ClipTeacher(tower, layers=layers, interval=interval, normalise=False)(clip)
    assert teaching.features.shape == (layers, 2, 1 + 5 * 4, 10)
    for sample in range(2):
        for frame in range(5):
            with torch.no_grad():
                said = tower(clip[sample, :, frame][None], output_hidden_states=True, output_attentions=True)
                for place, block in enumerate(read):
                    patches = tower.visual_projection(said.hidden_states[block][0, 1:])
                    close(teaching.features[place, sample, 1 + 4 * frame : 5 + 4 * frame], patches)
            close(teaching.attention[sample, frame], said.attentions[-1][0].mean(0)[0, 1:])


def test_cls_is_the_mean_of_the_frames_and_without_it_the_last_norm_comes_in(tower):
    clip = torch.randn(2, 3, 3, 16, 16)
    with torch.no_grad():
        said = tower(rearrange(clip, "b c t h w -> (b t) c h w"), output_hidden_states=True)
        cls = rearrange(tower.visual_projection(said.hidden_states[-1][:, 0]), "(b t) c -> b t c", b=2).mean(1)
        normed = tower.visual_projection(tower.vision_model.post_layernorm(said.hidden_states[-1][:, 1:]))
    close(ClipTeacher(tower, normalise=False)(clip).features[0, :, 0], cls)
    without = ClipTeacher(tower, with_cls=False, normalise=False)(clip).features[0]
    close(without, rearrange(normed, "(b t) n c -> b (t n) c", b=2))


def test_frames_of_another_size_are_resized_and_features_have_length_one(tower):
    clip = torch.randn(1, 3, 2, 20, 20)
    teacher = ClipTeacher(tower)
    teaching = teacher(clip)
    assert isinstance(teaching, Teaching)
    assert teacher.frame_size == (16, 16)
    torch.testing.assert_close(teaching.features.norm(dim=-1), torch.ones(1, 1, 9))
    resized = rearrange(frames_of(clip, (16, 16)), "(b t) c h w -> b c t h w", b=1)
    close(teaching.features, teacher(resized).features)


def test_a_teacher_learns_nothing(tower):
    teaching = ClipTeacher(tower)(torch.randn(1, 3, 1, 16, 16, requires_grad=True))
    assert not teaching.features.requires_grad
    assert not any(parameter.requires_grad for parameter in tower.parameters())


def test_a_folder_that_transformers_saved_is_read(tower, tmp_path):
    clip = torch.randn(1, 3, 2, 16, 16)
    tower.save_pretrained(tmp_path)
    close(clip_teacher(str(tmp_path))(clip).features, ClipTeacher(tower)(clip).features)


def test_the_weights_of_a_whole_clip_are_read_the_rest_passed_over(reference):
    tensors, description = reference(reference_names("05_clip_teacher_cls")[0])
    weights = state_dict_of(tensors)
    whole = {f"visual.{name}": value for name, value in weights.items()} | {"logit_scale": torch.ones(())}
    whole["visual.conv1.weight"] = whole["visual.conv1.weight"][:, :, 0]  # as OpenAI has it
    heads = description["args"]["heads"]
    alone, of_whole = (clip_teacher_from_openai(each, num_heads=heads) for each in (weights, whole))
    assert torch.equal(alone(tensors["in.x"]).features, of_whole(tensors["in.x"]).features)


def test_what_cannot_be_is_refused_by_name(tower, reference):
    with pytest.raises(ValueError, match="layers: expected at most 2 of 4 blocks, got 3"):
        ClipTeacher(tower, layers=3, interval=3)
    with pytest.raises(ValueError, match="interval: expected an integer of at least 1, got 0"):
        ClipTeacher(tower, interval=0)
    weights = state_dict_of(reference(reference_names("05_clip_teacher_cls")[0])[0])
    with pytest.raises(ValueError, match=r"state_dict: expected the weights of OpenAI's.*'ln_post.bias' is missing"):
        clip_teacher_from_openai({name: value for name, value in weights.items() if name != "ln_post.bias"})
    with pytest.raises(ValueError, match=r"state_dict: .*look at .*mystery"):
        clip_teacher_from_openai(weights | {"mystery": torch.ones(1)}, num_heads=3)
    two_frames = weights["conv1.weight"].expand(-1, -1, 2, -1, -1)
    with pytest.raises(ValueError, match=r"conv1\.weight: expected a kernel of single frames, got one of 2 frames"):
        clip_teacher_from_openai(weights | {"conv1.weight": two_frames}, num_heads=3)


def test_without_transformers_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(ImportError, match=r"pip install 'vmamba-edu\[lab\]'"):
        clip_teacher("anything")
