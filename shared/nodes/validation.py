"""Whether a graph can be published: every problem, with a JSON pointer to it and a suggestion."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from typing import Any

from pydantic import ValidationError

from shared.domain.expressions.expressions import (
    ITEM_SCOPE,
    MUSTACHE_SUGGESTION,
    SCOPE,
    Compiled,
    ExpressionError,
    Source,
    compile_expression,
    context_problems,
    has_mustache,
    split,
)
from shared.domain.expressions.secret_references import secret_named
from shared.domain.expressions.signal_urls import MARK, signal_named
from shared.domain.expressions.templates import texts
from shared.domain.json.values import pointer_of
from shared.domain.name_suggestion import did_you_mean
from shared.domain.workflow.graph import Graph, Node
from shared.domain.workflow.graph_parser import parse_graph
from shared.errors import MAX_PROBLEMS, Problem
from shared.json_types import JsonObject
from shared.nodes.at_most_once_rules import delivery_problems
from shared.nodes.graph_shape import body_shape_problems, is_trigger, shape_problems
from shared.nodes.node_kinds import Map, Parameters
from shared.nodes.node_type import DRAWN, ERROR_HANDLE, MAX_EFFECT_TIMEOUT_SECONDS, AnyNodeType
from shared.nodes.registry import names, node_type
from shared.nodes.secret_rules import secret_problems
from shared.nodes.signal_rules import awaited_signals, signal_url_problems

# How deep maps may be nested.
MAX_DEPTH = 4


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a graph stands: as the workflow's own, or as the body of the map `map_id` in the graph around it.
    `awaited` returns the signals that the workflow waits for, computed on first use."""

    graph: Graph
    awaited: Callable[[], Set[str]]
    pointer: str = ""
    outer: _Place | None = None
    map_id: str = ""

    def around(self) -> Iterator[_Place]:
        """The places outside of this one, outwards."""
        place = self.outer
        while place is not None:
            yield place
            place = place.outer

    def within(self, graph: Graph, pointer: str, map_id: str) -> _Place:
        """The place of a body in this one."""
        return _Place(graph, self.awaited, pointer, self, map_id)

    def known(self) -> list[str]:
        """The ids of all nodes here and around."""
        return [name for place in (self, *self.around()) for name in place.graph.nodes]

    def knows(self, name: str) -> bool:
        """Whether there is a node of this name here or around."""
        return any(name in place.graph.nodes for place in (self, *self.around()))

    def runs_before(self, name: str, node_id: str) -> bool:
        """Whether the node of this name has settled when a node here runs."""
        # Nodes around a body have settled when they come before its map.
        if name in self.graph.nodes or self.outer is None:
            return name in self.graph.ancestors(node_id)
        return self.outer.runs_before(name, self.map_id)


def validate_graph(graph: Graph) -> list[Problem]:
    """What keeps the graph from being published, in the order of its nodes and edges, `MAX_PROBLEMS` at most; empty
    for a valid graph."""
    return list(islice(_graph(_Place(graph, cache(lambda: awaited_signals(graph)))), MAX_PROBLEMS))


def _graph(place: _Place) -> Iterator[Problem]:
    graph = place.graph
    for index, node in enumerate(graph.nodes.values()):
        yield from _node(place, node, f"{place.pointer}/nodes/{index}")
    for index, edge in enumerate(graph.edges):
        pointer = f"{place.pointer}/edges/{index}"
        for end in ("source", "target"):
            name = getattr(edge, end)
            if name not in graph.nodes:
                yield Problem(f"{pointer}/{end}", f"There is no node {name!r}.", did_you_mean(name, graph.nodes))
        if edge.source in graph.nodes:
            yield from _handle(graph.nodes[edge.source], edge.source_handle, f"{pointer}/source_handle")
        if edge.target in graph.nodes and is_trigger(graph.nodes[edge.target]):
            yield Problem(f"{pointer}/target", "Nothing leads into a trigger.", "Turn the edge round.")
    yield from (shape_problems if place.outer is None else body_shape_problems)(graph, place.pointer)


