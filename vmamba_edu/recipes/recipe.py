"""The recipe file: four tables, [model], [data], [objective] and [training], and errors that name the key."""

import difflib
import os
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

TABLES = ("model", "data", "objective", "training")
Table = Mapping[str, Any]
Made = TypeVar("Made")


class RecipeError(ValueError):
    """A recipe cannot be read. The message is one line: the file, the table and key, what was expected, what came."""


@dataclass(frozen=True)
class Recipe:
    """What a recipe file says.

    Attributes:
        source: the file, for messages.
        tables: its tables by name, as plain values; "training" may be empty, the others have a "name".
    """

    source: str
    tables: Mapping[str, Table]

    def __post_init__(self) -> None:
        for name in self.tables:
            if name not in TABLES:
                raise RecipeError(f"{self.source}: [{name}]: {unknown(name, TABLES, 'table')}")
        for name in TABLES:
            table = self.tables.get(name, {} if name == "training" else None)
            if not isinstance(table, Mapping):
                raise RecipeError(f"{self.source}: [{name}]: expected a table of this name, and there is none")
            if name != "training" and not isinstance(table.get("name"), str):
                raise RecipeError(f"{self.source}: [{name}] name: expected a name in quotes, got {table.get('name')!r}")

    def changed(self, overrides: Mapping[str, Any]) -> "Recipe":
        """The same recipe with other values: recipe.changed({"training.seed": 3, "objective.weights.words": None}).

        Args:
            overrides: by table and key, with dots between them; tables inside tables are made where there are none.
                None takes a key away, a mapping replaces a whole table.

        Raises:
            RecipeError: a name leads through something that is no table, or what comes out is no recipe.
        """
        tables = as_plain(self.tables)
        for place, value in overrides.items():
            *outer, last = place.split(".")
            table = tables
            for depth, name in enumerate(outer):
                table = table.setdefault(name, {})
                if not isinstance(table, dict):
                    path = ".".join(outer[: depth + 1])
                    raise RecipeError(f"{self.source}: {place}: {path} is no table, but {table!r}")
            if value is None:
                table.pop(last, None)
            else:
                table[last] = as_plain(value)
        return Recipe(self.source, tables)

    def name(self, table: str, choices: Collection[str]) -> str:
        """The name in a table, one of the choices.

        Raises:
            RecipeError: it is another.
        """
        name = self.tables[table]["name"]
        if name not in choices:
            raise RecipeError(f"{self.source}: [{table}] name: {unknown(name, choices, 'name')}")
        return name

    def keys(self, table: str) -> dict[str, Any]:
        """What else stands in a table."""
        return {key: value for key, value in self.tables.get(table, {}).items() if key != "name"}

    def fill(self, table: str, make: Callable[..., Made], **others: Any) -> Made:
        """A dataclass with the keys of a table as its fields.

        Raises:
            RecipeError: a key is not one of them, or has a value that cannot be.
        """
        return self.fill_from(table, self.keys(table), make, **others)

    def fill_from(
        self, table: str, keys: Table, make: Callable[..., Made], *, known_too: Collection[str] = (), **others: Any
    ) -> Made:
        """The same with the keys given, where a table has tables inside, or keys of others (`known_too`)."""
        known = {field.name: field for field in fields(make) if field.name not in others}  # type: ignore[arg-type]
        for key, value in keys.items():
            if key not in known:
                raise RecipeError(f"{self.source}: [{table}] {key}: {unknown(key, [*known, *known_too], 'key')}")
            usual = known[key].default
            if type(usual) in (int, str, bool) and type(value) is not type(usual):
                kind = {int: "a whole number", str: "a text in quotes", bool: "true or false"}[type(usual)]
                raise RecipeError(f"{self.source}: [{table}] {key}: expected {kind}, got {value!r}")
        required = [name for name, field in known.items() if field.default is field.default_factory is MISSING]
        for name in required:
            if name not in keys:
                raise RecipeError(f"{self.source}: [{table}] {name}: expected this key, and there is none")
        with self.blamed_on(table):
            return make(**keys, **others)

    @contextmanager
    def blamed_on(self, table: str) -> Iterator[None]:
        """Let an error about a value, which names the key, name the file and the table too."""
        try:
            yield
        except (ValueError, TypeError) as error:
            if isinstance(error, RecipeError):
                raise
            raise RecipeError(f"{self.source}: [{table}] {error}") from error


def read_recipe(path: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe file. For one that is no file there is `Recipe("what to call it", tables)`.

    Args:
        path: of the file.
        overrides: what is to be otherwise than there, see `Recipe.changed`.

    Raises:
        RecipeError: it is not there, is no TOML, or lacks a table or a name.
    """
    try:
        tables = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        advice = "there is an example in benchmarks/recipes/moving_digits.toml"
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); {advice}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: is not TOML: {error}") from error
    return Recipe(str(path), tables).changed(overrides or {})


def unknown(name: str, choices: Collection[str], kind: str) -> str:
    """What to say of a name that is not among the choices."""
    close = difflib.get_close_matches(str(name), choices, n=1)
    guess = f"did you mean {close[0]}? " if close else ""
    return f"there is no {kind} {name!r}; {guess}there are {', '.join(choices)}"


def as_plain(value: Any) -> Any:
    """A copy of tables and lists as dicts and lists, dates as text: what a checkpoint can hold. None is left out."""
    if isinstance(value, Mapping):
        return {key: as_plain(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list | tuple):
        return [as_plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool) else str(value)
