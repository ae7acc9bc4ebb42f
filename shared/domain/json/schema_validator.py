"""Validates a value against a JSON Schema, in as many steps as value and schema have parts together.

Each subschema is read once, however many values it applies to. `enum` and `const` compare interned values, so that a
long `enum` costs no more than a short one.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from shared.domain.json.check_budget import CheckBudget
from shared.domain.json.interning import ValueInterner
from shared.domain.json.schema import BOUNDS, MAX_PROBLEMS, TYPES
from shared.domain.json.values import pointer_of
from shared.errors import Problem
from shared.json_types import JsonObject


class _Rules:
    """One schema object, prepared for many values."""

    __slots__ = ("bounds", "items", "listed", "named", "others", "properties", "required", "types")

    def __init__(self, schema: JsonObject, steps: CheckBudget, canonical: ValueInterner) -> None:
        names = schema.get("type", [])
        self.types = tuple(dict.fromkeys([names] if isinstance(names, str) else names))
        self.required = tuple(dict.fromkeys(schema.get("required", ())))
        steps.take(len(schema) + len(self.required))
        self.listed = frozenset(map(canonical.number, schema["enum"])) if "enum" in schema else None
        self.named = canonical.number(schema["const"]) if "const" in schema else None
        self.bounds = [(*BOUNDS[keyword], schema[keyword]) for keyword in BOUNDS if keyword in schema]
        self.properties: dict[str, JsonObject | bool] = schema.get("properties", {})
        self.others: JsonObject | bool = schema.get("additionalProperties", True)
        self.items: JsonObject | bool = schema.get("items", True)


class SchemaValidator:
    """Validations that share one budget. Schemas and values must not change meanwhile."""

    def __init__(self, steps: CheckBudget) -> None:
        """A check that needs more than `steps` raises `LimitExceededError` in its midst."""
        self._steps = steps
        self._canonical = ValueInterner(steps)
        self._rules: dict[int, _Rules] = {}

    def mismatches(self, schema: JsonObject | bool, value: object, *path: str | int) -> Iterator[Problem]:
        """Each problem of the value, which is at `path`, under a valid schema."""
        return self._mismatches(schema, value, list(path))

    def _mismatches(self, schema: JsonObject | bool, value: object, path: list[str | int]) -> Iterator[Problem]:
        self._steps.take()
        if isinstance(schema, bool):
            if not schema:
                yield Problem(pointer_of(*path), "There must be nothing here.")
            return
        rules = self._read(schema)
        if rules.types and not any(TYPES[name](value) for name in rules.types):
            yield Problem(pointer_of(*path), f"Must be {' or '.join(rules.types)}.")
            return
        yield from self._compared(rules, value, path)
        if isinstance(value, dict):
            yield from self._members(rules, value, path)
        elif isinstance(value, list) and rules.items not in (True, {}):
            for index, item in enumerate(value):
                path.append(index)
                yield from self._mismatches(rules.items, item, path)
                path.pop()

    def _compared(self, rules: _Rules, value: object, path: list[str | int]) -> Iterator[Problem]:
        if rules.listed is not None and self._canonical.number(value) not in rules.listed:
            yield Problem(pointer_of(*path), "Must be one of the values that the schema lists.")
        if rules.named is not None and self._canonical.number(value) != rules.named:
            yield Problem(pointer_of(*path), "Must be the value that the schema names.")
        for bounds, within, said, bound in rules.bounds:
            if bounds(value) and not within(value, bound):
                yield Problem(pointer_of(*path), f"Must {said.format(bound)}.")

    def _members(self, rules: _Rules, value: JsonObject, path: list[str | int]) -> Iterator[Problem]:
        # No longer than the object and the problems that are read: each further required name is missing.
        for name in rules.required:
            if name not in value:
                yield Problem(pointer_of(*path, name), "This is required.")
        for name, item in value.items():
            path.append(name)
            yield from self._mismatches(rules.properties.get(name, rules.others), item, path)
            path.pop()

    def _read(self, schema: JsonObject) -> _Rules:
        rules = self._rules.get(id(schema))
        if rules is None:
            rules = self._rules[id(schema)] = _Rules(schema, self._steps, self._canonical)
        return rules


def fits(schema: JsonObject | None, value: object, steps: CheckBudget | None = None) -> bool:
    """Whether the value fits a valid schema; without a schema every value does. Raises `LimitExceededError`."""
    return schema is None or next(SchemaValidator(steps or CheckBudget()).mismatches(schema, value), None) is None


def mismatches(
    schema: JsonObject | bool, value: object, *path: str | int, steps: CheckBudget | None = None
) -> list[Problem]:
    """The first 20 problems of the value, which is at `path`, under a valid schema.

    A check that needs more than `steps` raises `LimitExceededError`.
    """
    return list(islice(SchemaValidator(steps or CheckBudget()).mismatches(schema, value, *path), MAX_PROBLEMS))
