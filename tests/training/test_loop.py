"""The loop: what a run does to the model, and what it leaves alone."""

import os
import random
import signal
import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from training.tiny_runs import SETTINGS, STEPS, STEPS_PER_EPOCH, Classify, Clips, tiny_model, tiny_train

from vmamba_edu.training import Callback, TrainingSettings, measure
from vmamba_edu.training.checkpointing import BEST, LAST, open_checkpoint, trained_weights
from vmamba_edu.training.data_order import DataOrder, Loading, in_order
from vmamba_edu.training.randomness import seed_everything, seeded

PLAIN = replace(SETTINGS, ema_decay=None, patience=None, checkpoint_every=None)


@pytest.fixture(autouse=True)
def _interrupts_arrive():
    """A process that a shell started in the background ignores them, and so would these tests."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


class Weights(Callback):
    """Copies a model's weights after every step."""

    def __init__(self, model: torch.nn.Module):
        self.model = model
        self.kept: list[dict[str, torch.Tensor]] = []

    def on_step(self, row: dict[str, float]) -> None:
        self.kept.append({name: value.detach().clone() for name, value in self.model.named_parameters()})


def test_one_step_is_the_step_written_out():
    """Plain supervised training by hand: the same batches, AdamW, clipping and learning rates."""
    settings = replace(PLAIN, epochs=1, clip_norm=0.1, weight_decay=0.0)
    trained, by_hand = tiny_model(drop_path_rate=0.0), tiny_model(drop_path_rate=0.0)

    def objective(model: torch.nn.Module, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"loss": F.cross_entropy(model(batch["clip"]), batch["label"])}

    history = tiny_train(model=trained, objective=objective, settings=settings)
    optimiser = torch.optim.AdamW(by_hand.parameters(), weight_decay=0.0)
    order = DataOrder(len(Clips()), settings.batch_size, 1, settings.seed)
    batches = Loading(Clips(), settings.seed).load_all(order)
    for rate, batch in zip(settings.learning_rates(STEPS_PER_EPOCH), batches, strict=True):
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        objective(by_hand, batch)["loss"].backward()
        torch.nn.utils.clip_grad_norm_(by_hand.parameters(), 0.1)
        optimiser.step()
    for (name, value), expected in zip(trained.named_parameters(), by_hand.parameters(), strict=True):
        # Parameters in other groups are summed in another order inside AdamW's fused loops; rounding alone.
        torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")
    assert [row["learning_rate"] for row in history.training] == settings.learning_rates(STEPS_PER_EPOCH)
    assert [row["step"] for row in history.training] == [1, 2, 3, 4, 5]


def test_rows_tell_of_every_step_and_validation():
    history = tiny_train()
    assert len(history.training) == STEPS
    assert set(history.training[0]) == {"step", "epoch", "learning_rate", "gradient_norm", "loss", "accuracy"}
    assert [row["epoch"] for row in history.validation] == [1, 2, 3]
    assert [row["step"] for row in history.validation] == [5, 10, 15]
    assert history.ended == "finished"


def test_the_same_seed_gives_the_same_weights_and_another_gives_others():
    models = []
    for seed in (3, 3, 4):
        models.append(tiny_model())
        tiny_train(model=models[-1], settings=replace(SETTINGS, seed=seed))
    first, second, third = (model.state_dict() for model in models)
    assert same(first, second)
    assert not same(first, third)


def test_validation_changes_nothing_of_the_training():
    with_it, without = tiny_model(), tiny_model()
    tiny_train(model=with_it, settings=PLAIN)
    tiny_train(model=without, settings=PLAIN, validation=None)
    assert same(with_it.state_dict(), without.state_dict())


def test_streams_of_random_numbers_outside_are_left_as_they_were():
    model = tiny_model()
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = torch.rand(3), np.random.rand()  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    tiny_train(model=model)
    assert torch.equal(torch.rand(3), expected[0])
    assert np.random.rand() == expected[1]  # noqa: NPY002


