"""How fast the panels answer, how soon they are there, and what they leave in a saved notebook.

    python benchmarks/panels.py                          # every registered panel: some minutes
    python benchmarks/panels.py --panels masks scan_orders
    python benchmarks/panels.py --device cuda            # the same on a machine whose panels use its GPU

Run it on a machine that does nothing else: wall times are what is asked for, and the JSON says how busy it was before.

**Answer.** Each control of a panel is set to its values, one after the other, as a browser would set it. Counted is the
time from there until the last message to the browser is packed as JSON, those of background threads included: a panel
is done when nothing has come for a while. What the browser then needs to draw is not in it. Where the panel answers
that something has to be done first, and puts it off until the control is left alone, the answer is that sentence; how
long the view then takes, the wait included, is given beside it.

**First view.** In a fresh process with libraries loaded: from calling the panel to its picture and its widget. Numba's
cache is warm, since the same has run once before; that run also tells what the panel imports only when it is called.
Loading the libraries, which the first panel of a kernel waits for, is given beside it.

**Stored** is the output of the cell in a notebook that was saved without widget state, as JupyterLab does by default.

Goals: 50 ms at the 95th percentile for what is no long work, 1 s to the first view, 50 KB stored.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

import comm
import numpy as np
from comm.base_comm import BaseComm
from jupyter_client.session import json_packer

from benchmarks import machine, report, tables

GOALS = {"p95_s": 0.05, "first_view_s": 1.0, "stored_bytes": 50_000}
QUIET_S = 0.25
"""A panel that has sent nothing for so long is done."""
FIRST_VIEW = """
import contextlib, importlib, json, sys, time
late = json.load(sys.stdin)
start = time.perf_counter()
from vmamba_edu import panels
make = getattr(panels, sys.argv[1])
for name in late:
    with contextlib.suppress(Exception):  # some come only with others; the panel loads them itself
        importlib.import_module(name)
loaded, before = time.perf_counter(), set(sys.modules)
panel = make()
panel._repr_mimebundle_()
took = time.perf_counter() - loaded
print(json.dumps([loaded - start, took, [name for name in sys.modules if name not in before]]))
"""


class Answer(NamedTuple):
    """Seconds from a change to the view, or to the words that it takes longer, and then to the view."""

    seconds: float
    later: float | None = None


class Listener:
    """Takes the place of the browser: notes when the last message to it was packed, and how many there were."""

    def __init__(self) -> None:
        self.last, self.messages, self.bytes = 0.0, 0, 0

    def hears(self, content: Mapping[str, Any], buffers: Any) -> None:
        self.bytes += len(json_packer(content)) + sum(memoryview(one).nbytes for one in buffers or ())
        self.messages += 1
        self.last = time.perf_counter()

    def wait_until_quiet(self, since: float) -> None:
        while time.perf_counter() < max(self.last, since) + QUIET_S:
            time.sleep(QUIET_S / 10)


@contextmanager
def listening() -> Iterator[Listener]:
    """Widgets that are made inside send their messages to a listener."""
    listener = Listener()

    class Heard(BaseComm):
        def publish_msg(self, msg_type: str, data=None, metadata=None, buffers=None, **keys: Any) -> None:
            listener.hears({"data": data or {}, "comm_id": self.comm_id, **keys}, buffers)

    usual = comm.create_comm
    comm.create_comm = Heard
    try:
        yield listener
    finally:
        comm.create_comm = usual


def answers(panel: Any, listener: Listener, most: int = 12) -> dict[str, list[Answer]]:
    """What each change took, by control; at most so many changes each."""
    from vmamba_edu.panels.parts.playable import values_of

    found: dict[str, list[Answer]] = {}
    for field, control in panel.controls.items():
        now = getattr(panel.state, field)
        try:
            offered = [value for value in values_of(panel.controls, field, now) if value != now]
        except ValueError:  # a text field or a file: there is no list of values to go through
            continue
        chosen = [offered[int(at)] for at in np.linspace(0, len(offered) - 1, min(most, len(offered)))]
        found[field] = [_answer(panel, control, value, listener) for value in [*chosen, now]]
    return found


def _answer(panel: Any, control: Any, value: Any, listener: Listener) -> Answer:
    listener.wait_until_quiet(time.perf_counter() - QUIET_S)
    start = time.perf_counter()
    control.value = value
    said = listener.last - start if panel.later.changes else None
    panel.settle()
    listener.wait_until_quiet(start)
    done = max(listener.last - start, 0.0)
    return Answer(done) if said is None else Answer(said, done)


def stored_bytes(panel: Any) -> int:
    """The cell's output as it stands in a notebook."""
    data, metadata = panel._repr_mimebundle_()
    return len(json.dumps({"output_type": "execute_result", "data": data, "metadata": metadata}))


def first_view(name: str, repeats: int = 3) -> tuple[float, float]:
    """Seconds to load the libraries and then to the first view: medians of fresh processes, after one that warms up."""
    _, _, late = _opened(name, [])
    loading, viewing, _ = zip(*(_opened(name, late) for _ in range(repeats)), strict=True)
    return statistics.median(loading), statistics.median(viewing)


def _opened(name: str, late: list[str]) -> tuple[float, float, list[str]]:
    """Of a fresh process: seconds to load the libraries, `late` among them, and to the view; what that still loaded."""
    command = [sys.executable, "-c", FIRST_VIEW, name]
    done = subprocess.run(command, input=json.dumps(late), capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(name: str, repeats: int = 3, most: int = 12) -> dict[str, Any]:
    """Everything about one panel, opened without arguments; `repeats` first views and `most` changes a control."""
    from vmamba_edu import panels

    with listening() as listener:
        panel = getattr(panels, name)()
        by_control = answers(panel, listener, most)
    every = [answer for some in by_control.values() for answer in some]
    loading, viewing = first_view(name, repeats)
    return {
        **_summary(every),
        "controls": {field: _summary(some) for field, some in by_control.items()},
        "loading_s": loading,
        "first_view_s": viewing,
        "stored_bytes": stored_bytes(panel),
    }


def _summary(answers: list[Answer]) -> dict[str, float]:
    if not answers:
        return {"changes": 0}
    seconds, later = [one.seconds for one in answers], [one.later for one in answers if one.later is not None]
    long = {"long": len(later), "later_s": float(np.median(later))} if later else {}
    return {
        "changes": len(seconds),
        "median_s": float(np.median(seconds)),
        "p95_s": float(np.quantile(seconds, 0.95)),
        **long,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--panels", nargs="+", help="names; all that are registered if not given")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="what the machine is said to be")
    parser.add_argument("--repeats", type=int, default=3, help="fresh processes for the first view")
    options = parser.parse_args()
    from vmamba_edu.panels import PANELS

    known = report.load(f"panels-{options.device}") if options.panels else None  # the others stay
    results = {"machine": machine.describe(options.device), "goals": GOALS, "panels": known["panels"] if known else {}}
    for name in options.panels or sorted(PANELS):
        print(f"{name} …", flush=True)
        results["panels"][name] = measure(name, options.repeats)
        report.save(results, f"panels-{options.device}")
    print(tables.panels_table(results))


if __name__ == "__main__":
    main()
