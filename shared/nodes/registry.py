"""Node types by name. A type is the `NODE` of the module of its name in `types/`, imported on first use."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path

from shared.nodes.node_type import AnyNodeType, NodeType


@cache
def names() -> tuple[str, ...]:
    """The names of all node types, in alphabetical order."""
    # Compiled files count as well: a package may be shipped without its sources.
    files = {
        file.name.split(".")[0]
        for file in Path(__file__).with_name("types").iterdir()
        if file.suffix in (".py", ".pyc")
    }
    return tuple(sorted(files - {"__init__", "__pycache__"}))


@cache
def node_type(name: str) -> AnyNodeType:
    """The node type of this name; an unknown one raises `KeyError`."""
    if name not in names():
        raise KeyError(name)
    type_ = importlib.import_module(f"shared.nodes.types.{name}").NODE
    assert isinstance(type_, NodeType), f"shared/nodes/types/{name}.py has no NODE"
    return type_
