"""The event store: appending to streams, and reading a stream, all of them in their order, or a tenant's feed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from shared.errors import StreamConflictError
from shared.events.envelope import RecordedEvent
from shared.json_types import JsonObject
from shared.repositories import payload
from shared.repositories.append import Append, Appended, append_argument, call_rows, stored_payload
from shared.repositories.database import Database

if TYPE_CHECKING:
    from shared.domain.webhook.delivery_log import DeliveryLogEntry


READ_LIMIT = 1000
# The size limit of all payloads of a page; its first event may exceed it.
PAGE_BYTES = 1_000_000


class EventStoreRepository:
    """Appends to and reads from `event_store`."""

    def __init__(self, database: Database) -> None:
        """Uses the process's database connection."""
        self._database = database

    @property
    def database(self) -> Database:
        """The connection, for callers that query other tables of the store."""
        return self._database

    async def append(self, appends: Sequence[Append], log_entries: Sequence[DeliveryLogEntry] = ()) -> list[Appended]:
        """The result of each append, in order. All are made in one call and one transaction; a conflict of one leaves
        the others as they are.

        `log_entries` are entries of the delivery log for deliveries that started no run; they are written whatever the
        results are. Repeating a call changes nothing and returns `duplicate`. A stream that is twice in a call raises
        `ValueError`, an unreachable database `StorageUnavailableError`.
        """
        # The second append's expected version would be checked against a stream without the first.
        if len({append.stream_id for append in appends}) != len(appends):
            raise ValueError("A stream may stand in a call once; join its appends or send them one after another.")
        argument = append_argument(appends)
        if log_entries:
            argument.setdefault("deliveries", []).extend(log_entries)
        # Only `append_secrets` writes the table of encrypted values; it makes the append in the same transaction.
        answer = await self._database.rpc("append_secrets" if "secrets" in argument else "append_events", argument)
        return [Appended(**result) for result in answer["results"]]

    async def append_one(self, append: Append) -> Appended:
        """The result of a single append; another writer's events in its place raise `StreamConflictError`."""
        (appended,) = await self.append([append])
        if appended.status == "conflict":
            raise StreamConflictError
        return appended

    async def hold(
        self, append: Append, webhook_id: str, size_bytes: int, most: int, most_bytes: int
    ) -> tuple[str, Appended | None]:
        """Appends a run that its webhook holds back: `held` and the append's result. Where nothing was appended: `full`
        (it holds `most` runs or `most_bytes` already), or the webhook's present status, which is not `holding`."""
        argument = {
            "webhook_id": webhook_id,
            "execution_id": append.stream_id,
            "size_bytes": size_bytes,
            "most": most,
            "most_bytes": most_bytes,
            "append": append_argument([append]),
        }
        answer = await self._database.rpc("hold_delivery", argument)
        results = answer.get("results")
        return answer["status"], Appended(**results[0]) if results else None

    async def read_stream(
        self, tenant_id: str, stream_id: str, after: int = 0, limit: int = READ_LIMIT
    ) -> list[RecordedEvent]:
        """The stream's events after version `after`, in order, at most `limit` (1000); none of another tenant's."""
        return [event_of(row) for row in await self.read_rows(tenant_id, stream_id, after, limit)]

    async def read_rows(
        self, tenant_id: str, stream_id: str, after: int = 0, limit: int = READ_LIMIT
    ) -> list[JsonObject]:
        """As `read_stream`, but rows for `event_of` with `payload` as stored, since decoding it takes time."""
        argument = {"tenant_id": tenant_id, "stream_id": stream_id, "after": after, "limit": limit}
        rows: list[JsonObject] = await self._database.rpc("read_stream", argument)
        return rows

    async def read_all(self, tenant_id: str, stream_id: str, after: int = 0) -> list[RecordedEvent]:
        """All events of the stream after version `after`, in order."""
        events = await self.read_stream(tenant_id, stream_id, after)
        page = events
        # A full page may be the last one; then the next is empty.
        while len(page) == READ_LIMIT:
            page = await self.read_stream(tenant_id, stream_id, after=events[-1].stream_version)
            events.extend(page)
        return events

    async def read_page(
        self, tenant_id: str, stream_id: str, after: int, limit: int
    ) -> tuple[list[RecordedEvent], bool]:
        """The stream's next events after version `after`, at most `limit` and about a megabyte, but at least one where
        there are any; and whether there are more."""
        argument = {"tenant_id": tenant_id, "stream_id": stream_id, "after": after, "limit": limit}
        answer = await self._database.rpc("read_stream_page", {**argument, "max_bytes": PAGE_BYTES})
        return [event_of(row) for row in answer["events"]], answer["more"]

    async def read_feed(
        self,
        tenant_id: str,
        after: int = 0,
        limit: int = 50,
        event_type: str | None = None,
        stream_id: str | None = None,
    ) -> tuple[list[RecordedEvent], int, bool]:
        """The tenant's next events after sequence number `after`, at most `limit` and about a megabyte, but at least
        one where there are any; the position to continue from; and whether there may be more already.

        Continuing from each result's position misses no event, whatever is appended meanwhile.
        """
        argument: JsonObject = {"tenant_id": tenant_id, "after": after, "limit": limit, "max_bytes": PAGE_BYTES}
        if event_type is not None:
            argument["event_type"] = event_type
        if stream_id is not None:
            argument["stream_id"] = stream_id
        answer = await self._database.rpc("read_feed", argument)
        return [event_of(row) for row in answer["events"]], answer["position"], answer["more"]

    async def read_history(self, after: int = 0, limit: int = READ_LIMIT) -> list[RecordedEvent]:
        """All tenants' events after sequence number `after`, in order, for rebuilding read models offline."""
        rows = await self._database.rpc("read_history", {"after": after, "limit": limit})
        return [event_of(row) for row in rows]

    async def read_outcomes(self, tenant_id: str, execution_ids: Sequence[str]) -> dict[str, RecordedEvent]:
        """The last event of each of these executions that has ended, by execution id."""
        argument = {"tenant_id": tenant_id, "execution_ids": list(execution_ids)}
        events = [event_of(row) for row in await self._database.rpc("read_outcomes", argument)]
        return {event.stream_id: event for event in events}

    async def set_wake_up(
        self, tenant_id: str, execution_id: str, stream_version: int, wake_at: str | None, calls: Sequence[str]
    ) -> None:
        """Sets when a waiting execution is due, unless its stream has new events since `stream_version`; `calls` as in
        `Append`."""
        argument = {
            "tenant_id": tenant_id,
            "execution_id": execution_id,
            "stream_version": stream_version,
            "wake_at": wake_at,
            "calls": call_rows(execution_id, calls),
        }
        await self._database.rpc("rest_execution", argument)

    async def cancel_called(
        self, tenant_id: str, execution_id: str, reason: str | None, actor: str, happened_at: str, *, itself: bool
    ) -> None:
        """Cancels all descendants of this execution and, with `itself`, the execution too.

        Executions that have ended stay as they are; repeating it completes an interrupted call.
        """
        # Imported here: few users of the store cancel anything.
        from shared.events.codec import new_event
        from shared.events.execution import ExecutionCancelled

        event = new_event("", ExecutionCancelled(reason), happened_at, {"actor": actor})
        argument = {
            "tenant_id": tenant_id,
            "execution_id": execution_id,
            "itself": itself,
            "event_type": event.event_type,
            "payload": stored_payload(event, of_run=True).inline,
            "metadata": event.metadata,
            "timestamp": event.timestamp,
        }
        # In batches, each a transaction of its own: a run may have thousands of descendants.
        while not (await self._database.rpc("cancel_called", argument))["is_complete"]:
            pass

    async def verify_stream(self, tenant_id: str, stream_id: str) -> JsonObject:
        """`{valid, events_checked, first_difference?}`: whether the stream's hash chain is intact."""
        verified: JsonObject = await self._database.rpc(
            "verify_stream", {"tenant_id": tenant_id, "stream_id": stream_id}
        )
        return verified


def event_of(row: JsonObject) -> RecordedEvent:
    """The event in a row. Changes the row, which must not be used afterwards. Where a large payload's content is gone
    from the store, the payload is `{"$missing": <its hash>}`: no run goes on from that, but it can be looked at, and
    verification says where it is."""
    if row["payload"] is None:
        row["payload"] = {payload.MISSING: row["payload_sha256"]}
    row["size_bytes"] = payload.counted_bytes(row["payload"])
    row["payload"] = payload.load(row["payload"])
    return RecordedEvent.from_row(row)
