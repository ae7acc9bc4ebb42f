"""Events as they are shown."""

from __future__ import annotations

from typing import Any

from shared.events.envelope import RecordedEvent

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


def described(event: RecordedEvent) -> dict[str, Any]:
    """Everything about the event but its tenant, which is the reader's own."""
    return {name: getattr(event, name) for name in FIELDS}
