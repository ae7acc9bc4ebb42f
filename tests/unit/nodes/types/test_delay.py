"""How long a `delay` waits."""

from __future__ import annotations

import pytest

from shared.json_types import JsonObject
from shared.nodes.node_kinds import NodeError
from shared.nodes.registry import node_type


def test_delay_waits_from_when_its_parameters_were_resolved() -> None:
    """So many seconds from then, or until a moment of its own."""
    type_ = node_type("delay")
    assert type_.kind.wait(type_.parse({"seconds": 90}), 1000.0).until == 1090.0
    assert type_.kind.wait(type_.parse({"until": "1970-01-01T01:00:00+00:30"}), 1000.0).until == 1800.0


@pytest.mark.parametrize("parameters", [{}, {"seconds": 1, "until": "2026-01-01T00:00:00Z"}, {"until": "2026-01-01"}])
def test_delay_must_know_its_end(parameters: JsonObject) -> None:
    """One of the two, and a time with its offset."""
    with pytest.raises(NodeError):
        node_type("delay").parse(parameters)
