"""From results, as the scripts write them, to Markdown tables."""

import re
from collections.abc import Iterable
from typing import Any

FAST = {"cpu": "numba", "cuda": "triton"}
NOT_MEASURED = "–"
QUIET = 0.1  # processors that other programs may keep busy

Results = dict[str, Any]


# Numbers as text.


def number(x: float) -> str:
    """Three significant digits, never an exponent."""
    return f"{x:.0f}" if x >= 99.95 else f"{x:.1f}" if x >= 9.995 else f"{x:.2f}" if x >= 0.9995 else f"{x:.3f}"


def ratio(x: float) -> str:
    return f"{number(x)}×"


def megabytes(size: float) -> str:
    return number(size / 2**20)


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    head = list(head)
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def shape_name(results: Results, key: str) -> str:
    model, frames, batch = key.split("-")
    shape = results["shapes"][key]
    return f"{model}, {frames} frames ({shape['dim']} × {shape['length']}), batch {batch}"


# Looking things up.


def find(results: Results, **wanted: str) -> Results | None:
    return next((m for m in results["measurements"] if all(m[k] == v for k, v in wanted.items())), None)


def median(results: Results, clock: str = "wall", **wanted: str) -> float | None:
    found = find(results, **wanted)
    return found[clock]["median"] if found and found[clock] else None


def peer_names(results: Results, operator: str, direction: str) -> list[str]:
    """In the order in which they were measured."""
    chosen = (m for m in results["measurements"] if m["operator"] == operator and m["direction"] == direction)
    return list(dict.fromkeys(m["peer"] for m in chosen))


def _fast(results: Results) -> str:
    return FAST[results["machine"]["device"]]


# Tables of times.


def too_busy(results: Results) -> bool:
    """Whether other programs kept so many processors busy that wall times of different libraries say nothing."""
    m = results["machine"]
    others = m.get("others", m.get("load_after", 0) - m["threads"])
    return m["device"] == "cpu" and others > QUIET


def machine_line(results: Results) -> str:
    m = results["machine"]
    busy = ""
    if "load_after" in m:  # of a run that measures times
        busy = f" Load of the machine {m['load_before']} before and {m['load_after']} after."
    if "others" in m:
        busy += f" Other programs kept {m['others']:.2f} processors busy."
    if "load_after" in m and too_busy(results):
        busy += " **That is too much for times of the wall clock to be compared; those in CPU time can be.**"
    threads = f"{m['threads']} thread{'' if m['threads'] == 1 else 's'}"
    gpu = f"{m['gpu']} (CUDA {m['cuda']}), " if "gpu" in m else ""
    return (
        f"{m['date']}. {gpu}{m['cpu']}, {threads}, {m['memory_gb']} GB, {m['system']}; "
        f"Python {m['python']}, torch {m['torch']}; commit {m['commit']}.{busy}"
    )


def peers_line(results: Results) -> str:
    own = _fast(results), f"{_fast(results)}, flipped", "reference", "associative"
    others = {p["name"]: p for p in results["peers"] if p["name"] not in own}
    texts = [f"{name} {p['version']}" + (f" ({p['note']})" if p["note"] else "") for name, p in others.items()]
    lines = ["Peers: " + "; ".join(texts) + "."]
    return "\n".join(lines + [f"Left out: {reason}." for reason in results["missing"].values()])


def scan_table(results: Results, direction: str) -> str:
    """Milliseconds; beside our own the quartiles and the distance to the floor, beside others how often ours fits."""
    fast = _fast(results)
    others = [name for name in peer_names(results, "selective_scan", direction) if name != fast]
    rows = []
    for key in results["shapes"]:
        at = {"operator": "selective_scan", "shape": key, "direction": direction}
        ours = find(results, peer=fast, layout="model", **at)
        if ours is None:
            continue
        floor = next(f for f in results["floors"] if f["shape"] == key and f["direction"] == direction)["floor"]
        wall = ours["wall"]
        spread = f"{number(wall['lower_quartile'])}–{number(wall['upper_quartile'])}"
        contiguous = median(results, peer=fast, layout="contiguous", **at)
        row = [
            shape_name(results, key),
            number(floor),
            f"**{number(wall['median'])}**",
            spread,
            ratio(wall["median"] / floor),
        ]
        row.append(number(contiguous) if contiguous else NOT_MEASURED)
        rows.append(row + [_against(median(results, peer=name, **at), wall["median"]) for name in others])
    head = ["", "floor", fast, "quartiles", "of the floor", f"{fast}, contiguous", *others]
    return table(head, rows)


