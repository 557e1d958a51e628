"""The commands of the README: what they run, what they say when something is missing, and that they start only once.

A shell script stands in for Python here, so that nothing is downloaded: it "makes" an environment that holds itself,
and its pip notes what it was asked for and succeeds or fails as told.
"""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FAKE_PYTHON = """\
#!/bin/sh
case "$*" in
  --version) echo "Python 3.11.2" ;;
  *"-m venv"*)
    for folder; do :; done
    mkdir -p "$folder/bin"
    cp "$0" "$folder/bin/python"
    printf '#!/bin/sh\\necho "opened $*"\\n' > "$folder/bin/vmamba-edu"
    chmod +x "$folder/bin/vmamba-edu" ;;
  *"pip install"* | *"pip --disable-pip-version-check install"*)
    echo "$*" >> pip.log
    exit "$(cat pip_status 2>/dev/null || echo 0)" ;;
esac
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what `make` reads, and the fake Python."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, folder)
    script(folder / "python", FAKE_PYTHON)
    return folder


def script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def make(folder: Path, *arguments: str, python: str = "./python") -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", *arguments, f"PYTHON={python}"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def installs(folder: Path) -> list[str]:
    log = folder / "pip.log"
    return log.read_text().splitlines() if log.exists() else []


def test_the_readme_says_two_commands_first_and_both_exist():
    readme = (ROOT / "README.md").read_text("utf-8")
    first_block = re.search(r"```\w*\n(.*?)```", readme, re.DOTALL)
    assert first_block is not None
    commands = [line.split("#")[0].strip() for line in first_block[1].splitlines()]
    assert commands == ["make lab", "make test"]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert all(re.search(rf"^{command.split()[1]}:", makefile, re.MULTILINE) for command in commands)


def test_every_make_target_that_a_text_names_exists():
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md", "environment.yml", ".ci/run", "notebooks/build.py"):
        named = set(re.findall(r"\bmake ([a-z-]+)\b(?=[`\n ,.)\"]*)", _code(ROOT / name)))
        assert named <= targets, name


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "tests/reference/README.md"])
def test_what_a_page_links_to_exists(name):
    page = ROOT / name
    targets = re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8"))
    missing = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert missing == []


def _code(path: Path) -> str:
    """What is set as code in a page of Markdown; the whole of any other file's lines that begin with make."""
    text = path.read_text("utf-8")
    if path.suffix == ".md":
        return "\n".join(re.findall(r"`+(?:\w*\n)?(.*?)`+", text, re.DOTALL))
    return "\n".join(re.findall(r"(?:exec |Run: |run: )(make [a-z-]+)", text))


def test_lab_installs_the_lab_extra_with_the_constraints_and_opens_the_lessons(checkout):
    done = make(checkout, "lab", "ARGS=--no-browser --port 9999")
    assert done.returncode == 0, done.stderr
    (install,) = installs(checkout)
    assert install.endswith("install -c constraints.txt -e .[lab]")
    assert "opened lab --no-browser --port 9999" in done.stdout


def test_options_for_pip_pass_through(checkout):
    make(checkout, "lab", "PIP_ARGS=--extra-index-url file:///wheels")
    (install,) = installs(checkout)
    assert "install --extra-index-url file:///wheels -c constraints.txt" in install


def test_the_second_time_nothing_is_installed(checkout):
    make(checkout, "lab")
    done = make(checkout, "lab", python="./no-such-python")  # not even the Python it was made with is asked for
    assert done.returncode == 0
    assert len(installs(checkout)) == 1


def test_the_environment_of_the_tests_serves_the_lab(checkout):
    make(checkout, "test")
    make(checkout, "lab")
    (install,) = installs(checkout)
    assert install.endswith(".[test]")


def test_the_students_lessons_need_the_classroom(checkout):
    make(checkout, "student")
    make(checkout, "lab")
    (install,) = installs(checkout)
    assert install.endswith(".[classroom]")


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed(checkout, name):
    make(checkout, "lab")
    later = time.time() + 2  # so that no clock is too coarse to see it
    os.utime(checkout / name, (later, later))
    make(checkout, "lab")
    assert len(installs(checkout)) == 2


