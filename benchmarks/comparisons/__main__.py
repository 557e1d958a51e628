"""The command: `python -m benchmarks.comparisons`."""

import argparse
import signal
import sys

from benchmarks.comparisons.analysis import NOT_RUN, judge
from benchmarks.comparisons.definition import Comparison, DefinitionError, read_definitions
from benchmarks.comparisons.runs import collect, plan, read_result, runs_of
from benchmarks.comparisons.sitting import sit


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.comparisons",
        description="Run again what the papers claim, at classroom scale. What has been run is not run again.",
        epilog="Stop it with Ctrl-C at any time: the next sitting goes on where each training had its last checkpoint. "
        "docs/claims.md is written anew after each.",
    )
    parser.add_argument("--list", action="store_true", help="say what there is and what has been run, and do nothing")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these comparisons alone")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="these seeds (default: all of a definition)")
    parser.add_argument("--threads", type=int, default=1, help="of each training (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="trainings side by side (default %(default)s)")
    parser.add_argument(
        "--limit", type=float, default=300, help="seconds that a training may take in a sitting (default %(default)s)"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Do what the arguments say; the status is 1 if a run failed, 2 if there is no such comparison."""
    options = parse(arguments)
    try:
        comparisons = read_definitions().named(options.only)
    except DefinitionError as error:
        print(error, file=sys.stderr)
        return 2
    if options.list:
        for comparison in comparisons:
            print("\n".join(describe(comparison)))
        return 0
    from benchmarks.claims import write_page  # stands on this package

    todo = plan(comparisons, options.seeds)
    print(f"{len(todo)} trainings to do, each at most {options.limit:.0f} s")
    signal.signal(signal.SIGTERM, _stop)  # so that trainings end with the process that started them
    signal.signal(signal.SIGINT, _stop)  # which one that runs in the background would not hear
    outcome = sit(todo, threads=options.threads, jobs=options.jobs, limit=options.limit, after_each=write_page)
    for label, reason in outcome.failed.items():
        print(f"{label}: {reason}", file=sys.stderr)
    print(f"{len(outcome.done)} done, {len(outcome.failed)} not; docs/claims.md says what came of it")
    return 1 if outcome.failed else 0


def _stop(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def describe(comparison: Comparison) -> list[str]:
    """A comparison in a few lines: what has been run, and what it says so far."""
    runs = list(runs_of(comparison))
    done = sum(read_result(run) is not None for run in runs)
    lines = [f"{comparison.name}: {comparison.title} ({', '.join(comparison.claims)}), {done} of {len(runs)} runs done"]
    results = collect(comparison)
    for expectation in comparison.expectations:
        judgement = judge(comparison, expectation, results)
        if judgement.verdict != NOT_RUN:
            lines.append(f"    {expectation.claim}: {expectation.says}: {judgement.verdict}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
