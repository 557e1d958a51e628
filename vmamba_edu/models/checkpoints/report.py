"""What came of loading a checkpoint, name by name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

SHOWN = 4  # names under one reason; the rest is counted


class CheckpointError(ValueError):
    """A checkpoint that cannot be read, or does not fit the model. The model is as it was before."""


@dataclass(frozen=True)
class LoadReport:
    """What of a checkpoint went into a model, and what did not. `print(report)` says it in a few lines.

    Attributes:
        source: the file, or what else the weights came from.
        loaded: names of the model's tensors that were filled, those of `resized` and `renamed` among them.
        resized: the model's name → what was done to the shape.
        renamed: name in the checkpoint → the model's name.
        skipped: name in the checkpoint → why it was not used.
        missing: the model's name → why it stays as it was.
        warnings: what else should be known before the model is trusted; each was given as a warning as well.
    """

    source: str
    loaded: tuple[str, ...]
    resized: Mapping[str, str] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __str__(self) -> str:
        total = len(self.loaded) + len(self.missing)
        lines = [f"{self.source}: {len(self.loaded)} of the model's {total} tensors loaded"]
        for title in ("resized", "skipped", "missing"):
            lines += [f"  {title}: {names}: {reason}" for reason, names in _by_reason(getattr(self, title))]
        if self.renamed:
            pairs = [f"{theirs} → {ours}" for theirs, ours in self.renamed.items()]
            lines.append(f"  renamed: {first_few(pairs)}")
        lines += [f"  note: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def _by_reason(reasons: Mapping[str, str]) -> list[tuple[str, str]]:
    """(reason, its names) for every reason there is."""
    names: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        names.setdefault(reason, []).append(name)
    return [(reason, first_few(found)) for reason, found in names.items()]


def first_few(names: Iterable[str]) -> str:
    """The first names of a list, and how many more there are."""
    names = list(names)
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + rest