def _node(place: _Place, node: Node, pointer: str) -> Iterator[Problem]:
    try:
        type_ = node_type(node.type)
    except KeyError:
        yield Problem(f"{pointer}/type", f"There is no node type {node.type!r}.", did_you_mean(node.type, names()))
        return
    # Expressions in a body name nodes inside and outside of it alike.
    if any(node.id in around.graph.nodes for around in place.around()):
        yield Problem(f"{pointer}/id", f"Outside of the body there is a node {node.id!r} too.", "Give it another id.")
    yield from delivery_problems(type_, node, pointer)
    yield from secret_problems(type_, node.parameters, f"{pointer}/parameters")
    yield from signal_url_problems(type_, _templated(type_, node), place.awaited, f"{pointer}/parameters")
    yield from _expressions(place, type_, node, f"{pointer}/parameters")
    yield from _parameters(type_, node, f"{pointer}/parameters")
    if isinstance(type_.kind, Map):
        yield from _body(place, type_.kind, node, f"{pointer}/parameters")
    incoming = len(place.graph.incoming[node.id])
    if isinstance(node.join, int) and node.join > incoming:
        yield Problem(f"{pointer}/join/n", f"Only {incoming} edges lead into this node.")
    if type_.is_trigger and node.disabled:
        yield Problem(f"{pointer}/disabled", "A trigger cannot be disabled.", "Pause its webhook instead.")
    if type_.is_effect and (node.timeout_seconds or 0) > MAX_EFFECT_TIMEOUT_SECONDS:
        message = f"An attempt of {node.type} may take at most {MAX_EFFECT_TIMEOUT_SECONDS:g} seconds."
        yield Problem(
            f"{pointer}/timeout_seconds", message, "Let it start the work, and wait_for_signal wait for its end."
        )


def _body(place: _Place, kind: Map[Parameters], node: Node, pointer: str) -> Iterator[Problem]:
    """Problems of a map's body, itself a graph, or of the workflow that is called in its place."""
    drawn = node.parameters.get("body")
    if (drawn is None) == ("workflow_id" not in node.parameters):
        message = "A map has a body, which says what is done with each item, or a workflow_id: one of the two."
        yield Problem(f"{pointer}/body", message, "Give it {nodes, edges}." if drawn is None else None)
    elif drawn is None:
        called = place.within(kind.body(node.parameters), pointer, node.id)
        for problem in (problem for caller in called.graph.nodes.values() for problem in _node(called, caller, "")):
            # The node that calls is not drawn; its workflow is the map's parameter.
            if problem.pointer.startswith("/parameters"):
                yield replace(problem, pointer=pointer + problem.pointer.removeprefix("/parameters"))
    elif isinstance(drawn, dict):
        yield from _drawn_body(place, node.id, drawn, f"{pointer}/body")


def _drawn_body(place: _Place, map_id: str, drawn: JsonObject, pointer: str) -> Iterator[Problem]:
    for name in drawn:
        if name not in ("nodes", "edges"):
            yield Problem(
                f"{pointer}{pointer_of(name)}", "A body has no such key.", did_you_mean(name, ("nodes", "edges"))
            )
    # Checked before the body is parsed, which bounds the recursion.
    if sum(1 for _ in place.around()) >= MAX_DEPTH:
        yield Problem(pointer, f"Maps stand in one another at most {MAX_DEPTH} deep.", "Call a workflow instead.")
        return
    graph, problems = parse_graph(drawn.get("nodes"), drawn.get("edges", []))
    yield from (replace(problem, pointer=pointer + problem.pointer) for problem in problems)
    if graph is not None:
        yield from _graph(place.within(graph, pointer, map_id))


def _parameters(type_: AnyNodeType, node: Node, pointer: str) -> Iterator[Problem]:
    for name in type_.needs:
        if name not in node.parameters:
            yield Problem(f"{pointer}/{name}", "This parameter is required.")
    try:
        type_.parameters.model_validate(node.parameters, context=DRAWN)
    except ValidationError as error:
        # pydantic reports every member of a union that does not fit: one problem for each place is enough.
        seen: set[str] = set()
        for detail in error.errors(include_url=False, include_input=False):
            path, expression = _walk(node.parameters, detail["loc"])
            place = pointer + pointer_of(*path)
            # An expression's value is known when the node runs, and is checked then.
            if place in seen or (expression and path[-1] not in type_.literal):
                continue
            seen.add(place)
            if expression:
                yield Problem(place, "No expression can stand here: edges are drawn from it.", "Write it out.")
            elif detail["type"] == "extra_forbidden":
                known = _fields_at(type_, path)
                yield Problem(place, f"{type_.name} has no parameter {path[-1]!r}.", did_you_mean(str(path[-1]), known))
            elif detail["type"] == "missing":
                yield Problem(place, "This parameter is required.")
            else:
                message = detail["msg"].removeprefix("Value error, ")
                yield Problem(place, f"{message[:1].upper()}{message[1:]}".rstrip(".") + ".")


