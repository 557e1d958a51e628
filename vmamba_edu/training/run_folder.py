"""The folder of a run: its checkpoints and its logs."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmamba_edu.models.checkpoints.report import CheckpointError
from vmamba_edu.training.checkpointing import LAST, open_checkpoint, save_checkpoint
from vmamba_edu.training.logs import TRAINING, VALIDATION, CsvLog, Row, read_rows
from vmamba_edu.training.state import TrainingState
from vmamba_edu.training.steps import require_finite_weights


class RunFolder:
    """Where a run keeps what it needs to go on; without a path, nowhere.

    Args:
        path: the folder; it is made if it is not there.
        metadata: plain values that every checkpoint keeps.
    """

    def __init__(self, path: str | os.PathLike[str] | None, metadata: Mapping[str, Any]):
        self.path = None if path is None else Path(path)
        self.metadata = metadata

    def open(self, state: TrainingState, *, resume: bool) -> None:
        """Go on from the last checkpoint, or save the beginning, so that there always is one to go back to.

        Raises:
            CheckpointError: the folder holds a run already and is not to be resumed, cannot be written, or holds a
                checkpoint of something else. Nothing in it is changed then.
            ValueError: there is no folder to resume from.
        """
        if self.path is None:
            if resume:
                raise ValueError("resume: expected a run_folder to go on from, got none")
            return
        last = self.path / LAST
        if state.processes.any(last.exists()):  # all look before one writes
            if not resume:
                raise CheckpointError(f"{self.path}: holds a run already; resume it, or give another folder")
            state.go_on_from(open_checkpoint(last), last)
            return
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            advice = "give a run folder that can be written"
            raise CheckpointError(f"{self.path}: cannot be made ({error.strerror}); {advice}") from error
        self.save(state, LAST)

    def save(self, state: TrainingState, name: str) -> None:
        """Write a checkpoint under this name.

        Raises:
            NotFiniteError: a weight is not finite: the checkpoint before stays.
            CheckpointError: it cannot be written: the checkpoint before stays.
        """
        require_finite_weights(state)
        if self.path is None:
            return
        content = state.content(self.metadata)
        if state.processes.is_main:
            save_checkpoint(content, self.path / name)
        state.processes.wait()

    def is_due(self, state: TrainingState) -> bool:
        """Whether the settings ask for a checkpoint after this step."""
        every = state.settings.checkpoint_every
        return every is not None and state.step % every == 0

    def rows(self, step: int) -> tuple[list[Row], list[Row]]:
        """What the logs tell of training and validation up to this step."""
        if self.path is None:
            return [], []
        training, validation = (read_rows(self.path / name) for name in (TRAINING, VALIDATION))
        return [row for row in training if row["step"] <= step], [row for row in validation if row["step"] <= step]

    def logs(self) -> list[CsvLog]:
        """Who writes the rows down."""
        return [] if self.path is None else [CsvLog(self.path)]
