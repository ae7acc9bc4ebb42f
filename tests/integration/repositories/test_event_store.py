"""The event store on real Postgres, through the real client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from shared.errors import StreamConflictError
from shared.events.codec import new_event
from shared.events.envelope import NewEvent
from shared.events.execution import ExecutionCancelled
from shared.ids import new_id
from shared.repositories.append import Append
from shared.repositories.database import Database
from shared.repositories.event_store import EventStoreRepository
from shared.repositories.payload import is_content
from shared.repositories.webhooks import WebhookRepository

NOW = "2026-11-25T08:00:00.000000Z"


@pytest.fixture
async def database(supabase_gateway: Any) -> AsyncIterator[Database]:
    """A connection with the service key."""
    connection = Database(supabase_gateway.url, supabase_gateway.service_key)
    yield connection
    await connection.close()


@pytest.fixture
def store(database: Database) -> EventStoreRepository:
    """The event store."""
    return EventStoreRepository(database)


def an_event(**payload: Any) -> NewEvent:
    return NewEvent(id=new_id(), event_type="NodeSkipped", timestamp=NOW, payload=payload or {"node_id": "a"})


def an_append(
    tenant_id: str, stream_id: str | None = None, expected_version: int = 0, events: int = 1, **payload: Any
) -> Append:
    return Append(
        tenant_id=tenant_id,
        stream_id=stream_id or new_id(),
        stream_type="execution",
        expected_version=expected_version,
        events=tuple(an_event(**payload) for _ in range(events)),
    )


async def test_appended_events_are_read_back_in_order(store: EventStoreRepository) -> None:
    """A stream's events come back with their versions, payloads and metadata."""
    tenant, stream = new_id(), new_id()
    first = Append(
        tenant, stream, "execution", 0, (NewEvent(new_id(), "NodeSkipped", NOW, {"node_id": "é"}, {"actor": "me"}),)
    )

    await store.append_one(first)
    await store.append_one(an_append(tenant, stream, 1, events=2))

    events = await store.read_all(tenant, stream)
    assert [event.stream_version for event in events] == [1, 2, 3]
    assert (events[0].payload, events[0].metadata, events[0].timestamp) == ({"node_id": "é"}, {"actor": "me"}, NOW)
    assert sorted(events, key=lambda event: event.sequence_number) == events


async def test_repeating_an_append_changes_nothing_and_answers_the_same(store: EventStoreRepository) -> None:
    """The same batch twice is one batch: the second answer says duplicate, at the same version."""
    append = an_append(new_id(), events=3)

    first, second = await store.append_one(append), await store.append_one(append)

    assert (first.status, second.status, first.version, second.version) == ("appended", "duplicate", 3, 3)
    assert len(await store.read_all(append.tenant_id, append.stream_id)) == 3


async def test_a_conflict_in_one_stream_fails_no_other(store: EventStoreRepository) -> None:
    """Each stream of a call is judged alone, and a loser learns the version that is there."""
    tenant = new_id()
    taken = an_append(tenant, events=2)
    await store.append_one(taken)

    outcomes = await store.append(
        [an_append(tenant), an_append(tenant, taken.stream_id, expected_version=1), an_append(tenant, events=4)]
    )

    assert [(outcome.status, outcome.version) for outcome in outcomes] == [
        ("appended", 1),
        ("conflict", 2),
        ("appended", 4),
    ]


async def test_of_twenty_concurrent_appends_one_wins(store: EventStoreRepository) -> None:
    """Writers at the same expected version: one appends, nineteen get a stream conflict."""
    tenant, stream = new_id(), new_id()
    await store.append_one(an_append(tenant, stream))

    outcomes = await asyncio.gather(
        *(store.append_one(an_append(tenant, stream, 1, events=3)) for _ in range(20)), return_exceptions=True
    )

    assert sum(isinstance(outcome, StreamConflictError) for outcome in outcomes) == 19
    assert [event.stream_version for event in await store.read_all(tenant, stream)] == [1, 2, 3, 4]


async def test_a_version_that_the_stream_has_not_reached_is_a_conflict(store: EventStoreRepository) -> None:
    """No append leaves a gap in a stream."""
    tenant, stream = new_id(), new_id()
    await store.append_one(an_append(tenant, stream))

    with pytest.raises(StreamConflictError):
        await store.append_one(an_append(tenant, stream, expected_version=5))


@pytest.mark.parametrize("expected_version", [0, 1])
async def test_another_tenant_cannot_append_to_a_stream(store: EventStoreRepository, expected_version: int) -> None:
    """A stream belongs to the tenant that began it, and only that tenant reads it."""
    mine = an_append(new_id())
    await store.append_one(mine)
    stranger = new_id()

    with pytest.raises(StreamConflictError):
        await store.append_one(an_append(stranger, mine.stream_id, expected_version))

    assert await store.read_all(stranger, mine.stream_id) == []
    assert len(await store.read_all(mine.tenant_id, mine.stream_id)) == 1


