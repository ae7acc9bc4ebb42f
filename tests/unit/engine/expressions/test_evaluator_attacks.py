"""Attacks by expressions: each ends with an error or a harmless value, soon, and the next tenant is served.

A new trick gets its line here, whatever it turns out to do.
"""

from __future__ import annotations

import asyncio
import os

import pytest

from shared.domain.expressions.templates import TemplateError
from shared.engine.expressions.evaluator import ExpressionEvaluator
from shared.engine.expressions.evaluator_process import EvaluationError
from tests.unit.engine.expressions.test_evaluator import guard, value  # noqa: F401  # a fixture

# What lasts longest are two seconds of a child that the library cannot stop, on a busy machine.
SECONDS = 20
ERRORS = (EvaluationError, TemplateError)
TRIGGER = {"text": "a" * 5_000, "__proto__": "own", "list": list(range(1_000))}

# Ways to something that an expression was not given: of JavaScript's objects, Python's, and the library's own.
ESCAPES = [
    "$trigger.constructor",
    "$trigger.constructor.constructor('return process')()",
    "$trigger.text.constructor",
    "$trigger.list.constructor",
    "$trigger.toString",
    "$sum.constructor",
    "$.constructor",
    "$$.__class__.__mro__",
    "$trigger.__class__",
    "$trigger.`__class__`.`__bases__`",
    "$lookup($trigger, '__class__')",
    "$lookup($trigger, 'constructor')",
    "$lookup($sum, '__globals__')",
    "$sum.__globals__",
    "$merge([{'__proto__': {'polluted': 1}}, {}]).polluted",
    "$string({'__proto__': {'a': 1}}.a)",
    "$process",
    "$require('fs')",
    "$import('os')",
    "$open('/etc/passwd')",
    "$env",
    "$secrets.anything",
    "$toMillis('${jndi:ldap://x}')",
]
# `$eval` and what may stand for it: text that becomes code would not be found in a workflow's parameters.
EVALS = [
    "$eval('1+1')",
    "($e := $eval; $e('1+1'))",
    "$map(['1+1'], $eval)",
    "'1+1' ~> $eval",
    "$apply($eval, ['1+1'])",
    "($f := function($g) { $g('1+1') }; $f($eval))",
    "{'e': $eval}.e('1+1')",
    "[$eval][0]('1+1')",
    "$reduce(['1+1', '2'], function($a, $b) { $eval($a) })",
    "$$.$eval('1+1')",
    "`$eval`('1+1')",
    "$\\u0065val('1+1')",
]
# Work without end: time, memory, depth.
EXHAUSTING = [
    "($f := function($n) { $f($n) }; $f(1))",
    "($f := function($n) { 1 + $f($n + 1) }; $f(1))",
    "($a := function($n) { $b($n) }; $b := function($n) { $a($n) }; $a(1))",
    "($y := function($f) { $f($f) }; $y($y))",
    "$count([1..100000000])",
    "[1..9999999]",
    "$sum([1..9999].($sum([1..9999])))",
    "($f := function($s, $n) { $n = 0 ? $s : $f($s & $s, $n - 1) }; $length($f('ab', 40)))",
    "($f := function($l, $n) { $n = 0 ? $l : $f([$l, $l], $n - 1) }; $f([1], 40))",
    "$pad('', 2000000000, 'x')",
    "$length($join([1..9999].($pad('', 99999, 'x'))))",
    "$replace($trigger.text, 'a', $pad('', 100000, 'b'))",
    "$split($pad('', 9000000, 'a'), '')",
    "$power(10, 100000)",
    "$formatNumber(1, $pad('', 1000000, '#'))",
    "$formatBase(9007199254740991, 2) ~> $pad(1000000000)",
    "$fromMillis(1, $pad('', 1000000, '[Y]'))",
    "$sort([1..9999], function($a, $b) { $sum([1..9999]) > 0 })",
    "$distinct([1..9999].($string($) & $pad('', 1000, 'x')))",
    "$shuffle([1..9999999])",
    "$trigger.list.($trigger.list.($trigger.list))",
    "$map($trigger.list, function($a) { $map($trigger.list, function($b) { $map($trigger.list, $string) }) })",
    "$string($reduce([1..9999], function($a, $b) { {'a': $a} }))",
]
# Regexes that take a backtracking engine years.
REGEXES = [
    "$match($trigger.text & '!', /(a+)+$/)",
    "$match($trigger.text & '!', /^(a?){50}a{50}$/)",
    "$replace($trigger.text & '!', /(.*)*x/, 'y')",
    "$contains($trigger.text & '!', /(?:a+){1,1000}b/)",
    "$match($trigger.text, /(?=(a+))\\\\1b/)",
    "$match($trigger.text, /a{1,100000}{1,100000}/)",
]


async def outcome(guard: ExpressionEvaluator, text: str) -> object:  # noqa: F811
    """What the expression gives, `"nothing"` for nothing, or its error: the evaluation's, or the compilation's. The
    evaluator still works."""
    try:
        found = await value(guard, text, TRIGGER)
    except ERRORS as error:
        found = error
    assert await value(guard, "{% 1 + 1 %}") == 2
    return found


@pytest.mark.parametrize("attack", [*EXHAUSTING, *REGEXES])
async def test_attack_is_bounded_and_the_next_tenant_is_served(guard: ExpressionEvaluator, attack: str) -> None:  # noqa: F811
    """By time, memory and what it can give; the process goes on."""
    async with asyncio.timeout(SECONDS):
        await outcome(guard, f"{{% {attack} %}}")


@pytest.mark.parametrize("attack", ESCAPES)
async def test_escape_finds_nothing(guard: ExpressionEvaluator, attack: str) -> None:  # noqa: F811
    """No object of the host, no text of a file or an environment: nothing, an own value, or an error."""
    found = await outcome(guard, f"{{% {attack} %}}")
    assert isinstance(found, ERRORS) or found in ("nothing", None, 1, "1", ""), found


@pytest.mark.parametrize("attack", EVALS)
async def test_no_text_becomes_code(guard: ExpressionEvaluator, attack: str) -> None:  # noqa: F811
    """However it is called."""
    assert await outcome(guard, f"{{% {attack} %}}") != 2


async def test_value_named_like_a_prototype_is_a_value(guard: ExpressionEvaluator) -> None:  # noqa: F811
    """Data with such a name is data; writing it changes nothing else, in this evaluation or the next."""
    assert await value(guard, "{% $trigger.`__proto__` %}", TRIGGER) == "own"
    await outcome(guard, "{% $merge([{'__proto__': {'polluted': 1}}]) %}")
    assert await value(guard, "{% {}.polluted %}") == "nothing"


async def test_environment_is_out_of_sight(guard: ExpressionEvaluator) -> None:  # noqa: F811
    """Nothing of it comes through any name that evaluators of other languages have for it."""
    os.environ["CANARY"] = "seen"
    try:
        for name in ("$env.CANARY", "$process.env.CANARY", "$ENV.CANARY", "$os.environ.CANARY", "env.CANARY"):
            found = await outcome(guard, f"{{% {name} %}}")
            assert found == "nothing" or isinstance(found, ERRORS)
    finally:
        del os.environ["CANARY"]
