"""What a `merge` yields."""

from __future__ import annotations

import pytest

from shared.nodes.node_kinds import Completed, NodeError
from tests.unit.nodes.types.builders import run


def test_merge_modes() -> None:
    """A list in the order of the edges, an object by node id, or the first as it is."""
    assert run("merge").output == [1, {"x": 2}]
    assert run("merge", mode="object").output == {"a": 1, "b": {"x": 2}}
    assert run("merge", mode="first") == Completed(output_of=("a",))


def test_wrong_type_after_evaluation_is_an_error_of_the_node() -> None:
    """Nothing is converted silently."""
    with pytest.raises(NodeError) as error:
        run("merge", mode=7)
    assert error.value.code == "invalid_parameters"
    assert "/mode" in error.value.message
