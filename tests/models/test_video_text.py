"""The video-text model against the published one (group 06), and what its parts promise.

The published run is in float32: sums of a few hundred terms in another order, through at most 3 blocks and 4 layers.
"""

import pytest
import torch
from agreement import ENGINES
from reference_data import reference_names
from scans import needs
from small_video_text import CAPTIONS, clips_of, published_model, seen_of, tiny_model

import vmamba_edu
from vmamba_edu.masking import make_mask
from vmamba_edu.models.text_encoder import BERT_BASE, BERT_LARGE, TINY, TextConfig, TextEncoder
from vmamba_edu.models.video_text import VideoText, VideoTextConfig, load_video_text_weights, without_language_head
from vmamba_edu.models.vision_tower import VisionTower, VisionTowerConfig
from vmamba_edu.training.objectives.alignment import alignment_loss
from vmamba_edu.training.objectives.contrastive import similarity
from vmamba_edu.training.objectives.matching import matching_loss, negative_weights
from vmamba_edu.training.objectives.video_text import contrast, match_triples, words_loss

pytest.importorskip("transformers")
CASES = reference_names("06_umt")
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)


def close(came: torch.Tensor, expected: torch.Tensor, what: str) -> None:
    """1e-4 of the largest value: what float32 is allowed everywhere."""
    torch.testing.assert_close(
        came.float(), expected, rtol=1e-4, atol=1e-4 * expected.abs().max().item(), msg=lambda text: f"{what}: {text}"
    )


def see(model: VideoText, tensors: dict, dtype: torch.dtype, is_masked: bool):
    if "in.image" not in tensors:
        return seen_of(tensors, dtype)
    mask = tensors["mid.mask"][:, 1:] if is_masked else None
    return model.see(clips_of(tensors, "in.image", dtype), mask, keep_temporal=False if is_masked else None)


@DTYPES
@pytest.mark.parametrize("name", CASES)
def test_four_losses_and_their_gradients_are_the_published_ones(reference, name, dtype):
    tensors, description = reference(name)
    model = published_model(tensors, description).to(dtype)
    index, ids, attends = tensors["in.idx"], tensors["in.input_ids"], tensors["in.attention_mask"].bool()
    is_masked = "mid.mask" in tensors

    seen, text = see(model, tensors, dtype, is_masked), model.read(ids, attends)
    close(seen.tokens, tensors["mid.vision_embeds"], "tokens")
    close(seen.pooled, tensors["mid.pooled_vision_embeds"], "pooled")
    close(text, tensors["mid.text_embeds"], "text tokens")
    close(text[:, 0], tensors["mid.pooled_text_embeds"], "pooled text")
    vision, words = model.vision_proj(seen.pooled), model.text_proj(text[:, 0])
    close(vision, tensors["mid.vision_proj"], "projected clips")
    close(words, tensors["mid.text_proj"], "projected captions")
    scores = similarity(vision, words, model.temp)
    close(scores, tensors["mid.sim_v2t"], "similarity")
    close(scores.mT, tensors["mid.sim_t2v"], "transposed similarity")
    close(negative_weights(scores, index), tensors["mid.weights_v2t"], "weights of captions")
    close(negative_weights(scores.mT, index), tensors["mid.weights_t2v"], "weights of clips")

    logits = match_triples(
        model, seen, text, attends, tensors["mid.vision_neg_indices"], tensors["mid.text_neg_indices"]
    )
    close(logits, tensors["mid.vtm_logits"], "matching logits")
    losses = {
        "vtc": contrast(model, seen, text, index),
        "vtm": matching_loss(logits),
        "mlm": words_loss(model, seen, tensors["mid.mlm_input_ids"], tensors["mid.mlm_labels"], attends),
    }
    if "mid.student_output" in tensors and "in.image" in tensors:
        said = model.vision_encoder.decode(seen.encoded)
        close(said, tensors["mid.student_output"], "student")
        losses["uta"] = alignment_loss(said, tensors["mid.clip_output"].to(dtype), normalise=True)
    for key, loss in losses.items():
        close(loss, tensors[f"out.loss_{key}"], key)

    torch.stack(list(losses.values())).sum().backward()
    parameters = dict(model.named_parameters())
    stored = [key for key in tensors if key.startswith("grad.")]
    assert len(stored) >= 7
    for key in stored:
        close(parameters[key.removeprefix("grad.")].grad, tensors[key], key)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_tower_says_what_the_classifier_says_before_its_head(engine):
    """`VideoMamba` is held to the published classifier elsewhere; the tower must give its tokens after the norm."""
    model, _ = tiny_model()
    tower = model.vision_encoder.eval().set_backend(needs(engine))
    for parameter in tower.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    sizes = {"img_size": 16, "patch_size": 8, "num_frames": 4, "depth": 2, "embed_dim": 16, "d_state": 4}
    classifier = vmamba_edu.create_model("videomamba_tiny", **sizes).eval().set_backend(engine)
    weights = {
        name.replace("norm.", "norm_f.") if name.startswith("norm.") else name: value
        for name, value in tower.state_dict().items()
        if not name.startswith(("clip_decoder", "pool_norm"))
    }
    classifier.load_state_dict(weights, strict=False)  # it has a head, which is not asked
    clip = torch.randn(2, 3, 4, 16, 16)
    tokens = classifier.forward_features(clip)
    seen = tower.see(clip)
    torch.testing.assert_close(seen.tokens, tokens[:, 1:])
    cls, frames = tokens[:, :1], tokens[:, 1:].reshape(2, 4, 4, 16).mean(2)
    for summary, keep, expected in (
        ("cls", True, cls),
        ("cls+mean", True, cls + frames),
        ("mean", True, frames),
        ("mean", False, frames.mean(1, keepdim=True)),
        ("cls+mean", False, cls + frames.mean(1, keepdim=True)),
    ):
        object.__setattr__(tower.config, "summary", summary)
        torch.testing.assert_close(tower.see(clip, keep_temporal=keep).pooled, tower.pool_norm(expected))


