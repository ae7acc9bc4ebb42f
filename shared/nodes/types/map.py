"""Runs its body, a small graph of its own, for each of `items`, several at once, and yields their outputs in order.

A body has nodes and edges and no trigger: the nodes without an incoming edge start with each item, which is their
`$input`. Expressions in the body read `$item`, `$index` (from 0), and in `$nodes` also what ran before the map. An
item's output is that of the body's leaves, as a run's is. An item that fails, or is never run, yields null.

With `workflow_id` instead of a body, that workflow is called for each item, as by a `call_workflow` whose input is the
item, and its output is the item's.

The map fails with `items_failed` once more items have failed than are tolerated, and succeeds as soon as
`min_successful` have succeeded; either way items under way are finished and no other is started.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from shared.domain.workflow.graph import Graph, Node
from shared.domain.workflow.graph_parser import parse_graph
from shared.errors import InvalidGraphError
from shared.json_types import JsonObject
from shared.nodes.node_kinds import Map, MapPlan, Parameters
from shared.nodes.node_type import NodeType

MAX_ITEMS = 10_000
MAX_CONCURRENCY = 100


class MapParameters(Parameters):
    """`items` is a list; another value counts as a list of one item, and an undefined one as an empty list.

    Failed items are tolerated up to `tolerated_failure_count` and up to `tolerated_failure_percentage` of all items;
    unset, none is, or with `min_successful` all that leave enough.
    """

    items: Annotated[list[object], Field(max_length=MAX_ITEMS)]
    body: JsonObject | None = None
    workflow_id: str | None = None
    max_concurrency: Annotated[int, Field(ge=1, le=MAX_CONCURRENCY)] = 10
    tolerated_failure_count: Annotated[int, Field(ge=0)] | None = None
    tolerated_failure_percentage: Annotated[float, Field(ge=0, le=100)] | None = None
    min_successful: Annotated[int, Field(ge=1)] | None = None


def _complete(resolved: JsonObject) -> JsonObject:
    items = resolved.get("items", [])
    return {**resolved, "items": items if isinstance(items, list) else [items]}


def _plan(parameters: MapParameters) -> MapPlan:
    total, enough = len(parameters.items), parameters.min_successful
    limits = []
    if parameters.tolerated_failure_count is not None:
        limits.append(parameters.tolerated_failure_count)
    if parameters.tolerated_failure_percentage is not None:
        limits.append(math.floor(total * parameters.tolerated_failure_percentage / 100))
    if not limits:
        limits.append(0 if enough is None else total - enough)
    # Where both limits are given, both hold.
    return MapPlan(total, parameters.max_concurrency, min(limits), enough)


def _body(parameters: JsonObject) -> Graph:
    if parameters.get("body") is None and "workflow_id" in parameters:
        # A body of one node, so that items run the same way in either case.
        call = {"workflow_id": parameters["workflow_id"], "input": "{% $item %}"}
        return Graph([Node("call", "call_workflow", call)], [])
    drawn = parameters.get("body") or {}
    if not isinstance(drawn, dict):
        raise InvalidGraphError("A map's body is a graph, {nodes, edges}.")
    graph, problems = parse_graph(drawn.get("nodes"), drawn.get("edges", []))
    if graph is None:
        raise InvalidGraphError(problems=tuple(problems))
    return graph


NODE = NodeType(
    "map",
    "Map",
    MapParameters,
    Map(_body, _plan),
    complete=_complete,
    needs=("items",),
    literal=frozenset({"body"}),
    verbatim=frozenset({"body", "workflow_id"}),
)
