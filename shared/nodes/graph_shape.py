"""A graph's structure: its triggers, the bodies of its maps, and whether it is acyclic and reachable."""

from __future__ import annotations

from collections.abc import Iterator

from shared.domain.execution.node_paths import item_of, split_path
from shared.domain.workflow.graph import Graph, Node
from shared.errors import Problem
from shared.json_types import JsonObject
from shared.nodes.node_kinds import Map
from shared.nodes.registry import names, node_type


def is_trigger(node: Node) -> bool:
    """Whether runs start at the node."""
    return node.type in names() and node_type(node.type).is_trigger


def trigger_for(graph: Graph, trigger: JsonObject) -> str | None:
    """The id of the trigger node that a run with this trigger starts from; `None` when the graph has none that fits.

    A manual run starts from any trigger, so that a webhook's workflow can be tried out; so does a child run.
    """
    triggers = {node.id: node.type for node in graph.nodes.values() if is_trigger(node)}
    if trigger.get("node_id") is not None:
        return trigger["node_id"] if trigger["node_id"] in triggers else None
    # Child runs and error workflows start as manual runs do.
    by_hand = trigger.get("type") in ("manual", "call", "error")
    wanted = "manual_trigger" if by_hand else f"{trigger.get('type')}_trigger"
    fitting = [name for name, kind in triggers.items() if kind == wanted]
    if not fitting and by_hand:
        fitting = list(triggers)
    return fitting[0] if fitting else None


def graph_at(graph: Graph, prefix: str) -> Graph:
    """The graph whose nodes have this prefix: `graph` itself for the empty one, else the body of a map in it."""
    if not prefix:
        return graph
    outer, map_id = split_path(item_of(prefix)[0])
    node = graph_at(graph, outer).nodes[map_id]
    kind = node_type(node.type).kind
    assert isinstance(kind, Map), f"{node.id} is no map"
    return kind.body(node.parameters)


def shape_problems(graph: Graph, pointer: str) -> Iterator[Problem]:
    """Problems of a workflow's graph as a whole; `pointer` is the graph's JSON pointer."""
    triggers = [node.id for node in graph.nodes.values() if is_trigger(node)]
    if not triggers:
        suggestion = "Add a webhook_trigger, a schedule_trigger or a manual_trigger."
        yield Problem(f"{pointer}/nodes", "The workflow has no trigger, so nothing could start it.", suggestion)
    yield from _cycle_problems(graph, pointer)
    # Without a trigger every node would be unreachable: that problem is reported once, above.
    reachable = set(triggers)
    open_nodes = list(triggers)
    while open_nodes:
        for target in graph.successors[open_nodes.pop()]:
            if target not in reachable:
                reachable.add(target)
                open_nodes.append(target)
    for index, name in enumerate(graph.nodes if triggers else ()):
        if name not in reachable:
            message = f"The node {name!r} cannot be reached from a trigger."
            yield Problem(f"{pointer}/nodes/{index}", message, "Draw an edge to it or remove it.")


def body_shape_problems(graph: Graph, pointer: str) -> Iterator[Problem]:
    """Problems of the graph of a map's body as a whole."""
    if not graph.nodes:
        yield Problem(f"{pointer}/nodes", "The body has no node, so nothing would be done for an item.")
    for index, node in enumerate(graph.nodes.values()):
        if is_trigger(node):
            message = "A map's body has no trigger: the nodes that nothing leads into start with each item."
            yield Problem(f"{pointer}/nodes/{index}/type", message, "Remove it and read the item as $item.")
    yield from _cycle_problems(graph, pointer)


def _cycle_problems(graph: Graph, pointer: str) -> Iterator[Problem]:
    positions = {name: index for index, name in enumerate(graph.nodes)}
    for name in _on_cycles(graph):
        message = f"The node {name!r} is part of a cycle."
        yield Problem(f"{pointer}/nodes/{positions[name]}", message, "A run only goes forward.")


def _on_cycles(graph: Graph) -> list[str]:
    """The nodes on a cycle or between two, in order: those that remain when nodes without a successor or without a
    predecessor are removed again and again."""
    left = dict.fromkeys(graph.nodes)
    while True:
        ends = [
            name
            for name in left
            if not any(target in left for target in graph.successors[name])
            or not any(edge.source in left for edge in graph.incoming[name])
        ]
        if not ends:
            return list(left)
        for name in ends:
            del left[name]
