"""Teach a small vision transformer to read the digits of single frames, and ship it with the package.

    python benchmarks/train_digit_teacher.py                                # four minutes on one core
    python benchmarks/train_digit_teacher.py --steps 20 --out t.safetensors # to see that it runs

What it writes is vmamba_edu/models/data/digit_teacher.safetensors.

The model is shown frames of Moving Digits, one at a time, from the training split; what it is measured on is the test
split: other images, by other hands. Both [cls] and the mean of the patches have to name the digit, so that every token
knows about it and not [cls] alone. The weights are rounded to float16 and measured after that. Script, seed, steps and
the measured accuracies stand in the metadata of the file.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
import torch.nn.functional as F
from einops import rearrange
from safetensors.torch import save_file
from torch import Tensor
from tqdm.auto import tqdm

from vmamba_edu.models.digit_teacher import CONFIG, WEIGHTS
from vmamba_edu.models.vit import ViT
from vmamba_edu.video import clip_to_tensor, moving_digits

OUT = Path(__file__).parents[1] / "vmamba_edu" / "models" / "data" / WEIGHTS
FRAMES = 4  # of each clip: the beginning, the end, and two between


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clips", type=int, default=8000, help="for training (default %(default)s)")
    parser.add_argument("--steps", type=int, default=4000, help="of 128 frames each (default %(default)s)")
    parser.add_argument("--test-clips", type=int, default=1500, help="to measure on (default %(default)s)")
    parser.add_argument("--out", type=Path, default=OUT, help="the file to write (default %(default)s)")
    return parser.parse_args(arguments)


def draw_frames(clips: int, split: str, first_seed: int) -> tuple[Tensor, Tensor]:
    """(frames, 3, 32, 32) uint8, half of them on plain paper, and the digit of each."""
    frames, digits = [], []
    for number in tqdm(range(clips), desc=f"drawing ({split})", leave=False):
        background = ("soft", "plain")[number % 2]
        seed = first_seed + number
        sample = moving_digits(size=CONFIG.img_size, num_frames=FRAMES, split=split, seed=seed, background=background)
        frames.append(rearrange(sample.frames, "t h w c -> t c h w"))
        digits += [sample.digit] * FRAMES
    return torch.cat(frames), torch.tensor(digits)


def normalise(frames: Tensor) -> Tensor:
    """As for any model: frames as they are read → what a model takes."""
    clip = clip_to_tensor(rearrange(frames, "f c h w -> f h w c"))
    return rearrange(clip, "c f h w -> f c h w")


def train(vit: ViT, frames: Tensor, digits: Tensor, steps: int, generator: torch.Generator) -> None:
    decayed = [p for p in vit.parameters() if p.dim() > 1]
    others = [p for p in vit.parameters() if p.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=2e-3, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps, pct_start=0.05)
    for _ in tqdm(range(steps), desc="teaching"):
        chosen = torch.randint(len(frames), (128,), generator=generator)
        tokens = vit.forward_features(normalise(frames[chosen]))
        answers = torch.stack([vit.head(tokens[:, 0]), vit.head(tokens[:, 1:].mean(1))])
        loss = sum(F.cross_entropy(answer, digits[chosen], label_smoothing=0.1) for answer in answers)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vit.parameters(), 1.0)
        optimiser.step()
        schedule.step()


@torch.no_grad()
def accuracies(vit: ViT, frames: Tensor, digits: Tensor) -> dict[str, float]:
    """The share of frames whose digit is named, by their place in the clip, and of all."""
    named = torch.cat([vit.eval()(normalise(part)).argmax(1) for part in frames.split(512)])
    right = rearrange((named == digits).double(), "(clip t) -> t clip", t=FRAMES).mean(1)
    places = {f"frame_{place}": round(float(value), 4) for place, value in enumerate(right)}
    return {"all": round(float(right.mean()), 4), **places}


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    start = time.process_time()
    frames, digits = draw_frames(options.clips, "train", first_seed=1_000_000 * options.seed)
    vit = ViT(CONFIG)
    train(vit, frames, digits, options.steps, generator)
    weights = {name: value.half().contiguous() for name, value in vit.state_dict().items()}
    vit.load_state_dict({name: value.float() for name, value in weights.items()})
    test = draw_frames(options.test_clips, "test", first_seed=500_000_000)
    record = {
        "script": "benchmarks/train_digit_teacher.py",
        "seed": options.seed,
        "clips": options.clips,
        "steps": options.steps,
        "accuracy_on_test_digits": accuracies(vit, *test),
        "torch": torch.__version__,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, options.out, {"record": json.dumps(record)})
    print(json.dumps(record, indent=1))
    print(f"{options.out}: {options.out.stat().st_size:,} bytes, {time.process_time() - start:.0f} s of processor time")


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    main()
