"""A process that is asked: its answer, however much is said around it, and each way in which it may end without."""

import os
import subprocess
import sys
import threading
import time

import pytest

from vmamba_edu.analysis import fresh_process
from vmamba_edu.analysis.fresh_process import MALLOC, ask

ECHO = "import json, sys; asked = json.load(sys.stdin); "


def test_the_answer_is_the_last_line_and_a_long_request_arrives_whole():
    """Longer than a pipe holds, both ways, while a `stopped` that is never set is looked at now and then."""
    request = {"numbers": list(range(50_000))}
    code = ECHO + "import time; print('warming up ' * 20_000); time.sleep(0.5); print(json.dumps(asked))"
    assert ask(code, request, "it", timeout=60, stopped=threading.Event()) == request


def test_a_process_imports_what_this_one_does_and_gives_its_memory_back(monkeypatch):
    monkeypatch.setenv("COLOUR", "red")
    code = ECHO + "import os, vmamba_kernels, vmamba_edu; print(json.dumps([os.environ.get(one) for one in asked]))"
    assert ask(code, ["COLOUR", *MALLOC], "it", timeout=60) == ["red", *MALLOC.values()]
    environment = {"PATH": os.environ["PATH"]}
    assert ask(code, ["COLOUR", *MALLOC], "it", timeout=60, environment=environment) == [None, *MALLOC.values()]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise ValueError('no room')", "failed: ValueError: no room"),
        ("import os; os._exit(3)", "failed: without a word"),
        ("import os; os.kill(os.getpid(), 9)", "was killed: out of memory"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
def test_a_process_that_fails_says_why(code, words):
    with pytest.raises(RuntimeError, match=f"the process that ran it {words}"):
        ask(code, 1, "it", timeout=60)


@pytest.mark.parametrize("stopped", [None, threading.Event()])
def test_a_process_that_takes_too_long_is_ended(stopped, monkeypatch):
    begun = started(monkeypatch)
    with pytest.raises(RuntimeError, match=r"that ran it took longer than its timeout of 0\.1 s, and was ended"):
        ask("import time; time.sleep(300)", 1, "it", timeout=0.1, stopped=stopped)
    assert begun[0].poll() is not None


def test_a_process_is_ended_when_it_is_told_to_stop(monkeypatch, tmp_path):
    """Told from another thread, once it runs. It would sleep for minutes; its note says that it runs."""
    note, begun, stopped = tmp_path / "note", started(monkeypatch), threading.Event()

    def stop_when_it_runs() -> None:
        while not note.exists():
            time.sleep(0.01)
        stopped.set()

    thread = threading.Thread(target=stop_when_it_runs)
    thread.start()
    with pytest.raises(RuntimeError, match="the process that ran it was stopped, as it was asked to"):
        ask(f"import time; open({str(note)!r}, 'w'); time.sleep(300)", 1, "it", timeout=60, stopped=stopped)
    thread.join()
    assert begun[0].poll() is not None


def test_an_answer_that_came_counts_though_it_was_told_to_stop(monkeypatch):
    monkeypatch.setattr(fresh_process, "LOOKS_EVERY_S", 60)  # it ends before anyone looks
    stopped = threading.Event()
    stopped.set()
    assert ask("print(1)", 1, "it", timeout=60, stopped=stopped) == 1


def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen]:
    """The processes that are started from now on."""
    begun: list[subprocess.Popen] = []

    class Noted(subprocess.Popen):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            begun.append(self)

    monkeypatch.setattr(subprocess, "Popen", Noted)
    return begun
