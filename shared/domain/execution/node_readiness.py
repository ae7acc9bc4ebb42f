"""Which nodes are ready and which are skipped, decided by the settled nodes alone. Pure, without regard to time.

An edge is live when its source completed and chose its handle, else dead. A node is decidable when every predecessor
is settled: with enough live in-edges for its join it is ready, else it is skipped, which settles it and makes its
out-edges dead. Nothing else counts, so a run ends in the same state in whatever order its nodes finish. In particular,
a failed node makes only its own out-edges dead, and the run fails once all others are settled.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from shared.domain.execution.node_paths import item_of
from shared.domain.execution.state import SETTLED, ExecutionState
from shared.domain.workflow.graph import Graph
from shared.events.execution import ExecutionFailed, ExecutionSucceeded
from shared.events.node import ItemFailed, ItemSucceeded
from shared.json_types import JsonObject

# The size limit of a run's output, which may join those of several leaves: as much as a run may record.
MAX_OUTPUT_BYTES = 67_108_864

Readiness = Literal["ready", "skipped"]


def live_sources(graph: Graph, state: ExecutionState, node_id: str, prefix: str = "") -> list[str]:
    """The ids of the predecessors with a live edge to the node, each once, in the order of the edges."""
    sources: dict[str, None] = {}
    for edge in graph.incoming[node_id]:
        record = state.nodes.get(prefix + edge.source)
        if record is not None and edge.source_handle in record.handles:
            sources[edge.source] = None
    return list(sources)


def readiness(graph: Graph, state: ExecutionState, node_id: str, prefix: str = "") -> Readiness | None:
    """Whether an unsettled node is ready or skipped; `None` while one of its predecessors is not settled."""
    live = 0
    incoming = graph.incoming[node_id]
    if not incoming:
        # In a map's item every root starts; in a run only its trigger does, which is settled from the beginning.
        return "ready" if prefix else "skipped"
    for edge in incoming:
        record = state.nodes.get(prefix + edge.source)
        if record is None or record.status not in SETTLED:
            return None
        live += edge.source_handle in record.handles
    # All predecessors are settled from here on: the decision is final.
    join = graph.nodes[node_id].join
    enough = len(incoming) if join == "all" else 1 if join == "any" else join
    return "ready" if live and live >= enough else "skipped"


def decide(
    graph: Graph, state: ExecutionState, settled: Iterable[str] | None = None, prefix: str = ""
) -> list[tuple[str, Readiness]]:
    """The nodes that are ready or skipped now that `settled` are settled, in order; unset: all nodes are considered.

    Nodes are ids in the graph; `prefix` is that of the map's item in which the graph runs. Nodes that are running or
    waiting are not in the list. The caller records the skips and calls again with them, until the list is empty.
    """
    candidates: Iterable[str] = graph.nodes
    if settled is not None:
        candidates = dict.fromkeys(target for node_id in settled for target in graph.successors[node_id])
    decisions: list[tuple[str, Readiness]] = []
    for node_id in candidates:
        record = state.nodes.get(prefix + node_id)
        # A reset node of a redriven run is pending, and decided like a node without a record.
        if record is None or record.status == "pending":
            decided = readiness(graph, state, node_id, prefix)
            if decided is not None:
                decisions.append((node_id, decided))
    return decisions


def outcome(graph: Graph, state: ExecutionState) -> ExecutionSucceeded | ExecutionFailed:
    """The outcome of a run whose nodes are all settled.

    It fails with the error of the first node, in the graph's order, whose failure nothing handled. Else its output is
    that of the only leaf that completed, or an object by node id of several; too large an output fails the run.
    """
    # In the graph's order, not in time: the outcome must not depend on which node was faster.
    error, leaves = failure(graph, state), live_leaves(graph, state)
    size = state.joined_bytes(leaves)
    if error is None and size > MAX_OUTPUT_BYTES:
        message = f"The run's output would have {size} bytes; it may have {MAX_OUTPUT_BYTES}."
        error = {"code": "limit", "message": message}
    return ExecutionFailed(error) if error else ExecutionSucceeded(state.joined_output(leaves))


def item_outcome(graph: Graph, state: ExecutionState, prefix: str) -> ItemSucceeded | ItemFailed:
    """The outcome of a map's item whose nodes are all settled, by the same rule as a run's."""
    map_path, index = item_of(prefix)
    error = failure(graph, state, prefix)
    return (
        ItemFailed(map_path, index, error)
        if error
        else ItemSucceeded(map_path, index, live_leaves(graph, state, prefix))
    )


def failure(graph: Graph, state: ExecutionState, prefix: str = "") -> JsonObject | None:
    """`{code, message, node_id}` of the first node, in the graph's order, whose failure nothing handled."""
    for node_id in graph.nodes:
        record = state.nodes.get(prefix + node_id)
        if record is not None and record.handled == "fail":
            error = record.error or {}
            return {"code": error.get("code"), "message": error.get("message"), "node_id": prefix + node_id}
    return None


def live_leaves(graph: Graph, state: ExecutionState, prefix: str = "") -> list[str]:
    """The ids of the leaves that completed, in the graph's order."""
    return [
        node_id
        for node_id, successors in graph.successors.items()
        if not successors and (record := state.nodes.get(prefix + node_id)) is not None and record.handles
    ]
