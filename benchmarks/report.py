"""The tables into kernels/README.md and benchmarks/README.md: no measured number stands there that was typed by hand.

    python benchmarks/report.py           # write the tables anew from benchmarks/results/
    python benchmarks/report.py --check   # say whether the pages are what the results give

A table stands between the markers <!-- table: NAME --> and <!-- end of table -->; `contents` knows the names.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import tables
from benchmarks.tables import FAST, Results

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (ROOT / "kernels" / "README.md", ROOT / "benchmarks" / "README.md")
KINDS = ("scan", "memory", "accuracy", "parts", "fresh_memory", "training", "panels")
"""Of results: each has a file for each device, and a script that writes it. Those of the scan from another machine of
the kind stand beside them, as scan-cpu.SOME_NAME.json."""

MARKED = re.compile(r"(<!-- table: (?P<name>[\w-]+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def load(name: str, folder: Path = RESULTS) -> Results | None:
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.exists() else None


def contents(folder: Path = RESULTS) -> dict[str, str]:
    """All tables by name, from the results in a folder; a sentence where a measurement is missing."""
    found: dict[str, str] = {}
    for device in FAST:
        scan, memory, accuracy, parts, fresh, training, panels = (load(f"{kind}-{device}", folder) for kind in KINDS)
        makers: dict[str, tuple[Results | None, Callable[[Results], str]]] = {
            "machine": (scan, tables.machine_line),
            "peers": (scan, tables.peers_line),
            "forward": (scan, lambda r: tables.scan_table(r, "forward")),
            "gradients": (scan, lambda r: tables.scan_table(r, "forward+backward")),
            "work": (scan, tables.work_table),
            "convolution-work": (scan, lambda r: tables.pair_table(r, "causal_conv1d", ("model", "contiguous"), "cpu")),
            "bidirectional-work": (scan, lambda r: tables.pair_table(r, "bidirectional", ("model",), "cpu")),
            "convolution": (scan, lambda r: tables.pair_table(r, "causal_conv1d", ("model", "contiguous"))),
            "bidirectional": (scan, lambda r: tables.pair_table(r, "bidirectional", ("model",))),
            "limits": (scan, tables.limits_table),
            "parts": (parts, tables.parts_table),
            "fresh-memory": (fresh, tables.fresh_memory_table),
            "skipped": (scan, tables.skipped_list),
            "goals": (scan, lambda r, memory=memory: tables.goals_table(r, memory)),
            "memory": (memory, lambda r: f"{tables.memory_table(r)}\n\n{tables.machine_line(r)}"),
            "accuracy": (accuracy, lambda r: f"{tables.accuracy_table(r, 'y')}\n\n{tables.machine_line(r)}"),
            "accuracy-gradients": (accuracy, lambda r: tables.accuracy_table(r, "gradients")),
            "training": (training, lambda r: f"{tables.training_table(r)}\n\n{tables.machine_line(r)}"),
            "panels": (panels, lambda r: f"{tables.panels_table(r)}\n\n{tables.machine_line(r)}"),
        }
        lists = ((scan, tables.timing_tables), (memory, tables.memory_tables), (accuracy, tables.accuracy_tables))
        everything = [text for results, make in lists if results for text in make(results)]
        found[f"all-{device}"] = "\n\n".join(everything) or f"Not measured yet on {device.upper()}."
        elsewhere = [json.loads(path.read_text()) for path in sorted(folder.glob(f"scan-{device}.*.json"))]
        goals = [f"{tables.machine_line(r)}\n\n{tables.goals_table(r, None)}" for r in elsewhere]
        found[f"elsewhere-{device}"] = "\n\n".join(goals) or f"Not measured yet on {device.upper()}."
        for name, (results, make) in makers.items():
            found[f"{name}-{device}"] = make(results) if results else f"Not measured yet on {device.upper()}."
    return found


def filled(text: str, by_name: dict[str, str]) -> str:
    """A text with everything between its markers written anew; KeyError if a marker names no table."""
    return MARKED.sub(lambda found: f"{found[1]}{by_name[found['name']]}\n{found[3]}", text)


def write_pages(pages: Iterable[Path] = PAGES, folder: Path = RESULTS) -> None:
    for page in pages:
        page.write_text(filled(page.read_text(), contents(folder)))


def save(results: Results, name: str, out: Path | None = None) -> None:
    """Results as JSON, to a file of one's own; or among the committed ones, and into the pages."""
    (out or RESULTS / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")
    if out is None:
        write_pages()


def out_of_date(pages: Iterable[Path] = PAGES, folder: Path = RESULTS) -> list[Path]:
    """The pages that are not what the results give."""
    texts = {page: page.read_text() for page in pages}
    return [page for page, text in texts.items() if text != filled(text, contents(folder))]


if __name__ == "__main__":
    if "--check" in sys.argv:
        old = ", ".join(str(page.relative_to(ROOT)) for page in out_of_date())
        sys.exit(f"{old}: not what benchmarks/results gives; run benchmarks/report.py" if old else None)
    write_pages()
