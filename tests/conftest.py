"""What every test stands on. The order of the first lines matters: some libraries look around once, at import."""

import os

# Several pytest processes with a full set of torch threads each would only be in each other's way. (Not in the process
# that starts them: they would inherit its number.)
if WORKERS := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(WORKERS))))

import torch

# Triton decides at import between compiling and interpreting, once a process. Without a GPU the tests interpret.
INTERPRET_TRITON = not torch.cuda.is_available()
if INTERPRET_TRITON:
    os.environ["TRITON_INTERPRET"] = "1"

import jaxtyping  # noqa: E402

# From here on every call of an annotated function of the library has its shapes and dtypes checked.
jaxtyping.install_import_hook("vmamba_edu", "shape_checks.check")

from collections.abc import Callable, Iterator  # noqa: E402
from pathlib import Path  # noqa: E402

import hypothesis  # noqa: E402
import pytest  # noqa: E402
from reference_data import load_reference  # noqa: E402

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.register_profile("search", deadline=None, max_examples=1000)  # pytest --hypothesis-profile=search
hypothesis.settings.load_profile("ci")


@pytest.fixture(scope="session")
def reference() -> Callable[[str], tuple]:
    """`reference("01_scan_basic")` gives the tensors and the description of one case of tests/reference."""
    return load_reference


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder of the checkout."""
    return Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def as_many_threads_as_before() -> Iterator[None]:
    """A test that leaves torch with more threads would slow down all that come after it: they share processors."""
    before = torch.get_num_threads()
    yield
    after = torch.get_num_threads()
    torch.set_num_threads(before)
    assert after == before, "torch.set_num_threads: put the number back"


class LessonsRunAsReadersRunThem:
    """A reader's kernel knows nothing of the tests' Triton mode, so a lesson must not be run with it."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        if item.path.suffix != ".ipynb":
            return (yield)
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("TRITON_INTERPRET", raising=False)
            return (yield)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(LessonsRunAsReadersRunThem())  # hooks of a conftest see only its own folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="needs a CUDA or ROCm device"))
