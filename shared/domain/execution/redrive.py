"""Which nodes run again when a failed or cancelled run is redriven."""

from __future__ import annotations

from collections.abc import Callable

from shared.domain.execution.node_paths import split_path
from shared.domain.execution.state import ExecutionState
from shared.domain.workflow.graph import Graph


def redriven_nodes(graph_at: Callable[[str], Graph], state: ExecutionState) -> list[str]:
    """The paths of the nodes to reset: those that failed the run or were cancelled, and those skipped after them.

    A failure that the workflow handles (`continue`, `route`) is an outcome like any other and stays. `graph_at` returns
    the graph of a prefix: the run's own for the empty one, else the body of a map.
    """
    paths: list[str] = []
    # Each graph of the run on its own: its own graph, and the body of a map for each item in progress.
    for prefix in dict.fromkeys(["", *(split_path(path)[0] for path in state.nodes)]):
        # An item that has ended has no records: only items in progress have a prefix among the paths.
        graph = graph_at(prefix)
        open_nodes = [node_id for node_id in graph.nodes if _is_unfinished(state, prefix + node_id)]
        reset = dict.fromkeys(open_nodes)
        # Skipped nodes after an unfinished one are undecided again, and so are those after them.
        while open_nodes:
            for target in graph.successors[open_nodes.pop()]:
                record = state.nodes.get(prefix + target)
                if record is not None and record.status == "skipped" and target not in reset:
                    reset[target] = None
                    open_nodes.append(target)
        paths += [prefix + node_id for node_id in graph.nodes if node_id in reset]
    return paths


def _is_unfinished(state: ExecutionState, path: str) -> bool:
    record = state.nodes.get(path)
    return record is not None and (record.status == "cancelled" or record.handled == "fail")
