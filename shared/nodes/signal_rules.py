"""Where a node's parameters may refer to the URLs of signals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set

from shared.domain.expressions.expressions import ExpressionError, Source, split
from shared.domain.expressions.signal_urls import MARK, signal_named
from shared.domain.expressions.templates import texts
from shared.domain.name_suggestion import did_you_mean
from shared.domain.workflow.graph import Graph
from shared.domain.workflow.graph_parser import parse_graph
from shared.errors import Problem
from shared.json_types import JsonObject
from shared.nodes.node_type import AnyNodeType


def awaited_signals(graph: Graph) -> set[str]:
    """The literal names of all signals that a node here or in a map's body waits for."""
    awaited: set[str] = set()
    for node in graph.nodes.values():
        name, body = node.parameters.get("name"), node.parameters.get("body")
        # A name that an expression yields is unknown before the run.
        if node.type == "wait_for_signal" and isinstance(name, str) and "{%" not in name:
            awaited.add(name)
        if node.type == "map" and isinstance(body, dict):
            inner, _ = parse_graph(body.get("nodes"), body.get("edges", []))
            awaited |= awaited_signals(inner) if inner is not None else set()
    return awaited


def signal_url_problems(
    type_: AnyNodeType, parameters: JsonObject, awaited: Callable[[], Set[str]], pointer: str
) -> Iterator[Problem]:
    """Invalid references to signals' URLs among a node's parameters: only effects may have them, and
    only of signals that a node of the workflow waits for, which `awaited` returns."""
    for where, text in texts(parameters):
        if MARK not in text:
            continue
        try:
            sources = [part.text for part in split(text) if isinstance(part, Source)]
        except ExpressionError:
            continue  # `validation` reports it
        for name in filter(None, map(signal_named, sources)):
            if not type_.is_effect:
                message = f"A {type_.name} cannot use a signal's URL: effects can."
                yield Problem(pointer + where, message, "Use it where it is sent.")
            elif name not in (known := awaited()):
                yield Problem(
                    pointer + where, f"No node waits for a signal {name!r}.", did_you_mean(name, sorted(known))
                )
