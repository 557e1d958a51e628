"""What was measured of the Triton engine on a GPU, as `benchmarks/scan.py` stores it, in a few lines of Markdown."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def gpu_table(folder: Path | None = None) -> str:
    """A table for each GPU that has been measured, or the sentence that none has.

    Args:
        folder: with the results; that of the checkout if not given.
    """
    files = sorted((folder or RESULTS).glob("scan-*cuda*.json"))
    found = [_table(json.loads(file.read_text("utf-8"))) for file in files]
    return "\n\n".join(found) or (
        "Nobody has measured the Triton engine on a GPU yet: there is no `benchmarks/results/scan-cuda.json`. "
        "`python benchmarks/scan.py --device cuda` writes it, in a checkout on a machine with a GPU."
    )


def _table(results: dict[str, Any]) -> str:
    machine = results["machine"]
    chosen = [one for one in results["measurements"] if one["operator"] == "selective_scan"]
    peers = list(dict.fromkeys(one["peer"] for one in chosen))
    rows: dict[tuple[str, str], dict[str, float]] = {}
    for one in chosen:
        if one.get("wall"):
            rows.setdefault((one["shape"], one["direction"]), {})[one["peer"]] = one["wall"]["median"]
    lines = [["model-frames-batch", "", *peers], ["---", "---", *["---:"] * len(peers)]]
    for (shape, direction), times in rows.items():
        lines.append([shape, direction, *(f"{times[peer]:.3g} ms" if peer in times else "–" for peer in peers)])
    where = f"{machine.get('gpu', 'a GPU without a name')}, {machine['date']}, torch {machine['torch']}."
    return "\n".join([where, "", *("| " + " | ".join(line) + " |" for line in lines)])