async def test_a_reader_of_the_feed_misses_nothing_under_eight_writers(store: EventStoreRepository) -> None:
    """A reader that follows the feed while eight writers append sees every event once, in order."""
    tenant, written = new_id(), 8 * 40
    seen: list[int] = []

    async def write() -> None:
        for size in range(40):
            await store.append_one(an_append(tenant, events=1 + size % 3))

    async def read() -> None:
        position, total = 0, sum(1 + size % 3 for size in range(40)) * 8
        while len(seen) < total:
            events, position, _ = await store.read_feed(tenant, after=position, limit=100)
            seen.extend(event.sequence_number for event in events)

    async with asyncio.timeout(60):
        await asyncio.gather(read(), *(write() for _ in range(8)))

    assert seen == sorted(set(seen))
    assert len(seen) > written


async def test_the_feed_is_filtered_by_type_and_stream(store: EventStoreRepository) -> None:
    """The audit feed shows one tenant's events, of one type or one stream where that is asked for."""
    tenant = new_id()
    wanted = an_append(tenant, events=2)
    await store.append([wanted, an_append(tenant), an_append(new_id())])

    of_tenant, *_ = await store.read_feed(tenant)
    of_stream, *_ = await store.read_feed(tenant, stream_id=wanted.stream_id)
    of_type, *_ = await store.read_feed(tenant, event_type="WorkflowCreated")

    assert (len(of_tenant), len(of_stream), len(of_type)) == (3, 2, 0)


def large(event: NewEvent, size_bytes: int) -> NewEvent:
    """The same with a payload of about this many bytes, unlike any other."""
    return replace(event, payload={"node_id": event.id + "y" * size_bytes})


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([600_000] * 3, [[1], [2], [3]]),  # no two fit together
        ([400_000] * 3, [[1, 2], [3]]),  # the last is one that would have been left out by the bytes alone
        ([2_000_000, 10, 10], [[1], [2, 3]]),  # a first one that is too large is there nevertheless
        ([10, 2_000_000, 10], [[1], [2], [3]]),
        ([12_000] * 3, [[1, 2], [3]]),  # by count
    ],
)
async def test_a_page_ends_at_a_megabyte(
    store: EventStoreRepository, sizes: list[int], expected: list[list[int]]
) -> None:
    """Whichever way it is read, each event is there once, and only the last page says that nothing follows."""
    append = an_append(new_id(), events=3)
    events = tuple(large(event, size) for event, size in zip(append.events, sizes, strict=True))
    await store.append_one(append._replace(events=events))

    feed, stream, position, version = list[list[int]](), list[list[int]](), 0, 0
    of_feed = of_stream = True
    while of_feed:
        found, position, of_feed = await store.read_feed(append.tenant_id, position, 2)
        feed.append([event.stream_version for event in found])
    while of_stream:
        found, of_stream = await store.read_page(append.tenant_id, append.stream_id, version, 2)
        stream.append([event.stream_version for event in found])
        version = found[-1].stream_version

    # A page of the feed that is full says that there may be more.
    assert ([page for page in feed if page], stream) == (expected, expected)
    assert await store.read_page(append.tenant_id, append.stream_id, version, 2) == ([], False)
    assert await store.read_page(new_id(), append.stream_id, 0, 2) == ([], False)


@pytest.mark.parametrize(
    "text",
    ["x" * 40_000, "\x00", "\ud800", "\\u0000", "\U0001f600", "\x00" * 20_000],
    ids=["large", "nul", "lone-surrogate", "escaped-backslash", "emoji", "large-nul"],
)
async def test_any_json_text_is_read_back_as_it_was(store: EventStoreRepository, text: str) -> None:
    """Large payloads and characters that jsonb cannot hold come back unchanged, to readers and in the feed."""
    append = an_append(new_id(), node_id=text)

    await store.append_one(append)

    (event,) = await store.read_all(append.tenant_id, append.stream_id)
    ((from_feed,), *_) = await store.read_feed(append.tenant_id)
    assert event.payload == from_feed.payload == {"node_id": text}
    assert (event.payload_sha256 is None) == (len(text) < 20_000)
    assert event.payload_sha256 is None or is_content(event.payload, event.payload_sha256)


async def test_a_large_payload_is_stored_once(store: EventStoreRepository, database: Database) -> None:
    """The same content twice takes one row in payloads."""
    tenant = new_id()

    await store.append([an_append(tenant, node_id="y" * 20_000), an_append(tenant, node_id="y" * 20_000)])

    rows = await database.select("payloads", "sha256", lambda query: query.eq("tenant_id", tenant))
    assert len(rows) == 1


async def test_a_large_payload_is_each_tenants_own(store: EventStoreRepository, database: Database) -> None:
    """Two tenants with the same content share nothing, and each reads it back as it was."""
    large = "z" * 20_000
    tenants = [new_id(), new_id()]
    appends = [an_append(tenant, node_id=large) for tenant in tenants]
    await store.append(appends)

    rows = await database.select("payloads", "tenant_id,sha256", lambda query: query.in_("tenant_id", tenants))
    assert sorted(row["tenant_id"] for row in rows) == sorted(tenants)
    assert len({row["sha256"] for row in rows}) == 1
    for append in appends:
        (event,) = await store.read_all(append.tenant_id, append.stream_id)
        assert event.payload["node_id"] == large


