"""The transformers against the published ones (reference group 08): logits, blocks, gradients, name maps.

Models 2 to 4 of ViViT are compared with references that were written independently from the released formulas.
"""

import pytest
import torch
from agreement import assert_agrees, state_dict_of
from einops import rearrange
from reference_data import reference_names
from torch import nn

from vmamba_edu.models.image_initialisation import (
    inflate_kernel,
    rank_pooling_weights,
    repeat_positions,
    resize_positions,
    resize_time_positions,
)
from vmamba_edu.models.state_dicts import load_transformer_weights, translate_names
from vmamba_edu.models.timesformer import TimeSformer
from vmamba_edu.models.transformer_configuration import TimeSformerConfig, ViTConfig, ViViTConfig
from vmamba_edu.models.vit import ViT
from vmamba_edu.models.vivit import ViViT
from vmamba_edu.models.vivit_blocks import factorised_dot_product

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)

# Keywords of Hugging Face's configurations under our names.
OURS = {
    "num_hidden_layers": "depth",
    "num_attention_heads": "num_heads",
    "hidden_size": "embed_dim",
    "image_size": "img_size",
    "num_labels": "num_classes",
}
DROPPED = ("intermediate_size", "hidden_dropout_prob", "attention_probs_dropout_prob", "qkv_bias", "norm_layer")


def keywords(args: dict) -> dict:
    """The published constructor's arguments as those of our configurations."""
    ours = {OURS.get(name, name): value for name, value in args.items() if name not in DROPPED}
    if "intermediate_size" in args:
        ours["mlp_ratio"] = args["intermediate_size"] / args["hidden_size"]
    if "tubelet_size" in args:
        ours["tubelet_size"], ours["patch_size"], _ = args["tubelet_size"]
    return ours


