"""Interned JSON values: two values get the same number exactly when they are the same JSON.

With it a value is found among thousands in one step. Every list and object is numbered once, from the numbers of its
members, so that a whole document costs as many steps as it has values, however deeply it is nested.
"""

from __future__ import annotations

from shared.domain.json.check_budget import CheckBudget
from shared.json_types import JsonObject

# The API takes nothing that is nested more deeply, and the recursion here must stay within Python's stack.
MAX_NESTING = 200


class ValueInterner:
    """Numbers the values of one comparison. The values must not change meanwhile: they are known by their `id`."""

    def __init__(self, steps: CheckBudget) -> None:
        """Numbering a value takes one of `steps`."""
        self._steps = steps
        self._numbers: dict[str, int] = {}
        self._known: dict[int, int] = {}

    def number(self, value: object, nesting: int = 0) -> int:
        """The value's number; raises `LimitExceededError` for too many values, or too deeply nested ones."""
        if not isinstance(value, (list, dict)):
            self._steps.take()
            return self._numbered(_scalar(value))
        known = self._known.get(id(value))
        if known is None:
            if nesting > MAX_NESTING:
                self._steps.refuse()
            self._steps.take()
            known = self._known[id(value)] = self._numbered(self._container(value, nesting + 1))
        return known

    def _container(self, value: list[object] | JsonObject, nesting: int) -> str:
        if isinstance(value, list):
            return "[" + ",".join(str(self.number(item, nesting)) for item in value)
        members = [f"{self.number(name)}:{self.number(item, nesting)}" for name, item in value.items()]
        # Sorted: the order of its members is no part of an object's value.
        return "{" + ",".join(sorted(members))

    def _numbered(self, key: str) -> int:
        return self._numbers.setdefault(key, len(self._numbers))


def _scalar(value: object) -> str:
    """The scalar as text: hashes of texts are salted, while numbers could be chosen so that their hashes collide."""
    if isinstance(value, str):
        return f'"{value}'
    if isinstance(value, float) and not value.is_integer():
        return f"~{value!r}"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # 1 and 1.0 are the same number in JSON. In hexadecimal: decimal digits of a huge integer take quadratic time.
        return f"#{int(value):x}"
    return str(value)
