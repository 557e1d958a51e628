"""The teacher that comes with the package reads digits that it has never seen, and says where its file comes from."""

import json

import pytest
import torch
from einops import rearrange
from safetensors import safe_open

from vmamba_edu.models.digit_teacher import CONFIG, digit_teacher, digit_teacher_record
from vmamba_edu.models.teaching import frames_of
from vmamba_edu.video import MOTIONS, clip_to_tensor, moving_digits


@pytest.fixture(scope="module")
def clips() -> tuple[torch.Tensor, torch.Tensor]:
    """Ten clips of every motion, of digits from the test split and seeds that training never draws."""
    samples = [
        moving_digits(motion=motion, size=32, num_frames=4, split="test", seed=10_000_000 + number)
        for number in range(10)
        for motion in MOTIONS
    ]
    return torch.stack([clip_to_tensor(s.frames) for s in samples]), torch.tensor([s.digit for s in samples])


def test_it_reads_digits_it_has_never_seen(clips):
    frames, digits = clips
    right = digit_teacher().read(frames).argmax(-1) == digits[:, None]
    measured = digit_teacher_record()["accuracy_on_test_digits"]
    assert measured["all"] > 0.6  # of all frames, those in which nothing is left to be read among them; chance is 0.1
    # 480 frames and 6,000 are two samples; neighbouring frames are alike, so count each clip once: 120. Four sigma.
    assert right.double().mean().item() == pytest.approx(measured["all"], abs=4 * (0.25 / 120) ** 0.5)


def test_where_the_weights_come_from_is_written_in_their_file(repository):
    record = digit_teacher_record()
    assert (repository / record["script"]).is_file()
    assert isinstance(record["seed"], int)
    path = repository / "vmamba_edu" / "models" / "data" / "digit_teacher.safetensors"
    assert path.stat().st_size < 1_000_000
    with safe_open(path, "pt") as stored:
        assert all(torch.isfinite(stored.get_tensor(name)).all() for name in stored.keys())  # noqa: SIM118


def test_features_are_those_of_the_frames_with_their_mean_cls_first(clips):
    teacher, frames = digit_teacher(normalise=False), clips[0][:2]
    teaching = teacher(frames)
    assert teaching.features.shape == (1, 2, 1 + 4 * 16, CONFIG.embed_dim)
    tokens, blocks = teacher.vit.forward_features(rearrange(frames, "b c t h w -> (b t) c h w"), return_attention=True)
    close = {"rtol": 1e-5, "atol": 1e-6}
    torch.testing.assert_close(teaching.features[0, :, 1:], tokens[:, 1:].reshape(2, 64, -1), **close)
    torch.testing.assert_close(teaching.features[0, :, 0], tokens[:, 0].reshape(2, 4, -1).mean(1), **close)
    weights = blocks[-1][0].weights[:, 0]  # (frames, heads, queries, keys)
    torch.testing.assert_close(teaching.attention, weights.mean(1)[:, 0, 1:].reshape(2, 4, 16), **close)
    assert (teaching.attention.sum(-1) < 1).all()  # the rest is what [cls] keeps for itself
    unit = digit_teacher()(frames).features
    torch.testing.assert_close(unit, teaching.features / teaching.features.norm(dim=-1, keepdim=True), **close)


def test_it_looks_at_the_digit_more_than_at_the_paper(clips):
    """Without that an attention mask would be no better than a random one."""
    frames, _ = clips
    attention = digit_teacher()(frames).attention
    bright = rearrange(frames.mean(1), "b t (h y) (w x) -> b t (h w) (y x)", y=8, x=8)
    spread = bright.std(-1)  # patches with strokes are uneven, paper is not
    of_ink, of_paper = (attention[chosen].mean() for chosen in (spread > 0.3, spread < 0.1))
    assert of_ink > 1.2 * of_paper


def test_frames_of_any_size_are_brought_to_its_own():
    teacher = digit_teacher()
    clip = torch.randn(1, 3, 2, 48, 64)
    teaching = teacher(clip)
    assert teaching.attention.shape == (1, 2, 16)
    assert frames_of(clip, teacher.frame_size).shape == (2, 3, 32, 32)
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_the_script_writes_the_same_twice(repository, tmp_path, monkeypatch, capsys):
    """Two steps of it; the whole takes four minutes."""
    monkeypatch.syspath_prepend(str(repository))
    from benchmarks.train_digit_teacher import main

    written = []
    for name in ("one", "two"):
        out = tmp_path / f"{name}.safetensors"
        main(["--clips", "6", "--steps", "2", "--test-clips", "4", "--seed", "3", "--out", str(out)])
        with safe_open(out, "pt") as stored:
            assert json.loads(stored.metadata()["record"])["seed"] == 3
            written.append({key: stored.get_tensor(key) for key in stored.keys()})  # noqa: SIM118
    assert "accuracy_on_test_digits" in capsys.readouterr().out
    assert written[0].keys() == digit_teacher().vit.state_dict().keys()
    assert all(torch.equal(value, written[1][key]) for key, value in written[0].items())
