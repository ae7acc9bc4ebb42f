"""Node types by name. A type is the `NODE` of the module of its name, imported when it is first asked for."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path

from shared.nodes.node_type import NodeType

# The modules of this package that support node types and are none.
SUPPORT = frozenset(
    {
        *("__init__", "node_type", "registry", "validation", "graph_shape", "bodies"),
        *("outbound", "guarded", "addresses", "resolver", "http_response", "decoding", "charsets", "aws_effect"),
        *("messages", "delivery_rules", "secret_rules", "signal_rules"),
    }
)


@cache
def names() -> tuple[str, ...]:
    """The names of all node types, in alphabetical order."""
    # Compiled files count as well: a package may be shipped without its sources.
    files = {file.name.split(".")[0] for file in Path(__file__).parent.iterdir() if file.suffix in (".py", ".pyc")}
    return tuple(sorted(files - SUPPORT))


@cache
def node_type(name: str) -> NodeType:
    """The node type of this name; an unknown one raises `KeyError`."""
    if name not in names():
        raise KeyError(name)
    found = importlib.import_module(f"shared.nodes.{name}").NODE
    assert isinstance(found, NodeType), f"shared/nodes/{name}.py has no NODE"
    return found