def test_a_picture_is_told_no_time():
    model, _ = tiny_model()
    tower = model.vision_encoder.eval()
    picture, clip = torch.randn(2, 3, 1, 16, 16), torch.randn(2, 3, 4, 16, 16)
    before, of_clip = tower.see(picture), tower.see(clip)
    with torch.no_grad():
        tower.temporal_pos_embedding.add_(torch.randn_like(tower.temporal_pos_embedding))
    assert torch.equal(tower.see(picture).pooled, before.pooled)
    assert not torch.allclose(tower.see(clip).pooled, of_clip.pooled)
    assert before.pooled.shape == (2, 1, 16)
    assert tower.decode(before.encoded).shape == (1, 2, 1 + 4, 12)


@pytest.mark.parametrize("name", ["tube", "frame_row"])
def test_frames_are_pooled_one_by_one_under_a_mask_that_treats_them_alike(name):
    tower = tiny_model()[0].vision_encoder.eval()
    clip, mask = torch.randn(2, 3, 4, 16, 16), make_mask(name, (4, 2, 2), 0.5, 2)
    seen = tower.see(clip, mask)
    assert seen.pooled.shape == (2, 4, 16)
    assert seen.tokens.shape == (2, 8, 16)
    per_frame = seen.tokens.reshape(2, 4, 2, 16).mean(2)
    cls = seen.encoded.tokens[:, :1]
    torch.testing.assert_close(seen.pooled, tower.pool_norm(cls + per_frame))


def test_uneven_frames_are_refused():
    tower = tiny_model()[0].vision_encoder
    mask = torch.zeros(1, 16, dtype=torch.bool)
    mask[:, :2] = True
    with pytest.raises(
        ValueError, match=r"mask: expected equally many visible tokens in every frame.*\[2, 4\].*'tube'"
    ):
        tower.see(torch.randn(1, 3, 4, 16, 16), mask)


