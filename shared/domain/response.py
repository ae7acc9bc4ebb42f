"""The reply to a client that waits for a run, and the headers that such a reply may not set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.json_types import JsonObject

if TYPE_CHECKING:
    from shared.domain.execution.state import ExecutionState


# Headers that change how the gateway or a browser reads a reply, or that concern our whole host.
FORBIDDEN_HEADERS = frozenset(
    {"content-length", "transfer-encoding", "connection", "set-cookie", "location", "content-type", "date", "server"}
)


def answer_of(state: ExecutionState) -> JsonObject | None:
    """`{response: {status, headers, body}}` of a run with a response, `{status, output}` of one that has ended without
    one, else `None`."""
    if state.response is not None:
        return {"response": {name: state.response[name] for name in ("status", "headers", "body")}}
    return {"status": state.phase, "output": state.output} if state.is_terminal else None
