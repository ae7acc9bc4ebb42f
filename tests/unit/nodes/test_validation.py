"""Publishing: every problem of a graph, where it is, and how to mend it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from shared.domain.workflow.graph_parser import parse_graph
from shared.engine.run.compiled_graph import CompiledWorkflow
from shared.errors import MAX_PROBLEMS, Problem
from shared.json_types import JsonObject
from shared.nodes.validation import validate_graph

HOOK = {"id": "hook", "type": "webhook_trigger"}
EXAMPLE_NODES = [
    HOOK,
    {"id": "is_main", "type": "if", "parameters": {"condition": "{% $trigger.body.ref = 'refs/heads/main' %}"}},
    {
        "id": "deploy",
        "type": "http_request",
        "parameters": {
            "method": "POST",
            "url": "https://ci.example/deploy",
            "body": {"sha": "{% $trigger.body.after %}", "by": "{% $trigger.body.pusher.name %}"},
        },
        "retry": [{"errors": ["http_5xx", "timeout", "network"], "max_attempts": 5}],
        "timeout_seconds": 10,
        "on_error": "route",
    },
]
EXAMPLE_EDGES = [
    {"source": "hook", "target": "is_main"},
    {"source": "is_main", "source_handle": "true", "target": "deploy"},
]


def problems(nodes: list[Any], edges: list[Any]) -> list[Problem]:
    """The problems of a well-formed graph."""
    graph, malformed = parse_graph(nodes, edges)
    assert graph is not None, malformed
    return validate_graph(graph)


def after_hook(node: JsonObject) -> list[Problem]:
    """The problems of one node after a webhook trigger."""
    return problems([HOOK, {"id": "n", **node}], [{"source": "hook", "target": "n"}])


def test_example_of_the_contract_is_valid() -> None:
    """The documented workflow can be published."""
    assert problems(EXAMPLE_NODES, EXAMPLE_EDGES) == []


@pytest.mark.parametrize(
    ("node", "pointer", "hint"),
    [
        ({"type": "transfrom"}, "/nodes/1/type", "Did you mean 'transform'?"),
        ({"type": "transform"}, "/nodes/1/parameters/value", ""),
        ({"type": "transform", "parameters": {"value": 1, "vlaue": 2}}, "/nodes/1/parameters/vlaue", "'value'"),
        ({"type": "if"}, "/nodes/1/parameters/condition", ""),
        ({"type": "delay"}, "/nodes/1/parameters", ""),
        ({"type": "delay", "parameters": {"until": "tomorrow"}}, "/nodes/1/parameters/until", ""),
        ({"type": "if", "parameters": {"condition": "yes"}}, "/nodes/1/parameters/condition", ""),
        ({"type": "if", "parameters": {"condition": "{% 1 + %}"}}, "/nodes/1/parameters/condition", ""),
        ({"type": "if", "parameters": {"condition": "{% $trigge.x %}"}}, "/nodes/1/parameters/condition", "'$trigger'"),
        ({"type": "if", "parameters": {"condition": "{% x = 1 %}"}}, "/nodes/1/parameters/condition", "$input.x"),
        ({"type": "transform", "parameters": {"value": {"a": "{{ x }}"}}}, "/nodes/1/parameters/value/a", "{%"),
        ({"type": "transform", "parameters": {"value": "{% $nodes.hok.x %}"}}, "/nodes/1/parameters/value", "'hook'"),
        ({"type": "transform", "parameters": {"value": "{% $nodes.n %}"}}, "/nodes/1/parameters/value", ""),
        ({"type": "http_request", "parameters": {"url": "ftp://x"}}, "/nodes/1/parameters/url", ""),
        (
            {"type": "http_request", "parameters": {"url": "https://x.example", "metod": "GET"}},
            "/nodes/1/parameters/metod",
            "'method'",
        ),
        (
            {"type": "http_request", "parameters": {"url": "https://x.example", "headers": {"host": "y"}}},
            "/nodes/1/parameters/headers",
            "",
        ),
        (
            {"type": "switch", "parameters": {"cases": [{"when": True, "handel": "a", "handle": "b"}]}},
            "/nodes/1/parameters/cases/0/handel",
            "'handle'",
        ),
        (
            {"type": "switch", "parameters": {"cases": [{"when": True, "handle": "{% 'a' %}"}]}},
            "/nodes/1/parameters/cases/0/handle",
            "Write it out.",
        ),
        ({"type": "merge", "join": {"n": 2}}, "/nodes/1/join/n", ""),
    ],
)
def test_node_problem_has_a_pointer_and_a_hint(node: JsonObject, pointer: str, hint: str) -> None:
    """Types, parameters, expressions, names: each problem alone, at its place."""
    (problem,) = after_hook(node)
    assert problem.pointer == pointer
    assert hint in (problem.suggestion or "")


@pytest.mark.parametrize(
    "node",
    [
        {"type": "http_request", "parameters": {"url": "{% $trigger.body.url %}", "method": "{% 'POST' %}"}},
        {
            "type": "http_request",
            "parameters": {"url": "https://x.example/{% $trigger.body.id %}", "query": "{% {} %}"},
        },
        {"type": "switch", "parameters": {"cases": "{% $trigger.body.cases %}"}},
        {"type": "fail", "parameters": {"code": "{% $input.code %}"}},
        {"type": "merge", "parameters": {"mode": "{% 'list' %}"}},
    ],
)
def test_expression_may_stand_for_any_value(node: JsonObject) -> None:
    """What an expression yields is checked when it runs."""
    assert after_hook(node) == []


@pytest.mark.parametrize(
    ("edges", "pointer", "hint"),
    [
        ([("hook", "out", "a"), ("a", "out", "b"), ("a", "tru", "b")], "/edges/2/source_handle", "'true'"),
        ([("hook", "out", "a"), ("a", "true", "b"), ("a", "error", "b")], "/edges/2/source_handle", "on_error"),
        ([("hook", "out", "a"), ("a", "true", "b"), ("b", "out", "hok")], "/edges/2/target", "'hook'"),
        ([("hook", "out", "a"), ("a", "true", "b"), ("b", "out", "hook")], "/edges/2/target", ""),
        ([("hook", "out", "a")], "/nodes/2", "Draw an edge"),
    ],
)
def test_edge_problem_has_a_pointer_and_a_hint(edges: list[tuple[str, str, str]], pointer: str, hint: str) -> None:
    """Handles, dangling ends, edges into triggers, nodes that nothing reaches."""
    nodes = [
        HOOK,
        {"id": "a", "type": "if", "parameters": {"condition": True}},
        {"id": "b", "type": "transform", "parameters": {"value": 1}},
    ]
    drawn = [{"source": source, "source_handle": handle, "target": target} for source, handle, target in edges]
    result = problems(nodes, drawn)
    assert pointer in [problem.pointer for problem in result]
    assert any(hint in (problem.suggestion or "") for problem in result if problem.pointer == pointer)


def test_cycle_is_a_problem_of_its_nodes() -> None:
    """Each node on the cycle is named, and only those."""
    nodes = [HOOK, *({"id": name, "type": "transform", "parameters": {"value": 1}} for name in "abc")]
    edges = [("hook", "a"), ("a", "b"), ("b", "a"), ("b", "c")]
    result = problems(nodes, [{"source": source, "target": target} for source, target in edges])
    assert [problem.pointer for problem in result] == ["/nodes/1", "/nodes/2"]


def test_graph_without_a_trigger_is_a_problem() -> None:
    """Nothing could start it."""
    (problem,) = problems([], [])
    assert (problem.pointer, problem.suggestion) == (
        "/nodes",
        "Add a webhook_trigger, a schedule_trigger or a manual_trigger.",
    )


def test_reference_to_a_node_that_runs_elsewhere_is_a_problem() -> None:
    """An output that can never be there is refused, instead of being undefined for ever."""
    nodes = [
        HOOK,
        {"id": "a", "type": "transform", "parameters": {"value": 1}},
        {"id": "b", "type": "transform", "parameters": {"value": "{% $nodes.a %}"}},
    ]
    (problem,) = problems(nodes, [{"source": "hook", "target": "a"}, {"source": "hook", "target": "b"}])
    assert (problem.pointer, problem.suggestion) == ("/nodes/2/parameters/value", "Draw an edge from it.")


WORKFLOW_ID = "0199a000-0000-7000-8000-000000000000"
SENDS_ONCE = {
    "id": "pay",
    "type": "http_request",
    "parameters": {"method": "POST", "url": "https://pay.example"},
    "delivery": "at_most_once",
}


def test_effect_may_be_sent_at_most_once() -> None:
    """As it stands in the graph that is stored."""
    assert after_hook({**SENDS_ONCE, "id": "n"}) == []
    graph, _ = parse_graph([HOOK, SENDS_ONCE], [])
    assert graph is not None
    assert graph.nodes["pay"].as_json()["delivery"] == "at_most_once"


@pytest.mark.parametrize(
    ("node", "pointer"),
    [
        ({**SENDS_ONCE, "retry": [{}]}, "/nodes/1/retry"),
        ({"type": "transform", "parameters": {"value": 1}, "delivery": "at_most_once"}, "/nodes/1/delivery"),
        (
            {"type": "call_workflow", "parameters": {"workflow_id": WORKFLOW_ID}, "delivery": "at_most_once"},
            "/nodes/1/delivery",
        ),
        (
            {"type": "map", "parameters": {"items": [], "body": {"nodes": [SENDS_ONCE]}}, "retry": [{}]},
            "/nodes/1/retry",
        ),
    ],
)
def test_what_would_send_again_is_refused(node: JsonObject, pointer: str) -> None:
    """A retrier contradicts it, a map's around it too; and what sends nothing has no delivery."""
    assert [problem.pointer for problem in after_hook({**node, "id": "n"})] == [pointer]


