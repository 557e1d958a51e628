"""Comparisons: the claims of the papers run again at classroom scale, by rules that were fixed before the runs.

    python -m benchmarks.comparisons --list              # what there is, and what has been run
    python -m benchmarks.comparisons                     # run whatever is missing; stop and start again at will
    python -m benchmarks.comparisons --only scan_orders --seeds 0 1 2
    python -m benchmarks.claims                          # write docs/claims.md anew; each run does that too

A comparison is a file in `definitions/`: a recipe, variants of it, seeds, and what is expected of their differences.
`definition` reads it, `runs` says which trainings it takes, `sitting` runs those that are missing, each in a process of
its own (`one_run`), and `analysis` judges. A training leaves one JSON in `benchmarks/results/comparisons/`, named by
what was trained: comparisons that share a training share its JSON. Needs `pip install -e ".[bench]"`.
"""