async def test_the_hash_chain_of_an_untouched_stream_is_whole(store: EventStoreRepository) -> None:
    """Chains that grew over several appends verify, and say how many events they hold."""
    tenant, stream = new_id(), new_id()
    await store.append_one(an_append(tenant, stream, events=3))
    await store.append_one(an_append(tenant, stream, 3, events=2))

    assert await store.verify_stream(tenant, stream) == {"valid": True, "events_checked": 5}


async def test_a_changed_event_breaks_its_chain(store: EventStoreRepository, supabase_gateway: Any) -> None:
    """Somebody with the database's own rights changes an event: verification names the first that does not fit."""
    append = an_append(new_id(), events=4)
    await store.append_one(append)
    with psycopg.connect(supabase_gateway.database_url, autocommit=True) as connection:
        connection.execute(
            'update event_store set payload = \'{"node_id": "b"}\' where stream_id = %s and stream_version = 2',
            [append.stream_id],
        )

    verified = await store.verify_stream(append.tenant_id, append.stream_id)

    assert verified == {"valid": False, "events_checked": 4, "first_difference": 2}


async def test_events_deleted_from_the_end_are_missed(store: EventStoreRepository, supabase_gateway: Any) -> None:
    """The aggregate's row says how many events its stream had: verification names the first that is missing."""
    tenant, stream = new_id(), new_id()
    await store.append_one(an_append(tenant, stream, events=3))
    with psycopg.connect(supabase_gateway.database_url, autocommit=True) as connection:
        connection.execute(
            "insert into workflows (id, tenant_id, name, stream_version) values (%s, %s, 'w', 3)", [stream, tenant]
        )
        assert await store.verify_stream(tenant, stream) == {"valid": True, "events_checked": 3}
        connection.execute("delete from event_store where stream_id = %s and stream_version = 3", [stream])

    verified = await store.verify_stream(tenant, stream)

    assert verified == {"valid": False, "events_checked": 2, "first_difference": 3}


async def test_a_webhook_learns_of_its_use_now_and_then(
    store: EventStoreRepository, database: Database, supabase_gateway: Any
) -> None:
    """When it was last used is told to some seconds, so that not each batch of deliveries writes its row."""
    tenant, webhook = new_id(), new_id()
    with psycopg.connect(supabase_gateway.database_url, autocommit=True) as owner:
        owner.execute(
            "insert into workflows (id, tenant_id, name, stream_version) values (%s, %s, 'w', 1)", [webhook, tenant]
        )
        owner.execute(
            "insert into webhooks (id, tenant_id, name, workflow_id, provider, stream_version)"
            " values (%s, %s, 'w', %s, 'github', 1)",
            [webhook, tenant, webhook],
        )
    delivery = {"tenant_id": tenant, "webhook_id": webhook, "verdict": "accepted", "size_bytes": 1}
    told = []
    for second in ("00", "03", "09"):
        append = an_append(tenant)
        received = {"received_at": f"2026-11-25T08:00:{second}Z", "execution_id": append.stream_id}
        line = {**delivery, **received, "id": new_id()}
        await store.append_one(append._replace(deliveries=(line,)))
        row = await WebhookRepository(database).get(tenant, webhook)
        told.append(row and row["last_triggered_at"][17:19])

    assert told == ["00", "00", "09"]


@pytest.mark.parametrize("reason", ["enough", None, "\x00 and \ud800"], ids=["text", "none", "unstorable"])
async def test_called_runs_end_with_the_fact_that_says_so(store: EventStoreRepository, reason: str | None) -> None:
    """What the database appends to called runs is what anybody else would have appended, whatever the reason's text."""
    tenant, caller, called = new_id(), new_id(), new_id()
    row = {"tenant_id": tenant, "workflow_id": new_id(), "status": "running", "trigger": {}, "wake_at": NOW}
    row |= {"stream_version": 1, "created_at": NOW}
    await store.append(
        [
            an_append(tenant, caller)._replace(row={**row, "id": caller}),
            an_append(tenant, called)._replace(row={**row, "id": called, "parent_id": caller}),
        ]
    )

    await store.cancel_called(tenant, caller, reason, "me", NOW, itself=False)

    event = (await store.read_all(tenant, called))[-1]
    expected = new_event(event.id, ExecutionCancelled(reason), NOW, {"actor": "me"})
    assert NewEvent(event.id, event.event_type, event.timestamp, event.payload, event.metadata) == expected
    assert len(await store.read_all(tenant, caller)) == 1


async def test_a_stream_stands_in_a_call_once(store: EventStoreRepository) -> None:
    """Two appends to one stream in one call are a programming error, told before anything is sent."""
    append = an_append(new_id())

    with pytest.raises(ValueError, match="once"):
        await store.append([append, append])
