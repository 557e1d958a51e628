"""Checkpoints: reading files safely, fitting weights to a model, the published model zoo.

    report = load_checkpoint(model, "some_file.pth")
    model = from_pretrained("videomamba_t16_k400_f16_res224")

`read` opens files, `adapt` holds the pure functions on tensors, `fitting` decides what belongs where, `zoo` knows the
published names, `shipped` those that come with the package, `hub` fetches, `load` puts them together. No published
weight file could be opened while this was written: the layouts are those of the code that wrote them.
"""

from vmamba_edu.models.checkpoints.adapt import adapt_clip_weights, inflate_patch_kernel
from vmamba_edu.models.checkpoints.load import from_pretrained, load_checkpoint
from vmamba_edu.models.checkpoints.read import read_checkpoint
from vmamba_edu.models.checkpoints.report import CheckpointError, LoadReport
from vmamba_edu.models.checkpoints.shipped import list_shipped, shipped_record
from vmamba_edu.models.checkpoints.zoo import list_pretrained

__all__ = [
    "CheckpointError",
    "LoadReport",
    "adapt_clip_weights",
    "from_pretrained",
    "inflate_patch_kernel",
    "list_pretrained",
    "list_shipped",
    "load_checkpoint",
    "read_checkpoint",
    "shipped_record",
]
