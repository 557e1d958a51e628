"""Download and build ggml, whose SSM_SCAN is what llama.cpp runs Mamba on. Nothing of it is kept in this repository.

    python benchmarks/peers/build_ggml.py

The source distribution of llama-cpp-python carries ggml in full; only that folder is built, as shared libraries for
this machine's own processor, in benchmarks/.cache/ggml (a few minutes on two cores). Needs cmake and a C++ compiler:
`sudo apt install cmake g++`, or `pip install cmake` for the former.
"""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

PACKAGE, VERSION = "llama-cpp-python", "0.3.36"
CACHE = Path(__file__).parents[1] / ".cache" / "ggml"
OPTIONS = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=ON",
    "-DGGML_NATIVE=ON",
    "-DGGML_OPENMP=ON",
    "-DGGML_BUILD_TESTS=OFF",
    "-DGGML_BUILD_EXAMPLES=OFF",
]


def libraries() -> dict[str, Path]:
    """The built libraries by name (ggml-base, ggml-cpu), or an empty dict."""
    names = ("ggml-base", "ggml-cpu")
    found = {name: next((CACHE / "build").rglob(f"*{name}.so"), None) for name in names}
    return {name: path for name, path in found.items() if path} if all(found.values()) else {}


def source() -> Path:
    """The folder of ggml, downloaded and unpacked if need be."""
    folder = CACHE / f"{PACKAGE.replace('-', '_')}-{VERSION}" / "vendor" / "llama.cpp" / "ggml"
    if folder.exists():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    wanted = f"{PACKAGE}=={VERSION}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", PACKAGE, wanted, "-d", str(CACHE)]
    subprocess.run(command, check=True)
    with tarfile.open(next(CACHE.glob("*.tar.gz"))) as archive:
        members = [m for m in archive.getmembers() if "/vendor/llama.cpp/ggml/" in m.name]
        archive.extractall(CACHE, members, filter="data")
    (folder / "ggml.pc.in").touch()  # a template for installing, which the source distribution leaves out
    return folder


def build(jobs: int) -> dict[str, Path]:
    """Configure, compile, and return the libraries."""
    folder = CACHE / "build"
    subprocess.run(["cmake", "-S", str(source()), "-B", str(folder), *OPTIONS], check=True)
    targets = ["--target", "ggml-base", "ggml-cpu"]
    subprocess.run(["cmake", "--build", str(folder), "-j", str(jobs), *targets], check=True)
    return libraries()


if __name__ == "__main__":
    for name, path in build(int(os.environ.get("JOBS", os.cpu_count() or 1))).items():
        print(f"{name}: {path}")