def test_padding_changes_nothing():
    model, tokeniser = tiny_model()
    model.eval()
    ids, attends = tokeniser.encode(CAPTIONS)
    assert not attends.all()
    vision = torch.randn(4, 5, 16)
    text = model.read(ids, attends)
    logits = model.match(text, attends, vision)
    for row in range(4):
        length = int(attends[row].sum())
        alone = model.read(ids[row : row + 1, :length], attends[row : row + 1, :length])
        # Another shape, another order of sums.
        torch.testing.assert_close(alone[0], text[row, :length], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(
            model.match(alone, attends[row : row + 1, :length], vision[row : row + 1])[0],
            logits[row],
            rtol=1e-5,
            atol=1e-6,
        )


def test_text_reads_in_both_directions_and_only_fusion_sees_the_clip():
    model, tokeniser = tiny_model()
    model.eval()
    ids, attends = tokeniser.encode(["a seven moves left"])
    changed = ids.clone()
    changed[0, -2] = tokeniser.mask
    assert not torch.allclose(model.read(ids, attends)[0, 0], model.read(changed, attends)[0, 0])
    text = model.read(ids, attends)
    one, other = (model.text_encoder.fuse(text, attends, torch.randn(1, 3, 16)) for _ in range(2))
    assert not torch.allclose(one, other)


def test_an_encoder_without_fusion_is_transformers_bert():
    """An independent witness: the text layers alone are a BERT."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = TextConfig(**vars(TINY) | {"vocab_size": 40, "depth": 3, "fusion_layer": 3, "has_language_head": False})
    encoder = TextEncoder(config).eval()
    bert = BertModel(
        BertConfig(
            vocab_size=40,
            hidden_size=config.dim,
            num_hidden_layers=3,
            num_attention_heads=config.num_heads,
            intermediate_size=config.mlp_dim,
            max_position_embeddings=config.max_length,
        ),
        add_pooling_layer=False,
    ).eval()
    bert.load_state_dict(encoder.bert.state_dict())
    ids = torch.randint(5, 40, (3, 6))
    attends = torch.arange(6) < torch.tensor([[6], [4], [3]])
    expected = bert(ids, attention_mask=attends.long()).last_hidden_state
    torch.testing.assert_close(encoder(ids, attends)[attends], expected[attends], rtol=1e-5, atol=1e-6)


def test_words_are_named_by_the_vectors_that_read_them():
    encoder = tiny_model()[0].text_encoder
    head = encoder.cls["predictions"]
    assert head.decoder.weight is encoder.embeddings.word_embeddings.weight
    assert head.decoder.bias is head.bias


def test_the_temperature_is_kept_in_its_bounds():
    model, _ = tiny_model()
    for came, kept in ((0.07, 0.07), (-1.0, 0.001), (3.0, 0.5)):
        model.temp.data.fill_(came)
        model.clamp_temperature_()
        assert model.temp.item() == pytest.approx(kept)


def test_presets_are_the_published_sizes():
    assert (BERT_BASE.depth, BERT_BASE.fusion_layer, BERT_BASE.dim) == (12, 9, 768)
    assert (BERT_LARGE.depth, BERT_LARGE.fusion_layer, BERT_LARGE.dim) == (24, 19, 1024)


def test_weights_of_another_shape_leave_the_model_as_it_was():
    model, _ = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"state_dict: expected the weights of this VideoText; missing: .*itm_head"):
        load_video_text_weights(model, {name: value for name, value in before.items() if "itm_head" not in name})
    with pytest.raises(ValueError, match=r"of another shape: temp"):
        load_video_text_weights(model, {name: value + 1 for name, value in before.items()} | {"temp": torch.ones(2)})
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_model_without_a_head_for_words_says_so():
    model, _ = tiny_model()
    alone = VideoText(without_language_head(model.config))
    assert not any("cls.predictions" in name for name in alone.state_dict())
    with pytest.raises(ValueError, match="has_language_head: expected True to predict words, got False"):
        alone.text_encoder.predict_words(torch.randn(1, 2, 16))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TextConfig(fusion_layer=13), "fusion_layer: expected at most depth = 12, got 13"),
        (lambda: TextConfig(num_heads=5), "num_heads: expected a divisor of dim = 768, got 5"),
        (lambda: TextConfig(dropout=1.0), r"dropout: expected a number in \[0, 1\), got 1.0"),
        (lambda: TextConfig(vocab_size=0), "vocab_size: expected an integer of at least 1, got 0"),
        (lambda: VideoTextConfig(temperature=0.0), "temperature: expected a number above 0, got 0.0"),
        (lambda: VideoTextConfig(text=TextConfig(vision_dim=3)), "text.vision_dim: expected the tower's.*got 3"),
        (lambda: VisionTowerConfig(summary="max"), "summary: expected .*got 'max'"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_caption_longer_than_its_positions_is_refused():
    encoder = tiny_model()[0].text_encoder
    with pytest.raises(ValueError, match="ids: expected at most max_length = 32 tokens, got 33"):
        encoder(torch.ones(1, 33).long(), torch.ones(1, 33).bool())


def test_the_tower_is_a_student():
    tower = tiny_model()[0].vision_encoder
    assert isinstance(tower, VisionTower)
    said = tower(torch.randn(2, 3, 4, 16, 16), make_mask("random", (4, 2, 2), 0.5, 2))
    assert said.shape == (1, 2, 9, 12)
    torch.testing.assert_close(said.norm(dim=-1), torch.ones(1, 2, 9))
