"""Write docs/claims.md: what the papers claim, what came of it here, and why.

    python -m benchmarks.claims            # write it
    python -m benchmarks.claims --check    # say whether it is up to date

The claims stand in claims.toml, the comparisons in comparisons/definitions, their runs in results/comparisons. No
figure of ours is written by hand: `python -m benchmarks.comparisons` runs what is missing.
"""

import argparse
import json
import statistics
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.comparisons.analysis import HELD, NOT_HELD, NOT_RUN, Judgement, judge, look_up
from benchmarks.comparisons.definition import Comparison, read_definitions
from benchmarks.comparisons.pictures import FOLDER, PICTURES
from benchmarks.comparisons.runs import RESULTS, collect

ROOT = Path(__file__).parents[1]
CLAIMS = Path(__file__).with_name("claims.toml")
OUT = ROOT / "docs" / "claims.md"

HEAD = """# What the papers claim, and what came of it here

Written by `python -m benchmarks.claims`; do not edit. The claims stand in `benchmarks/claims.toml`, the comparisons in
`benchmarks/comparisons/definitions/`, and each training that was run in `benchmarks/results/comparisons/`.
`python -m benchmarks.comparisons` runs what is missing, and can be stopped and started again.

**How a verdict comes about.** Each definition says before anything is run which number is compared, over which seeds,
and which difference is expected. Variants of one seed see the same clips in the same order; their differences are given
with a 95 % interval (Student's t; three seeds make it wide). *Held*: the whole interval agrees with the expectation.
*Did not hold*: the whole of it disagrees. Otherwise *not distinguishable at this scale*. Nothing was tuned until a
ranking appeared. Accuracies are of the test split, with the weights that were best on the validation split.

These are models of some hundred thousand weights, taught for a minute on handwritten digits that move. What holds here
need not hold on Kinetics, and the other way round.
"""


@dataclass(frozen=True)
class Claim:
    """One row of the table. The fields are explained in claims.toml."""

    name: str
    claim: str
    source: str
    published: str
    kind: str
    see: Sequence[str] = ()
    here: str = ""
    why: str = ""
    data: str = ""

    def found(self) -> str:
        """What is seen here, with the figures of its JSON."""
        if not self.data:
            return self.here
        return self.here.format_map(json.loads((RESULTS.parent / self.data).read_text("utf-8")))


@dataclass(frozen=True)
class Judged:
    """A comparison, its JSONs by variant and seed, and what they say of its expectations."""

    comparison: Comparison
    results: dict[str, dict[int, dict[str, Any]]]
    judgements: tuple[Judgement, ...]


def read_claims(path: Path = CLAIMS) -> list[Claim]:
    """The claims in their order."""
    return [Claim(name, **keys) for name, keys in tomllib.loads(path.read_text("utf-8")).items()]


def judge_all(results: Path = RESULTS) -> list[Judged]:
    """All comparisons with what has been run of them."""
    judged = []
    for comparison in read_definitions().comparisons:
        found = collect(comparison, results)
        judgements = tuple(judge(comparison, expectation, found) for expectation in comparison.expectations)
        judged.append(Judged(comparison, found, judgements))
    return judged


def verdict_of(judgements: Sequence[Judgement]) -> str:
    """Of a claim: the verdict of its expectations, or how many came out how."""
    counts = Counter(judgement.verdict for judgement in judgements)
    if len(counts) == 1:
        return next(iter(counts))
    order = [HELD, NOT_HELD, *(verdict for verdict in counts if verdict not in (HELD, NOT_HELD))]
    return "; ".join(f"{counts[verdict]} of {len(judgements)} {verdict}" for verdict in order if counts[verdict])


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table of Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def claim_row(claim: Claim, judged: Sequence[Judged]) -> list[str]:
    """Id, claim, published, here, verdict, why."""
    mine = {
        one.comparison.name: (one, [j for j in one.judgements if j.expectation.claim == claim.name]) for one in judged
    }
    mine = {name: (one, judgements) for name, (one, judgements) in mine.items() if judgements}
    here = [claim.found()] if claim.here else []
    for one, judgements in mine.values():
        here.append(f"[{one.comparison.title}](#{anchor(one.comparison)}): {verdict_of(judgements)}")
    if claim.see:
        here.append("see " + ", ".join(f"[{Path(path).name}](../{path})" for path in claim.see))
    why = [claim.why] if claim.why else []
    for name, (_, judgements) in mine.items():
        if any(judgement.verdict == NOT_RUN for judgement in judgements):
            why.append(f"`python -m benchmarks.comparisons --only {name}` runs what is missing")
    every = [judgement for _, judgements in mine.values() for judgement in judgements]
    verdict = verdict_of(every) if every else claim.kind
    return [claim.name, claim.claim, f"{claim.published} ({claim.source})", "<br>".join(here), verdict, "; ".join(why)]


def said(judgement: Judgement) -> str:
    """An expectation and what came of it, in a sentence."""
    expectation, interval = judgement.expectation, judgement.interval
    if interval is None or judgement.left is None or judgement.right is None:
        return f"{expectation.says}: {judgement.verdict}"
    sides = f"{number(judgement.left)} against {number(judgement.right)}"
    ends = (interval.mean, interval.low, interval.high)
    mean, low, high = (number(round(end, 12) + 0.0, True) for end in ends)  # + 0.0: a zero has no minus
    reach = f"difference {mean} [{low}, {high}]"
    return f"{expectation.says}: {sides}, {reach}, **{judgement.verdict}**"