def _walk(value: Any, location: tuple[int | str, ...]) -> tuple[list[int | str], bool]:
    """The path in the JSON of a pydantic location, which also names union members, and whether a text with an
    expression stands at its end."""
    path: list[int | str] = []
    for part in location:
        inside_list = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if (isinstance(value, dict) and part in value) or inside_list:
            value = value[part]
            path.append(part)
        elif part == location[-1] and isinstance(value, dict) and isinstance(part, str):
            path.append(part)  # the name of a missing parameter
            return path, False
    return path, isinstance(value, str) and "{%" in value


def _fields_at(type_: AnyNodeType, path: list[int | str]) -> list[str]:
    if len(path) == 1:
        return list(type_.parameters.model_fields)
    # Deeper models are lists of one model (a switch's cases): their fields.
    annotation = type_.parameters.model_fields.get(str(path[0]))
    inner = getattr(annotation.annotation if annotation else None, "__args__", ())
    return [name for model in inner for name in getattr(model, "model_fields", ())]


def _templated(type_: AnyNodeType, node: Node) -> JsonObject:
    return {name: value for name, value in node.parameters.items() if name not in type_.verbatim}


def _expressions(place: _Place, type_: AnyNodeType, node: Node, pointer: str) -> Iterator[Problem]:
    for where, text in texts(_templated(type_, node)):
        try:
            parts = split(text)
        except ExpressionError as error:
            yield Problem(pointer + where, error.message)
            continue
        if has_mustache(parts):
            yield Problem(pointer + where, "{{ }} is not an expression here.", MUSTACHE_SUGGESTION)
        for part in parts:
            if isinstance(part, Source) and not _is_inserted(part.text):
                try:
                    compiled = compile_expression(part.text)
                except ExpressionError as error:
                    yield Problem(pointer + where, f"The expression does not compile: {error.message}")
                    continue
                yield from _credentials(compiled, pointer + where)
                yield from _names(place, node, compiled, pointer + where)


def _is_inserted(source: str) -> bool:
    return secret_named(source) is not None or signal_named(source) is not None


def _credentials(compiled: Compiled, pointer: str) -> Iterator[Problem]:
    """Secrets and signals' URLs in expressions that compute with them: each is only ever inserted as it is."""
    if "secrets" in compiled.others:
        yield Problem(pointer, "A secret is put in as it is.", "Write {% $secrets.name %} and nothing else in it.")
    of_run = compiled.reads.get("execution")
    if isinstance(of_run, dict) and MARK in of_run:
        suggestion = "Write {% $execution.signal_urls.name %} and nothing else in it."
        yield Problem(pointer, "A signal's URL is put in as it is.", suggestion)


def _names(place: _Place, node: Node, compiled: Compiled, pointer: str) -> Iterator[Problem]:
    for name in compiled.others:
        if name == "secrets":
            continue  # `_credentials` reports it
        yield Problem(
            pointer, f"Nothing is called ${name}.", did_you_mean(f"${name}", [f"${known}" for known in SCOPE])
        )
    for message, suggestion in context_problems(compiled):
        yield Problem(pointer, message, suggestion)
    if place.outer is None:
        for name in ITEM_SCOPE:
            if name in compiled.reads:
                yield Problem(pointer, f"${name} is known in the body of a map alone.")
    read = compiled.reads.get("nodes")
    if not isinstance(read, dict):  # it reads `$nodes` as a whole, or not at all
        return
    for name in read:
        if not place.knows(name):
            yield Problem(pointer, f"There is no node {name!r}.", did_you_mean(name, place.known()))
        elif name == node.id:
            yield Problem(pointer, "A node cannot read its own output.")
        elif not place.runs_before(name, node.id):
            message = f"The node {name!r} does not run before this one, so its output is never there."
            yield Problem(pointer, message, "Draw an edge from it.")


def _handle(node: Node, handle: str, pointer: str) -> Iterator[Problem]:
    if node.type not in names():
        return  # reported at the node
    type_ = node_type(node.type)
    # A disabled node passes its input on, whatever its type chooses.
    known = ["out"] if node.disabled else list(type_.handles(node.parameters))
    if handle == ERROR_HANDLE and not node.disabled and not type_.is_trigger:
        if node.on_error != "route":
            message = f"The node {node.id!r} never chooses its error handle."
            yield Problem(pointer, message, 'Set its on_error to "route".')
    elif handle not in known:
        suggestion = did_you_mean(handle, known) if known else "Nothing comes after it, except at its error handle."
        yield Problem(pointer, f"The node {node.id!r} has no handle {handle!r}.", suggestion)
