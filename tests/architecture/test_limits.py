"""How long modules and functions may be, and how much may go without a type."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = {
    str(path.relative_to(ROOT)): path.read_text()
    for folder in ("shared", "functions", "local")
    for path in (ROOT / folder).rglob("*.py")
}
MAX_MODULE_LINES = 330
MAX_FUNCTION_LINES = 50
# How often `Any` may be written, imports included.
MAX_ANYS = 250


def function_lengths(source: str) -> dict[str, int]:
    """How many lines each function has, its signature and docstring included, by its name and first line."""
    return {
        f"{node.name}:{node.lineno}": node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno is not None
    }


def test_no_module_is_too_long() -> None:
    """One that grows beyond the limit is divided by its topics."""
    lengths = {path: len(source.splitlines()) for path, source in SOURCES.items()}
    assert {path: lines for path, lines in lengths.items() if lines > MAX_MODULE_LINES} == {}


def test_no_function_is_too_long() -> None:
    """One that grows beyond the limit does more than one thing."""
    lengths = {f"{path} {name}": n for path, source in SOURCES.items() for name, n in function_lengths(source).items()}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES} == {}


def test_length_of_a_function_is_from_its_signature_to_its_end() -> None:
    """Methods and functions within functions count on their own as well."""
    source = "class A:\n    async def outer(\n        self,\n    ):\n        def inner():\n            pass\n"
    assert function_lengths(source) == {"outer:2": 5, "inner:5": 2}


def test_any_is_rare() -> None:
    """Tenants' values are `object` or `JsonObject`, our records are typed; the rest is at other libraries' edges."""
    uses = {path: len(re.findall(r"\bAny\b", source)) for path, source in SOURCES.items()}
    assert sum(uses.values()) < MAX_ANYS, {path: number for path, number in uses.items() if number > 4}