def test_unknown_delivery_is_no_graph() -> None:
    """There are two."""
    graph, malformed = parse_graph([{**SENDS_ONCE, "delivery": "exactly_once"}], [])
    assert (graph, [problem.pointer for problem in malformed]) == (None, ["/nodes/0/delivery"])


def test_effect_may_not_outlive_a_drain() -> None:
    """An attempt that no drain has the time for would be begun for ever; a call of a workflow takes no drain."""
    fetch = {"type": "http_request", "parameters": {"url": "https://ci.example/"}}
    assert after_hook({**fetch, "timeout_seconds": 600}) == []
    (problem,) = after_hook({**fetch, "timeout_seconds": 601})
    assert (problem.pointer, "at most 600" in problem.message) == ("/nodes/1/timeout_seconds", True)
    called = {"type": "call_workflow", "parameters": {"workflow_id": "0" * 8 + "-0000-4000-8000-" + "0" * 12}}
    assert after_hook({**called, "timeout_seconds": 900}) == []


def test_version_that_was_published_with_more_still_runs() -> None:
    """Its attempts take as long as they may today."""
    nodes = [
        HOOK,
        {"id": "n", "type": "http_request", "parameters": {"url": "https://a.example"}, "timeout_seconds": 900},
    ]
    row = {"workflow_id": "w", "version": 1, "nodes": nodes, "edges": [{"source": "hook", "target": "n"}]}
    assert CompiledWorkflow.from_row(row).root.nodes["n"].timeout_seconds == 600


