"""Measuring on data that was held out, after every epoch."""

from vmamba_edu.training.data_order import Collate, Loading, Samples, in_order, size_of
from vmamba_edu.training.logs import Row
from vmamba_edu.training.settings import TrainingSettings
from vmamba_edu.training.state import Objective, TrainingState
from vmamba_edu.training.steps import measure


class Validation:
    """What is measured, and on which data.

    Args:
        data: held-out samples, or None to measure nothing.
        objective: every part of its answer is measured.
        settings: those of the training.
        collate: as for the training.

    Raises:
        ValueError: training is to stop early with nothing to judge by, or by the test set.
    """

    def __init__(
        self, data: Samples | None, objective: Objective, settings: TrainingSettings, collate: Collate | None = None
    ):
        if data is None and settings.patience is not None:
            raise ValueError("validation: expected data, since settings.patience stops training by it; got none")
        if getattr(data, "split", None) == "test":
            advice = "what is chosen by the test set is fitted to it; give the validation split"
            raise ValueError(f"validation: expected held-out data, got a dataset of the split 'test'; {advice}")
        self.has_data = data is not None
        self.objective = objective
        self.settings = settings
        if data is not None:
            self.places = in_order(size_of(data, "validation"), settings.batch_size)
            self.loading = Loading(data, settings.seed, settings.num_workers, collate)

    def measure(self, state: TrainingState) -> Row:
        """The row of the state as it is; a moving average of the weights is measured in their place.

        Raises:
            ValueError: what the settings monitor is not measured.
        """
        settings = self.settings
        processes = state.processes
        batches = self.loading.load(self.places[processes.rank :: processes.count])
        with processes.whole(state.judged_model) as model:
            measured = measure(
                model,
                self.objective,
                batches,
                seed=settings.seed,
                precision=settings.precision,
                processes=processes,
            )
        return {"step": state.step, "epoch": state.epoch} | measured
