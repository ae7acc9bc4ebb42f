"""What a forked run keeps of the original: the outcomes of all nodes that do not follow the fork."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from shared.domain.execution.fold import execution_fact
from shared.domain.execution.node_paths import split_path
from shared.domain.execution.state import ExecutionState
from shared.domain.workflow.graph import Graph
from shared.events.codec import encode
from shared.events.envelope import RecordedEvent
from shared.events.node import NodeFailed, NodeSucceeded


def kept_nodes(graph: Graph, state: ExecutionState, from_node: str) -> set[str]:
    """The ids of the nodes whose outcome is kept by a run on `graph` that is forked from `from_node`.

    Those are the nodes that do not follow `from_node` and that completed, or whose failure was handled. Skipped nodes
    are decided anew; nodes that failed the run, or never ran, are run.
    """
    undone = graph.descendants(from_node) | {from_node}
    return {
        node_id
        for node_id in graph.nodes
        if node_id not in undone
        and (record := state.nodes.get(node_id)) is not None
        and record.status in ("succeeded", "failed")
        and record.handled != "fail"
        and node_id != state.trigger_node_id
    }


def kept_events(state: ExecutionState, events: Iterable[RecordedEvent], kept_ids: set[str]) -> Iterator[RecordedEvent]:
    """The events by which the kept nodes ended, in order, as the forked run records them.

    The events of a map's items are not copied: the map's own end then carries its output. So does the end of a node
    that passed on the output of a node that is not kept.
    """
    # Nodes of a map's items are left out: only the map's own end is kept.
    ends: dict[str, RecordedEvent] = {}
    for event in events:
        node_id = event.payload.get("node_id", "")
        if event.event_type in ("NodeSucceeded", "NodeFailed") and node_id in kept_ids and not split_path(node_id)[0]:
            ends.pop(node_id, None)  # a redriven node has ended before; the last end counts
            ends[node_id] = event
    for node_id, event in ends.items():
        fact, _ = execution_fact(event)
        record = state.nodes[node_id]
        # Whether the event carries its output itself, or all nodes whose output it passes on are kept too.
        has_own = isinstance(fact, NodeFailed) or (
            record.items is None and set(getattr(fact, "output_of", None) or ()) <= kept_ids | {state.trigger_node_id}
        )
        if has_own:
            yield event
        elif isinstance(fact, NodeSucceeded):
            own = replace(fact, output=record.output, output_of=None)
            yield replace(event, payload=encode(own), payload_sha256=None)