def test_problems_are_counted_before_they_are_written_out() -> None:
    """What is said, and looked for, does not grow with what somebody sends: an answer has six megabytes at most."""
    unknown = {f"x{number}": number for number in range(20_000)}
    assert len(parse_graph([{**HOOK, **unknown}], [])[1]) == MAX_PROBLEMS
    assert len(parse_graph([{"id": "!"}] * 900, [])[1]) == MAX_PROBLEMS
    assert len(parse_graph([HOOK], [{"source": ""}] * 4_000)[1]) == MAX_PROBLEMS
    assert len(after_hook({"type": "transform", "parameters": {"value": 1, **unknown}})) == MAX_PROBLEMS
    assert len(problems([HOOK], [{"source": "hook", "target": f"gone{number}"} for number in range(4_000)])) == (
        MAX_PROBLEMS
    )


def test_hints_do_not_cost_what_the_names_together_have() -> None:
    """A thousand long names, and fifty more that look like each of them: `difflib` would compare for a minute."""
    nodes = [HOOK, *({"id": "ab" * 46 + f"{number:03}", "type": "merge"} for number in range(999))]
    edges = [{"source": "hook", "target": "ba" * 46 + f"{number:03}"} for number in range(MAX_PROBLEMS)]
    started = time.process_time()
    result = problems(nodes, edges)
    assert time.process_time() - started < 8
    assert len(result) == MAX_PROBLEMS


