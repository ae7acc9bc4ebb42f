"""The error of a node or a run in facts and rows: with text that can be stored, of bounded length."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from shared.domain.json.values import storable
from shared.json_types import JsonObject

MAX_CODE_CHARACTERS = 200
# Lists show the message of every run.
MAX_MESSAGE_CHARACTERS = 8_000


class RunError(TypedDict):
    """An error; in a run's, `node_id` is the node that failed it."""

    code: str
    message: str
    details: NotRequired[JsonObject]
    node_id: NotRequired[str]


def run_error(code: str, message: str, details: JsonObject | None = None) -> RunError:
    """The error as it is recorded. Empty `details` are left out."""
    error: RunError = {"code": storable(code)[:MAX_CODE_CHARACTERS], "message": storable(_cut(message))}
    if details:
        error["details"] = storable(details)
    return error


def stored_error(error: JsonObject | None) -> JsonObject | None:
    """A run's error for its row, cut to the bounds, which older recorded errors may exceed."""
    if error is None:
        return None
    return storable({**error, "message": _cut(str(error.get("message") or ""))})


def _cut(message: str) -> str:
    return message if len(message) <= MAX_MESSAGE_CHARACTERS else f"{message[: MAX_MESSAGE_CHARACTERS - 1]}…"
