"""Expressions: found in texts, compiled, evaluated; nothing and null told apart."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from shared.domain.expressions.expressions import (
    MAX_KEPT_CHARACTERS,
    MAX_SOURCE_CHARACTERS,
    UNDEFINED,
    Compiled,
    ExpressionError,
    Source,
    compile_expression,
    evaluate,
    has_mustache,
    is_whole,
    split,
)
from shared.domain.expressions.templates import TemplateError, compile_template, cut, fill, reads
from shared.json_types import JsonObject

SCOPE: JsonObject = {
    "trigger": {"body": {"n": 2, "name": "Ada", "none": None, "list": [{"id": 1, "x": 9}, {"id": 2}]}},
    "nodes": {"a-b": {"ok": True}},
    "input": {"v": 1},
}


def value(text: str) -> Any:
    """What an expression yields in the scope above."""
    return evaluate(compile_expression(text), SCOPE, 1_800_000_000_000, 1)


def filled(template: Any) -> tuple[Any, list[str]]:
    """A template filled in, and the pointers that led nowhere."""
    undefined: list[str] = []
    return fill(compile_template(template), SCOPE, 0, 1, undefined), undefined


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("plain", ("plain",)),
        ("{% 1 %}", (Source("1"),)),
        ("a {% 1 %} b {% 2 %}", ("a ", Source("1"), " b ", Source("2"))),
        ("{% '%}' & \"%}\" %}", (Source("'%}' & \"%}\""),)),
        ("{% 1 /* %} */ %}", (Source("1 /* %} */"),)),
        ("{% 5 % 2 %}", (Source("5 % 2"),)),
    ],
)
def test_expressions_are_found(text: str, parts: tuple[Any, ...]) -> None:
    """The end mark within quotes and comments is no end."""
    assert split(text) == parts


def test_expression_without_an_end_is_refused() -> None:
    """Half an expression is not text."""
    with pytest.raises(ExpressionError, match="no %} at its end"):
        split("x {% 1")


def test_whole_and_embedded_differ() -> None:
    """White space around a whole expression does not make it text."""
    assert is_whole(split(" {% 1 %} "))
    assert not is_whole(split("n={% 1 %}"))
    assert not is_whole(split("{% 1 %}{% 2 %}"))


def test_mustaches_are_seen_outside_expressions_alone() -> None:
    """`{{ }}` in literal text is refused at publish; two braces in JSONata are an object in an object."""
    assert has_mustache(split("hello {{name}}"))
    assert not has_mustache(split("{% {'a': {'b': {}}} %}"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$trigger.body.n + 1", 3),
        ("$nodes.`a-b`.ok", True),
        ("$input.v", 1),
        ("$trigger.body.none", None),
        ("null", None),
        ("$trigger.body.nowhere", UNDEFINED),
        ("$execution.id", UNDEFINED),
        ("[]", []),
        ("$trigger.body.list.id", [1, 2]),
    ],
)
def test_values_null_and_nothing(text: str, expected: Any) -> None:
    """Null is a value; a path that leads nowhere is not."""
    assert value(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", " ", "1 +", "1) + (2", "$eval('1')", "($e := $eval; $e('1'))", "'x' + 1", "x" * 10_001, "$error('no')"],
)
def test_bad_expressions_raise(text: str) -> None:
    """Empty, malformed, smuggled, too long, or failing when evaluated."""
    with pytest.raises(ExpressionError):
        value(text)


def test_compiled_expressions_are_kept_by_their_size() -> None:
    """A tenant whose graphs have hundreds of the longest ones fills no drain's memory: 2.5 MB each, compiled."""
    for number in range(3 * MAX_KEPT_CHARACTERS // MAX_SOURCE_CHARACTERS):
        compile_expression(f"{number} + " + "x" * (MAX_SOURCE_CHARACTERS - 50))
    kept = [one for one in gc.get_objects() if isinstance(one, Compiled) and len(one.source) > 9_000]
    assert 10 < len(kept) <= MAX_KEPT_CHARACTERS // (MAX_SOURCE_CHARACTERS - 50)
    assert compile_expression("$trigger.body.n") is compile_expression("$trigger.body.n")


def test_eval_in_a_text_is_only_text() -> None:
    """The word may be written about."""
    assert value("'$eval'") == "$eval"


def test_reads_name_what_is_read() -> None:
    """What an expression reads is known beforehand: the fields, unknown names, paths without a start."""
    compiled = compile_expression("$trigger.body.list.id & $nodes.x.y & $oops & bare.z")
    assert compiled.reads == {"trigger": {"body": {"list": {"id": True}}}, "nodes": {"x": {"y": True}}}
    assert (compiled.others, compiled.bare_names) == (("oops",), ("bare",))


def test_cut_scope_gives_the_same_result() -> None:
    """An expression over the part that it reads yields what it yields over the whole."""
    template = compile_template({"ids": "{% $trigger.body.list.id %}"})
    small = cut(SCOPE["trigger"], reads(template)["trigger"])
    assert small == {"body": {"list": [{"id": 1}, {"id": 2}]}}
    assert fill(template, {"trigger": small}, 0, 1, []) == {"ids": [1, 2]}


def test_template_keeps_types_and_leaves_out_what_leads_nowhere() -> None:
    """Whole expressions keep their type, embedded ones are text, keys that lead nowhere are noted and left out."""
    template = {
        "n": "{% $trigger.body.n %}",
        "text": "n={% $trigger.body.n %}, {% $trigger.body.nowhere %}{% $trigger.body.none %}",
        "gone": "{% $trigger.body.nowhere %}",
        "list": ["{% $nope.x %}", 1, {"deep": "{% $trigger.body.name %}"}],
        "literal": {"a": [True, None]},
    }
    value, undefined = filled(template)
    assert value == {"n": 2, "text": "n=2, null", "list": [1, {"deep": "Ada"}], "literal": {"a": [True, None]}}
    assert undefined == ["/gone", "/list/0"]


def test_failing_expression_names_its_place() -> None:
    """The pointer leads to the text with the expression."""
    with pytest.raises(TemplateError) as error:
        filled({"a": {"b/c": ["{% 'x' + 1 %}"]}})
    assert error.value.pointer == "/a/b~1c/0"
