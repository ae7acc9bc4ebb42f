"""The map as it is drawn: its body's problems stand where they are, and its limits mean what they say."""

from __future__ import annotations

from typing import Any

import pytest

from shared.json_types import JsonObject
from shared.nodes.types.map import NODE, MapParameters
from tests.unit.nodes.test_validation import HOOK, problems

BODY = "/nodes/2/parameters/body"


def each(body: Any, **parameters: Any) -> JsonObject:
    """A map over the trigger's list."""
    return {"id": "each", "type": "map", "parameters": {"items": "{% $trigger.body %}", "body": body, **parameters}}


def in_map(node: JsonObject, *edges: dict[str, str]) -> list[tuple[str, str | None]]:
    """The problems of a body of this node, `charge`, after the nodes `hook` and `before` of the workflow."""
    before = {"id": "before", "type": "transform", "parameters": {"value": 1}}
    after = {"id": "after", "type": "transform", "parameters": {"value": 1}}
    body = {"nodes": [{"id": "charge", **node}], "edges": list(edges)}
    drawn = [("hook", "before"), ("before", "each"), ("each", "after")]
    result = problems(
        [HOOK, before, each(body), after], [{"source": source, "target": target} for source, target in drawn]
    )
    return [(problem.pointer, problem.suggestion) for problem in result]


def value(text: Any) -> JsonObject:
    """A transform."""
    return {"type": "transform", "parameters": {"value": text}}


@pytest.mark.parametrize("text", ["{% $item.x + $index %}", "{% $input %}", "{% $nodes.before + $nodes.hook.x %}"])
def test_body_may_read_the_item_and_what_ran_before(text: str) -> None:
    """The item, its index, and every node that has settled when the map begins."""
    assert in_map(value(text)) == []


@pytest.mark.parametrize(
    ("node", "pointer", "hint"),
    [
        (value("{% $nodes.after %}"), "/parameters/value", "Draw an edge from it."),
        (value("{% $nodes.each %}"), "/parameters/value", "Draw an edge from it."),
        (value("{% $nodes.befor %}"), "/parameters/value", "Did you mean 'before'?"),
        (value("{% $itm %}"), "/parameters/value", "Did you mean '$item'?"),
        ({"type": "transfrom"}, "/type", "Did you mean 'transform'?"),
        ({"type": "webhook_trigger"}, "/type", "Remove it and read the item as $item."),
        ({"id": "before", **value(1)}, "/id", "Give it another id."),
    ],
)
def test_problem_of_a_body_stands_at_its_place(node: JsonObject, pointer: str, hint: str) -> None:
    """A JSON pointer leads through the map into its body."""
    assert in_map(node) == [(f"{BODY}/nodes/0{pointer}", hint)]


def test_edges_of_a_body_are_its_own() -> None:
    """They join nodes of the body alone."""
    assert in_map(value(1), {"source": "before", "target": "charge"})[0][0] == f"{BODY}/edges/0/source"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (None, BODY),
        ({"nodes": []}, f"{BODY}/nodes"),
        ({"nodes": {}}, f"{BODY}/nodes"),
        ({"nodes": [{"id": "a", **value(1)}], "egdes": []}, f"{BODY}/egdes"),
        ({"nodes": [{"id": "a", "type": "transform", "parametres": {}}]}, f"{BODY}/nodes/0/parametres"),
        ([], BODY),
    ],
)
def test_malformed_body_is_a_problem(body: Any, pointer: str) -> None:
    """What is no graph is refused where it stands."""
    edges = [{"source": "hook", "target": "x"}, {"source": "x", "target": "each"}]
    result = problems([HOOK, {"id": "x", **value(1)}, each(body)], edges)
    assert [problem.pointer for problem in result] == [pointer]


@pytest.mark.parametrize(
    ("parameters", "pointers"),
    [
        ({"workflow_id": "7c9e6679-7425-40de-944b-e07fc1f90ae7"}, []),
        ({"workflow_id": "{% $item.workflow %}"}, []),
        ({"workflow_id": "{% $nodes.nowhere %}"}, ["/workflow_id"]),
        ({"workflow_id": "orders"}, ["/workflow_id"]),
        ({"workflow_id": 5}, ["/workflow_id"]),
        ({"workflow_id": "orders", "body": {"nodes": [{"id": "a", **value(1)}]}}, ["/body"]),
    ],
)
def test_workflow_may_stand_for_a_body(parameters: JsonObject, pointers: list[str]) -> None:
    """One or the other; what is wrong with the workflow's id stands where it was written."""
    node = {"id": "each", "type": "map", "parameters": {"items": [], **parameters}}
    result = problems([HOOK, node], [{"source": "hook", "target": "each"}])
    assert list(dict.fromkeys(problem.pointer for problem in result)) == [
        f"/nodes/1/parameters{pointer}" for pointer in pointers
    ]


def test_maps_stand_in_one_another_to_a_limit() -> None:
    """Four deep, and no deeper."""
    drawn: JsonObject = {"id": "leaf", **value("{% $item %}")}
    for depth in range(5):
        drawn = {**each({"nodes": [drawn]}), "id": f"m{depth}"}
    result = problems([HOOK, drawn], [{"source": "hook", "target": "m4"}])
    assert [problem.pointer for problem in result] == ["/nodes/1" + 4 * "/parameters/body/nodes/0" + "/parameters/body"]


def test_item_is_unknown_outside_of_maps() -> None:
    """`$item` elsewhere would be undefined for ever."""
    (problem,) = problems([HOOK, {"id": "n", **value("{% $item %}")}], [{"source": "hook", "target": "n"}])
    assert (problem.pointer, problem.message) == (
        "/nodes/1/parameters/value",
        "$item is known in the body of a map alone.",
    )


@pytest.mark.parametrize(
    ("limits", "tolerated"),
    [
        ({}, 0),
        ({"tolerated_failure_count": 3}, 3),
        ({"tolerated_failure_percentage": 12.5}, 1),
        ({"tolerated_failure_percentage": 100, "tolerated_failure_count": 2}, 2),
        ({"min_successful": 4}, 6),
        ({"min_successful": 11}, -1),
        ({"min_successful": 4, "tolerated_failure_count": 1}, 1),
    ],
)
def test_limits_of_ten_items(limits: JsonObject, tolerated: int) -> None:
    """How many of ten items may fail: the stricter limit, or what a quorum leaves."""
    assert NODE.kind.plan(MapParameters(items=list(range(10)), **limits)).tolerated_failures == tolerated
