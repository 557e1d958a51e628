"""Laws of the measuring code, on calls whose durations are known because the clock is scripted."""

import gc
import time
from itertools import cycle

import pytest

from benchmarks import measure
from benchmarks.measure import Spread, interleave, process_seconds, thread_seconds, wall_seconds


class Scripted:
    """Calls that take what a script says, and the clock that tells so. Nothing here waits."""

    def __init__(self, **durations: list[float]):
        self.durations = {name: cycle(seconds) for name, seconds in durations.items()}
        self.order: list[str] = []

    def calls(self) -> dict[str, measure.Call]:
        return {name: lambda name=name: self._called(name) for name in self.durations}

    def _called(self, name: str) -> float:
        self.order.append(name)
        return next(self.durations[name])

    @staticmethod
    def clock(call: measure.Call, device: str) -> float:
        return call()


def test_spread_is_in_milliseconds_and_in_order() -> None:
    spread = Spread.of([0.005, 0.001, 0.002, 0.004, 0.003])
    assert spread == Spread(median=3.0, lower_quartile=2.0, upper_quartile=4.0, least=1.0, calls=5)
    assert Spread.of([0.25]).as_dict() == {
        "median": 250,
        "lower_quartile": 250,
        "upper_quartile": 250,
        "least": 250,
        "calls": 1,
    }


def test_cases_take_turns() -> None:
    script = Scripted(a=[0.3], b=[0.4])
    interleave(script.calls(), 1.0, script.clock)
    assert script.order[:6] == ["a", "b", "a", "b", "a", "b"]


def test_a_case_has_its_seconds_or_its_rounds() -> None:
    script = Scripted(slow=[3.0], quick=[0.25])
    found = interleave(script.calls(), 1.0, script.clock, least_rounds=2)
    assert found["slow"].calls == 2
    assert found["quick"].calls == 4


def test_the_first_call_of_a_turn_does_not_count() -> None:
    cold, warm = 0.05, 0.004  # five calls to a turn, and the caches cold at the first
    script = Scripted(a=[cold, warm])
    turn = measure._turn(script.calls()["a"], script.clock, "cpu")
    assert turn[0] == warm
    assert len(script.order) == len(turn) + 1


def test_a_disturbance_does_not_move_the_median() -> None:
    script = Scripted(a=[0.3, 0.3, 30.0, 0.3])
    assert interleave(script.calls(), 2.0, script.clock)["a"].median == pytest.approx(300)


def test_wall_time_is_what_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 10.125])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    assert wall_seconds(lambda: None) == 0.125


def test_waiting_costs_wall_time_but_no_cpu_time() -> None:
    assert wall_seconds(lambda: time.sleep(0.1)) >= 0.1
    assert thread_seconds(lambda: time.sleep(0.1)) < 0.1
    assert process_seconds(lambda: time.sleep(0.1)) < 0.1


def test_the_collector_is_left_as_it_was_found() -> None:
    def fails_while_it_is_off() -> None:
        with measure.no_garbage_collection():
            assert not gc.isenabled()
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fails_while_it_is_off()
    assert gc.isenabled()
