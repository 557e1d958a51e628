"""The keywords of the published constructors, and what they are called here."""

from collections.abc import Callable, Mapping
from typing import Any

Translation = Callable[[Any], dict[str, Any]]
"""From the value of a published keyword to ours."""

SSM_ENTRIES = ("d_state", "d_conv", "expand", "dt_rank")


def renamed(ours: str) -> Translation:
    """The same value under our name."""
    return lambda value: {ours: value}


def switched(name: str, ours: str, on: Any, off: Any) -> Translation:
    """Two values of ours for the published True and False."""

    def translate(value: Any) -> dict[str, Any]:
        check_bool(name, value)
        return {ours: on if value else off}

    return translate


def ssm_entries(value: Any) -> dict[str, Any]:
    """The mixer's sizes, which are published in a mapping of their own."""
    if value is None:  # the published default
        return {}
    if not isinstance(value, Mapping):
        raise TypeError(f"ssm_cfg: expected a mapping of {', '.join(SSM_ENTRIES)}, got {type(value).__name__}")
    if unknown := [entry for entry in value if entry not in SSM_ENTRIES]:
        raise TypeError(f"ssm_cfg: unexpected entry {unknown[0]!r}; known are {', '.join(SSM_ENTRIES)}")
    return dict(value)


def check_bool(name: str, value: object) -> None:
    """Raise unless the value is True or False.

    Raises:
        TypeError: it is neither.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected True or False, got {value!r}")


PUBLISHED: Mapping[str, Translation] = {
    "rms_norm": switched("rms_norm", "norm", "rms", "layer"),
    "bimamba": switched("bimamba", "bidirectional", True, False),
    "ssm_cfg": ssm_entries,
}


def in_our_words(keywords: Mapping[str, Any], published: Mapping[str, Translation]) -> dict[str, Any]:
    """The same keywords with the published names replaced by ours.

    Raises:
        TypeError: one is given under both names, or a published one has a value that cannot be.
    """
    ours = {name: value for name, value in keywords.items() if name not in published}
    for name, translate in published.items():
        if name not in keywords:
            continue
        translated = translate(keywords[name])
        if twice := [key for key in translated if key in ours]:
            raise TypeError(f"{twice[0]}: given twice, once by {name}; leave one of them out")
        ours |= translated
    return ours