def _against(theirs: float | None, ours: float) -> str:
    return f"{number(theirs)} ({ratio(theirs / ours)})" if theirs else NOT_MEASURED


def pair_table(results: Results, operator: str, layouts: tuple[str, ...], clock: str = "wall") -> str:
    """Without and with gradients, ours first; by the clock on the wall, or in CPU time."""
    fast = _fast(results)
    rows = []
    names = peer_names(results, operator, "forward")
    for key in results["shapes"]:
        for layout in layouts:
            row = [shape_name(results, key) + (f", {layout}" if len(layouts) > 1 else "")]
            for direction in ("forward", "forward+backward"):
                at = {"operator": operator, "shape": key, "direction": direction, "layout": layout}
                ours = median(results, clock, peer=fast, **at)
                row.append(f"**{number(ours)}**" if ours else NOT_MEASURED)
                others = [median(results, clock, peer=name, **at) for name in names if name != fast]
                row += [_against(theirs, ours) if ours else NOT_MEASURED for theirs in others]
            rows.append(row)
    columns = [fast, *(name for name in names if name != fast)]
    return table(["", *columns, *(f"{name}, with gradients" for name in columns)], rows)


def work_table(results: Results) -> str:
    """CPU time, which a busy machine changes little: of a single thread, or of all where they cannot be set."""
    columns = [(n, d) for d in ("forward", "forward+backward") for n in peer_names(results, "selective_scan", d)]
    measured = {(m["peer"], m["direction"]) for m in results["measurements"] if m["cpu"]}
    columns = [column for column in columns if column in measured]
    rows = []
    for key in results["shapes"]:
        row = [shape_name(results, key)]
        for peer, direction in columns:
            at = {"operator": "selective_scan", "shape": key, "layout": "model"}
            found = find(results, peer=peer, direction=direction, **at)
            row.append(number(found["cpu"]["median"]) if found and found["cpu"] else NOT_MEASURED)
        rows.append(row)
    return table(["", *(n + (", with gradients" if "+" in d else "") for n, d in columns)], rows)


def limits_table(results: Results) -> str:
    """What the floor is made of, and how far above it we are."""
    rows = []
    for floor in results["floors"]:
        at = {"operator": "selective_scan", "shape": floor["shape"], "direction": floor["direction"]}
        ours = median(results, peer=_fast(results), layout="model", **at)
        parts = [number(floor[part]) for part in ("exponentials", "multiply_adds", "copy", "floor")]
        measured = [number(ours), ratio(ours / floor["floor"])] if ours else [NOT_MEASURED] * 2
        rows.append([f"{shape_name(results, floor['shape'])}, {floor['direction']}", *parts, *measured])
    rates = results["limits"]
    text = table(["", "exponentials", "multiply-adds", "copy", "floor", _fast(results), "of the floor"], rows)
    if not rates["exponentials"]:
        return text
    text += f"\n\nMeasured in the same run: {number(rates['multiply_adds'] / 1e9)} G multiply-adds and "
    return text + f"{number(rates['exponentials'] / 1e9)} G exponentials a second, all threads together, in float32."


def parts_table(results: Results) -> str:
    """Where the time of the fast scan goes, in CPU time of one thread."""
    whole, floor = results["whole"], results["floor"]
    rest = whole - sum(results["parts"].values())
    parts = results["parts"] | {"the rest: memory": rest, "**the whole**": whole}
    rows = [[name, number(ms), number(ms / whole), ratio(ms / floor)] for name, ms in parts.items()]
    return table(["", "ms", "of the whole", "of the floor"], rows) + "\n\n" + machine_line(results)


def fresh_memory_table(results: Results) -> str:
    """The same calls on pages of the usual size, and on huge ones."""
    rows = []
    for floor in results["floors"]:
        key, direction = floor["shape"], floor["direction"]
        pair = [m for m in results["measurements"] if (m["shape"], m["direction"]) == (key, direction)]
        row = [f"{shape_name(results, key)}, {direction}"]
        for m in sorted(pair, key=lambda m: m["huge"]):
            row += [number(m["ms"]), f"{m['faults']:,.0f}", ratio(m["ms"] / floor["floor"])]
        rows.append(row)
    columns = ("ms", "new pages", "of the floor")
    head = ["", *columns, *(f"{column}, huge pages" for column in columns)]
    return table(head, rows) + "\n\n" + machine_line(results)


