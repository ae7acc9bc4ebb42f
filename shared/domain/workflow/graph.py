"""A workflow's graph: nodes joined by edges, read from a tenant's JSON and normalised to one shape.

Parsing checks the form alone, so that an unfinished draft can be saved: whether types exist, parameters fit them and
edges have both ends is checked when the graph is published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from shared.domain.retry_policy import Retrier
from shared.json_types import JsonObject

if TYPE_CHECKING:
    from shared.domain.workflow.reachability import Ancestors

Join = Literal["any", "all"] | int

MAX_NODES = 1_000
MAX_EDGES = 4_000


@dataclass(frozen=True, slots=True)
class Node:
    """One step. `join` is `any`, `all`, or how many in-edges must be live; `timeout_seconds` unset means the type's.

    `delivery` says what an interrupted effect does: repeat its request, or fail.
    """

    id: str
    type: str
    parameters: JsonObject
    name: str | None = None
    position: JsonObject | None = None
    retry: tuple[Retrier, ...] = ()
    timeout_seconds: float | None = None
    on_error: Literal["fail", "continue", "route"] = "fail"
    delivery: Literal["at_least_once", "at_most_once"] = "at_least_once"
    join: Join = "any"
    disabled: bool = False
    notes: str | None = None

    def as_json(self) -> JsonObject:
        """The node in this service's shape; unset fields and defaults are left out."""
        shape: JsonObject = {"id": self.id, "type": self.type}
        if self.name is not None:
            shape["name"] = self.name
        if self.position is not None:
            shape["position"] = self.position
        shape["parameters"] = self.parameters
        if self.retry:
            shape["retry"] = [retrier.as_json() for retrier in self.retry]
        if self.timeout_seconds is not None:
            shape["timeout_seconds"] = self.timeout_seconds
        if self.on_error != "fail":
            shape["on_error"] = self.on_error
        if self.delivery != "at_least_once":
            shape["delivery"] = self.delivery
        if self.join != "any":
            shape["join"] = {"n": self.join} if isinstance(self.join, int) else self.join
        if self.disabled:
            shape["disabled"] = True
        if self.notes is not None:
            shape["notes"] = self.notes
        return shape


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge from a handle of one node to another node."""

    id: str
    source: str
    target: str
    source_handle: str = "out"

    def as_json(self) -> JsonObject:
        """The edge in this service's shape."""
        return {"id": self.id, "source": self.source, "target": self.target, "source_handle": self.source_handle}


class Graph:
    """Nodes by id, in the graph's order, with the edges into and out of each."""

    __slots__ = ("_ancestors", "edges", "incoming", "nodes", "outgoing", "successors")

    def __init__(self, nodes: Sequence[Node], edges: Sequence[Edge]) -> None:
        """Edges whose source or target does not exist are ignored here; publishing refuses them."""
        self.nodes: Mapping[str, Node] = MappingProxyType({node.id: node for node in nodes})
        self.edges: tuple[Edge, ...] = tuple(edges)
        incoming: dict[str, list[Edge]] = {node.id: [] for node in nodes}
        outgoing: dict[str, list[Edge]] = {node.id: [] for node in nodes}
        for edge in edges:
            if edge.source in outgoing and edge.target in incoming:
                outgoing[edge.source].append(edge)
                incoming[edge.target].append(edge)
        self.incoming: Mapping[str, tuple[Edge, ...]] = {name: tuple(into) for name, into in incoming.items()}
        self.outgoing: Mapping[str, tuple[Edge, ...]] = {name: tuple(out_of) for name, out_of in outgoing.items()}
        self.successors: Mapping[str, tuple[str, ...]] = {
            name: tuple(dict.fromkeys(edge.target for edge in out_of)) for name, out_of in outgoing.items()
        }
        self._ancestors: Ancestors | None = None

    def ancestors(self, node_id: str) -> Set[str]:
        """The ids of all nodes before this one: they are settled before it starts."""
        if self._ancestors is None:
            # Imported here: most users of a graph never need it.
            from shared.domain.workflow.reachability import Ancestors

            self._ancestors = Ancestors(
                {name: tuple(edge.source for edge in into) for name, into in self.incoming.items()}
            )
        return self._ancestors.of(node_id)

    def descendants(self, node_id: str) -> set[str]:
        """The ids of all nodes after this one."""
        after: set[str] = set()
        open_nodes = [node_id]
        while open_nodes:
            for name in self.successors[open_nodes.pop()]:
                if name not in after:
                    after.add(name)
                    open_nodes.append(name)
        return after

    def as_json(self) -> JsonObject:
        """`{nodes, edges}` in this service's shape, as it is stored."""
        return {
            "nodes": [node.as_json() for node in self.nodes.values()],
            "edges": [edge.as_json() for edge in self.edges],
        }
