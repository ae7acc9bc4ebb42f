"""What is written to the event store: an append says it of one stream, and all of a call's make its argument."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from shared.events.envelope import NewEvent
from shared.json_types import JsonMapping, JsonObject
from shared.repositories import payload

if TYPE_CHECKING:
    from shared.domain.webhook.delivery_log import DeliveryLogEntry
    from shared.domain.workflow.state import WorkflowVersionRow


# The rows that an append of this stream type brings with it.
_ROWS = {
    "workflow": "workflows",
    "webhook": "webhooks",
    "api_key": "api_keys",
    "execution": "executions",
    "secret": "secrets",
}
# What an event takes beside its payload: ids, times, names and metadata.
_ENVELOPE_BYTES = 500


class StoredPayload(NamedTuple):
    """An event's payload as the store keeps it: within the event, and where it is a large one, its row of `payloads`
    without the tenant. `size_bytes` is as how many bytes it counts for whoever holds it."""

    inline: JsonObject
    large: JsonObject | None
    size_bytes: int

    @property
    def stored_bytes(self) -> int:
        """What it takes in the store."""
        return self.size_bytes if self.large is None else int(self.large["size_bytes"])


class Append(NamedTuple):
    """What to write about one stream.

    `expected_version` is the stream's version that the writer has seen (0: the stream must not exist). `row` is the
    aggregate as it is after the events, for its read model; `versions` are rows of `workflow_versions`; `secret` holds
    the columns of the row that are no facts (`secret`, `previous_secret`, `key_hash`, `value`); `deliveries` are rows
    of the webhook delivery log; `calls` are the runs that a waiting execution waits for, and `awaiting_id` is the one
    that waits for this one, which has ended. `encoded` are the events' payloads, where they have been encoded already.
    """

    tenant_id: str
    stream_id: str
    stream_type: Literal["workflow", "webhook", "api_key", "execution", "secret"]
    expected_version: int
    events: tuple[NewEvent, ...]
    row: JsonMapping | None = None
    versions: tuple[WorkflowVersionRow, ...] = ()
    secret: JsonObject | None = None
    deliveries: tuple[DeliveryLogEntry, ...] = ()
    stored_payloads: frozenset[str] = frozenset()
    calls: tuple[str, ...] = ()
    awaiting_id: str | None = None
    encoded: tuple[StoredPayload, ...] = ()

    @property
    def size_bytes(self) -> int:
        """What there is to write, nearly, once it is encoded."""
        bodies = sum(len(row.get("body") or "") for row in self.deliveries)
        return bodies + sum(_ENVELOPE_BYTES + stored.stored_bytes for stored in self.encoded)


class Appended(NamedTuple):
    """What became of an append; `version` is the stream's version now.

    `duplicate`: these very events were there already, which is as good as `appended`. `conflict`: somebody else's are.
    """

    stream_id: str
    status: Literal["appended", "duplicate", "conflict"]
    version: int


def stored_payload(event: NewEvent, *, of_run: bool) -> StoredPayload:
    """The payload as the store keeps it; one that cannot be written as JSON raises `ValueError` or `RecursionError`."""
    return StoredPayload(*payload.store(event.payload, of_run=of_run))


def encoded(append: Append) -> Append:
    """The same with its payloads encoded, so that its size is known and repeating it encodes nothing again; raises as
    `stored_payload`."""
    if append.encoded:
        return append
    of_run = append.stream_type == "execution"
    return append._replace(encoded=tuple(stored_payload(event, of_run=of_run) for event in append.events))


def append_argument(appends: Sequence[Append]) -> JsonObject:
    """The argument of `append_events`: flat lists, so that the database walks each once."""
    argument: JsonObject = {"streams": [], "events": []}
    payloads: list[JsonObject] = []
    for append in appends:
        argument["streams"].append(_stream(append))
        events = zip(append.events, encoded(append).encoded, strict=True)
        for version, (event, (stored, large, _)) in enumerate(events, append.expected_version + 1):
            if large is not None and large["sha256"] not in append.stored_payloads:
                payloads.append({"tenant_id": append.tenant_id, **large})
            argument["events"].append(_event(append.stream_id, version, event, stored))
        for name, rows in _rows(append):
            if rows:
                argument.setdefault(name, []).extend(rows)
    if payloads:
        argument["payloads"] = payloads
    return argument


def call_rows(caller_id: str, execution_ids: Sequence[str]) -> list[JsonObject]:
    """The rows that say whom a run waits for."""
    return [{"execution_id": called, "caller_id": caller_id} for called in execution_ids]


def _stream(append: Append) -> JsonObject:
    return {
        "tenant_id": append.tenant_id,
        "stream_id": append.stream_id,
        "stream_type": append.stream_type,
        "expected_version": append.expected_version,
        "first_event_id": append.events[0].id,
        "size": len(append.events),
    }


def _event(stream_id: str, version: int, event: NewEvent, stored: JsonObject) -> JsonObject:
    return {
        "stream_id": stream_id,
        "stream_version": version,
        "id": event.id,
        "event_type": event.event_type,
        "timestamp": event.timestamp,
        "payload": stored,
        "metadata": event.metadata,
    }


def _rows(append: Append) -> Iterator[tuple[str, Sequence[JsonMapping]]]:
    """What an append brings along for other tables, by its name in the argument."""
    if append.row is not None:
        yield _ROWS[append.stream_type], [{**append.row, **append.secret} if append.secret else append.row]
    if append.awaiting_id is not None:
        yield "ended", call_rows(append.awaiting_id, [append.stream_id])
    yield "calls", call_rows(append.stream_id, append.calls)
    yield "versions", append.versions
    yield "deliveries", append.deliveries