def skipped_list(results: Results) -> str:
    """What was not measured, one reason a line."""
    grouped: dict[str, list[str]] = {}
    for s in results["skipped"]:
        reason = re.sub(r"take about [\d.]+ s", "take too long", s["reason"])
        reason = re.sub(r"about [\d.]+ GB", "too much", reason)
        grouped.setdefault(f"{s['peer']}, {s['direction']}: {reason}", []).append(s["shape"])
    if not grouped:
        return "Nothing was left out."
    return "\n".join(f"- {what} ({', '.join(dict.fromkeys(keys))})" for what, keys in grouped.items())


def goals_table(results: Results, memory: Results | None) -> str:
    """What the project wanted, and what was measured."""
    fast, rows = _fast(results), []

    def times(key: str, direction: str, operator: str, clock: str) -> dict[str, float]:
        if clock == "wall" and too_busy(results):
            return {}
        at = {"operator": operator, "shape": key, "direction": direction, "layout": "model"}
        chosen = [m for m in results["measurements"] if at.items() <= m.items() and m[clock]]
        return {m["peer"]: m[clock]["median"] for m in chosen}

    def against(what: str, wanted: str, rivals: list[str], *where: str) -> None:
        cells = []
        for clock in ("wall", "cpu"):
            found = times(*where, clock)
            theirs = [found[name] for name in rivals if name in found]
            cells.append(ratio(min(theirs) / found[fast]) if theirs and fast in found else NOT_MEASURED)
        rows.append([what, wanted, *cells])

    def above_floor(what: str, wanted: str) -> None:
        floor = next(f["floor"] for f in results["floors"] if (f["shape"], f["direction"]) == ("Ti-8-1", "forward"))
        wall, cpu = (times("Ti-8-1", "forward", "selective_scan", clock).get(fast) for clock in ("wall", "cpu"))
        alone = floor * results["machine"]["threads"]  # of one thread: arithmetic is the floor at this shape
        rows.append([what, wanted, *(ratio(t / f) if t else NOT_MEASURED for t, f in ((wall, floor), (cpu, alone)))])

    scan, with_gradients, both = (
        "selective_scan",
        "forward+backward",
        ["JAX lax.scan", "JAX associative_scan", "mamba.py"],
    )
    if "Ti-8-1" in results["shapes"]:
        above_floor("Ti, 8 frames: forward, of the floor", "at most 1.5×")
    ggml = ["ggml SSM_SCAN"]
    against("Ti, 8 frames: forward, against ggml", "about 25×", ggml, "Ti-8-1", "forward", scan)
    against("Ti, 64 frames: forward, against ggml", "at least 18×", ggml, "Ti-64-1", "forward", scan)
    what = "Ti, 8 frames: with gradients, against the better of JAX and mamba.py"
    against(what, "at least 80×", both, "Ti-8-1", with_gradients, scan)
    what = "Ti, 8 frames: causal_conv1d, against torch's grouped convolution"
    against(what, "at least 5×", ["torch conv1d"], "Ti-8-1", "forward", "causal_conv1d")
    if memory:
        found = find(memory, shape="Ti-8-1", direction=with_gradients, peer=fast)
        what = "Ti, 8 frames: peak memory with gradients, of inputs, output and gradients"
        rows.append([what, "at most 2×", ratio(found["peak"] / found["necessary"]) if found else NOT_MEASURED, ""])
    return table(["goal", "wanted", "measured", "in CPU time"], rows)


def timing_tables(results: Results) -> list[str]:
    """Everything that one run of scan.py gives, as text to print."""
    layouts = ("model", "contiguous")
    return [
        machine_line(results),
        "Scan, forward, ms\n\n" + scan_table(results, "forward"),
        "Scan, forward and backward, ms\n\n" + scan_table(results, "forward+backward"),
        "causal_conv1d, ms\n\n" + pair_table(results, "causal_conv1d", layouts),
        "Both directions, ms\n\n" + pair_table(results, "bidirectional", ("model",)),
        "CPU time, ms\n\n" + work_table(results),
        "The floor, ms\n\n" + limits_table(results),
        skipped_list(results),
        peers_line(results),
    ]


