"""Whether a graph can be published: every problem, with a JSON pointer to it and a way to mend it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from shared.domain.expressions import (
    MUSTACHE_HINT,
    SCOPE,
    Compiled,
    ExpressionError,
    Source,
    compile_expression,
    has_mustache,
    split,
)
from shared.domain.graph import Graph, Node
from shared.domain.graph_fields import nearest
from shared.domain.json_values import pointer_of
from shared.domain.templates import texts
from shared.errors import Problem
from shared.nodes.node_type import ERROR_HANDLE, NodeType
from shared.nodes.registry import names, node_type


def validate_graph(graph: Graph) -> list[Problem]:
    """What keeps the graph from being published, in the order of its nodes and edges; nothing when it is valid."""
    problems: list[Problem] = []
    for index, node in enumerate(graph.nodes.values()):
        problems.extend(_node(graph, node, f"/nodes/{index}"))
    for index, edge in enumerate(graph.edges):
        pointer = f"/edges/{index}"
        for end in ("source", "target"):
            name = getattr(edge, end)
            if name not in graph.nodes:
                problems.append(Problem(f"{pointer}/{end}", f"There is no node {name!r}.", nearest(name, graph.nodes)))
        if edge.source in graph.nodes:
            problems.extend(_handle(graph.nodes[edge.source], edge.source_handle, f"{pointer}/source_handle"))
        if edge.target in graph.nodes and _is_trigger(graph.nodes[edge.target]):
            problems.append(Problem(f"{pointer}/target", "Nothing leads into a trigger.", "Turn the edge round."))
    problems.extend(_shape(graph))
    return problems


def _node(graph: Graph, node: Node, pointer: str) -> Iterator[Problem]:
    try:
        kind = node_type(node.type)
    except KeyError:
        yield Problem(f"{pointer}/type", f"There is no node type {node.type!r}.", nearest(node.type, names()))
        return
    expressions = list(_expressions(graph, node, f"{pointer}/parameters"))
    yield from (problem for problem in expressions if isinstance(problem, Problem))
    yield from _parameters(kind, node, f"{pointer}/parameters")
    if isinstance(node.join, int) and node.join > len(graph.incoming[node.id]):
        yield Problem(f"{pointer}/join/n", f"Only {len(graph.incoming[node.id])} edges lead into this node.")
    if kind.is_trigger and node.disabled:
        yield Problem(f"{pointer}/disabled", "A trigger cannot be disabled.", "Pause its webhook instead.")


def _parameters(kind: NodeType, node: Node, pointer: str) -> Iterator[Problem]:
    for name in kind.needs:
        if name not in node.parameters:
            yield Problem(f"{pointer}/{name}", "This parameter is required.")
    try:
        kind.parameters.model_validate(node.parameters)
    except ValidationError as error:
        seen: set[str] = set()
        for detail in error.errors(include_url=False, include_input=False):
            path, expression = _walk(node.parameters, detail["loc"])
            place = pointer + pointer_of(*path)
            # What an expression yields is known when it runs; its type is checked then.
            if place in seen or (expression and path[-1] not in kind.literal):
                continue
            seen.add(place)
            if expression:
                yield Problem(place, "No expression can stand here: edges are drawn from it.", "Write it out.")
            elif detail["type"] == "extra_forbidden":
                known = _fields_at(kind, path)
                yield Problem(place, f"{kind.name} has no parameter {path[-1]!r}.", nearest(str(path[-1]), known))
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
            path.append(part)  # the name of what is missing
            return path, False
    return path, isinstance(value, str) and "{%" in value


def _fields_at(kind: NodeType, path: list[int | str]) -> list[str]:
    if len(path) == 1:
        return list(kind.parameters.model_fields)
    # Deeper models are lists of one model (a switch's cases): their fields.
    annotation = kind.parameters.model_fields.get(str(path[0]))
    inner = getattr(annotation.annotation if annotation else None, "__args__", ())
    return [name for model in inner for name in getattr(model, "model_fields", ())]


def _expressions(graph: Graph, node: Node, pointer: str) -> Iterator[Problem]:
    for place, text in texts(node.parameters):
        try:
            parts = split(text)
        except ExpressionError as error:
            yield Problem(pointer + place, error.message)
            continue
        if has_mustache(parts):
            yield Problem(pointer + place, "{{ }} is not an expression here.", MUSTACHE_HINT)
        for part in parts:
            if isinstance(part, Source):
                try:
                    compiled = compile_expression(part.text)
                except ExpressionError as error:
                    yield Problem(pointer + place, f"The expression does not compile: {error.message}")
                    continue
                yield from _names(graph, node, compiled, pointer + place)


def _names(graph: Graph, node: Node, compiled: Compiled, pointer: str) -> Iterator[Problem]:
    for name in compiled.others:
        yield Problem(pointer, f"Nothing is called ${name}.", nearest(f"${name}", [f"${known}" for known in SCOPE]))
    for name in compiled.bare_names:
        message = f"The path {name!r} starts nowhere."
        yield Problem(pointer, message, f"Start it with a name in scope, for example $input.{name}.")
    read = compiled.reads.get("nodes")
    if not isinstance(read, dict):
        return
    for name in read:
        if name not in graph.nodes:
            yield Problem(pointer, f"There is no node {name!r}.", nearest(name, graph.nodes))
        elif name != node.id and name not in _ancestors(graph, node.id):
            message = f"The node {name!r} does not run before this one, so its output is never there."
            yield Problem(pointer, message, "Draw an edge from it.")
        elif name == node.id:
            yield Problem(pointer, "A node cannot read its own output.")


def _ancestors(graph: Graph, node_id: str) -> set[str]:
    found: set[str] = set()
    open_nodes = [node_id]
    while open_nodes:
        for edge in graph.incoming[open_nodes.pop()]:
            if edge.source not in found:
                found.add(edge.source)
                open_nodes.append(edge.source)
    return found


def _handle(node: Node, handle: str, pointer: str) -> Iterator[Problem]:
    if node.type not in names():
        return
    kind = node_type(node.type)
    known = ["out"] if node.disabled else list(kind.handles(node.parameters))
    if handle == ERROR_HANDLE and not node.disabled and not kind.is_trigger:
        if node.on_error != "route":
            message = f"The node {node.id!r} never chooses its error handle."
            yield Problem(pointer, message, 'Set its on_error to "route".')
    elif handle not in known:
        hint = nearest(handle, known) if known else "Nothing comes after it, except at its error handle."
        yield Problem(pointer, f"The node {node.id!r} has no handle {handle!r}.", hint)


def _shape(graph: Graph) -> Iterator[Problem]:
    triggers = [node.id for node in graph.nodes.values() if _is_trigger(node)]
    if not triggers:
        hint = "Add a webhook_trigger or a manual_trigger."
        yield Problem("/nodes", "The workflow has no trigger, so nothing could start it.", hint)
    positions = {name: index for index, name in enumerate(graph.nodes)}
    for name in _cycle(graph):
        yield Problem(f"/nodes/{positions[name]}", f"The node {name!r} is part of a cycle.", "A run only goes forward.")
    reachable = set(triggers)
    open_nodes = list(triggers)
    while open_nodes:
        for target in graph.successors[open_nodes.pop()]:
            if target not in reachable:
                reachable.add(target)
                open_nodes.append(target)
    if triggers:
        for name, index in positions.items():
            if name not in reachable:
                message = f"The node {name!r} cannot be reached from a trigger."
                yield Problem(f"/nodes/{index}", message, "Draw an edge to it or remove it.")


def _cycle(graph: Graph) -> list[str]:
    """The nodes that lie on a cycle, in order: what is left when ends are taken off from both sides."""
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


def _is_trigger(node: Node) -> bool:
    return node.type in names() and node_type(node.type).is_trigger
