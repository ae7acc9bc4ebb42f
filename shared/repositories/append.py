"""An append: what is written about one stream. All appends of a call become the argument of `append_events`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

from shared.events.envelope import NewEvent
from shared.json_types import JsonMapping, JsonObject
from shared.repositories import payload

if TYPE_CHECKING:
    from shared.domain.webhook.delivery_log import DeliveryLogEntry
    from shared.domain.workflow.state import WorkflowVersionRow


# The read model's table for each stream type.
_ROWS = {
    "workflow": "workflows",
    "webhook": "webhooks",
    "api_key": "api_keys",
    "execution": "executions",
    "secret": "secrets",
}
# About what an event takes beside its payload: ids, times, names and metadata.
_ENVELOPE_BYTES = 500


class StoredPayload(NamedTuple):
    """An event's payload as the store keeps it: `inline` in the event and, for a large one, `large`, its row of
    `payloads` without the tenant. `size_bytes` is its estimated size in memory."""

    inline: JsonObject
    large: JsonObject | None
    size_bytes: int

    @property
    def stored_bytes(self) -> int:
        """The payload's size in the store."""
        return self.size_bytes if self.large is None else int(self.large["size_bytes"])


class Append(NamedTuple):
    """What to write about one stream.

    `expected_version` is the stream's version that the writer has seen (0: the stream must not exist). `row` is the
    aggregate's row in its read model after the events; `versions` are rows of `workflow_versions`; `secret` has the
    columns that are in no event (`secret`, `previous_secret`, `key_hash`, `value`); `deliveries` are entries of the
    delivery log; `stored_payloads` are hashes of large payloads that the store has. `calls` are the child runs that a
    waiting execution waits for; `awaiting_id` is the parent that waits for this execution, which has ended. `encoded`
    are the events' payloads, if they have been encoded already.
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
        """About how many bytes there are to write, once the payloads are encoded."""
        bodies = sum(len(row.get("body") or "") for row in self.deliveries)
        return bodies + sum(_ENVELOPE_BYTES + stored.stored_bytes for stored in self.encoded)


class Appended(NamedTuple):
    """The result of an append; `version` is the stream's present version.

    `duplicate`: the same events were stored before, which is as good as `appended`. `conflict`: another writer's were.
    """

    stream_id: str
    status: Literal["appended", "duplicate", "conflict"]
    version: int


def stored_payload(event: NewEvent, *, of_run: bool) -> StoredPayload:
    """The payload as the store keeps it; a value that JSON cannot express raises `ValueError` or `RecursionError`."""
    return StoredPayload(*payload.store(event.payload, of_run=of_run))


def encoded(append: Append) -> Append:
    """The append with its payloads encoded, so that its size is known and a repetition encodes nothing again. Raises
    what `stored_payload` raises."""
    if append.encoded:
        return append
    of_run = append.stream_type == "execution"
    return append._replace(encoded=tuple(stored_payload(event, of_run=of_run) for event in append.events))


def append_argument(appends: Sequence[Append]) -> JsonObject:
    """The argument of `append_events`, as flat lists, which the database reads in one pass each."""
    argument: JsonObject = {"streams": [], "events": []}
    payloads: list[JsonObject] = []
    for append in appends:
        argument["streams"].append(_stream(append))
        events = zip(append.events, encoded(append).encoded, strict=True)
        # A large payload that the store has already, under its hash, is not sent again.
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
    """The rows that say for which child runs a run waits."""
    return [{"execution_id": called, "caller_id": caller_id} for called in execution_ids]


def _stream(append: Append) -> JsonObject:
    return {
        "tenant_id": append.tenant_id,
        "stream_id": append.stream_id,
        "stream_type": append.stream_type,
        "expected_version": append.expected_version,
        # By this id the database tells a repeated call, whose events it has, from a conflict with another writer.
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
    """(key in the argument, rows) for each other table that an append writes."""
    if append.row is not None:
        yield _ROWS[append.stream_type], [{**append.row, **append.secret} if append.secret else append.row]
    if append.awaiting_id is not None:
        yield "ended", call_rows(append.awaiting_id, [append.stream_id])
    yield "calls", call_rows(append.stream_id, append.calls)
    yield "versions", append.versions
    yield "deliveries", append.deliveries
