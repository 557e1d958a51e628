"""The panels' benchmark on one panel: every control is changed, what comes late is waited for, the table says it."""

import json
import threading
import time
from types import SimpleNamespace

import ipywidgets
import pytest

from benchmarks import panels as benchmark
from vmamba_edu import panels

LATE_S = 0.1


@pytest.fixture(scope="module")
def discretisation():
    with benchmark.listening() as listener:
        panel = panels.discretisation()
        yield panel, listener, benchmark.answers(panel, listener, most=3)


def test_every_control_is_changed_and_put_back(discretisation):
    panel, listener, found = discretisation
    assert set(found) == set(panel.controls)
    assert all(seconds > 0 for some in found.values() for seconds in some)
    assert panel.state == panels.discretisation().state
    assert listener.messages > sum(map(len, found.values()))  # each change redraws, and says something
    assert listener.bytes > 10_000


def test_a_message_that_a_thread_sends_later_counts():
    """The control itself answers at once; the words come from a thread, LATE_S later."""
    with benchmark.listening() as listener:
        control, words = ipywidgets.IntSlider(0, 0, 2), ipywidgets.HTML()

        def say_later(change):
            threading.Thread(target=lambda: (time.sleep(LATE_S), setattr(words, "value", f"{change['new']}"))).start()

        control.observe(say_later, "value")
        panel = SimpleNamespace(controls={"x": control}, state=SimpleNamespace(x=0))
        found = benchmark.answers(panel, listener)
    assert len(found["x"]) == 3
    assert min(found["x"]) >= LATE_S


def test_a_control_without_a_list_of_values_is_left_out():
    panel = SimpleNamespace(controls={"path": ipywidgets.Text()}, state=SimpleNamespace(path=""))
    assert benchmark.answers(panel, benchmark.Listener()) == {}


def test_widgets_speak_to_the_browser_again_afterwards():
    import comm

    usual = comm.create_comm
    with pytest.raises(RuntimeError, match="in between"), benchmark.listening():
        raise RuntimeError("in between")
    assert comm.create_comm is usual


@pytest.mark.slow
def test_the_first_view_is_taken_in_a_fresh_process_and_the_table_has_it():
    one = benchmark.measure("discretisation", repeats=1, most=1)
    assert one["loading_s"] > 0
    assert one["first_view_s"] > 0
    assert one["changes"] == sum(control["changes"] for control in one["controls"].values())
    assert 5_000 < one["stored_bytes"] < 200_000
    machine = {"cpu": "a machine", "threads": 1, "load_before": 0.1, "date": "today"}
    text = benchmark.table(json.loads(json.dumps({"machine": machine, "panels": {"discretisation": one}})))
    assert f"| {one['changes']} |" in text
    assert f"{one['first_view_s']:.2f} s" in text


def test_what_misses_its_goal_is_marked():
    control = {"changes": 2, "median_s": 0.02, "p95_s": 0.06}
    one = {**control, "controls": {"x": control}, "loading_s": 1, "first_view_s": 0.5, "stored_bytes": 49_999}
    machine = {"cpu": "a machine", "threads": 1, "load_before": 0.1, "date": "today"}
    row = benchmark.table({"machine": machine, "panels": {"trial": one}}).splitlines()[2]
    assert row == "| `trial` | 2 | 20 ms | **60 ms** | x, 60 ms | 0.50 s | 1.0 s | 50 KB |"