def run_with_blocks(
    model: nn.Module, blocks: nn.ModuleList, x: torch.Tensor
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Logits, and the tokens that enter the first block and leave every block."""
    seen = []
    hooks = [blocks[0].register_forward_pre_hook(lambda block, inputs: seen.append(inputs[0]))]
    hooks += [block.register_forward_hook(lambda block, inputs, outputs: seen.append(outputs[0])) for block in blocks]
    logits = model(x)
    for hook in hooks:
        hook.remove()
    return logits, seen


def assert_gradients_agree(model: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    stored = {
        name.removeprefix("grad.").removesuffix(".f64"): value
        for name, value in tensors.items()
        if name.startswith("grad.") and name.endswith(".f64") and name != "grad.x.f64"
    }
    parameters = dict(model.named_parameters())
    stored = translate_names(stored)
    assert len(stored) > 10
    for name, expected in stored.items():
        assert_agrees(parameters[name].grad, expected, f"gradient of {name}")


@DTYPES
def test_vivit_1_agrees_with_hugging_face(reference, dtype):
    tensors, description = reference("08_vivit1_d2_e32_f4_t2")
    model = ViViT(ViViTConfig(**keywords(description["args"]))).eval()
    load_transformer_weights(model, state_dict_of(tensors))
    clip = rearrange(tensors["in.pixel_values"], "b t c h w -> b c t h w").to(dtype).requires_grad_()

    logits, hidden = run_with_blocks(model.to(dtype), model.encoder.blocks, clip)
    (logits * tensors["rand.logits"].to(dtype)).sum().backward()

    assert_agrees(logits, tensors["out.logits.f64"], "logits")
    for index, tokens in enumerate(hidden):
        assert_agrees(tokens, tensors[f"hidden_states.{index}.f64"], f"tokens after {index} blocks")
    assert_gradients_agree(model, tensors)
    if "grad.x.f64" in tensors:  # left out of the copy that travels with the tests
        gradient = rearrange(clip.grad, "b c t h w -> b t c h w")
        assert_agrees(gradient, tensors["grad.x.f64"], "gradient of the clip")


def test_vivit_1_loads_the_names_of_hugging_face_s_files_too(reference):
    """Files have other names than the modules of recent versions; the reference case lists both."""
    tensors, description = reference("08_vivit1_d2_e32_f4_t2")
    modules = state_dict_of(tensors)
    files = {file: modules[module] for file, module in description["saved_checkpoint_names_to_module_names"].items()}
    assert files.keys() != modules.keys()
    expected, came = translate_names(modules), translate_names(files)
    assert expected.keys() == came.keys()
    assert all(torch.equal(came[name], value) for name, value in expected.items())


def timesformer_of(tensors: dict, description: dict, dtype: torch.dtype) -> tuple[TimeSformer, torch.Tensor]:
    """The model with its published weights, and the clip, whichever of the two sources they are from."""
    model = TimeSformer(TimeSformerConfig(**keywords(description["args"]))).eval()
    load_transformer_weights(model, state_dict_of(tensors))
    if "in.x" in tensors:
        return model.to(dtype), tensors["in.x"].to(dtype).requires_grad_()
    clip = rearrange(tensors["in.pixel_values"], "b t c h w -> b c t h w")
    return model.to(dtype), clip.to(dtype).requires_grad_()


def published_order(model: TimeSformer, tokens: torch.Tensor) -> torch.Tensor:
    """Our tokens run frame by frame, the published ones place by place."""
    if model.config.attention_type == "space_only":
        return tokens
    patches = rearrange(tokens[:, 1:], "b (t s) dim -> b (s t) dim", t=model.config.num_frames)
    return torch.cat([tokens[:, :1], patches], dim=1)


@DTYPES
@pytest.mark.parametrize("name", reference_names("08_timesformer"))
def test_timesformer_agrees_with_the_original_and_with_hugging_face(reference, name, dtype):
    tensors, description = reference(name)
    model, clip = timesformer_of(tensors, description, dtype)
    logits, hidden = run_with_blocks(model, model.blocks, clip)

    # For "space_only" Hugging Face gives every frame a row; the frame-averaged ones were computed with its modules.
    expected = tensors.get("out.logits_frame_averaged.f64", tensors["out.logits.f64"])
    assert_agrees(logits, expected, "logits")
    is_original = "block.0.f64" in tensors
    for index, tokens in enumerate(hidden[1:] if is_original else hidden):
        key = f"block.{index}.f64" if is_original else f"hidden_states.{index}.f64"
        assert_agrees(published_order(model, tokens), tensors[key], key)

    # Its gradients for "space_only" are those of the rows of frames, which come out of the same tokens.
    if expected is not tensors["out.logits.f64"]:
        logits = model.head(model.norm(hidden[-1])[:, 0])
        assert_agrees(logits, tensors["out.logits.f64"], "logits of the frames")
    (logits * tensors["rand.logits"].to(dtype)).sum().backward()
    assert_gradients_agree(model, tensors)
    if "grad.x.f64" in tensors:
        gradient = clip.grad if is_original else rearrange(clip.grad, "b c t h w -> b t c h w")
        assert_agrees(gradient, tensors["grad.x.f64"], "gradient of the clip")


@DTYPES
def test_an_image_model_is_what_reads_each_frame_of_the_space_only_timesformer(reference, dtype):
    tensors, description = reference("08_timesformer_space_only")
    args = keywords(description["args"])
    del args["num_frames"], args["attention_type"]
    model = ViT(ViTConfig(**args)).eval()
    load_transformer_weights(model, state_dict_of(tensors))
    frames = rearrange(tensors["in.pixel_values"], "b t c h w -> (b t) c h w").to(dtype)
    logits, hidden = run_with_blocks(model.to(dtype), model.encoder.blocks, frames)
    assert_agrees(logits, tensors["out.logits.f64"], "logits")
    for index, tokens in enumerate(hidden):
        assert_agrees(tokens, tensors[f"hidden_states.{index}.f64"], f"tokens after {index} blocks")


def named_weights(tensors: dict[str, torch.Tensor], prefix: str = "p.") -> dict[str, torch.Tensor]:
    """The weights of an independent reference under our names: its q, k and v in one matrix, its o as proj."""
    weights = {}
    for name, value in tensors.items():
        if name.startswith(prefix):
            path, _, kind = name.removeprefix(prefix).rpartition(".")
            if path.endswith(".q"):
                parts = [tensors[f"{prefix}{path[:-1]}{part}.{kind}"] for part in "qkv"]
                weights[f"{path[:-1]}qkv.{kind}"] = torch.cat(parts)
            elif not path.endswith((".k", ".v")):
                weights[f"{path[:-1]}proj.{kind}" if path.endswith(".o") else f"{path}.{kind}".lstrip(".")] = value
    return weights


def small_vivit(model: int, args: dict, dtype: torch.dtype, **overrides) -> ViViT:
    """Of one row of patches, so that the number of places is the reference's."""
    size = {
        "img_size": (4, 4 * args["spatial"]),
        "patch_size": 4,
        "num_frames": args["frames"],
        "tubelet_size": 1,
        "embed_dim": args["dim"],
        "num_heads": args["heads"],
        "mlp_ratio": args["mlp_dim"] / args["dim"],
        "num_classes": 5,
    }
    return ViViT(ViViTConfig(model=model, **size | overrides)).eval().to(dtype)


@DTYPES
def test_vivit_2_agrees_with_the_independent_reference(reference, dtype):
    tensors, description = reference("08_vivit2_cls")
    args = description["args"]
    model = small_vivit(2, args, dtype, depth=args["spatial_layers"], temporal_depth=args["temporal_layers"])
    for part in ("spatial", "temporal"):
        encoder, weights = getattr(model.encoder, part), named_weights(tensors, f"p.{part}.")
        state = {f"blocks.{name}" if name[0].isdigit() else name: value for name, value in weights.items()}
        state["cls_token"], state["pos_embed"] = state.pop("cls")[None, None], state.pop("pos")[None]
        encoder.load_state_dict(state, strict=True)
    model.head.load_state_dict(named_weights(tensors, "p.head."))

    patches = tensors["in.tokens"].to(dtype)
    frames, _ = model.encoder.encode_frames(patches)
    tokens, _ = model.encoder(patches)
    assert_agrees(frames, tensors["out.frame_representation"], "frames")
    assert_agrees(model.encoder.pool(tokens), tensors["out.representation"], "clip")
    assert_agrees(model.head(model.encoder.pool(tokens)), tensors["out.logits"], "logits")


@DTYPES
@pytest.mark.parametrize("first", ["time", "space"])
def test_vivit_3_agrees_with_the_independent_reference(reference, first, dtype):
    tensors, description = reference("08_vivit3_block_a")
    block = small_vivit(3, description["args"], dtype, first_axis=first).encoder.blocks[0]
    block.load_state_dict(named_weights(tensors), strict=True)
    tokens, _ = block(rearrange(tensors["in.x"].to(dtype), "b t s dim -> b (t s) dim"))
    expected = tensors["out.time_space" if first == "time" else "out.space_time"]
    assert_agrees(tokens, rearrange(expected, "b t s dim -> b (t s) dim"), "block")


@DTYPES
@pytest.mark.parametrize("first", ["time", "space"])
def test_vivit_4_agrees_with_the_independent_reference(reference, first, dtype):
    tensors, description = reference("08_vivit4_a")
    q, k, v = (rearrange(tensors[f"in.{name}"].to(dtype), "b t s h d -> b h t s d") for name in "qkv")
    said, _ = factorised_dot_product(q, k, v, time_first=first == "time")
    expected = tensors[f"out.attention.{first}_heads_first"]
    assert_agrees(rearrange(said, "b h t s d -> b t s h d"), expected, "attention")

    block = small_vivit(4, description["args"], dtype, first_axis=first).encoder.blocks[0]
    block.load_state_dict(named_weights(tensors), strict=True)
    tokens, _ = block(rearrange(tensors["in.x"].to(dtype), "b t s dim -> b (t s) dim"))
    expected = rearrange(tensors[f"out.block.{first}_heads_first"], "b t s dim -> b (t s) dim")
    assert_agrees(tokens, expected, "block")


def test_starting_from_an_image_model_follows_the_independent_reference(reference):
    tensors, description = reference("08_vivit_init_a")
    args = description["args"]
    names = {"average": "filter_inflation", "central_frame": "central_frame", "rank_pooling": "arp_inflation"}
    for ours, theirs in names.items():
        assert_agrees(inflate_kernel(tensors["in.kernel2d"], args["t"], ours), tensors[f"out.{theirs}"], ours)
    assert_agrees(rank_pooling_weights(args["t"]), tensors["aux.arp_weights"], "rank pooling")

    old, new = (args["grid_old"],) * 2, (args["grid_new"],) * 2
    cls, positions = tensors["in.pos2d_with_cls"][None].split([1, 9], dim=1)
    resized = resize_positions(positions, old, new)
    repeats = tensors["out.pos_tile_no_cls"].shape[0] // positions.shape[1]
    assert_agrees(repeat_positions(positions, repeats)[0], tensors["out.pos_tile_no_cls"], "repeated")
    with_cls = torch.cat([cls, repeat_positions(positions, repeats)], dim=1)
    assert_agrees(with_cls[0], tensors["out.pos_tile_with_cls"], "repeated, with [cls]")
    assert_agrees(resized[0], tensors["out.pos_resize"], "resized")
    assert_agrees(repeat_positions(resized, args["t_new"])[0], tensors["out.pos_resize_tile"], "resized and repeated")
    in_time = resize_time_positions(tensors["in.temporal_pos"][None], args["t_new"])
    assert_agrees(in_time[0], tensors["out.temporal_pos_interp"], "positions in time")
