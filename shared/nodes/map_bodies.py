"""The graphs within a graph: the bodies of its maps."""

from __future__ import annotations

from shared.domain.execution.node_paths import item_of, split_path
from shared.domain.workflow.graph import Graph
from shared.nodes.registry import node_type


def graph_at(graph: Graph, prefix: str) -> Graph:
    """The graph whose nodes have this prefix: `graph` itself for the empty one, else the body of a map in it."""
    if not prefix:
        return graph
    outer, map_id = split_path(item_of(prefix)[0])
    drawn = graph_at(graph, outer).nodes[map_id]
    body = node_type(drawn.type).body
    assert body is not None, f"{drawn.id} is no map"
    return body(drawn.parameters)
