"""The error of a `fail`."""

from __future__ import annotations

import pytest

from shared.nodes.node_kinds import NodeError
from tests.unit.nodes.types.builders import run


def test_fail_raises_its_own_code() -> None:
    """The error is the tenant's."""
    with pytest.raises(NodeError) as error:
        run("fail", code="too_small", message="Only 3.")
    assert error.value.as_json() == {"code": "too_small", "message": "Only 3."}
