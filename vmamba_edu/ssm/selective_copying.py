"""Selective copying: a task that a system which treats all tokens alike cannot do.

A few values stand among noise, nobody knows where. After the last token that may be a value comes the same sign several
times, and at each of them the next value has to be said:

    . . d . . . a . . . . . . a . .  !  !  !           →  d a a

A convolution knows how long ago something was, and here that says nothing. What is needed is to look at a token and
decide whether to keep it.

    task = CopyingTask()
    model = CopyingModel(task, selective=True, generator=generator)
    losses = train_copying(model, task, steps=500, generator=generator)
    copying_accuracy(model, *task.draw(500, generator))

Source: Mamba (arXiv 2312.00752) §3.1, figure 2, and §4.1.1, at a length of 4096 with 16 values; here it is a small one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from tqdm.auto import tqdm

from vmamba_edu.ssm.selection import FixedLayer, SelectiveLayer

NOISE, SIGN = 0, 1
"""The tokens that are no values; those are 2, 3, …"""


@dataclass(frozen=True)
class CopyingTask:
    """How large the task is.

    Attributes:
        length: tokens in all, the signs included.
        values: different values; the vocabulary has two more.
        remember: values that stand in a sequence.

    Raises:
        ValueError: it has no room for that many values, or there is nothing to choose.
    """

    length: int = 64
    values: int = 6
    remember: int = 3

    def __post_init__(self) -> None:
        if self.values < 2 or self.remember < 1:
            raise ValueError(
                f"values, remember: expected at least 2 and at least 1, got {self.values} and {self.remember}"
            )
        if self.length < 2 * self.remember:
            raise ValueError(
                f"length: expected room for {self.remember} values and as many signs, got {self.length} tokens"
            )

    @property
    def vocabulary(self) -> int:
        return self.values + 2

    def draw(
        self, batch: int, generator: torch.Generator
    ) -> tuple[Int[Tensor, "batch length"], Int[Tensor, "batch remember"]]:
        """Fresh sequences, and the values that have to be said at their last `remember` tokens."""
        answers = torch.randint(2, self.vocabulary, (batch, self.remember), generator=generator)
        room = self.length - self.remember
        order = torch.rand(batch, room, generator=generator).argsort(dim=1)
        places = order[:, : self.remember].sort(dim=1).values
        tokens = torch.full((batch, self.length), NOISE).scatter(1, places, answers)
        tokens[:, room:] = SIGN
        return tokens, answers


class CopyingModel(nn.Module):
    """Embedding, layers with a residual path, a guess for every token: (batch, length) → (batch, length, vocabulary).

    Args:
        task: whose tokens it reads.
        selective: whether its layers look at the tokens; all else is the same.
        dim, state, depth: channels, states of each, layers.
        generator: for the first weights; torch's own if not given.
    """

    def __init__(
        self,
        task: CopyingTask,
        *,
        selective: bool,
        dim: int = 32,
        state: int = 16,
        depth: int = 2,
        generator: torch.Generator | None = None,
    ):
        super().__init__()
        layer = SelectiveLayer if selective else FixedLayer
        self.embed = nn.Embedding(task.vocabulary, dim)
        self.norms = nn.ModuleList(nn.LayerNorm(dim) for _ in range(depth))
        self.scans = nn.ModuleList(layer(dim, state, generator=generator) for _ in range(depth))
        self.mixes = nn.ModuleList(nn.Linear(dim, dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, task.vocabulary)
        for linear in (self.embed, *self.mixes, self.head):
            nn.init.normal_(linear.weight, std=linear.weight.shape[1] ** -0.5, generator=generator)
        for linear in (*self.mixes, self.head):
            nn.init.zeros_(linear.bias)

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocabulary"]:
        x = self.embed(tokens)
        for norm, scan, mix in self._layers():
            x = x + mix(F.gelu(scan(norm(x))))
        return self.head(self.norm(x))

    @torch.no_grad()
    def steps(self, tokens: Int[Tensor, "batch length"]) -> list[Float[Tensor, "batch length dim"]]:
        """The Δ that each layer chooses for these tokens.

        Raises:
            ValueError: the layers are not selective.
        """
        found, x = [], self.embed(tokens)
        for norm, scan, mix in self._layers():
            if not isinstance(scan, SelectiveLayer):
                raise ValueError("steps: expected a model with selective=True; the steps of a fixed one are its biases")
            found.append(scan.select(norm(x)).delta)
            x = x + mix(F.gelu(scan(norm(x))))
        return found

    def _layers(self) -> Iterator[tuple[nn.Module, nn.Module, nn.Module]]:
        return zip(self.norms, self.scans, self.mixes, strict=True)


def train_copying(
    model: CopyingModel,
    task: CopyingTask,
    *,
    steps: int,
    generator: torch.Generator,
    batch: int = 32,
    learning_rate: float = 0.01,
) -> list[float]:
    """Train on fresh sequences at every step; the loss of each."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, total_steps=steps, pct_start=0.1)
    losses = []
    for _ in tqdm(range(steps), desc="selective" if isinstance(model.scans[0], SelectiveLayer) else "fixed"):
        tokens, answers = task.draw(batch, generator)
        said = model(tokens)[:, -task.remember :]
        loss = F.cross_entropy(said.flatten(0, 1), answers.flatten())
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def copying_accuracy(
    model: nn.Module, tokens: Int[Tensor, "batch length"], answers: Int[Tensor, "batch remember"]
) -> float:
    """The share of values that are said rightly, each at its place."""
    said = model(tokens)[:, -answers.shape[1] :].argmax(dim=-1)
    return (said == answers).double().mean().item()
