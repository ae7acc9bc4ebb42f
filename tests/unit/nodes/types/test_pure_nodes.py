"""What the pure node types yield and which handles they choose."""

from __future__ import annotations

from typing import Any

import pytest

from shared.json_types import JsonObject
from shared.nodes.node_kinds import Completed, NodeError, NodeInputs
from shared.nodes.registry import names, node_type

INPUTS = NodeInputs(("a", "b"), {"a": 1, "b": {"x": 2}})


def run(name: str, **parameters: Any) -> Completed:
    """One node over two live predecessors."""
    type_ = node_type(name)
    return type_.kind.compute(type_.parse(parameters), INPUTS)


def test_every_module_of_the_package_is_a_node_type_of_its_name() -> None:
    """A node type is added by adding its file."""
    assert [node_type(name).name for name in names()] == list(names())
    assert set(names()) >= {"webhook_trigger", "manual_trigger", "transform", "if", "switch", "filter", "merge", "fail"}


def test_unknown_type_is_a_key_error() -> None:
    """No module outside the package is ever imported by a tenant's wish."""
    with pytest.raises(KeyError):
        node_type("node_type")


def test_transform_yields_its_value() -> None:
    """And null when its expression led nowhere."""
    assert run("transform", value={"a": [1]}).output == {"a": [1]}
    assert run("transform").output is None


@pytest.mark.parametrize(
    ("parameters", "handles"), [({"condition": True}, ("true",)), ({"condition": False}, ("false",)), ({}, ("false",))]
)
def test_if_chooses_a_handle_and_passes_its_input_on(parameters: JsonObject, handles: tuple[str, ...]) -> None:
    """A condition that led nowhere counts as false."""
    assert run("if", **parameters) == Completed(None, handles, ("a", "b"))


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


@pytest.mark.parametrize(
    ("mode", "truths", "handles"),
    [
        ("first", (False, True, True), ("b",)),
        ("all", (True, False, True), ("a", "c")),
        ("first", (False, False, False), ("default",)),
        ("all", (False, False, False), ("default",)),
    ],
)
def test_switch_chooses_cases(mode: str, truths: tuple[bool, ...], handles: tuple[str, ...]) -> None:
    """The first or all that hold, else default."""
    cases = [{"when": truth, "handle": handle} for truth, handle in zip(truths, "abc", strict=True)]
    assert run("switch", cases=cases, mode=mode).handles == handles


def test_switch_takes_a_case_that_led_nowhere_for_false() -> None:
    """Like any condition."""
    assert run("switch", cases=[{"handle": "a"}, {"when": True, "handle": "b"}]).handles == ("b",)


def test_merge_modes() -> None:
    """A list in the order of the edges, an object by node id, or the first as it is."""
    assert run("merge").output == [1, {"x": 2}]
    assert run("merge", mode="object").output == {"a": 1, "b": {"x": 2}}
    assert run("merge", mode="first") == Completed(output_of=("a",))


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


def test_fail_raises_its_own_code() -> None:
    """The error is the tenant's."""
    with pytest.raises(NodeError) as error:
        run("fail", code="too_small", message="Only 3.")
    assert error.value.as_json() == {"code": "too_small", "message": "Only 3."}


def test_wrong_type_after_evaluation_is_an_error_of_the_node() -> None:
    """Nothing is converted silently."""
    with pytest.raises(NodeError) as error:
        run("merge", mode=7)
    assert error.value.code == "invalid_parameters"
    assert "/mode" in error.value.message
