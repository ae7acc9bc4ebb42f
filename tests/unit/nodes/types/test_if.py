"""Which handle an `if` chooses."""

from __future__ import annotations

import pytest

from shared.json_types import JsonObject
from shared.nodes.node_kinds import Completed
from tests.unit.nodes.types.builders import run


@pytest.mark.parametrize(
    ("parameters", "handles"), [({"condition": True}, ("true",)), ({"condition": False}, ("false",)), ({}, ("false",))]
)
def test_if_chooses_a_handle_and_passes_its_input_on(parameters: JsonObject, handles: tuple[str, ...]) -> None:
    """A condition that led nowhere counts as false."""
    assert run("if", **parameters) == Completed(None, handles, ("a", "b"))