def test_the_stream_of_python_is_left_too():
    """By itself: the checker of types that tests run with draws from it, to choose which item of a list to look at."""
    before = random.getstate()
    with seeded(1, 2):
        assert random.random() == seeded_number(1, 2)
    assert random.getstate() == before


def seeded_number(*place: int) -> float:
    seed_everything(*place)
    return random.random()


def test_the_average_is_the_recursion_of_its_definition(tmp_path):
    model = tiny_model()
    weights = Weights(model)
    tiny_train(tmp_path, model=model, callbacks=[weights])
    average = weights.kept[0]
    for now in weights.kept[1:]:
        average = {name: 0.5 * average[name] + 0.5 * now[name] for name in now}
    kept = trained_weights(open_checkpoint(tmp_path / LAST))
    for name, value in average.items():
        torch.testing.assert_close(kept[name], value)


def test_bfloat16_computes_coarser_and_keeps_the_weights_fine():
    histories = []
    for precision in ("float32", "bfloat16"):
        model = tiny_model()
        histories.append(tiny_train(model=model, settings=replace(PLAIN, precision=precision)))
        assert {value.dtype for value in model.parameters()} == {torch.float32}
    fine, coarse = (history.training[0]["loss"] for history in histories)
    assert fine != coarse
    assert fine == pytest.approx(coarse, rel=0.05)  # bfloat16 has 8 bits: 0.4 % an operation


def test_training_stops_when_validation_no_longer_gets_better(tmp_path):
    """The second validation is the best: with patience 2 the fourth is the last."""
    losses = iter([3.0, 1.0, 2.0, 1.5, 0.5])

    def judge(model: torch.nn.Module, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"loss": torch.tensor(next(losses))}

    settings = replace(SETTINGS, epochs=9, patience=2)
    options = {"settings": settings, "validation": Clips(2, "validation"), "validation_objective": judge}
    history = tiny_train(tmp_path, **options)
    assert history.ended == "early stop"
    assert len(history.validation) == 4
    assert open_checkpoint(tmp_path / BEST)["step"] == 2 * STEPS_PER_EPOCH
    again = tiny_train(tmp_path, **options)  # what has stopped stays stopped
    assert again.ended == "early stop"
    assert len(again.training) == 4 * STEPS_PER_EPOCH


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"validation": None}, "since settings.patience stops training by it"),
        ({"validation": Clips(7, "test")}, "validation: expected held-out data, got a dataset of the split 'test'"),
        ({"data": Clips(3)}, "data: expected at least batch_size = 4 samples, got 3"),
        ({"data": Clips(0)}, "data: expected at least one sample, got none"),
        ({"objective": lambda model, batch: {}}, 'differentiable scalar tensor "loss", got nothing'),
        ({"settings": replace(SETTINGS, monitor="top1")}, "monitor: expected one of .*loss.*, got 'top1'"),
        ({"settings": replace(SETTINGS, warmup_steps=99)}, "warmup_steps: expected at most num_steps = 15, got 99"),
        ({"resume": True}, "resume: expected a run_folder to go on from"),
    ],
)
def test_what_cannot_be_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        tiny_train(**options)


def test_a_stream_is_refused():
    with pytest.raises(TypeError, match="expected a dataset with a length and items, got list_iterator"):
        tiny_train(data=iter([1, 2]))


