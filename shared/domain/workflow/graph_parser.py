"""Parses a graph from JSON in this service's shape or in React Flow's, which is converted.

React Flow keeps our fields under `data` and writes handles in camelCase (https://reactflow.dev/api-reference/types);
its fields for drawing are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import islice

from shared.domain.json.values import pointer_of
from shared.domain.name_suggestion import did_you_mean
from shared.domain.retry_policy import Retrier, parse_retrier
from shared.domain.workflow.graph import MAX_EDGES, MAX_NODES, Edge, Graph, Node
from shared.errors import MAX_PROBLEMS, Problem
from shared.json_types import JsonObject

NODE_KEYS = tuple(Node.__slots__)
EDGE_KEYS = tuple(Edge.__slots__)
ON_ERROR = ("fail", "continue", "route")
DELIVERY = ("at_least_once", "at_most_once")
MAX_TIMEOUT_SECONDS = 900

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,100}")
_WORDS = re.compile(r"\w+")
_DRAWN_NODE = frozenset(
    _WORDS.findall(
        "width height measured selected dragging draggable selectable connectable deletable hidden zIndex style "
        "className sourcePosition targetPosition positionAbsolute parentId extent expandParent resizing origin handles"
    )
)
_DRAWN_EDGE = frozenset(
    _WORDS.findall(
        "type label animated selected hidden deletable selectable focusable reconnectable zIndex style className data "
        "markerStart markerEnd pathOptions interactionWidth labelStyle labelShowBg labelBgStyle targetHandle "
        "target_handle"
    )
)


def parse_node(value: object, pointer: str, problems: list[Problem]) -> Node | None:
    """The node in the JSON at `pointer`, `None` without a valid id; every problem is added to `problems`."""
    if not isinstance(value, dict):
        problems.append(Problem(pointer, "A node must be an object."))
        return None
    fields, where = _house_shape(value, pointer)
    read = _Fields(fields, where, problems)
    read.refuse_unknown("A node has no such key.", NODE_KEYS)
    node_id, kind = read.identifier("id"), read.identifier("type")
    node = Node(
        id=node_id or "",
        type=kind or "",
        parameters=read.object("parameters") or {},
        name=read.text("name", 200),
        position=_position(read),
        retry=_retry(read),
        timeout_seconds=_timeout(read),
        on_error=read.one_of("on_error", ON_ERROR) or "fail",  # type: ignore[arg-type]  # one of the three
        delivery=read.one_of("delivery", DELIVERY) or "at_least_once",  # type: ignore[arg-type]  # one of the two
        join=_join(read),  # type: ignore[arg-type]  # any, all or a number
        disabled=read.flag("disabled"),
        notes=read.text("notes", 10_000),
    )
    return node if node_id else None


def parse_edge(value: object, pointer: str, names: set[str], problems: list[Problem]) -> Edge | None:
    """The edge in the JSON at `pointer`; `names` are the edge ids so far, and a missing id is generated."""
    if not isinstance(value, dict):
        problems.append(Problem(pointer, "An edge must be an object."))
        return None
    fields = {key: item for key, item in value.items() if key not in _DRAWN_EDGE}
    # React Flow's spelling counts only where ours is missing.
    handle = fields.pop("sourceHandle", None)
    if fields.get("source_handle") is None:
        fields["source_handle"] = "out" if handle is None else handle
    read = _Fields(fields, lambda name: f"{pointer}{pointer_of(name)}", problems)
    read.refuse_unknown("An edge has no such key.", EDGE_KEYS)
    source, target, handle = read.identifier("source"), read.identifier("target"), read.identifier("source_handle")
    if source is None or target is None or handle is None:
        return None
    name = read.text("id", 300) or _free(f"{source}.{handle}-{target}", names)
    if name in names:
        problems.append(Problem(f"{pointer}/id", f"There are two edges with the id {name!r}."))
    names.add(name)
    return Edge(name, source, target, handle)


def _house_shape(value: JsonObject, pointer: str) -> tuple[JsonObject, Callable[[str], str]]:
    fields = {key: item for key, item in value.items() if key not in _DRAWN_NODE}
    data = fields.pop("data", None)
    # Which fields came out of `data`: problems must point at the place in the request.
    lifted: set[str] = set()
    if isinstance(data, dict):
        inner = dict(data)
        if "label" in inner:
            inner.setdefault("name", inner.pop("label"))
        if "parameters" not in inner and "parameters" not in fields:
            # Without `parameters`, all other keys of `data` are the parameters.
            inner["parameters"] = {key: inner.pop(key) for key in list(inner) if key not in NODE_KEYS}
        # Where a key is in both, the one beside `data` wins.
        lifted = set(inner) - set(fields)
        fields = {**inner, **fields}
    elif data is not None:
        fields["data"] = data

    def where(name: str) -> str:
        return f"{pointer}/data{pointer_of(name)}" if name in lifted else f"{pointer}{pointer_of(name)}"

    return fields, where


class _Fields:
    """Reads the known keys of one object; a value that does not fit becomes a problem and counts as absent."""

    def __init__(self, fields: JsonObject, where: Callable[[str], str], problems: list[Problem]) -> None:
        self.fields, self.where, self.problems = fields, where, problems

    def refuse(self, name: str, message: str, suggestion: str | None = None) -> None:
        self.problems.append(Problem(self.where(name), message, suggestion))

    def refuse_unknown(self, message: str, known: tuple[str, ...]) -> None:
        for name in islice((key for key in self.fields if key not in known), MAX_PROBLEMS):
            self.refuse(name, message, did_you_mean(name, known))

    def identifier(self, name: str) -> str | None:
        value = self.fields.get(name)
        if isinstance(value, str) and _ID.fullmatch(value):
            return value
        message = "Is required." if value is None else "Must be 1 to 100 letters, digits or any of _ . : -"
        self.refuse(name, message)
        return None

    def text(self, name: str, limit: int) -> str | None:
        value = self.fields.get(name)
        if value is None or (isinstance(value, str) and len(value) <= limit):
            return value
        self.refuse(name, f"Must be a text of at most {limit} characters.")
        return None

    def object(self, name: str) -> JsonObject | None:
        value = self.fields.get(name)
        if value is None or isinstance(value, dict):
            return value
        self.refuse(name, "Must be an object.")
        return None

    def flag(self, name: str) -> bool:
        value = self.fields.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        self.refuse(name, "Must be true or false.")
        return False

    def one_of(self, name: str, known: tuple[str, ...]) -> str | None:
        value = self.fields.get(name)
        if value is None or value in known:
            return value
        suggestion = did_you_mean(value, known) if isinstance(value, str) else None
        self.refuse(name, f"Must be one of {', '.join(known)}.", suggestion)
        return None


def _position(read: _Fields) -> JsonObject | None:
    position = read.object("position")
    if position is not None and not all(_is_number(position.get(axis)) for axis in ("x", "y")):
        read.refuse("position", "Must have the numbers x and y.")
    return position


def _retry(read: _Fields) -> tuple[Retrier, ...]:
    value = read.fields.get("retry")
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > 20:
        read.refuse("retry", "Must be a list of at most 20 retriers.")
        return ()
    parsed = [parse_retrier(item, f"{read.where('retry')}/{index}") for index, item in enumerate(value)]
    for _, problems in parsed:
        read.problems.extend(problems)
    return tuple(retrier for retrier, _ in parsed)


def _timeout(read: _Fields) -> float | None:
    value = read.fields.get("timeout_seconds")
    if value is None or (_is_number(value) and 0 < value <= MAX_TIMEOUT_SECONDS):
        return value
    read.refuse("timeout_seconds", f"Must be a number above 0 and at most {MAX_TIMEOUT_SECONDS}.")
    return None


def _join(read: _Fields) -> str | int:
    value = read.fields.get("join")
    if value is None or value in ("any", "all"):
        return value or "any"
    count = value.get("n") if isinstance(value, dict) and len(value) == 1 else None
    if isinstance(count, int) and not isinstance(count, bool) and 1 <= count <= 1_000:
        return count
    read.refuse("join", 'Must be "any", "all" or {"n": <a number of branches>}.')
    return "any"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _free(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}.{number}" in taken:
        number += 1
    return f"{name}.{number}"


def parse_graph(nodes: object, edges: object) -> tuple[Graph | None, list[Problem]]:
    """The graph in a request's `nodes` and `edges`; of a malformed one `None`, and at most `MAX_PROBLEMS` problems."""
    problems: list[Problem] = []
    found_nodes: list[Node] = []
    found_edges: list[Edge] = []
    seen: set[str] = set()
    for index, value in enumerate(_items(nodes, "/nodes", MAX_NODES, problems)):
        # No more are reported: a hostile graph must not be read to its end for nothing.
        if len(problems) >= MAX_PROBLEMS:
            break
        node = parse_node(value, f"/nodes/{index}", problems)
        if node is None:
            continue
        if node.id in seen:
            problems.append(Problem(f"/nodes/{index}/id", f"There are two nodes with the id {node.id!r}."))
        seen.add(node.id)
        found_nodes.append(node)
    names: set[str] = set()
    for index, value in enumerate(_items(edges, "/edges", MAX_EDGES, problems)):
        if len(problems) >= MAX_PROBLEMS:
            break
        edge = parse_edge(value, f"/edges/{index}", names, problems)
        if edge is not None:
            found_edges.append(edge)
    return (None, problems[:MAX_PROBLEMS]) if problems else (Graph(found_nodes, found_edges), [])


def _items(value: object, pointer: str, limit: int, problems: list[Problem]) -> list[object]:
    if not isinstance(value, list):
        problems.append(Problem(pointer, "Must be a list."))
        return []
    if len(value) > limit:
        problems.append(Problem(pointer, f"There are {len(value)} of them; {limit} is the limit."))
        return []
    return value
