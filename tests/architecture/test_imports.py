"""Which module may import which: every one has a layer, and none comes back to itself while it is imported."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [path for folder in ("shared", "functions", "local") for path in (ROOT / folder).rglob("*.py")]


def module_of(path: Path) -> str:
    """The dotted name of a file's module."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def at_once(statements: list[ast.stmt]) -> Iterator[str]:
    """What is imported as soon as these statements run: not within functions, nor for types alone."""
    for statement in statements:
        match statement:
            case ast.Import():
                yield from (alias.name for alias in statement.names)
            case ast.ImportFrom(module=str(module)):
                yield module
                yield from (f"{module}.{alias.name}" for alias in statement.names)
            case ast.If() if ast.unparse(statement.test) == "TYPE_CHECKING":
                yield from at_once(statement.orelse)
            case ast.If() | ast.Try() | ast.With() | ast.ClassDef():
                inner = [*statement.body, *getattr(statement, "orelse", []), *getattr(statement, "finalbody", [])]
                yield from at_once(
                    inner + [nested for handler in getattr(statement, "handlers", []) for nested in handler.body]
                )


def circle(sources: Mapping[str, str]) -> list[str]:
    """Modules, by the text of each, that cannot be imported before one another; none where there are no such."""
    imported = {name: set(at_once(ast.parse(text).body)) & sources.keys() - {name} for name, text in sources.items()}
    try:
        TopologicalSorter(imported).prepare()
    except CycleError as error:
        modules: list[str] = error.args[1]
        return modules
    return []


def test_every_module_has_a_layer() -> None:
    """Else it could import anything, and anything it."""
    (contract,) = [
        candidate
        for candidate in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
        if candidate["name"] == "Layers import downwards only"
    ]
    layers = {name.strip() for layer in contract["layers"] for name in layer.split("|")}
    modules = {path.stem for path in (ROOT / "shared").iterdir() if not path.name.startswith("__")}
    assert layers == modules


def test_no_module_is_imported_in_a_circle() -> None:
    """Within a layer, too: what needs each other is imported where it is used."""
    assert circle({module_of(path): path.read_text() for path in FILES}) == []


@pytest.mark.parametrize(
    ("importing", "is_circle"),
    [
        ("from shared import a", True),
        ("import shared.a", True),
        ("try:\n    from shared.a import x\nexcept ImportError:\n    pass", True),
        ("def f():\n    from shared.a import x", False),
        ("if TYPE_CHECKING:\n    from shared.a import X", False),
        ("from shared.c import x", False),
    ],
)
def test_a_circle_is_found(importing: str, is_circle: bool) -> None:
    """Whichever way it is closed; not one that is open."""
    sources = {"shared.a": "from shared.b import y", "shared.b": importing, "shared.c": ""}
    assert bool(circle(sources)) == is_circle
