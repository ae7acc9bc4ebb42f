"""Every node type is of one kind, and `dispatch` calls the one method for it."""

from __future__ import annotations

import pytest

from shared.nodes.node_kinds import Call, Effect, Kind, Map, Parameters, Pure, Trigger, dispatch, no_wait
from shared.nodes.registry import names, node_type


class _Names:
    """A handler whose methods return their own names and what they were called with."""

    def trigger(self, kind: Trigger) -> tuple[str, Kind[Parameters]]:
        return "trigger", kind

    def pure(self, kind: Pure[Parameters]) -> tuple[str, Kind[Parameters]]:
        return "pure", kind

    def effect(self, kind: Effect[Parameters]) -> tuple[str, Kind[Parameters]]:
        return "effect", kind

    def call(self, kind: Call[Parameters]) -> tuple[str, Kind[Parameters]]:
        return "call", kind

    def map(self, kind: Map[Parameters]) -> tuple[str, Kind[Parameters]]:
        return "map", kind


@pytest.mark.parametrize("name", names())
def test_each_type_is_dispatched_by_its_kind(name: str) -> None:
    """With the kind itself, whose functions the method then has."""
    kind = node_type(name).kind
    assert dispatch(kind, _Names()) == (type(kind).__name__.lower(), kind)


def test_kinds_of_some_types() -> None:
    """Only types that wait have a `wait` of their own, and only effects reach the world."""
    kinds = {name: node_type(name).kind for name in names()}
    waiting = {name for name, kind in kinds.items() if isinstance(kind, Pure) and kind.wait is not no_wait}
    assert waiting == {"delay", "wait_for_signal"}
    assert {name for name, kind in kinds.items() if isinstance(kind, Call)} == {"call_workflow"}
    assert {name for name, kind in kinds.items() if isinstance(kind, Map)} == {"map"}
    effects = {"http_request", "invoke_lambda", "publish_sns", "put_event", "send_email", "send_sqs_message"}
    assert {name for name, kind in kinds.items() if isinstance(kind, Effect)} == effects


def test_what_is_no_kind_is_refused() -> None:
    """At run time as by mypy, instead of being treated as some other kind."""
    with pytest.raises(AssertionError):
        dispatch(object(), _Names())  # type: ignore[arg-type]
