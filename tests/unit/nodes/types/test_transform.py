"""What a `transform` yields."""

from __future__ import annotations

from tests.unit.nodes.types.builders import run


def test_transform_yields_its_value() -> None:
    """And null when its expression led nowhere."""
    assert run("transform", value={"a": [1]}).output == {"a": [1]}
    assert run("transform").output is None
