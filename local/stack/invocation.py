"""One invocation of a function, and its outcome: the function's answer, or an error of its environment."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import NamedTuple


class Outcome(NamedTuple):
    """The result of an invocation: its JSON, and `Unhandled` when that describes an error."""

    payload: bytes
    function_error: str | None


@dataclass(slots=True)
class Invocation:
    """One invocation, and the future of its outcome."""

    payload: bytes
    request_id: str
    outcome: asyncio.Future[Outcome]

    def settle(self, payload: bytes, *, failed: bool) -> None:
        """Set the outcome to the function's answer; an outcome that is there stays."""
        self._set(Outcome(payload, "Unhandled" if failed else None))

    def fail(self, kind: str, message: str) -> bytes:
        """Set the outcome to an error of the environment itself, such as `Sandbox.Timedout`, and return its JSON."""
        error = {"errorType": kind, "errorMessage": f"RequestId: {self.request_id} Error: {message}"}
        payload = json.dumps(error, separators=(",", ":")).encode()
        self._set(Outcome(payload, "Unhandled"))
        return payload

    def _set(self, outcome: Outcome) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)
