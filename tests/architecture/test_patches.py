"""What tests may set otherwise: bounds, times, and where a server is that must be out of reach. No part of ours."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = sorted(Path(__file__).parents[1].rglob("*.py"))
# Of Python, not of ours.
PYTHONS = {"time", "os", "sys", "Path"}
# Where a server is, what a deployment sets, and what a process remembers of its own beginning.
STATE = {"_url", "settings", "_warm", "_before_snapshot_registry", "_after_restore_registry"}


def patched(source: str) -> list[str]:
    """What a test replaces of ours and may not, by line."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)) and "mock" in ast.unparse(node).replace(".", " ").split():
            lines.append(f"{node.lineno}: {ast.unparse(node)}")
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr"):
            continue
        target, name = node.args[0], node.args[1]
        if len(node.args) == 2:
            target, _, last = ast.literal_eval(target).rpartition(".")
        else:
            target, last = ast.unparse(target), ast.literal_eval(name)
        if not (last.isupper() or last in STATE or target in PYTHONS):
            lines.append(f"{node.lineno}: {target}.{last}")
    return lines


def test_no_part_of_ours_is_replaced() -> None:
    """Tests run the real thing; what they set otherwise is a constant that would take long to reach."""
    assert {str(path): lines for path in TESTS if (lines := patched(path.read_text()))} == {}


def test_a_replaced_part_is_found() -> None:
    """Also by its dotted name, and with the standard library's mocks."""
    source = """
from unittest import mock
from unittest.mock import patch
monkeypatch.setattr("shared.queue.delivery_log.DeliveryLog.note", None)
monkeypatch.setattr(wired.consumer, "complete", None)
monkeypatch.setattr("shared.queue.delivery_log.LINES_PER_MINUTE", 1)
monkeypatch.setattr(time, "monotonic", None)
"""
    assert [line.partition(":")[0] for line in patched(source)] == ["2", "3", "4", "5"]