def test_a_failed_install_says_what_to_do_and_is_taken_up_again(checkout):
    (checkout / "pip_status").write_text("1")
    done = make(checkout, "lab")
    assert done.returncode != 0
    assert "make clean-venv" in done.stderr
    assert "opened" not in done.stdout
    (checkout / "pip_status").write_text("0")
    done = make(checkout, "lab")
    assert done.returncode == 0
    assert "opened" in done.stdout
    assert len(installs(checkout)) == 2


def test_a_moved_checkout_gets_a_new_environment(checkout):
    make(checkout, "lab")
    moved = checkout.rename(checkout.with_name("elsewhere"))
    make(moved, "lab")
    assert len(installs(moved)) == 2


def test_a_missing_python_is_told(checkout):
    done = make(checkout, "lab", python="./no-such-python")
    assert done.returncode != 0
    assert "sudo apt install python3" in done.stderr


def test_an_old_python_is_told(checkout):
    script(checkout / "old", '#!/bin/sh\ncase "$1" in --version) echo "Python 3.10.12" ;; *) exit 1 ;; esac\n')
    done = make(checkout, "lab", python="./old")
    assert done.returncode != 0
    assert "is Python 3.10.12, and Python 3.11 or newer is needed" in done.stderr
    assert "PYTHON=" in done.stderr


def test_a_python_that_cannot_make_environments_is_told(checkout):
    script(checkout / "bare", '#!/bin/sh\ncase "$*" in *ensurepip*) exit 1 ;; esac\n')
    done = make(checkout, "lab", python="./bare")
    assert done.returncode != 0
    assert "sudo apt install python3-venv" in done.stderr


def test_everything_is_tested_the_browser_by_itself():
    done = make(ROOT, "--dry-run", "--always-make", "test", "ARGS=-k scan")
    browser, rest = (call.split() for call in re.findall(r"-m pytest (.*?) \|\|", done.stdout))
    assert browser[0] == "tests/browser"
    assert rest[:4] == ["tests", "notebooks", "--ignore=tests/browser", "--nbmake"]
    assert browser[-2:] == rest[-2:] == ["-k", "scan"]


def test_coverage_is_that_of_both_parts(checkout):
    make(checkout, "test")  # installs
    script(checkout / ".venv" / "bin" / "python", '#!/bin/sh\necho "$*" >> calls\n')
    (checkout / ".coverage").write_text("of an earlier run")
    assert make(checkout, "coverage").returncode == 0
    browser, rest, report = (checkout / "calls").read_text("utf-8").splitlines()[-3:]
    assert browser.startswith("-m pytest tests/browser ")
    assert "--ignore=tests/browser" in rest
    for part in (browser, rest):
        assert "--cov --cov-append" in part
    assert "coverage report" in report
    assert not (checkout / ".coverage").exists()


@pytest.mark.parametrize(
    ("browser", "rest", "status"), [(0, 0, 0), (5, 0, 0), (0, 5, 0), (1, 0, 2), (0, 1, 2), (2, 5, 2)]
)
def test_one_failing_part_fails_the_whole_and_the_other_still_runs(checkout, browser, rest, status):
    make(checkout, "test")  # installs
    script(
        checkout / ".venv" / "bin" / "python",
        f'#!/bin/sh\necho "called $*" >> calls\ncase "$*" in *--ignore*) exit {rest} ;; *) exit {browser} ;; esac\n',
    )
    done = make(checkout, "test")
    assert done.returncode == status
    assert (checkout / "calls").read_text("utf-8").count("-m pytest") == 2


def test_make_alone_lists_what_can_be_made(checkout):
    done = make(checkout)
    assert {"lab", "author", "test", "check", "notebooks"} <= set(re.findall(r"make (\S+)", done.stdout))