class Interrupt(Callback):
    def on_step(self, row: dict[str, float]) -> None:
        if row["step"] == 3:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(1.0)  # the main thread is waiting, and hears of it first, on a busy machine too


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal as POSIX does")
def test_an_interrupt_lets_the_step_end_and_saves_it(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        tiny_train(tmp_path / "broken", callbacks=[Interrupt()])
    assert open_checkpoint(tmp_path / "broken" / LAST)["step"] == 3
    resumed, unbroken = tiny_model(), tiny_model()
    history = tiny_train(tmp_path / "broken", model=resumed)
    tiny_train(model=unbroken)
    assert same(resumed.state_dict(), unbroken.state_dict())
    assert [row["step"] for row in history.training] == list(range(1, STEPS + 1))


def test_who_is_asked_to_stop_ends_the_step_saves_and_says_so(tmp_path):
    stop = threading.Event()

    class Ask(Callback):
        def on_step(self, row: dict[str, float]) -> None:
            if row["step"] == 3:
                stop.set()

    stopped = tiny_train(tmp_path, callbacks=[Ask()], stop=stop)
    assert stopped.ended == "interrupted"
    assert [row["step"] for row in stopped.training] == [1, 2, 3]
    assert open_checkpoint(tmp_path / LAST)["step"] == 3
    resumed, unbroken = tiny_model(), tiny_model()
    assert tiny_train(tmp_path, model=resumed).ended == "finished"
    tiny_train(model=unbroken)
    assert same(resumed.state_dict(), unbroken.state_dict())


def test_measuring_weighs_samples_alike_and_leaves_the_mode():
    model = tiny_model().train()
    batches = list(Loading(Clips(5), 0).load(in_order(5, 2)))  # of 2, 2 and 1

    def judge(model: torch.nn.Module, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        assert not model.training
        return {"index": batch["index"].double().mean()}

    assert measure(model, judge, batches) == {"index": 2.0}
    assert model.training
    with pytest.raises(ValueError, match="batches: expected at least one"):
        measure(model, judge, [])


def test_every_epoch_sees_every_sample_once_in_an_order_of_its_own():
    order = DataOrder(num_samples=22, batch_size=4, epochs=3, seed=1)
    epochs = [[index for batch in order.epoch_batches(epoch) for _, index in batch] for epoch in range(3)]
    for seen in epochs:
        assert len(seen) == len(set(seen)) == 20  # the incomplete batch is left out
    assert epochs[0] != epochs[1] != epochs[2]
    rest = DataOrder(num_samples=22, batch_size=4, epochs=3, seed=1, start=7)
    assert rest.epoch_batches(1) == order.epoch_batches(1)[2:]
    assert rest.epoch_batches(2) == order.epoch_batches(2)


def test_a_sample_depends_on_seed_epoch_and_index_alone():
    def clip(seed: int, epoch: int, index: int, before: int) -> torch.Tensor:
        torch.manual_seed(before)
        (batch,) = Loading(Clips(), seed).load([[(epoch, index)]])
        return batch["clip"]

    assert torch.equal(clip(1, 2, 3, before=0), clip(1, 2, 3, before=9))
    for other in ((2, 2, 3), (1, 3, 3), (1, 2, 6)):
        assert not torch.equal(clip(1, 2, 3, before=0), clip(*other, before=0))


def test_data_with_epochs_of_its_own_is_told_them():
    class Told(Clips):
        epochs: list[int] = []  # noqa: RUF012

        def set_epoch(self, epoch: int) -> None:
            self.epochs.append(epoch)

    tiny_train(data=Told())
    assert Told.epochs == [0, 1, 2]


def test_the_objectives_generator_is_kept(tmp_path):
    """A run that goes on draws from it what it would have drawn."""

    class Drawing(Classify):
        def __init__(self) -> None:
            super().__init__()
            self.generator = torch.Generator().manual_seed(1)

        def forward(self, model: torch.nn.Module, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
            return super().forward(model, batch) | {"drawn": torch.rand((), generator=self.generator)}

    with pytest.raises(KeyboardInterrupt):
        tiny_train(tmp_path, objective=Drawing(), callbacks=[Interrupt()], validation=None, settings=PLAIN)
    resumed = tiny_train(tmp_path, objective=Drawing(), validation=None, settings=PLAIN)
    unbroken = tiny_train(objective=Drawing(), validation=None, settings=PLAIN)
    assert resumed.training == unbroken.training


def test_settings_keep_what_was_given():
    assert TrainingSettings(betas=[0.8, 0.9]).betas == (0.8, 0.9)
