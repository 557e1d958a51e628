"""The command `vmamba-edu`: how JupyterLab is started, and what the doctor finds."""

import json
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from vmamba_edu import cli, doctor
from vmamba_edu.doctor import Finding, Verdict


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What JupyterLab was started with; it is not started."""
    labapp = pytest.importorskip("jupyterlab.labapp")
    calls: list[list[str]] = []
    monkeypatch.setattr(labapp.LabApp, "launch_instance", calls.append)
    return calls


@pytest.fixture
def lessons(tmp_path: Path) -> Path:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    for name in ("01_next.ipynb", "00_first_light.ipynb"):
        nbformat.write(new_notebook(cells=[new_code_cell("x = 1")]), folder / name)
    return folder


def lab(lessons: Path, *options: str) -> int:
    folders = ["--lessons", str(lessons), "--workspace", str(lessons.parent / "mine")]
    return cli.main(["lab", *folders, *options])


def test_lab_opens_the_index_where_there_is_one(lessons, started):
    nbformat.write(new_notebook(), lessons / "index.ipynb")
    lab(lessons)
    assert "--LabApp.default_url=/lab/tree/index.ipynb" in started[0]
    assert (lessons.parent / "mine" / "index.ipynb").exists()


def test_lab_opens_the_first_lesson_in_the_readers_copies(lessons, started, capsys):
    assert lab(lessons) == 0
    (arguments,) = started
    assert f"--ServerApp.root_dir={lessons.parent / 'mine'}" in arguments
    assert "--LabApp.default_url=/lab/tree/00_first_light.ipynb" in arguments
    assert "2 notebooks copied" in capsys.readouterr().out


def test_lab_listens_on_this_machine_only_and_keeps_the_token(lessons, started):
    lab(lessons)
    (arguments,) = started
    assert "--ServerApp.ip=127.0.0.1" in arguments
    assert not [argument for argument in arguments if "token" in argument or "password" in argument]


def test_jupyters_own_options_pass_through(lessons, started):
    lab(lessons, "--no-browser", "--port", "9999")
    assert started[0][-3:] == ["--no-browser", "--port", "9999"]


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        (["--ip", "0.0.0.0"], "--ServerApp.ip"),
        (["--ServerApp.ip=::1"], "--ServerApp.ip"),
        (["--ServerApp.root_dir=/"], "--ServerApp.root_dir"),
        (["--LabApp.default_url=/lab"], "--LabApp.default_url"),
    ],
)
def test_what_the_reader_gives_replaces_ours(given, ours):
    arguments = cli.jupyter_arguments(Path("mine/00_first_light.ipynb"), given)
    assert [argument for argument in arguments if argument.startswith(f"{ours}=")] == [a for a in given if ours in a]


def test_jupyterlab_understands_what_it_is_given(tmp_path):
    """JupyterLab refuses an option that is given twice: it must be able to read ours and the reader's together."""
    labapp = pytest.importorskip("jupyterlab.labapp")
    app = labapp.LabApp()
    app.parse_command_line(cli.jupyter_arguments(tmp_path / "00_a.ipynb", ["--ip", "0.0.0.0", "--port", "9999"]))
    assert app.config.ServerApp.ip == "0.0.0.0"
    assert app.config.LabApp.default_url == "/lab/tree/00_a.ipynb"


@pytest.mark.parametrize(("user", "allowed"), [(0, True), (1000, False)])
def test_root_is_allowed_where_one_is_root(monkeypatch, user, allowed):
    monkeypatch.setattr("os.geteuid", lambda: user, raising=False)
    assert ("--allow-root" in cli.jupyter_arguments(Path("a.ipynb"), [])) == allowed


def test_author_opens_the_lessons_themselves(lessons, started):
    assert lab(lessons, "--author") == 0
    assert f"--ServerApp.root_dir={lessons}" in started[0]
    assert not (lessons.parent / "mine").exists()


def test_a_missing_folder_is_one_clear_line(tmp_path, started, capsys):
    assert lab(tmp_path / "nowhere") == 1
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    assert "nowhere" in said
    assert started == []


def test_a_workspace_that_is_a_file_is_one_clear_line(lessons, started, capsys):
    (lessons.parent / "mine").write_text("")
    assert lab(lessons) == 1
    assert "mine" in capsys.readouterr().err
    assert started == []


def test_a_wrong_option_of_the_doctor_is_an_error():
    with pytest.raises(SystemExit):
        cli.main(["doctor", "--port", "3"])


def test_the_doctor_finds_this_environment_whole(capsys):
    """The tests run in an environment with what they need, so nothing needed may be reported missing."""
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out
    for subject in ("python", "library", "torch", "engine reference", "extra [lab]", "memory", "threads"):
        assert subject in said


def test_a_problem_gives_an_exit_status(monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda: [Finding("python", Verdict.PROBLEM, "old", "install a newer one")])
    assert cli.main(["doctor"]) == 1


def test_an_old_python_is_a_problem_with_advice():
    finding = doctor.python((3, 10, 4))
    assert finding.verdict is Verdict.PROBLEM
    assert "3.11" in finding.advice


@pytest.mark.parametrize(("missing", "verdict"), [("einops", Verdict.PROBLEM), ("jupyterlab", Verdict.NOTE)])
def test_a_missing_package_is_named_with_what_to_install(monkeypatch, missing, verdict):
    installed = doctor._installed
    monkeypatch.setattr(doctor, "_installed", lambda name: None if name == missing else installed(name))
    (finding,) = [finding for finding in doctor.packages() if f"{missing} missing" in finding.detail]
    assert finding.verdict is verdict
    assert "pip install 'vmamba-edu" in finding.advice


def test_a_package_that_is_too_old_is_named(monkeypatch):
    installed = doctor._installed
    monkeypatch.setattr(doctor, "_installed", lambda name: "0.1" if name == "einops" else installed(name))
    finding = doctor.package_group("", Verdict.PROBLEM)
    assert "einops 0.1 (needs >=0.8)" in finding.detail


def test_extras_list_what_they_add_and_not_the_library_again():
    finding = doctor.package_group("video", Verdict.NOTE)
    assert "av " in finding.detail
    assert "torch" not in finding.detail


def test_one_thread_on_many_processors_is_noted(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1}, raising=False)
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert doctor.threads().verdict is Verdict.NOTE
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert doctor.threads().verdict is Verdict.OK


def test_a_driver_without_a_cuda_build_is_noted():
    assert doctor._device(False, "2.13.0+cpu", has_driver=True).verdict is Verdict.NOTE
    assert doctor._device(False, "2.13.0+cpu", has_driver=False).verdict is Verdict.OK


def test_a_report_puts_the_advice_below_its_line():
    lines = doctor.report(
        [Finding("a", Verdict.OK, "fine"), Finding("b", Verdict.NOTE, "so so", "do this")]
    ).splitlines()
    assert [line.split() for line in lines] == [["ok", "a", "fine"], ["note", "b", "so", "so"], ["→", "do", "this"]]


def test_copies_are_told_apart_by_a_memory_in_their_folder(lessons, started):
    lab(lessons)
    memory = json.loads((lessons.parent / "mine" / ".vmamba-edu.json").read_text("utf-8"))
    assert set(memory["lessons"]) == {"00_first_light.ipynb", "01_next.ipynb"}
