"""The supported keywords of JSON Schema (https://json-schema.org/draft/2020-12): those that validate in linear time.

A tenant's schema is evaluated inside the service: `pattern` could keep it busy for hours, `$ref` for ever. An unknown
keyword is refused when the graph is published, rather than ignored. A validation takes as many steps as schema and
value have parts, ends with its 20th problem, and is refused beyond its budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeGuard

from shared.domain.json.values import MAX_DEPTH, pointer_of
from shared.errors import Problem

Path = tuple[str | int, ...]

ANNOTATIONS = frozenset({"$schema", "$id", "title", "description", "default", "examples"})
# More problems than these help nobody.
MAX_PROBLEMS = 20


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a JSON number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


TYPES: Mapping[str, Callable[[object], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "number": is_number,
    "integer": lambda value: is_number(value) and (isinstance(value, int) or value.is_integer()),
}
# Keyword → (which values it bounds, whether a value is within the bound, how the message says it).
BOUNDS: Mapping[str, tuple[Callable[[object], bool], Callable[[Any, Any], bool], str]] = {
    "minimum": (is_number, lambda value, bound: value >= bound, "be at least {}"),
    "maximum": (is_number, lambda value, bound: value <= bound, "be at most {}"),
    "exclusiveMinimum": (is_number, lambda value, bound: value > bound, "be more than {}"),
    "exclusiveMaximum": (is_number, lambda value, bound: value < bound, "be less than {}"),
    "minLength": (TYPES["string"], lambda value, bound: len(value) >= bound, "have at least {} characters"),
    "maxLength": (TYPES["string"], lambda value, bound: len(value) <= bound, "have at most {} characters"),
    "minItems": (TYPES["array"], lambda value, bound: len(value) >= bound, "have at least {} items"),
    "maxItems": (TYPES["array"], lambda value, bound: len(value) <= bound, "have at most {} items"),
}
KEYWORDS = frozenset({"type", "enum", "const", "properties", "required", "additionalProperties", "items", *BOUNDS})


def schema_problems(schema: object, *path: str | int) -> list[Problem]:
    """The first 20 problems of a schema, with JSON pointers; none where it is valid."""
    return list(islice(_problems(schema, path), MAX_PROBLEMS))


def _problems(schema: object, path: Path) -> Iterator[Problem]:
    if isinstance(schema, bool):
        return
    if not isinstance(schema, dict):
        yield Problem(pointer_of(*path), "A schema must be an object, true or false.")
        return
    if len(path) > MAX_DEPTH:
        yield Problem(pointer_of(*path), f"A schema must not be nested more than {MAX_DEPTH} levels deep.")
        return
    for keyword, value in schema.items():
        if keyword in KEYWORDS:
            yield from _keyword(keyword, value, (*path, keyword))
        elif keyword not in ANNOTATIONS:
            yield Problem(pointer_of(*path, keyword), f"The keyword {keyword!r} is not supported.")


def _keyword(keyword: str, value: object, path: Path) -> Iterator[Problem]:
    if keyword in ("items", "additionalProperties"):
        yield from _problems(value, path)
    elif keyword == "properties" and isinstance(value, dict):
        for name, inner in value.items():
            yield from _problems(inner, (*path, name))
    elif (wanted := _wanted(keyword, value)) is not None:
        yield Problem(pointer_of(*path), wanted)


def _wanted(keyword: str, value: object) -> str | None:
    """What the keyword's value must be; `None` where it is."""
    if keyword == "properties":
        return "Must be an object of schemas."
    if keyword == "type":
        names = [value] if isinstance(value, str) else value
        is_sound = isinstance(names, list) and names and all(isinstance(name, str) and name in TYPES for name in names)
        return None if is_sound else f"Must be one or several of {', '.join(TYPES)}."
    if keyword == "enum":
        return None if isinstance(value, list) else "Must be a list of values."
    if keyword == "required":
        is_sound = isinstance(value, list) and all(isinstance(name, str) for name in value)
        return None if is_sound else "Must be a list of names."
    return None if keyword not in BOUNDS or is_number(value) else "Must be a number."
