"""pyproject.toml, constraints.txt and environment.yml say the same, and each is written as its reader wants it."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from rattler import MatchSpec

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS = {name: [Requirement(text) for text in texts] for name, texts in PROJECT["optional-dependencies"].items()}
LIBRARY = [Requirement(text) for text in PROJECT["dependencies"]]
UNPINNED = {"vmamba-edu", "triton"}
OTHERS = [requirement for group in [LIBRARY, *EXTRAS.values()] for requirement in group]


def constraint_lines() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def pins() -> dict[str, str]:
    """Version by normalised name."""
    requirements = [Requirement(line) for line in constraint_lines()]
    return {canonicalize_name(requirement.name): str(requirement.specifier)[2:] for requirement in requirements}


def environment() -> dict:
    return yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))


def conda_part() -> list[str]:
    return [entry for entry in environment()["dependencies"] if isinstance(entry, str)]


def pip_part() -> list[str]:
    (part,) = [entry["pip"] for entry in environment()["dependencies"] if isinstance(entry, dict)]
    return part


@pytest.mark.parametrize("line", constraint_lines())
def test_a_constraint_is_one_exact_public_version(line):
    requirement = Requirement(line)
    assert re.fullmatch(r"==[0-9][^,+*]*", str(requirement.specifier))
    assert requirement.marker is None


def test_no_package_is_pinned_twice():
    assert len(pins()) == len(constraint_lines())


@pytest.mark.parametrize("requirement", OTHERS, ids=str)
def test_what_is_asked_for_is_pinned_within_its_range(requirement):
    if requirement.name in UNPINNED:
        assert canonicalize_name(requirement.name) not in pins()
        return
    assert requirement.specifier, "pyproject.toml gives a range"
    assert pins()[canonicalize_name(requirement.name)] in requirement.specifier


def test_ranges_stand_in_pyproject_and_not_versions():
    assert not [str(requirement) for requirement in OTHERS if "==" in str(requirement.specifier)]


def test_torch_is_the_version_the_course_was_made_with():
    assert pins()["torch"] == "2.13.0"


def test_what_only_nvidia_machines_need_is_not_pinned():
    assert not [name for name in pins() if name.startswith(("nvidia", "cuda", "triton"))]


def test_an_extra_names_only_extras_that_exist():
    named = {extra for requirement in OTHERS if requirement.name == "vmamba-edu" for extra in requirement.extras}
    assert named <= set(EXTRAS)


def test_packages_without_wheels_everywhere_carry_a_marker():
    marked = {requirement.name for requirement in OTHERS if requirement.marker}
    assert marked == {"triton", "decord"}


def test_environment_is_what_conda_reads():
    assert set(environment()) == {"name", "channels", "dependencies"}
    for entry in conda_part():
        MatchSpec(entry, strict=True)  # raises if conda would not understand it


def test_conda_brings_python_and_pip_and_nothing_else():
    names = [MatchSpec(entry, strict=True).name for entry in conda_part()]
    assert [name.normalized for name in names] == ["python", "pip"]


def test_conda_s_python_is_one_that_pyproject_admits():
    (wanted,) = [entry.removeprefix("python").strip() for entry in conda_part() if entry.startswith("python")]
    conda, project = SpecifierSet(wanted), SpecifierSet(PROJECT["requires-python"])
    for minor in range(30):
        for version in (f"3.{minor}.0", f"3.{minor}.9"):
            assert version not in conda or version in project
    assert "3.11.0" in conda


def test_pip_s_part_uses_the_constraints_and_extras_that_exist():
    constraint, editable = [shlex.split(line) for line in pip_part()]
    assert constraint == ["-c", "constraints.txt"]
    option, target = editable
    requirement = Requirement("vmamba-edu" + target.removeprefix("."))
    assert option == "-e"
    assert target.startswith(".[")
    assert requirement.extras == {"lab", "test"}
    assert requirement.extras <= set(EXTRAS)
