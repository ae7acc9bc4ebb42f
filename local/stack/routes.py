"""Finds the route of a request as an HTTP API does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from local.stack.template import Route


class Match(NamedTuple):
    """A route and what its path's variables are in this request."""

    route: Route
    parameters: dict[str, str]


@dataclass(slots=True)
class _Node:
    routes: dict[str, Route] = field(default_factory=dict)
    static: dict[str, _Node] = field(default_factory=dict)
    variable: _Node | None = None
    greedy: _Node | None = None


class Router:
    """All routes of an API. A static segment wins over a variable, that over `{name+}`, and `$default` comes last."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._root = _Node()
        self._default: Route | None = None
        # Most routes have no variables, and a dictionary finds those at once.
        self._exact: dict[tuple[str, str], Match] = {}
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        if route.path is None:
            self._default = route
            return
        if "{" not in route.path:
            self._exact[route.method, route.path] = Match(route, {})
        node = self._root
        for segment in route.path.split("/")[1:]:
            if segment.startswith("{") and segment.endswith("+}"):
                node.greedy = node.greedy or _Node()
                node = node.greedy
            elif segment.startswith("{"):
                node.variable = node.variable or _Node()
                node = node.variable
            else:
                node = node.static.setdefault(segment, _Node())
        node.routes[route.method] = route

    def match(self, method: str, path: str) -> Match | None:
        """The most specific route for the decoded `path`, or None: a path without this method is simply not there."""
        exact = self._exact.get((method, path))
        if exact is not None:
            return exact
        segments = path.split("/")[1:]
        route = _find(self._root, segments, 0, method)
        if route is None:
            return Match(self._default, {}) if self._default else None
        return Match(route, _parameters(route, segments))


def _find(node: _Node, segments: list[str], at: int, method: str) -> Route | None:
    if at == len(segments):
        return node.routes.get(method) or node.routes.get("ANY")
    segment = segments[at]
    best: Route | None = None
    # Each kind of segment is tried with all that it leads to before the next kind: the router backtracks.
    if segment in node.static:
        best = _find(node.static[segment], segments, at + 1, method)
    if best is None and node.variable is not None and segment:
        best = _find(node.variable, segments, at + 1, method)
    if best is None and node.greedy is not None and any(segments[at:]):
        best = node.greedy.routes.get(method) or node.greedy.routes.get("ANY")
    return best


def _parameters(route: Route, segments: list[str]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    if route.path is None or "{" not in route.path:
        return parameters
    for index, segment in enumerate(route.path.split("/")[1:]):
        if segment.startswith("{"):
            if segment.endswith("+}"):
                parameters[segment[1:-2]] = "/".join(segments[index:])
                break
            parameters[segment[1:-1]] = segments[index]
    return parameters
