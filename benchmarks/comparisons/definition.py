"""What a comparison is: a recipe, named variants of it, seeds, and what is expected of the differences.

Everything that could be chosen to make a ranking appear stands in the definition, and was written before the runs:
which number is compared, on which split, over how many seeds, in which direction, and how large a difference has to be.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from vmamba_edu.recipes import read_recipe

BENCHMARKS = Path(__file__).parents[1]
DEFINITIONS = Path(__file__).parent / "definitions"
RECIPES = BENCHMARKS / "recipes"
DIRECTIONS = ("above", "below", "not above", "within")

Tables = dict[str, Any]


class DefinitionError(ValueError):
    """A definition cannot be read. The message names the file, the key, what was expected and what came."""


@dataclass(frozen=True)
class Expectation:
    """What a claim says of the difference left − right.

    Args:
        claim: the id of the claim.
        says: it in a sentence.
        left, right: "variant" or "variant: measure"; right may be a number.
        expects: "above": the difference is more than the margin; "below": less than minus the margin; "not above": not
            more than the margin; "within": between minus the margin and the margin.
        margin: in the units of the measure, at least 0.
    """

    claim: str
    says: str
    left: str
    right: str | float
    expects: str
    margin: float = 0.0


@dataclass(frozen=True)
class Comparison:
    """A comparison, as its file says.

    Attributes:
        name: that of the file.
        place: where it stands in the order of running.
        title, question: for the reader.
        base: the recipe that all variants change, a file in benchmarks/recipes.
        measure: the number that is compared unless an expectation names another: the path of a key in a run's JSON.
        seeds: of the runs; a seed settles the clips, their order and the first weights.
        variants: what each changes in the recipe, as `Recipe.changed` takes it ("model.depth" = 2). A value
            "run: VARIANT" is the checkpoint of that variant's run with the same seed.
        expectations: what is judged.
        remark: what a reader must know to read the result.
        also: other numbers of the JSONs to show beside it; they are not judged.
    """

    name: str
    place: int
    title: str
    question: str
    base: str
    measure: str
    variants: Mapping[str, Tables]
    seeds: tuple[int, ...] = (0, 1, 2)
    expectations: tuple[Expectation, ...] = ()
    remark: str = ""
    also: tuple[str, ...] = ()

    @property
    def claims(self) -> list[str]:
        """The ids of the claims it speaks of, each once."""
        return list(dict.fromkeys(expectation.claim for expectation in self.expectations))

    def quantity(self, side: str) -> tuple[str, str]:
        """The variant and the measure of one side of an expectation."""
        variant, _, measure = side.partition(":")
        return variant.strip(), measure.strip() or self.measure


@dataclass(frozen=True)
class Definitions:
    """All comparisons, in the order of running."""

    comparisons: tuple[Comparison, ...] = field(default_factory=tuple)

    def named(self, names: list[str] | None) -> list[Comparison]:
        """Those of these names, or all.

        Raises:
            DefinitionError: there is none of that name.
        """
        known = {comparison.name: comparison for comparison in self.comparisons}
        for name in names or ():
            if name not in known:
                raise DefinitionError(f"--only: there is no comparison {name!r}; there are {', '.join(known)}")
        return [comparison for comparison in self.comparisons if not names or comparison.name in names]


def read_definitions(folder: Path = DEFINITIONS) -> Definitions:
    """All definitions of a folder.

    Raises:
        DefinitionError: one cannot be read.
    """
    found = [read_definition(path) for path in sorted(folder.glob("*.toml"))]
    return Definitions(tuple(sorted(found, key=lambda comparison: comparison.place)))


def read_definition(path: Path) -> Comparison:
    """One definition.

    Raises:
        DefinitionError: it is no TOML, lacks a key, has one that is not known, or names a variant that is not there.
    """
    try:
        keys = tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(f"{path.name}: is not TOML: {error}") from error
    expectations = tuple(
        _fill(Expectation, one, f"{path.name}: expectation {number}")
        for number, one in enumerate(keys.pop("expectations", []), 1)
    )
    seeds = tuple(keys.pop("seeds", (0, 1, 2)))
    known = {"name": path.stem, "seeds": seeds, "expectations": expectations}
    comparison = _fill(Comparison, keys | known, path.name)
    _check(comparison, path.name)
    return comparison


def resolve(comparison: Comparison, variant: str, seed: int, recipes: Path = RECIPES) -> Tables:
    """The recipe of one run: the base, what the variant changes, and the seed of clips and training."""
    changes = {**comparison.variants[variant], "data.seed": seed, "training.seed": seed}
    return dict(read_recipe(recipes / comparison.base, changes).tables)


def _fill(kind: type, keys: Mapping[str, Any], where: str) -> Any:
    known = [one.name for one in fields(kind)]
    for key in keys:
        if key not in known:
            raise DefinitionError(f"{where}: {key}: expected one of {', '.join(known)}")
    try:
        return kind(**keys)
    except TypeError as error:
        raise DefinitionError(f"{where}: {error}") from error


def _check(comparison: Comparison, where: str) -> None:
    if not comparison.seeds or len(set(comparison.seeds)) != len(comparison.seeds):
        raise DefinitionError(f"{where}: seeds: expected different whole numbers, got {list(comparison.seeds)}")
    for expectation in comparison.expectations:
        if expectation.expects not in DIRECTIONS:
            raise DefinitionError(f"{where}: expects: expected {' or '.join(DIRECTIONS)}, got {expectation.expects!r}")
        if not expectation.margin >= 0 or (expectation.expects == "within" and not expectation.margin > 0):
            raise DefinitionError(f"{where}: margin: expected a size of difference, got {expectation.margin}")
        sides = [side for side in (expectation.left, expectation.right) if isinstance(side, str)]
        for variant, _ in map(comparison.quantity, sides):
            if variant not in comparison.variants:
                known = ", ".join(comparison.variants)
                raise DefinitionError(f"{where}: there is no variant {variant!r}; there are {known}")
