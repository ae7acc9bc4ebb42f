"""What a `respond` node may answer."""

from __future__ import annotations

from typing import Any

import pytest

from shared.json_types import JsonObject
from shared.nodes.node_kinds import NodeError, NodeInputs
from shared.nodes.registry import node_type

NO_INPUTS = NodeInputs((), {})


def respond(**parameters: Any) -> Any:
    """What a respond node with these parameters yields."""
    type_ = node_type("respond")
    return type_.kind.compute(type_.parse(parameters), NO_INPUTS)


def test_respond_yields_its_answer() -> None:
    """The output is the whole answer, its headers in lower case, and is marked as one."""
    completed = respond(status=201, headers={"X-Order": "7", "Content-Type": "text/csv"}, body="a,b")
    assert completed.responds
    assert completed.output == {"status": 201, "headers": {"x-order": "7", "content-type": "text/csv"}, "body": "a,b"}
    assert respond().output == {"status": 200, "headers": {}, "body": None}


@pytest.mark.parametrize("name", ["Set-Cookie", "Location", "content-length", "Transfer-Encoding", "a b", "ä", ""])
def test_header_that_is_not_the_workflows_is_refused(name: str) -> None:
    """Cookies and redirects would speak for the whole host; the connection's headers are the gateway's."""
    with pytest.raises(NodeError, match="/headers"):
        respond(headers={name: "x"})


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "{% a\r\nSet-Cookie: b %}", "a\nb", "\0", "ä"])
def test_header_of_several_lines_is_refused(value: str) -> None:
    """What an expression yields cannot add a header."""
    with pytest.raises(NodeError, match="/headers"):
        respond(headers={"x-a": value})


@pytest.mark.parametrize(
    "parameters", [{"status": 199}, {"status": 600}, {"status": "200"}, {"status": 204, "body": 1}]
)
def test_answer_that_http_has_not_is_refused(parameters: JsonObject) -> None:
    """Interim statuses are the gateway's, and some statuses have no body."""
    with pytest.raises(NodeError):
        respond(**parameters)
