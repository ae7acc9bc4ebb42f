"""Node types by name."""

from __future__ import annotations

import pytest

from shared.nodes.registry import names, node_type


def test_every_module_of_the_package_is_a_node_type_of_its_name() -> None:
    """A node type is added by adding its file."""
    assert [node_type(name).name for name in names()] == list(names())
    assert set(names()) >= {"webhook_trigger", "manual_trigger", "transform", "if", "switch", "filter", "merge", "fail"}


def test_unknown_type_is_a_key_error() -> None:
    """No module outside the package is ever imported by a tenant's wish."""
    with pytest.raises(KeyError):
        node_type("node_type")
