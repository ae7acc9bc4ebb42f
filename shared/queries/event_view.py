"""Events as the API shows them."""

from __future__ import annotations

from shared.events.envelope import RecordedEvent
from shared.json_types import JsonObject

FIELDS = (
    "id",
    "sequence_number",
    "event_type",
    "stream_id",
    "stream_type",
    "stream_version",
    "timestamp",
    "payload",
    "metadata",
)


def described(event: RecordedEvent) -> JsonObject:
    """All fields of the event but the tenant, which is the reader's own."""
    return {name: getattr(event, name) for name in FIELDS}
