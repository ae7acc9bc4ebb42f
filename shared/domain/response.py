"""What those who wait for a run are answered, once it has come so far; and what an answer may not say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.json_types import JsonObject

if TYPE_CHECKING:
    from shared.domain.execution.state import ExecutionState


# What could change how the gateway or a browser takes an answer, or speak for the whole of our host.
FORBIDDEN_HEADERS = frozenset(
    {"content-length", "transfer-encoding", "connection", "set-cookie", "location", "content-type", "date", "server"}
)


def answer_of(state: ExecutionState) -> JsonObject | None:
    """`{response: {status, headers, body}}` of a run that has responded, `{status, output}` of one that has ended
    without, and `None` while neither has happened."""
    if state.response is not None:
        return {"response": {name: state.response[name] for name in ("status", "headers", "body")}}
    return {"status": state.phase, "output": state.output} if state.is_terminal else None
