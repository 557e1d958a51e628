"""What this machine and this environment can do for the course, and what to do about what they cannot.

`vmamba-edu doctor` prints it; whoever asks for help is asked for that text first.
"""

import importlib.metadata
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from enum import StrEnum

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

DISTRIBUTION = "vmamba-edu"
GIB = 2**30
ENOUGH_MEMORY = 2 * GIB  # a lesson's kernel with VideoMamba-Tiny stays below one; JupyterLab and a browser need theirs


class Verdict(StrEnum):
    OK = "ok"
    NOTE = "note"  # works, but something optional is missing or slow
    PROBLEM = "problem"  # something the course needs is missing


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what it is, what was found, and what to do about it ("" if nothing)."""

    subject: str
    verdict: Verdict
    detail: str
    advice: str = ""


def examine() -> list[Finding]:
    """Look at everything. Nothing is changed; a missing package is a finding, never an error."""
    return [
        python(),
        *packages(),
        *torch_and_engines(),
        threads(),
        memory(),
        browser(),
    ]


def report(findings: list[Finding]) -> str:
    """The findings as text, one a line, the advice below its line."""
    width = max(len(finding.subject) for finding in findings)
    lines = []
    for finding in findings:
        lines.append(f"{finding.verdict:<8}{finding.subject:<{width}}  {finding.detail}")
        if finding.advice:
            lines.append(" " * (8 + width + 2) + "→ " + finding.advice)
    return "\n".join(lines)


def python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Finding:
    """The interpreter, against the range that the distribution asks for."""
    wanted = importlib.metadata.metadata(DISTRIBUTION)["Requires-Python"]
    number = ".".join(map(str, version))
    detail = f"{number} on {platform.system()} {platform.machine()}, {sys.executable}"
    if number in SpecifierSet(wanted):
        return Finding("python", Verdict.OK, detail)
    return Finding("python", Verdict.PROBLEM, detail, f"needs Python {wanted}: make clean-venv lab PYTHON=python3.12")


def packages() -> list[Finding]:
    """The packages of the library itself and those of each extra."""
    extras = importlib.metadata.metadata(DISTRIBUTION).get_all("Provides-Extra") or []
    return [package_group("", Verdict.PROBLEM), *(package_group(extra, Verdict.NOTE) for extra in sorted(extras))]


def package_group(extra: str, verdict_if_missing: Verdict) -> Finding:
    """The packages that one extra adds; those of the library itself for ""."""
    wanted = [requirement for requirement in _requirements(extra) if requirement.name != DISTRIBUTION]
    found = {requirement.name: _installed(requirement.name) for requirement in wanted}
    subject = f"extra [{extra}]" if extra else "library"
    wrong = [
        f"{requirement.name} {found[requirement.name] or 'missing'}"
        + (f" (needs {requirement.specifier})" if requirement.specifier else "")
        for requirement in wanted
        if not _satisfied(requirement, found[requirement.name])
    ]
    if wrong:
        what = f"{DISTRIBUTION}[{extra}]" if extra else DISTRIBUTION
        return Finding(subject, verdict_if_missing, ", ".join(wrong), f"pip install '{what}'")
    return Finding(subject, Verdict.OK, ", ".join(f"{name} {version}" for name, version in found.items()))


def torch_and_engines() -> list[Finding]:
    """The device torch sees, and which engines of the selective scan can run on it."""
    try:
        import torch
        from vmamba_kernels import engines
    except ImportError as error:
        return [Finding("torch", Verdict.PROBLEM, f"does not import: {error}", "make clean-venv lab")]
    findings = [_device(torch.cuda.is_available(), torch.__version__, shutil.which("nvidia-smi") is not None)]
    for name, engine in engines().items():
        verdict = Verdict.OK if engine.available else Verdict.NOTE
        findings.append(Finding(f"engine {name}", verdict, "can be used" if engine.available else engine.reason))
    return findings


def _device(has_gpu: bool, version: str, has_driver: bool) -> Finding:
    if has_gpu:
        import torch

        return Finding("torch", Verdict.OK, f"{version}, computes on {torch.cuda.get_device_name()}")
    if has_driver:
        advice = "there is a driver for NVIDIA: if you mean to use the GPU, install torch's CUDA build over this one"
        return Finding("torch", Verdict.NOTE, f"{version}, computes on the CPU", advice)
    return Finding("torch", Verdict.OK, f"{version}, computes on the CPU; every lesson runs there")


def threads() -> Finding:
    """How many processors this process may use, and how many threads torch will use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limits = [f"{name}={os.environ[name]}" for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS") if name in os.environ]
    detail = ", ".join([f"{usable} processors usable", *limits])
    if limits and any(limit.endswith("=1") for limit in limits) and usable > 1:
        return Finding("threads", Verdict.NOTE, detail, "unset it, or the lessons compute on one processor only")
    return Finding("threads", Verdict.OK, detail)


def memory() -> Finding:
    """The memory that is there and free."""
    try:
        import psutil
    except ImportError:
        return Finding("memory", Verdict.OK, "not measured (psutil comes with the extras [lab], [test] and [bench])")
    state = psutil.virtual_memory()
    detail = f"{state.available / GIB:.1f} of {state.total / GIB:.1f} GiB free"
    if state.available < ENOUGH_MEMORY:
        return Finding("memory", Verdict.NOTE, detail, "close other programs and idle kernels before you open a lesson")
    return Finding("memory", Verdict.OK, detail)


def browser() -> Finding:
    """Chromium, which only the tests that drive a browser need."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found:
        return Finding("chromium", Verdict.OK, found)
    advice = "only the browser tests need it, and skip without: sudo apt install chromium"
    return Finding("chromium", Verdict.NOTE, "not found", advice)


def _requirements(extra: str) -> list[Requirement]:
    """What applies on this platform: the library's own requirements for "", else those that `extra` adds to them."""
    every = [Requirement(text) for text in importlib.metadata.requires(DISTRIBUTION) or []]
    own = [r for r in every if r.marker is None or r.marker.evaluate({"extra": ""})]
    if not extra:
        return own
    return [r for r in every if r not in own and r.marker is not None and r.marker.evaluate({"extra": extra})]


def _installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _satisfied(requirement: Requirement, version: str | None) -> bool:
    return version is not None and requirement.specifier.contains(version, prereleases=True)
