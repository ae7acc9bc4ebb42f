"""What is recorded: for each feature a workflow, and what is done with a run of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from shared.json_types import JsonObject
from tests.replay.story_runner import BROKEN, FLAKY, REFUSED, SINK, SLOW, StoryRunner

START: JsonObject = {"id": "start", "type": "manual_trigger"}
RETRY = [{"errors": ["http_5xx"], "max_attempts": 3, "initial_interval_seconds": 0.1}]


@dataclass(frozen=True)
class Story:
    """A workflow's nodes after its trigger, its edges as `source.handle>target`, and what happens to a run."""

    nodes: tuple[JsonObject, ...]
    edges: tuple[str, ...]
    input: Any = None
    then: Callable[[StoryRunner], None] = field(default=lambda runner: runner.ends())
    start: JsonObject = field(default_factory=lambda: START)
    settings: JsonObject = field(default_factory=dict)


def _transform(node_id: str, value: Any, **more: Any) -> JsonObject:
    return {"id": node_id, "type": "transform", "parameters": {"value": value}, **more}


def _request(node_id: str, url: str, **more: Any) -> JsonObject:
    return {"id": node_id, "type": "http_request", "parameters": {"method": "POST", "url": url}, **more}


def _if(node_id: str, condition: str) -> JsonObject:
    return {"id": node_id, "type": "if", "parameters": {"condition": condition}}


def _wait(node_id: str, **parameters: Any) -> JsonObject:
    return {"id": node_id, "type": "wait_for_signal", "parameters": {"name": "go", **parameters}}


def _map(body: list[JsonObject], edges: list[JsonObject], **parameters: Any) -> JsonObject:
    return {"id": "each", "type": "map", "parameters": {"body": {"nodes": body, "edges": edges}, **parameters}}


def _edge(source: str, target: str) -> JsonObject:
    return {"source": source, "target": target}


def _signalled(runner: StoryRunner) -> None:
    runner.post("signals/other", {"payload": 1})
    runner.until("waiting")
    runner.post("signals/go", {"payload": {"by": "Ada"}})
    runner.ends()


def _chosen(runner: StoryRunner) -> None:
    """The first node passes the text over, and both take what fits them."""
    runner.until("waiting")
    runner.post("signals/go", {"payload": "early"})
    runner.post("signals/begin")
    runner.waits("number")
    runner.post("signals/go", {"payload": {"n": 1}})
    runner.ends()


def _redriven(runner: StoryRunner) -> None:
    runner.ends()
    runner.post("redrive")
    runner.ends()


def _cancelled(runner: StoryRunner) -> None:
    runner.until("waiting")
    runner.post("cancel", {"reason": "enough"})


def _cancelled_and_redriven(runner: StoryRunner) -> None:
    _cancelled(runner)
    runner.post("redrive")
    runner.ends()


def _forked(runner: StoryRunner) -> None:
    runner.ends()
    runner.follow(runner.post("fork", {"from_node": "text", "output": "given"}))
    runner.ends()


def _replayed(runner: StoryRunner) -> None:
    runner.ends()
    runner.follow(runner.post("replay", {"mode": "live", "input": {"n": 9}}))
    runner.ends()


def _called(runner: StoryRunner) -> None:
    runner.ends()
    runner.follow(runner.called())


MOMENT = {
    "at": "{% $now() %}",
    "chance": "{% $random() %}",
    "run": "{% $execution.id %}",
    "lost": "{% $trigger.body.x %}",
}
ANY_ALL_TWO = (
    _transform("any", "{% $input %}"),
    _transform("all", "{% $input %}", join="all"),
    _transform("two", 1, join={"n": 2}),
)
CALL = {
    "id": "call",
    "type": "call_workflow",
    "parameters": {"workflow_id": "{child}", "input": {"n": "{% $trigger.body.n %}"}},
}

