"""The envelope of an event: its stream, version, type, time, payload and metadata."""

from __future__ import annotations

from dataclasses import dataclass, field

from shared.json_types import JsonMapping, JsonObject


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A fact about to be appended. `timestamp` is when it happened (RFC 3339, UTC); `id` makes the append
    idempotent."""

    id: str
    event_type: str
    timestamp: str
    payload: JsonObject
    metadata: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """A fact in the store: `sequence_number` is its global position, `stream_version` its place in the
    stream, from 1. `payload_sha256` is the hash of a large payload, which is stored once by its content; `size_bytes`
    is about what the payload takes in the store."""

    id: str
    tenant_id: str
    stream_id: str
    stream_type: str
    stream_version: int
    sequence_number: int
    event_type: str
    timestamp: str
    payload: JsonObject
    metadata: JsonObject
    payload_sha256: str | None = None
    size_bytes: int = 0

    @classmethod
    def from_row(cls, row: JsonMapping) -> RecordedEvent:
        """The event in a row of `event_store` whose payload has been loaded."""
        return cls(**{name: row[name] for name in cls.__slots__ if name in row})
