"""Where `delivery: at_most_once` is allowed in a graph: at effects that nothing in the graph retries."""

from __future__ import annotations

from collections.abc import Iterator

from shared.domain.workflow.graph import Graph, Node
from shared.domain.workflow.graph_parser import parse_graph
from shared.errors import Problem
from shared.nodes.node_kinds import Map
from shared.nodes.node_type import AnyNodeType

_SUGGESTION = 'Remove it, or set delivery to "at_least_once".'


def delivery_problems(type_: AnyNodeType, node: Node, pointer: str) -> Iterator[Problem]:
    """Conflicts between a node's retriers and its `delivery`, or that of a node in its body: a retrier sends again."""
    if node.delivery == "at_most_once":
        if not type_.is_effect:
            message = f"A {type_.name} sends nothing: delivery is for effects."
            yield Problem(f"{pointer}/delivery", message, "Remove it.")
        elif node.retry:
            yield Problem(f"{pointer}/retry", "What is sent at most once is never attempted again.", _SUGGESTION)
    if node.retry and isinstance(node.parameters.get("body"), dict) and isinstance(type_.kind, Map):
        for name in _sent_once(node.parameters["body"]):
            message = f"A further attempt at the map would send again what {name!r} sends at most once."
            yield Problem(f"{pointer}/retry", message, "Remove it, or do without at_most_once in the body.")


def _sent_once(body: dict[str, object]) -> Iterator[str]:
    """The ids of the nodes in a map's body, and in the maps within, that send at most once."""
    # A body that is no graph is reported by `validation`, together with where it stands.
    graph, _ = parse_graph(body.get("nodes"), body.get("edges", []))
    for node in (graph or Graph([], [])).nodes.values():
        if node.delivery == "at_most_once":
            yield node.id
        inner = node.parameters.get("body")
        if node.type == "map" and isinstance(inner, dict):
            yield from _sent_once(inner)
