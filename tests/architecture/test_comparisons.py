"""Secrets and digests are compared in one place, in constant time, and all of them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "shared" / "webhooks"
# Names of values that an attacker would like to guess byte by byte.
SECRET = re.compile(r"(^|_)(secrets?|digests?|macs?|candidates?|expected|proofs?|tokens?|passwords?)$")


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function of the package, with its module's name."""
    for path in FOLDER.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield path.stem, node


def names(node: ast.AST) -> Iterator[str]:
    """What a compared value is called: `secret`, `hook.secret`, `digest(…)`."""
    if isinstance(node, ast.Name):
        yield node.id
    elif isinstance(node, ast.Attribute):
        yield node.attr
    elif isinstance(node, ast.Call):
        yield from names(node.func)
    elif isinstance(node, ast.Subscript):
        yield from names(node.value)
    elif isinstance(node, ast.Tuple | ast.List | ast.Set):
        for element in node.elts:
            yield from names(element)


def is_comparison_of_secrets(node: ast.Compare) -> bool:
    """Whether two values are compared of which one is secret; with constants and `None` there is nothing to guess."""
    sides = [node.left, *node.comparators]
    if any(isinstance(side, ast.Constant) for side in sides):
        return False
    if not any(isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for op in node.ops):
        return False
    return any(SECRET.search(name) for side in sides for name in names(side))


def test_only_one_function_compares_digests() -> None:
    """A second comparison would be one to get wrong: `matches` is the only one."""
    callers = [(module, f.name) for module, f in functions() if "compare_digest" in ast.unparse(f)]
    assert callers == [("comparison", "matches")]


def test_no_secret_is_compared_by_an_operator() -> None:
    """`==` and `in` stop at the first difference, and tell an attacker where it was."""
    comparisons = [
        f"{module}.{function.name}: {ast.unparse(node)}"
        for module, function in functions()
        for node in ast.walk(function)
        if isinstance(node, ast.Compare) and is_comparison_of_secrets(node)
    ]
    assert comparisons == []


def test_the_rule_finds_what_it_forbids() -> None:
    """Else it would pass because it sees nothing."""
    forbidden = ("digest == candidate", "hook.secret != given", "text in secrets", "hmac.digest(key, body) == found")
    allowed = ("kind == 'secret'", "secret is None", "len(text) == digest_size", "signature.format == name")

    def is_forbidden(text: str) -> bool:
        (node,) = (child for child in ast.walk(ast.parse(text)) if isinstance(child, ast.Compare))
        return is_comparison_of_secrets(node)

    assert all(map(is_forbidden, forbidden))
    assert not any(map(is_forbidden, allowed))


def test_comparing_never_stops_early() -> None:
    """All keys are tried against all candidates, whichever fits: no return, break or condition within the loops."""
    for name in ("matches", "any_verifies"):
        (function,) = (f for _, f in functions() if f.name == name)
        loops = [node for node in ast.walk(function) if isinstance(node, ast.For)]
        inside = [node for loop in loops for node in ast.walk(loop)]
        assert loops
        assert not [
            node for node in inside if isinstance(node, ast.Return | ast.Break | ast.If | ast.IfExp | ast.BoolOp)
        ]
        assert not [node for node in ast.walk(function) if isinstance(node, ast.GeneratorExp)]


def test_no_code_is_about_one_provider() -> None:
    """A scheme is written once and data says who uses it: no module of the package names a provider of the catalog,
    save for `custom`, whose scheme is the user's own."""
    providers = {path.stem for path in (FOLDER / "providers" / "data").glob("*.toml")} - {"custom"}
    # A word of the grammar, for a closing brace.
    words = {("fields", "close")}
    named = {
        (path.stem, node.value)
        for path in FOLDER.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in providers
    }
    assert named - words == set()
