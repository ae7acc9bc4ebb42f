"""The part of JSON Schema that signals are judged by."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.json_schema import fits, mismatches, schema_problems


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, 2.0, True),
        ({"type": ["string", "null"]}, None, 1),
        ({"enum": [1, "a"]}, 1, True),
        ({"const": {"a": [False]}}, {"a": [False]}, {"a": [0]}),
        ({"minimum": 1, "exclusiveMaximum": 3}, 2, 3),
        ({"maxLength": 2}, "ab", "abc"),
        ({"items": {"type": "boolean"}, "minItems": 1}, [True], []),
        ({"properties": {"a": {"type": "string"}}, "additionalProperties": False}, {"a": ""}, {"b": ""}),
        ({"required": ["a"]}, {"a": None}, {}),
        ({"required": ["a"]}, "no object", {}),
        ({"properties": {"a": False}}, {}, {"a": 1}),
    ],
)
def test_value_fits_or_does_not(schema: dict[str, Any], good: Any, bad: Any) -> None:
    """As the standard says, true being no number and 2.0 an integer."""
    assert schema_problems(schema) == []
    assert fits(schema, good)
    assert not fits(schema, bad)


def test_mismatch_says_where() -> None:
    """By a JSON pointer."""
    schema = {"properties": {"a": {"items": {"type": "string"}}}}
    assert [problem.pointer for problem in mismatches(schema, {"a": ["", 1]})] == ["/a/1"]


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        ({"properties": {"a": {"pattern": "(a+)+"}}}, "/properties/a/pattern"),
        ({"$ref": "#"}, "/$ref"),
        ({"type": "text"}, "/type"),
        ({"type": [{}]}, "/type"),
        ({"items": 1}, "/items"),
        ({"required": "a"}, "/required"),
        ({"minimum": "1"}, "/minimum"),
        ([], ""),
    ],
)
def test_unsound_schema_is_refused(schema: Any, pointer: str) -> None:
    """What is not supported is named rather than ignored."""
    assert [problem.pointer for problem in schema_problems(schema)] == [pointer]
