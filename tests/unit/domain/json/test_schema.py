"""The part of JSON Schema that signals are judged by."""

from __future__ import annotations

import json
from functools import reduce
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.json.check_budget import CheckBudget
from shared.domain.json.schema import BOUNDS, TYPES, schema_problems
from shared.domain.json.schema_validator import fits, mismatches
from shared.errors import LimitExceededError
from shared.json_types import JsonObject


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
def test_value_fits_or_does_not(schema: JsonObject, good: Any, bad: Any) -> None:
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


def steps_of(schema: JsonObject, value: Any) -> int:
    """How many steps it takes to hold the value against the schema."""
    steps = CheckBudget(1_000_000)
    mismatches(schema, value, steps=steps)
    return steps.limit - steps.left


NAMES = [f"n{number}" for number in range(200)]
DEEP: Any = [0]
for _ in range(90):
    DEEP = [DEEP, 0]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"items": {"enum": list(range(300))}}, list(range(300))),
        ({"items": {"enum": [{"a": [number]} for number in range(300)]}}, [{"a": [number]} for number in range(300)]),
        ({"items": {"required": NAMES}}, [dict.fromkeys(NAMES, 1)] * 3),
        ({"items": {"required": NAMES}}, [{}] * 300),
        ({"items": {"type": ["string"] * 300 + ["null"]}}, [None] * 300),
        ({"items": {"const": [0] * 300}}, [[0] * 300] * 3),
        # Each level lists values: what is within has been numbered with what is around it.
        (reduce(lambda inner, _: {"enum": [DEEP], "items": inner}, range(90), {}), DEEP),
    ],
)
def test_check_takes_steps_in_proportion_to_its_parts(schema: JsonObject, value: Any) -> None:
    """And not to the values times what the schema lists for each, or to the depth at which it lists them."""
    parts = sum(json.dumps(one).count(",") + json.dumps(one).count(":") + 100 for one in (schema, value))
    assert steps_of(schema, value) <= 4 * parts


def test_check_ends_with_its_twentieth_problem() -> None:
    """Nobody reads 600,000, and what is not looked at takes no step."""
    schema = {"items": {"required": NAMES}}
    problems = mismatches(schema, [{} for _ in range(3_000)])
    assert [problem.pointer for problem in problems] == [f"/0/n{number}" for number in range(20)]
    assert len(schema_problems(dict.fromkeys(NAMES, 1))) == 20


def test_what_takes_too_many_steps_is_refused() -> None:
    """With an error that says so, wherever the check has come to: not after it."""
    steps = CheckBudget(1_000)
    with pytest.raises(LimitExceededError) as refused:
        fits({"items": {"type": "integer"}}, [1] * 1_000_000, steps)
    assert (refused.value.code, steps.left) == ("limit", -1)


def test_schema_or_value_of_any_depth_has_an_answer() -> None:
    """Python's stack is not what ends a check."""
    deep: Any = []
    schema: Any = {}
    for _ in range(5_000):
        deep, schema = [deep], {"items": schema}
    assert "nested" in schema_problems(schema)[0].message
    with pytest.raises(LimitExceededError):
        fits({"const": 1}, deep)


SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 1.0, -0.0, 2.5, "", "a", "ab", "1"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
)
BOUNDS_OF_ALL = {name: st.integers(0, 3) for name in BOUNDS}
SCHEMAS = st.recursive(
    st.booleans() | st.just({}),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(list(TYPES)) | st.lists(st.sampled_from(list(TYPES)), min_size=1, unique=True),
            "enum": st.lists(VALUES, min_size=1, max_size=4),
            "const": VALUES,
            "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
            "required": st.lists(st.sampled_from("abc"), unique=True),
            "additionalProperties": inner,
            "items": inner,
            **BOUNDS_OF_ALL,
        },
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(SCHEMAS, VALUES)
def test_check_is_that_of_the_standard(schema: Any, value: Any) -> None:
    """Another implementation finds the same values to fit."""
    assert schema_problems(schema) == []
    assert fits(schema, value) == jsonschema_rs.is_valid(schema, value)
    assert fits(schema, value) == (mismatches(schema, value) == [])
