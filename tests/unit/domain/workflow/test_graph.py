"""Graphs as tenants and React Flow write them, and the one shape that is stored."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.workflow.graph import Graph
from shared.domain.workflow.graph_parser import parse_graph


def parsed(nodes: list[Any], edges: list[Any] | None = None) -> Graph:
    """A graph that is well-formed."""
    graph, problems = parse_graph(nodes, edges or [])
    assert problems == []
    assert graph is not None
    return graph


def problem(nodes: Any, edges: Any = ()) -> tuple[str, str]:
    """The pointer and the hint of the only problem."""
    graph, problems = parse_graph(nodes, list(edges) if isinstance(edges, tuple) else edges)
    assert graph is None
    (found,) = problems
    return found.pointer, found.suggestion or ""


def test_house_shape_survives_a_round_trip() -> None:
    """What is stored parses to what is stored."""
    node = {
        "id": "call",
        "type": "http_request",
        "name": "Call",
        "position": {"x": 1, "y": 2.5},
        "parameters": {"url": "https://a.example"},
        "retry": [{"errors": ["timeout"], "max_attempts": 5}],
        "timeout_seconds": 10,
        "on_error": "route",
        "join": {"n": 2},
        "disabled": True,
        "notes": "why",
    }
    once = parsed([node], [{"source": "call", "target": "call"}]).as_json()
    assert parsed(once["nodes"], once["edges"]).as_json() == once
    assert once["nodes"][0]["join"] == {"n": 2}
    assert once["edges"] == [{"id": "call.out-call", "source": "call", "target": "call", "source_handle": "out"}]


def test_react_flow_shape_becomes_the_house_shape() -> None:
    """`data`, `sourceHandle` and what is only drawn are understood and put away."""
    node = {
        "id": "1",
        "type": "if",
        "position": {"x": 0, "y": 0},
        "data": {"label": "Main?", "condition": True},
        "measured": {"width": 9},
        "selected": False,
    }
    edge = {"id": "e", "source": "1", "target": "1", "sourceHandle": "true", "targetHandle": None, "animated": True}
    graph = parsed([node], [edge])
    assert (graph.nodes["1"].name, graph.nodes["1"].parameters) == ("Main?", {"condition": True})
    assert graph.edges[0].source_handle == "true"


@pytest.mark.parametrize(
    ("node", "pointer", "hint"),
    [
        ({"id": "a", "type": "t", "paramters": {}}, "/nodes/0/paramters", "Did you mean 'parameters'?"),
        ({"id": "a", "type": "t", "on_error": "rout"}, "/nodes/0/on_error", "Did you mean 'route'?"),
        ({"id": "a b", "type": "t"}, "/nodes/0/id", ""),
        ({"id": "a", "type": 7}, "/nodes/0/type", ""),
        ({"id": "a", "type": "t", "join": {"n": 0}}, "/nodes/0/join", ""),
        ({"id": "a", "type": "t", "timeout_seconds": 10_000}, "/nodes/0/timeout_seconds", ""),
        ({"id": "a", "type": "t", "retry": [{"max_attempts": True}]}, "/nodes/0/retry/0/max_attempts", ""),
        ({"id": "a", "type": "t", "data": {"parameters": {}, "retri": []}}, "/nodes/0/data/retri", "'retry'"),
        ("a", "/nodes/0", ""),
    ],
)
def test_malformed_node_is_pointed_at(node: Any, pointer: str, hint: str) -> None:
    """Each problem says where it is and, where it can be guessed, what was meant."""
    found = problem([node])
    assert found[0] == pointer
    assert hint in found[1]


def test_two_nodes_with_one_id_are_a_problem() -> None:
    """Ids are unique."""
    assert problem([{"id": "a", "type": "t"}, {"id": "a", "type": "t"}])[0] == "/nodes/1/id"


@pytest.mark.parametrize(
    ("edge", "pointer"),
    [({"source": "a"}, "/edges/0/target"), (1, "/edges/0"), ({"source": "a", "target": "b", "x": 1}, "/edges/0/x")],
)
def test_malformed_edge_is_pointed_at(edge: Any, pointer: str) -> None:
    """Edges as well."""
    assert problem([], [edge])[0] == pointer


def test_draft_may_be_unfinished() -> None:
    """An edge to a node that is not drawn yet, and a type that does not exist, are for publishing to refuse."""
    graph = parsed([{"id": "a", "type": "later"}], [{"source": "a", "target": "not_yet"}])
    assert graph.successors["a"] == ()


@pytest.mark.parametrize(("nodes", "edges"), [({}, []), (None, []), ([], "x"), ([{}] * 1001, [])])
def test_anything_else_is_a_problem_and_no_error(nodes: Any, edges: Any) -> None:
    """Not a list, or too long a list."""
    assert problem(nodes, edges)[0] in ("/nodes", "/edges")
