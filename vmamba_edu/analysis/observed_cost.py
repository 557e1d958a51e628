"""What a model costs when it runs: time and peak memory, each model and shape in a fresh process of its own.

    measure("videomamba_tiny", num_frames=16)

A process that has run something else holds memory that it will use again, and so shows too little. In the fresh process
libraries are loaded, kernels compiled and threads started by a small model of the same kind; then model and pixels are
made; what is resident now is the baseline. The peak is the largest resident memory while the model runs once, less the
baseline. Time is taken afterwards. Compare time only with time that was taken on the same machine in the same hour.
"""

import gc
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from vmamba_edu.analysis import fresh_process
from vmamba_edu.analysis.predicted_cost import config_of
from vmamba_edu.models.registry import create_model

CHILD = "from vmamba_edu.analysis import observed_cost; observed_cost.answer()"


@dataclass(frozen=True)
class Observed:
    """What running a model once took.

    Args:
        model, overrides, batch, training, device, threads: what was run.
        seconds: the median of `repeats` runs.
        peak_bytes: largest memory while it ran, less the baseline; in training with the gradients of all parameters.
        baseline_bytes: with libraries, model and pixels in memory.
    """

    model: str
    overrides: Mapping[str, Any]
    batch: int
    training: bool
    device: str
    threads: int
    seconds: float
    peak_bytes: int
    baseline_bytes: int


def measure(
    model: str,
    *,
    batch: int = 1,
    training: bool = False,
    device: str = "cpu",
    threads: int | None = None,
    repeats: int = 3,
    timeout: float = 600,
    stopped: threading.Event | None = None,
    **overrides: Any,
) -> Observed:
    """Run a model on noise in a fresh process, and take its peak memory and time.

    Args:
        model: a name of `list_models()`: a classifier.
        batch: samples at once.
        training: a forward and a backward pass, in training mode; otherwise a forward pass without gradients.
        device: "cpu" or "cuda". On a GPU the peak is what torch allocated there.
        threads: of torch; its default if not given.
        repeats: runs whose median time is taken, after the one whose memory is.
        timeout: seconds after which the process is ended.
        stopped: ends the process within a fifth of a second once it is set, from another thread.
        overrides: keywords of the model's configuration.

    Raises:
        ValueError, TypeError: there is no such model, or a keyword or its value cannot be: before anything is run.
        RuntimeError: the process failed, ran out of memory or time, or was stopped; the message has its last line.

    The memory of a process is read from Linux's /proc. On macOS it is the peak of the whole process, which may hide
    a small model's behind that of building it. Elsewhere only GPUs can be measured.
    """
    config_of(model).with_overrides(**overrides)
    if batch < 1 or repeats < 1:
        raise ValueError(f"batch, repeats: expected at least 1, got {batch} and {repeats}")
    request = {"model": model, "overrides": overrides, "batch": batch, "training": training, "device": device}
    request |= {"threads": threads or torch.get_num_threads(), "repeats": repeats}
    return Observed(**fresh_process.ask(CHILD, request, model, timeout=timeout, stopped=stopped))


def measure_all(requests: Iterable[Mapping[str, Any]], *, progress: bool = True) -> list[Observed]:
    """`measure(**request)` for each, one after the other, behind a progress bar.

    measure_all({"model": "videomamba_tiny", "num_frames": frames} for frames in (8, 16, 32))
    """
    return [measure(**request) for request in tqdm(list(requests), desc="measured", disable=not progress)]


def answer() -> None:
    """What the fresh process does: read a request from its input, measure, write the answer to its output."""
    request = json.loads(sys.stdin.read())
    repeats = request.pop("repeats")
    torch.set_num_threads(request["threads"])
    name, overrides, device = request["model"], request["overrides"], request["device"]
    config = config_of(name).with_overrides(**overrides)
    _runner(create_model(name, **overrides | _small(config)), request)()
    run = _runner(create_model(name, **overrides), request)
    gc.collect()
    baseline, peak = memory_of(run, device)
    seconds = statistics.median(_time_of(run, device) for _ in range(repeats))
    observed = Observed(**request, seconds=seconds, peak_bytes=peak - baseline, baseline_bytes=baseline)
    sys.stdout.write("\n" + json.dumps(asdict(observed)) + "\n")


def _small(config: Any) -> dict[str, int]:
    """What makes a model of the same kind small: one block, few and small frames."""
    small = {"depth": 1, "img_size": 2 * config.patch_size}
    if hasattr(config, "num_frames"):
        small["num_frames"] = 2 * config.tubelet_size
    if hasattr(config, "checkpoint_blocks"):
        small["checkpoint_blocks"] = min(1, config.checkpoint_blocks)
    return small


def _runner(model: nn.Module, request: Mapping[str, Any]) -> Callable[[], None]:
    """One pass over noise that fits the model."""
    config: Any = model.config
    model.to(request["device"]).train(request["training"])
    frames = (config.num_frames,) if hasattr(config, "num_frames") else ()
    pixels = torch.rand(request["batch"], 3, *frames, *config.frame_size, device=request["device"])

    def forward() -> None:
        with torch.no_grad():
            model(pixels)

    def forward_and_backward() -> None:
        model.zero_grad(set_to_none=True)
        output: Tensor = model(pixels)
        output.square().sum().backward()

    return forward_and_backward if request["training"] else forward


def memory_of(run: Callable[[], None], device: str) -> tuple[int, int]:
    """Resident bytes before a run, and the most while it lasted."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return before, torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if not status.exists():
        before = _largest_ever()
        run()
        return before, _largest_ever()
    before = _resident(status, "VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    run()
    return before, _resident(status, "VmHWM")


def _resident(status: Path, field: str) -> int:
    return 1024 * next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith(field))


def _largest_ever() -> int:
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else 1024 * largest


def _time_of(run: Callable[[], None], device: str) -> float:
    start = time.perf_counter()
    run()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - start
