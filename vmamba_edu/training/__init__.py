"""Training: one loop, many objectives.

    from vmamba_edu.training import TrainingSettings, train
    from vmamba_edu.training.objectives import Supervised

    settings = TrainingSettings(epochs=20)
    history = train(model, Supervised(), data, settings, validation=held_out, run_folder="runs/first")

`loop` is the whole of it in one sitting, `steps` what happens in a step. `settings` are the numbers; `optimiser` and
`schedule` what the published recipes do with them. `checkpointing`, `state` and `run_folder` keep a run, `data_order`
and `randomness` make it the same twice, and `processes` the same for several. `logs` and `progress` tell of it.
`objectives` says what is learned.
"""

from vmamba_edu.models.checkpoints.report import CheckpointError
from vmamba_edu.training.checkpointing import open_checkpoint, trained_weights
from vmamba_edu.training.logs import Callback, CsvLog, TensorBoardLog
from vmamba_edu.training.loop import History, train
from vmamba_edu.training.optimiser import make_adamw, parameter_groups
from vmamba_edu.training.progress import LiveCurve, ProgressBar
from vmamba_edu.training.schedule import cosine_schedule, multimodal_multiplier, scaled_learning_rate
from vmamba_edu.training.settings import TrainingSettings
from vmamba_edu.training.steps import NotFiniteError, measure

__all__ = [
    "Callback",
    "CheckpointError",
    "CsvLog",
    "History",
    "LiveCurve",
    "NotFiniteError",
    "ProgressBar",
    "TensorBoardLog",
    "TrainingSettings",
    "cosine_schedule",
    "make_adamw",
    "measure",
    "multimodal_multiplier",
    "open_checkpoint",
    "parameter_groups",
    "scaled_learning_rate",
    "train",
    "trained_weights",
]
