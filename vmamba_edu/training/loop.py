"""The loop: one for every objective.

    history = train(model, Supervised(), data, settings, validation=held_out, run_folder="runs/first")
    history = train(model, Supervised(), data, settings, validation=held_out, run_folder="runs/first", resume=True)

The second call goes on where the first was killed, and ends with the weights that it would have ended with.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import nn

from vmamba_edu.training.checkpointing import BEST, LAST
from vmamba_edu.training.data_order import Batch, Collate, Loading, Samples, size_of
from vmamba_edu.training.denormals import run_flushing_denormals
from vmamba_edu.training.logs import Callback, Callbacks, Row
from vmamba_edu.training.processes import Processes, launched, require_shares
from vmamba_edu.training.progress import ProgressBar
from vmamba_edu.training.randomness import seeded
from vmamba_edu.training.run_folder import RunFolder
from vmamba_edu.training.settings import TrainingSettings
from vmamba_edu.training.state import Objective, TrainingState
from vmamba_edu.training.steps import take_step
from vmamba_edu.training.validation import Validation


@dataclass
class History:
    """What happened: the rows of training and validation, from the first step on, and why it ended.

    Attributes:
        training, validation: rows, see `logs`.
        ended: "finished", "early stop" or "interrupted".
    """

    training: list[Row] = field(default_factory=list)
    validation: list[Row] = field(default_factory=list)
    ended: str = "finished"


def train(
    model: nn.Module,
    objective: Objective,
    data: Samples,
    settings: TrainingSettings,
    *,
    validation: Samples | None = None,
    validation_objective: Objective | None = None,
    run_folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    metadata: Mapping[str, Any] | None = None,
    collate: Collate | None = None,
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    processes: Processes | None = None,
    stop: threading.Event | None = None,
) -> History:
    """Train a model, in place.

    Training runs in a thread of its own, in which denormal numbers count as zero, see `denormals`; callbacks are called
    there too. An interrupt (Ctrl-C) lets the step end, saves, and is raised. The streams of random numbers outside are
    left as they were. Only CPUs are promised to give the same bits twice, and a continued run those of an unbroken one.

    Args:
        model: on the device to train on.
        objective: called with the model and a batch; answers with a dict of tensors, of which "loss" is descended on. A
            batch is what the data gives, collated, and `step`, how many steps are done. What an objective draws, it
            should draw from torch's own generator, or from one that it keeps under the name `generator`.
        data: a dataset with a length, of dicts (`clip`, `label`, `caption`, `index`).
        settings: all the numbers.
        validation: data to measure on after every epoch. Never the test set: whatever is chosen by it, such as when to
            stop, is fitted to it.
        validation_objective: what is measured; by default the objective.
        run_folder: where checkpoints (last.pt, best.pt) and logs (training.csv, validation.csv) go; None keeps nothing.
        resume: whether to go on from the folder's last.pt; without one, training begins.
        metadata: plain values to keep in the checkpoints, such as the names of the classes.
        collate: makes a batch of a list of samples; None takes torch's default.
        progress: whether to show a bar.
        callbacks: who else listens, see `logs.Callback`. Of several processes the first tells them.
        processes: who else trains the same; by default those that this one was launched with, see `processes`.
        stop: set from another thread, it lets the step end and ends the training: saved, as after an interrupt, but
            the history is returned. It ended "interrupted".

    Raises:
        NotFiniteError: a loss or gradient is not finite; the model keeps the weights before that step.
        CheckpointError: a checkpoint cannot be written, or not be gone on from; nothing is lost.
        ValueError: arguments do not fit each other.
    """
    processes = processes or launched(settings.precision)
    require_shares(settings.batch_size, processes)
    with seeded(settings.seed, *([processes.rank] if processes.rank else [])):
        judge = Validation(validation, validation_objective or objective, settings, collate)
        state = TrainingState.begin(model, objective, settings, size_of(data), processes)
        folder = RunFolder(run_folder, metadata or {})
        folder.open(state, resume=resume)  # before anything else: what cannot be written is known at once
        history = History(*folder.rows(state.step))
        order = replace(state.order, start=state.step)
        batches = Loading(data, settings.seed, settings.num_workers, collate).load_all(order, processes.part)
        listeners = [*folder.logs(), *([ProgressBar()] if progress else []), *callbacks] if processes.is_main else []
        work = partial(_run, state, batches, judge, folder, Callbacks(listeners), history, stop or threading.Event())
        run_flushing_denormals(work)
    return history


def _run(
    state: TrainingState,
    batches: Iterator[Batch],
    judge: Validation,
    folder: RunFolder,
    listeners: Callbacks,
    history: History,
    asked: threading.Event,
    interrupted: threading.Event,
) -> None:
    """From the state as it is to the end of the training."""
    stop = False
    try:
        listeners.on_start(state.step, state.order.num_steps)
        with state.processes.training(state.model):
            for batch in () if state.watch.says_stop else batches:
                history.training.append(take_step(state, batch))
                listeners.on_step(history.training[-1])
                if state.is_epoch_end and judge.has_data:
                    row = judge.measure(state)
                    history.validation.append(row)
                    listeners.on_validation(row)
                    if state.watch.update(row):
                        folder.save(state, BEST)
                stop = state.processes.any(interrupted.is_set() or asked.is_set())
                if state.is_epoch_end or stop or folder.is_due(state):
                    folder.save(state, LAST)
                if stop or state.watch.says_stop:
                    break
        history.ended = "early stop" if state.watch.says_stop else "interrupted" if stop else "finished"
    finally:
        listeners.on_end()
