"""Where a node's parameters may refer to secrets, and which hosts a delivery chooses for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from shared.domain.expressions.expressions import ExpressionError, Source, split
from shared.domain.expressions.secret_references import references, secret_named
from shared.domain.expressions.url_places import drawn_host
from shared.domain.json.values import pointer_of
from shared.errors import Problem
from shared.json_types import JsonObject
from shared.nodes.node_kinds import Effect, Map
from shared.nodes.node_type import AnyNodeType
from shared.nodes.registry import node_type


def secret_problems(type_: AnyNodeType, parameters: object, pointer: str) -> Iterator[Problem]:
    """Invalid references to secrets among a node's parameters.

    Only effects may have them: their outputs are redacted. A string with a secret has no other expression in it, or
    data from outside could stand next to the secret. A list cannot hold one: its items shift when an expression among
    them yields nothing, and the secret's recorded place would be wrong.
    """
    for path, in_list, text in _texts(parameters, (), False):
        try:
            sources = [secret_named(part.text) for part in split(text) if isinstance(part, Source)]
        except ExpressionError:
            continue  # `validation` reports it
        place = pointer + pointer_of(*path)
        if all(name is None for name in sources):
            continue
        if not type_.is_effect:
            yield Problem(place, f"A {type_.name} cannot use secrets: effects can.", "Use it where it is sent.")
        elif None in sources:
            message = "A text with a secret in it has no other expression."
            yield Problem(place, message, "Give the secret a parameter of its own, or use auth.")
        elif in_list:
            yield Problem(place, "A secret cannot stand in a list.", "Put it into an object, or use auth.")


def _texts(
    value: object, path: tuple[str | int, ...], in_list: bool
) -> Iterator[tuple[tuple[str | int, ...], bool, str]]:
    if isinstance(value, str):
        if "$secrets" in value:  # a cheap test before the expressions are parsed
            yield path, in_list, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _texts(item, (*path, name), in_list)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, (*path, index), True)


def drawn_destinations(nodes: Iterable[JsonObject], pointer: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """(pointer, secrets' names) for each URL whose host an expression chooses, in a node with secrets; those of maps'
    bodies included. The graph is a valid one."""
    for index, node in enumerate(nodes):
        parameters, where = node.get("parameters") or {}, f"{pointer}/{index}/parameters"
        type_ = node_type(node["type"])
        if isinstance(type_.kind, Map) and isinstance(parameters.get("body"), dict):
            yield from drawn_destinations(parameters["body"].get("nodes") or (), f"{where}/body/nodes")
        if not isinstance(type_.kind, Effect) or not type_.urls:
            continue
        names = [name for reference in references(parameters) for name in reference.names]
        names = list(dict.fromkeys((*names, *type_.kind.secrets(parameters))))
        for name in sorted(type_.urls) if names else ():
            text = parameters.get(name)
            drawn = drawn_host(split(text)) if isinstance(text, str) else ()
            # A secret that is the URL, or has the host in it, was not chosen by a delivery.
            if any(secret_named(source.text) is None for source in drawn):
                yield where + pointer_of(name), tuple(names)