def number(value: float, signed: bool = False) -> str:
    """Three digits behind the point, or an exponent where that would be nothing."""
    sign = "+" if signed else ""
    return f"{value:{sign}.3f}" if value == 0 or abs(value) >= 5e-4 else f"{value:{sign}.0e}"


def anchor(comparison: Comparison) -> str:
    """Where a comparison's section is found, as GitHub names it."""
    kept = "".join(c for c in comparison.title.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


def comparison_section(one: Judged) -> list[str]:
    """A comparison: its question, what each variant came to, and what that says."""
    comparison, seeds = one.comparison, one.comparison.seeds
    recipe = f"Recipe `benchmarks/recipes/{comparison.base}`, seeds {', '.join(map(str, seeds))}."
    lines = [f"## {comparison.title}", "", comparison.question.strip(), "", f"{recipe} {comparison.remark}".strip(), ""]
    rows = [variant_row(comparison, variant, by_seed) for variant, by_seed in one.results.items() if by_seed]
    if rows:
        cost = ["parameters", "steps", "ms a step", "training, CPU s"]
        header = ["variant", comparison.measure, "by seed", *comparison.also, *cost]
        lines += [*table(header, rows), ""]
        lines += pictures_of(comparison)
    lines += [f"- {judgement.expectation.claim}: {said(judgement)}." for judgement in one.judgements]
    missing = sum(len(seeds) - len(by_seed) for by_seed in one.results.values())
    if missing:
        command = f"`python -m benchmarks.comparisons --only {comparison.name}`"
        lines += ["", f"{missing} of {len(one.results) * len(seeds)} runs are still to be done: {command}."]
    return [*lines, ""]


def pictures_of(comparison: Comparison) -> list[str]:
    """The pictures that were drawn of a comparison, with what they show."""
    files = {name: text for name, (of, text, _) in PICTURES.items() if of == comparison.name}
    shown = [f"![{text}](pictures/{name}.png)" for name, text in files.items() if (FOLDER / f"{name}.png").is_file()]
    return [line for picture in shown for line in (picture, "")]


def variant_row(comparison: Comparison, variant: str, by_seed: dict[int, dict[str, Any]]) -> list[str]:
    """A variant: the number that is compared, its mean and seed by seed, and what it cost."""
    runs = [by_seed[seed] for seed in sorted(by_seed)]
    values = measured(runs, comparison.measure)
    each = ", ".join("–" if value is None else number(value) for value in values)
    means = [mean(values), each, *(mean(measured(runs, also)) for also in comparison.also)]
    paces = [result["ms_a_step"] for result in runs]
    seconds = statistics.fmean(result["seconds"]["cpu"] for result in runs)
    name = f"**{variant}**: {', '.join(changes(comparison.variants[variant])) or 'the recipe as it is'}"
    weights, steps = runs[0]["parameters"], runs[0]["steps"]
    return [name, *means, f"{weights:,}", f"{steps:,}", f"{statistics.fmean(paces):.0f}", f"{seconds:.0f}"]


def measured(runs: Sequence[Mapping[str, Any]], measure: str) -> list[float | None]:
    """A number of each run; None for runs that only prepare others, and are not measured."""
    return [look_up(result, measure) if measure.split(".")[0] in result else None for result in runs]


def mean(values: Sequence[float | None]) -> str:
    """The mean of those that there are."""
    known = [value for value in values if value is not None]
    return number(statistics.fmean(known)) if known else "–"


def changes(overrides: Mapping[str, Any]) -> list[str]:
    """What a variant changes in the recipe, each in a few words."""
    words = []
    for key, value in overrides.items():
        inner = value.items() if isinstance(value, Mapping) else [("", value)]
        words += [f"{name or key.partition('.')[2]} {one}" for name, one in inner]
    return words


def machines(judged: Sequence[Judged]) -> str:
    """Where the runs were made, and with what."""
    found = [result for one in judged for by_seed in one.results.values() for result in by_seed.values()]
    kinds = dict.fromkeys(
        f"{r['machine']['cpu']}, {r['machine']['threads']} thread, Python {r['machine']['python']}, "
        f"torch {r['machine']['torch']}"
        for r in found
    )
    if not kinds:
        return "No run has been made yet."
    busy = statistics.fmean(result["machine"]["others_busy"] for result in found)
    return (
        f"Runs were made on: {'; '.join(kinds)}. Other programs kept {busy:.1f} processors busy meanwhile, on average: "
        "read processor seconds, not wall seconds."
    )


def render(results: Path = RESULTS) -> str:
    """The whole page."""
    judged = judge_all(results)
    header = ["", "claim", "published", "here", "verdict", "why"]
    rows = [claim_row(claim, judged) for claim in read_claims()]
    sections = [line for one in judged for line in comparison_section(one)]
    lines = [HEAD, machines(judged), "", *table(header, rows), "", *sections]
    return "\n".join(lines).rstrip() + "\n"


def write_page() -> None:
    """Write docs/claims.md from what there is now."""
    OUT.write_text(render(), "utf-8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.claims", description="Write docs/claims.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; the status is 1 if it is out of date")
    options = parser.parse_args(arguments)
    page = render()
    if options.check:
        is_current = OUT.is_file() and OUT.read_text("utf-8") == page
        print(f"{OUT}: {'up to date' if is_current else 'out of date; run python -m benchmarks.claims'}")
        return 0 if is_current else 1
    write_page()
    print(f"{OUT}: {page.count(NOT_RUN)} mentions of what was not run yet")
    return 0


if __name__ == "__main__":
    sys.exit(main())