STORIES: dict[str, Story] = {
    "linear": Story(
        (_transform("a", "{% $trigger.body.n + 1 %}"), _transform("b", "{% $nodes.a * 2 %}")),
        ("start>a", "a>b"),
        {"n": 1},
    ),
    "expressions": Story((_transform("a", MOMENT), _transform("b", "a: {% $input.chance %}")), ("start>a", "a>b")),
    "if": Story(
        (_if("ask", "{% $trigger.body.n > 1 %}"), _transform("yes", 1), _transform("no", 0)),
        ("start>ask", "ask.true>yes", "ask.false>no"),
        {"n": 2},
    ),
    "switch": Story(
        (
            {
                "id": "sort",
                "type": "switch",
                "parameters": {
                    "mode": "all",
                    "cases": [{"when": "{% $trigger.body.n > 1 %}", "handle": "a"}, {"when": True, "handle": "b"}],
                },
            },
            _transform("one", 1),
            _transform("two", 2),
            _transform("other", 3),
        ),
        ("start>sort", "sort.a>one", "sort.b>two", "sort.default>other"),
        {"n": 2},
    ),
    "joins": Story(
        (_if("ask", "{% $trigger.body.n > 1 %}"), _transform("x", 1), _transform("y", 2), *ANY_ALL_TWO),
        ("start>ask", "ask.true>x", "ask.false>y", "x>any", "y>any", "x>all", "y>all", "x>two", "start>two"),
        {"n": 2},
    ),
    "filter_and_merge": Story(
        (
            {"id": "few", "type": "filter", "parameters": {"condition": "{% $trigger.body.n > 5 %}"}},
            _transform("x", 1),
            _transform("y", 2),
            {"id": "both", "type": "merge", "parameters": {"mode": "object"}, "join": {"n": 2}},
        ),
        ("start>few", "few>x", "start>y", "start>both", "x>both", "y>both"),
        {"n": 2},
    ),
    "disabled": Story(
        (_request("off", SINK, disabled=True), _transform("a", "{% $input.body.n %}")), ("start>off", "off>a"), {"n": 2}
    ),
    "http_request": Story(
        (_request("call", SINK), _transform("code", "{% $input.status %}")), ("start>call", "call>code")
    ),
    "credentials": Story(
        (
            {
                "id": "ask",
                "type": "http_request",
                "parameters": {
                    "method": "POST",
                    "url": SINK,
                    "headers": {"x-key": "key={% $secrets.token %}"},
                    "body": {"link": "{% $execution.signal_urls.go %}?n={% $trigger.body.n %}"},
                },
            },
            _wait("wait", schema={"type": "object"}),
        ),
        ("start>ask", "ask>wait"),
        {"n": 2},
        _signalled,
    ),
    "retry": Story((_request("call", FLAKY, retry=RETRY),), ("start>call",)),
    "retry_timer": Story(
        (_request("call", SLOW, retry=[{"errors": ["http_429"], "max_attempts": 2}]),), ("start>call",)
    ),
    "failure": Story((_request("call", REFUSED, retry=RETRY), _transform("after", 1)), ("start>call", "call>after")),
    "on_error_continue": Story(
        (_request("call", REFUSED, on_error="continue"), _transform("code", "{% $input.code %}")),
        ("start>call", "call>code"),
    ),
    "on_error_route": Story(
        (
            _request("call", REFUSED, on_error="route"),
            _transform("fine", 1),
            _transform("sorry", "{% $nodes.call.code %}"),
        ),
        ("start>call", "call>fine", "call.error>sorry"),
    ),
    "fail": Story(
        ({"id": "no", "type": "fail", "parameters": {"code": "ours", "message": "{% $trigger.body.n %}"}},),
        ("start>no",),
        {"n": "no"},
    ),
    "expression_error": Story(
        (_transform("sum", "{% $trigger.body.n + 1 %}", retry=[{"max_attempts": 2, "initial_interval_seconds": 0.1}]),),
        ("start>sum",),
        {"n": "x"},
    ),
    "delay": Story(
        ({"id": "pause", "type": "delay", "parameters": {"seconds": 3}}, _transform("a", "{% $input.body.n %}")),
        ("start>pause", "pause>a"),
        {"n": 2},
    ),
    "signal": Story(
        (_wait("wait", schema={"type": "object"}), _transform("by", "{% $input.by %}")),
        ("start>wait", "wait>by"),
        then=_signalled,
    ),
    "signal_chosen": Story(
        (_wait("pause", name="begin"), _wait("number", schema={"required": ["n"], "type": "object"}), _wait("any")),
        ("start>pause", "pause>number", "number>any"),
        then=_chosen,
    ),
    "signal_timeout": Story(
        (_wait("wait", timeout_seconds=3), _transform("late", 1)), ("start>wait", "wait.timeout>late")
    ),
    "cancel": Story((_wait("wait"), _transform("a", 1)), ("start>wait", "wait>a"), then=_cancelled),
    "redrive": Story(
        (_transform("n", 1), _request("call", BROKEN), _transform("after", "{% $nodes.n %}")),
        ("start>n", "n>call", "call>after"),
        then=_redriven,
    ),
    "redrive_cancelled": Story(
        ({"id": "pause", "type": "delay", "parameters": {"seconds": 4}}, _transform("a", 1)),
        ("start>pause", "pause>a"),
        then=_cancelled_and_redriven,
    ),
    "fork": Story(
        (_transform("n", "{% $random() %}"), _transform("text", "x"), _transform("a", "{% $nodes.text %}")),
        ("start>n", "n>text", "text>a"),
        then=_forked,
    ),
    "replay": Story((_transform("a", "{% $trigger.body.n %}"),), ("start>a",), {"n": 1}, then=_replayed),
    "map": Story(
        (
            _map(
                [_transform("a", "{% $item * $nodes.n %}"), _transform("b", "{% $index & ': ' & $input %}")],
                [_edge("a", "b")],
                items="{% $trigger.body %}",
            ),
            _transform("n", 2),
            _transform("all", "{% $nodes.each %}"),
        ),
        ("start>n", "n>each", "each>all"),
        [1, 2, 3],
    ),
    "map_of_effects": Story((_map([_request("call", SINK)], [], items=[1, 2, 3], max_concurrency=2),), ("start>each",)),
    "map_tolerates": Story(
        (_map([_transform("a", "{% $item + 1 %}")], [], items=[1, "x", 3], tolerated_failure_count=1),), ("start>each",)
    ),
    "map_has_enough": Story(
        (_map([_transform("a", "{% $item + 1 %}")], [], items=["x", 2, 3, 4], max_concurrency=1, min_successful=2),),
        ("start>each",),
    ),
    "map_retried": Story(
        (
            {
                **_map([_request("call", FLAKY)], [], items=[1, 2], max_concurrency=1),
                "retry": [{"errors": ["items_failed"], "max_attempts": 5, "initial_interval_seconds": 0.1}],
            },
        ),
        ("start>each",),
    ),
    "map_waits": Story(
        (_map([_wait("wait"), _transform("by", "{% $input.by %}")], [_edge("wait", "by")], items=[1]),),
        ("start>each",),
        then=_signalled,
    ),
    "map_in_map": Story(
        (
            _map(
                [{**_map([_transform("a", "{% $item * 2 %}")], [], items="{% $item %}"), "id": "inner"}],
                [],
                items=[[1, 2], [3]],
            ),
        ),
        ("start>each",),
    ),
    "map_redriven": Story((_map([_request("call", BROKEN)], [], items=[1, 2]),), ("start>each",), then=_redriven),
    "call_workflow": Story((CALL, _transform("a", "{% $nodes.call %}")), ("start>call", "call>a"), {"n": 4}),
    "called": Story((CALL,), ("start>call",), {"n": 4}, then=_called),
    "call_without_waiting": Story(
        ({**CALL, "parameters": {**CALL["parameters"], "wait": False}},), ("start>call",), {"n": 4}
    ),
    "call_fails": Story(({**CALL, "on_error": "continue"},), ("start>call",), {"n": "x"}),
    "map_of_calls": Story(
        ({"id": "each", "type": "map", "parameters": {"items": [{"n": 1}, {"n": 2}], "workflow_id": "{child}"}},),
        ("start>each",),
    ),
    "timeout": Story((_wait("wait"), _transform("a", 1)), ("start>wait", "wait>a"), settings={"timeout_seconds": 3}),
    "error_workflow": Story((_request("call", REFUSED),), ("start>call",), settings={"error_workflow_id": "{child}"}),
    "redrive_of_a_call": Story(
        ({"id": "call", "type": "call_workflow", "parameters": {"workflow_id": "{broken_child}"}},),
        ("start>call",),
        then=_redriven,
    ),
    "secret": Story(
        (
            {
                "id": "call",
                "type": "http_request",
                "parameters": {"method": "POST", "url": SINK, "headers": {"x-token": "{% $secrets.token %}"}},
            },
        ),
        ("start>call",),
    ),
    "signal_url": Story(
        (
            {
                "id": "tell",
                "type": "http_request",
                "parameters": {"method": "POST", "url": SINK, "body": "{% $execution.signal_urls.go %}"},
            },
            _wait("wait"),
            _transform("by", "{% $input.by %}"),
        ),
        ("start>tell", "tell>wait", "wait>by"),
        then=_signalled,
    ),
    "respond": Story(
        (
            {"id": "answer", "type": "respond", "parameters": {"status": 201, "body": {"n": "{% $trigger.body.n %}"}}},
            _transform("a", 1),
        ),
        ("start>answer", "answer>a"),
        {"n": 1},
    ),
    "large_payload": Story(
        (_transform("many", "{% [1..5000] %}"), _transform("count", "{% $count($input) %}")),
        ("start>many", "many>count"),
    ),
    "output_limit": Story(
        (
            _transform(
                "many", "{% $map([1..20], function($n) { $join($map([1..6000], function($m) { 'abcdefghij' })) }) %}"
            ),
        ),
        ("start>many",),
    ),
    "schedule": Story(
        (_transform("a", "{% $trigger %}"),),
        ("start>a",),
        then=lambda runner: runner.ticks(),
        start={"id": "start", "type": "schedule_trigger", "parameters": {"cron": "* * * * *", "timezone": "UTC"}},
    ),
}
