"""A database that keeps what is appended as Postgres would: as `jsonb`, which sorts keys and rewrites numbers."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from shared.json_types import JsonObject
from shared.repositories.database import Database


class MemoryStore(Database):
    """The streams of runs, in memory; of the functions, those that a run without calls needs."""

    def __init__(self) -> None:
        super().__init__("http://localhost", "none")
        self.streams: dict[str, list[JsonObject]] = {}
        self.payloads: JsonObject = {}

    async def rpc(self, function: str, argument: JsonObject) -> Any:
        """What the function of this name answers."""
        if function == "append_events":
            return self._append(as_jsonb(argument))
        if function == "read_stream":
            rows = self.streams.get(argument["stream_id"], [])[argument["after"] :][: argument["limit"]]
            return json.loads(json.dumps(rows))
        assert function == "rest_execution", function
        return None

    def _append(self, argument: JsonObject) -> JsonObject:
        for row in argument.get("payloads", ()):
            self.payloads.setdefault(row["sha256"], row["body"])
        for event in argument["events"]:
            stream = self.streams.setdefault(event["stream_id"], [])
            assert event["stream_version"] == len(stream) + 1, "nobody else writes"
            sha256 = event["payload"].get("$payload")
            payload = event["payload"] if sha256 is None else self.payloads[sha256]
            where = {"sequence_number": len(stream) + 1, "tenant_id": "t", "stream_type": "execution"}
            stream.append({**event, **where, "payload": payload, "payload_sha256": sha256})
        return {
            "results": [
                {"stream_id": one["stream_id"], "status": "appended", "version": len(self.streams[one["stream_id"]])}
                for one in argument["streams"]
            ]
        }


def as_jsonb(value: Any) -> Any:
    """The value as it comes back from a column of type `jsonb`; a text that Postgres refuses raises
    `AssertionError`."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return json.loads(_written(json.loads(text, parse_float=Decimal, parse_int=Decimal)))


def _written(value: Any) -> str:
    """The JSON that Postgres writes of it."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: (len(name.encode()), name.encode()))
        return "{" + ", ".join(f"{_written(name)}: {_written(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_written, value)) + "]"
    if isinstance(value, Decimal):
        return format(abs(value) if value == 0 else value, "f")
    if isinstance(value, str):
        assert "\x00" not in value, "unsupported Unicode escape sequence"
        value.encode()
    return json.dumps(value, ensure_ascii=False)
