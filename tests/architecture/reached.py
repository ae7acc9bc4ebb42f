"""What a function's code can come to, which variables of the environment it reads on its way, and which services of
AWS it calls: all from its source."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

from shared.settings import Settings

ROOT = Path(__file__).parents[2]
BOOTSTRAP = "shared.bootstrap"
# What holds settings, whatever it is called where: `settings()`, `self._settings`, `services().settings` …
SETTINGS = re.compile(r"(^|\.)_?(settings|configured)(\(\))?$")
SERVICES = re.compile(r"(^|\.)_?(services|wired|parts)(\(\))?$")


def reached(module: str) -> set[str]:
    """The modules of ours that this one imports or names handlers of, directly or not, at once or later. Of what
    `shared.bootstrap` can make, only what some of them ask for."""
    modules, parts, open_ = set[str](), set[str](), [module]
    while open_:
        name = open_.pop()
        if name in modules or not path_of(name).exists():
            continue
        modules.add(name)
        open_ += imported(name)
        parts |= parts_asked_for(name)
        if BOOTSTRAP in modules:
            open_ += [module for part in parts for module in imported_by_part(part)]
    return modules


def settings_read(module: str) -> set[str]:
    """The settings that a function reads, as variables: what it asks a `Settings` for in any module that it reaches."""
    modules = reached(module) - {"shared.settings", BOOTSTRAP}
    return {name.upper() for reached_one in modules for name in settings_in(reached_one)}


def clients_made(module: str) -> set[str]:
    """The services of AWS, as boto3 names them, whose clients a function can make for itself."""
    return {str(arguments[0]) for one in reached(module) for arguments in literal_arguments(one, "boto3.client")}


@cache
def literal_arguments(module: str, callee: str) -> list[list[object]]:
    """The literal arguments of each call of `callee` in the module, `None` for others."""
    return [
        [argument.value if isinstance(argument, ast.Constant) else None for argument in node.args]
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == callee
    ]


def path_of(module: str) -> Path:
    """The module's file."""
    return ROOT / f"{module.replace('.', '/')}.py"


@cache
def tree_of(module: str) -> ast.Module:
    """The module without what only its type checker imports."""
    tree = ast.parse(path_of(module).read_text())
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
    ]
    return tree


@cache
def imported(module: str) -> list[str]:
    """What the module names: imports, and handlers as text. Of `shared.bootstrap`, only what it imports at once."""
    tree = tree_of(module)
    return names_in(list(tree.body) if module == BOOTSTRAP else list(ast.walk(tree)))


def names_in(nodes: list[ast.stmt] | list[ast.AST]) -> list[str]:
    """The modules that these nodes import or name handlers of."""
    names = []
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        if isinstance(node, ast.Constant) and re.fullmatch(r"functions(\.\w+)+:\w+", str(node.value)):
            names.append(str(node.value).partition(":")[0])
    return names


@cache
def parts_of_services() -> dict[str, ast.AST]:
    """The parts that `Services` makes on first use, each with the function that makes it."""
    (services,) = [node for node in tree_of(BOOTSTRAP).body if getattr(node, "name", "") == "Services"]
    return {
        node.name: node
        for node in services.body  # type: ignore[attr-defined]
        if isinstance(node, ast.FunctionDef) and "cached_property" in ast.dump(node)
    }


@cache
def parts_asked_for(module: str) -> set[str]:
    """Which parts of `Services` the module asks for."""
    if module == BOOTSTRAP:
        return set()
    return {
        node.attr
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Attribute)
        and node.attr in parts_of_services()
        and SERVICES.search(ast.unparse(node.value))
    }


@cache
def imported_by_part(part: str) -> list[str]:
    """What making one part of `Services` imports, and what making the parts does that it is made of."""
    nodes = list(ast.walk(parts_of_services()[part]))
    own = names_in(nodes)
    for node in nodes:
        if isinstance(node, ast.Attribute) and node.attr in parts_of_services() and node.attr != part:
            own += imported_by_part(node.attr)
    return own


@cache
def settings_in(module: str) -> set[str]:
    """The fields of `Settings` that the module asks one for."""
    return {
        node.attr
        for node in ast.walk(tree_of(module))
        if isinstance(node, ast.Attribute)
        and node.attr in Settings._fields
        and SETTINGS.search(ast.unparse(node.value))
    }
