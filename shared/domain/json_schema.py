"""JSON Schema (https://json-schema.org/draft/2020-12), the part of it that takes time in proportion to the value.

A tenant's schema is judged inside the service: `pattern` could keep it busy for hours, `$ref` for ever. A keyword that
is not known is refused when the graph is published, rather than ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from shared.domain.json_values import pointer_of
from shared.errors import Problem

JsonObject = dict[str, Any]
Path = tuple[str | int, ...]

ANNOTATIONS = frozenset({"$schema", "$id", "title", "description", "default", "examples"})


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "number": _number,
    "integer": lambda value: _number(value) and value == int(value),
}
# Keyword → (what it bounds, whether a value is within, how that is said).
_BOUNDS: Mapping[str, tuple[Callable[[Any], bool], Callable[[Any, Any], bool], str]] = {
    "minimum": (_number, lambda value, bound: value >= bound, "be at least {}"),
    "maximum": (_number, lambda value, bound: value <= bound, "be at most {}"),
    "exclusiveMinimum": (_number, lambda value, bound: value > bound, "be more than {}"),
    "exclusiveMaximum": (_number, lambda value, bound: value < bound, "be less than {}"),
    "minLength": (_TYPES["string"], lambda value, bound: len(value) >= bound, "have at least {} characters"),
    "maxLength": (_TYPES["string"], lambda value, bound: len(value) <= bound, "have at most {} characters"),
    "minItems": (_TYPES["array"], lambda value, bound: len(value) >= bound, "have at least {} items"),
    "maxItems": (_TYPES["array"], lambda value, bound: len(value) <= bound, "have at most {} items"),
}
KEYWORDS = frozenset({"type", "enum", "const", "properties", "required", "additionalProperties", "items", *_BOUNDS})


def fits(schema: JsonObject | None, value: Any) -> bool:
    """Whether the value fits a sound schema; every value fits none."""
    return schema is None or next(mismatches(schema, value), None) is None


def mismatches(schema: JsonObject | bool, value: Any, *path: str | int) -> Iterator[Problem]:
    """Where and why the value does not fit a sound schema."""
    place = pointer_of(*path)
    if isinstance(schema, bool):
        if not schema:
            yield Problem(place, "There must be nothing here.")
        return
    names = schema.get("type", [])
    names = [names] if isinstance(names, str) else names
    if names and not any(_TYPES[name](value) for name in names):
        yield Problem(place, f"Must be {' or '.join(names)}.")
        return
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        yield Problem(place, "Must be one of the values that the schema lists.")
    if "const" in schema and not _same(value, schema["const"]):
        yield Problem(place, "Must be the value that the schema names.")
    for keyword, (bounds, within, said) in _BOUNDS.items():
        if keyword in schema and bounds(value) and not within(value, schema[keyword]):
            yield Problem(place, f"Must {said.format(schema[keyword])}.")
    if isinstance(value, dict):
        yield from _members(schema, value, path)
    elif isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from mismatches(schema["items"], item, *path, index)


def _members(schema: JsonObject, value: JsonObject, path: Path) -> Iterator[Problem]:
    for name in schema.get("required", []):
        if name not in value:
            yield Problem(pointer_of(*path, name), "This is required.")
    properties, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name, item in value.items():
        yield from mismatches(properties.get(name, others), item, *path, name)


def _same(one: Any, other: Any) -> bool:
    # In Python, true equals 1; in JSON it does not.
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def schema_problems(schema: Any, *path: str | int) -> list[Problem]:
    """What is wrong with a schema, by JSON pointer; nothing when it is sound."""
    place = pointer_of(*path)
    if isinstance(schema, bool):
        return []
    if not isinstance(schema, dict):
        return [Problem(place, "A schema must be an object, true or false.")]
    found: list[Problem] = []
    for keyword, value in schema.items():
        if keyword not in KEYWORDS and keyword not in ANNOTATIONS:
            found.append(Problem(pointer_of(*path, keyword), f"The keyword {keyword!r} is not supported."))
        elif keyword in KEYWORDS:
            found.extend(_keyword(keyword, value, (*path, keyword)))
    return found


def _keyword(keyword: str, value: Any, path: Path) -> list[Problem]:
    place = pointer_of(*path)
    if keyword in ("items", "additionalProperties"):
        return schema_problems(value, *path)
    if keyword == "properties":
        if not isinstance(value, dict):
            return [Problem(place, "Must be an object of schemas.")]
        return [problem for name, inner in value.items() for problem in schema_problems(inner, *path, name)]
    if keyword == "type":
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not names or any(name not in _TYPES for name in map(str, names)):
            return [Problem(place, f"Must be one or several of {', '.join(_TYPES)}.")]
    elif keyword == "enum" and not isinstance(value, list):
        return [Problem(place, "Must be a list of values.")]
    elif keyword == "required" and not (isinstance(value, list) and all(isinstance(name, str) for name in value)):
        return [Problem(place, "Must be a list of names.")]
    elif keyword in _BOUNDS and not _number(value):
        return [Problem(place, "Must be a number.")]
    return []