# Tables of memory and of errors.


def memory_table(results: Results) -> str:
    peers = list(dict.fromkeys(m["peer"] for m in results["measurements"]))
    keys = list(dict.fromkeys((m["shape"], m["direction"]) for m in results["measurements"]))
    rows = []
    for key, direction in keys:
        found = [find(results, shape=key, direction=direction, peer=peer) for peer in peers]
        necessary = next(m["necessary"] for m in found if m)
        cells = [f"{megabytes(m['peak'])} ({ratio(m['peak'] / necessary)})" if m else NOT_MEASURED for m in found]
        rows.append([f"{shape_name(results, key)}, {direction}", megabytes(necessary), *cells])
    return table(["", "necessary", *peers], rows)


def memory_tables(results: Results) -> list[str]:
    return [machine_line(results), memory_table(results), skipped_list(results)]


def accuracy_table(results: Results, kind: str) -> str:
    """Rows: Δ. Columns: an engine at a length."""
    measured = [m for m in results["measurements"] if kind in m]
    engines, lengths, steps = (list(dict.fromkeys(m[k] for m in measured)) for k in ("engine", "length", "step"))
    columns = [(engine, length) for length in lengths for engine in engines]
    errors = {(m["engine"], m["length"], m["step"]): m[kind] for m in measured}
    rows = [[f"Δ = {step:g}", *(f"{errors[(*column, step)]:.0e}" for column in columns)] for step in steps]
    return table(["", *(f"{engine}, L = {length}" for engine, length in columns)], rows)


def accuracy_tables(results: Results) -> list[str]:
    return [machine_line(results), accuracy_table(results, "y"), accuracy_table(results, "gradients")]


# Tables of training and of panels, for benchmarks/README.md.

TESTED = (0.95, 0.98)
"""Shares of the test clips that a classifier is to be right about."""


def training_table(results: Results) -> str:
    """A row for each seed: when it was right for the first time about so many test clips, and how it ended."""
    rows = []
    for run in results["runs"]:
        last = run["epochs"][-1]
        cells = [_reached(run["epochs"], share) for share in TESTED]
        pace = 1e3 * (last["wall"] - run["epochs"][0]["wall"]) / (last["step"] - run["epochs"][0]["step"])
        rows.append([str(run["seed"]), *cells, f"{last['wall']:.0f} s", f"{100 * last['test']:.1f} %", number(pace)])
    wanted = [f"{100 * share:.0f} % of test clips" for share in TESTED]
    return table(["seed", *wanted, "whole training", "right then", "ms a step, all included"], rows)


def _reached(epochs: list[dict[str, Any]], share: float) -> str:
    first = next((epoch for epoch in epochs if epoch["test"] > share), None)
    return f"{first['wall']:.0f} s" if first else "not reached"


def panels_table(results: Results) -> str:
    """What misses its goal is marked."""
    rows = []
    for name, one in results["panels"].items():
        slow = max(one["controls"], key=lambda field: one["controls"][field].get("p95_s", 0), default="")
        quick = "median_s" in one
        cells = [
            str(one["changes"]),
            f"{1000 * one['median_s']:.0f} ms" if quick else NOT_MEASURED,
            _marked(results, one, "p95_s", f"{1000 * one['p95_s']:.0f} ms") if quick else NOT_MEASURED,
            f"{slow}, {1000 * one['controls'][slow]['p95_s']:.0f} ms" if slow else NOT_MEASURED,
            f"{one['long']}, after {one['later_s']:.1f} s" if "long" in one else NOT_MEASURED,
            _marked(results, one, "first_view_s", f"{one['first_view_s']:.2f} s"),
            f"{one['loading_s']:.1f} s",
            _marked(results, one, "stored_bytes", f"{one['stored_bytes'] / 1000:.0f} KB"),
        ]
        rows.append([f"`{name}`", *cells])
    head = [
        "panel",
        "changes",
        "median",
        "95th percentile",
        "slowest control",
        "put off",
        "first view",
        "libraries",
        "stored",
    ]
    return table(head, rows)


def _marked(results: Results, one: dict[str, Any], name: str, words: str) -> str:
    return f"**{words}**" if one[name] > results["goals"][name] else words