def test_hint_is_the_name_that_is_most_alike() -> None:
    """Among many too."""
    nodes = [{"id": f"step_{number}", "type": "merge"} for number in range(200)] + [{"id": "summary", "type": "merge"}]
    result = problems([HOOK, *nodes], [{"source": "hook", "target": "sumary"}])
    assert (
        next(problem.suggestion for problem in result if problem.pointer == "/edges/0/target")
        == "Did you mean 'summary'?"
    )


def test_awaited_signals_are_looked_for_once() -> None:
    """A workflow that names their URLs ten thousand times, and a body with as many waits as it may have."""
    waits = [{"id": f"w{n}", "type": "wait_for_signal", "parameters": {"name": f"s{n}"}} for n in range(900)]
    each = {"id": "each", "type": "map", "parameters": {"items": [1], "body": {"nodes": waits, "edges": []}}}
    body = ["{% $execution.signal_urls.s7 %}"] * 10_000
    call = {
        "id": "n",
        "type": "http_request",
        "parameters": {"method": "POST", "url": "https://a.example", "body": body},
    }
    started = time.process_time()
    assert problems([HOOK, each, call], [{"source": "hook", "target": name} for name in ("each", "n")]) == []
    assert time.process_time() - started < 8


@pytest.mark.parametrize(
    "expression",
    [
        *("$", "$$", "*", "**", "*.a", "[$]", "$ ? 1 : 2", "$[0]", "$ ~> $keys", "$ & ''", "($x := $$; $x)"),
        *("$keys()", "$string()", "$spread()", "$each(function($v, $k) { $k })", "$sift(function($v) { true })"),
        *("$lookup($, $trigger.body.name)", "$merge([$, {}])", "$keys($$)", "$boolean($)", "$trigger ~> |$$|{}|"),
        *("$map($trigger.body.x, function($v) { $v + $ })", "$filter([1], function($v) { $exists(**) })"),
        *("$trigger.body.items[$$ = 1]", "$trigger.body.items.$$", "{'a': *}", "[1..2].{'a': $$}"),
    ],
)
def test_scope_as_a_whole_is_a_problem(expression: str) -> None:
    """What all names stand in is no value, wherever in an expression it is asked for."""
    (problem,) = after_hook({"type": "transform", "parameters": {"value": f"{{% {expression} %}}"}})
    assert problem.message.startswith("Here $, $$, * and **")
    assert "$input" in (problem.suggestion or "")


@pytest.mark.parametrize(
    ("expression", "start"),
    [
        ("body.x", "$input.body"),
        ("trigger.body.x", "$trigger"),
        ("$$.trigger", "$trigger"),
        ("$lookup($, 'a')", "$input.a"),
    ],
)
def test_path_without_a_start_is_a_problem(expression: str, start: str) -> None:
    """The hint is a path that has one."""
    (problem,) = after_hook({"type": "transform", "parameters": {"value": f"{{% {expression} %}}"}})
    assert "starts nowhere" in problem.message
    assert (problem.suggestion or "").endswith(f"for example {start}.")


@pytest.mark.parametrize(
    "expression",
    [
        *("$trigger.body.*", "$trigger.**", "$trigger[*]", "$trigger.body.items[$ > 1]", "$trigger.body.items.($ + 1)"),
        *("$trigger.body.items^($)", "$trigger.body.items{$: 1}", "$trigger.body ~> $keys()", "$keys($trigger.body)"),
        *("[1..3].($ * 2)", "[1..3][$ = 2]", "{'a': 1}.*", "($x := {'a': 1}; $x.*)", "$trigger.body ~> |$|{'x': 1}|"),
        *("$map([1], function($v) { $v.* })", "$trigger.body.items.(function($x) { $ }(1))", "$trigger.body.x.*.%.y"),
        *("$now()", "$random()", "$map([$trigger], $keys)", "$input.$string()", "$each($input, function($v) { $v })"),
    ],
)
def test_part_of_a_value_is_no_problem(expression: str) -> None:
    """Behind a path, in a filter and in a function of a value, the same marks mean that value."""
    assert after_hook({"type": "transform", "parameters": {"value": f"{{% {expression} %}}"}}) == []
