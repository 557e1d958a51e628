"""The panels' benchmark on one panel: every control is changed, what comes late is waited for, the table says it."""

import json
import threading
import time
from types import SimpleNamespace

import ipywidgets
import pytest

from benchmarks import panels as benchmark
from benchmarks import tables
from vmamba_edu import panels
from vmamba_edu.panels.computed import anatomy_parts
from vmamba_edu.panels.parts.later import STILL_S

LATE_S = 0.1


def stand_in(name, control, value):
    """What the benchmark needs to know of a panel, with one control."""
    later = SimpleNamespace(changes={})
    return SimpleNamespace(controls={name: control}, state=SimpleNamespace(**{name: value}), later=later, settle=int)


@pytest.fixture(scope="module")
def discretisation():
    with benchmark.listening() as listener:
        panel = panels.discretisation()
        yield panel, listener, benchmark.answers(panel, listener, most=3)


def test_every_control_is_changed_and_put_back(discretisation):
    panel, listener, found = discretisation
    assert set(found) == set(panel.controls)
    assert all(answer.seconds > 0 and answer.later is None for some in found.values() for answer in some)
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
        found = benchmark.answers(stand_in("x", control, 0), listener)
    assert len(found["x"]) == 3
    assert min(found["x"]).seconds >= LATE_S


def test_what_is_put_off_is_answered_by_words_and_counted_apart(monkeypatch):
    monkeypatch.setattr(anatomy_parts, "_counted", {})  # whatever other tests have counted
    with benchmark.listening() as listener:
        panel = panels.model_anatomy(model="vit_tiny", size=64)
        found = benchmark.answers(panel, listener, most=2)["size"]
    put_off, known = found[0], found[-1]  # the last one goes back to where the panel was opened
    assert put_off.later is not None
    assert put_off.later > max(STILL_S, put_off.seconds)
    assert known.later is None
    summary = benchmark._summary(found)
    assert summary["long"] == sum(one.later is not None for one in found) == 2
    assert summary["later_s"] > max(STILL_S, summary["median_s"])


def test_a_control_without_a_list_of_values_is_left_out():
    assert benchmark.answers(stand_in("path", ipywidgets.Text(), ""), benchmark.Listener()) == {}


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
    results = {"goals": benchmark.GOALS, "panels": {"discretisation": one}}
    text = tables.panels_table(json.loads(json.dumps(results)))
    assert f"| {one['changes']} |" in text
    assert f"{one['first_view_s']:.2f} s" in text


def test_what_misses_its_goal_is_marked():
    control = {"changes": 2, "median_s": 0.02, "p95_s": 0.06}
    one = {**control, "controls": {"x": control}, "loading_s": 1, "first_view_s": 0.5, "stored_bytes": 49_999}
    row = tables.panels_table({"goals": benchmark.GOALS, "panels": {"trial": one}}).splitlines()[2]
    assert row == "| `trial` | 2 | 20 ms | **60 ms** | x, 60 ms | – | 0.50 s | 1.0 s | 50 KB |"
    later = tables.panels_table({"goals": benchmark.GOALS, "panels": {"trial": one | {"long": 2, "later_s": 0.61}}})
    assert "| 2, after 0.6 s |" in later
