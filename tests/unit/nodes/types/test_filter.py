"""When a `filter` passes its input on; conditions of an `if` are of the same kind."""

from __future__ import annotations

from typing import Any

import pytest

from shared.nodes.node_kinds import NodeError
from tests.unit.nodes.types.builders import run


@pytest.mark.parametrize("condition", [None, 0, 1, "true", [], {}])
def test_condition_must_be_a_boolean(condition: Any) -> None:
    """Nothing else is taken for true or false."""
    for name in ("if", "filter"):
        with pytest.raises(NodeError) as error:
            run(name, condition=condition)
        assert error.value.code == "expression"


def test_filter_stops_its_branch_quietly() -> None:
    """No handle, no error."""
    assert run("filter", condition=False).handles == ()
    assert run("filter", condition=True).handles == ("out",)
