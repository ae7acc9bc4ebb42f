"""Readers of the feed and appenders at the same time: nobody waits, and nothing that comes late is missed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from shared.ids import new_id

Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def connect(database_url: str) -> Iterator[Callable[[], Connection]]:
    """Connections of the service's role to an empty database, on which nobody waits for a lock."""
    opened: list[Connection] = []

    def connect() -> Connection:
        connection = psycopg.connect(database_url, options="-c lock_timeout=100ms -c role=service_role")
        opened.append(connection)
        return connection

    yield connect
    for connection in opened:
        connection.close()


def append(connection: Connection, tenant_id: str, stream_id: str | None = None, version: int = 0) -> None:
    """Appends one event; the transaction stays open."""
    stream_id, event_id = stream_id or new_id(), new_id()
    stream = {"tenant_id": tenant_id, "stream_id": stream_id, "stream_type": "execution", "expected_version": version}
    event = {"stream_id": stream_id, "stream_version": version + 1, "id": event_id, "event_type": "NodeSkipped"}
    argument = {
        "streams": [{**stream, "first_event_id": event_id, "size": 1}],
        "events": [{**event, "timestamp": "2026-11-25T08:00:00Z", "payload": {}}],
    }
    connection.execute("select append_events(%s)", [json.dumps(argument)])


def read(connection: Connection, tenant_id: str, after: int = 0, **more: Any) -> tuple[list[int], int]:
    """The sequence numbers of the feed's events above `after`, and the position; the transaction stays open."""
    argument = json.dumps({"tenant_id": tenant_id, "after": after, **more})
    ((answer,),) = connection.execute("select read_feed(%s)", [argument]).fetchall()
    return [event["sequence_number"] for event in answer["events"]], answer["position"]


@pytest.mark.parametrize("filters", [{}, {"event_type": "NodeSkipped"}], ids=["all", "of-a-type"])
def test_an_event_that_is_committed_after_a_later_one_is_not_missed(
    connect: Callable[[], Connection], filters: dict[str, str]
) -> None:
    """Of two appenders the first to draw its number is the last to commit: a reader stays before it until then."""
    tenant, slow, quick, reader = new_id(), connect(), connect(), connect()
    append(quick, tenant)
    quick.commit()
    append(slow, tenant)
    append(quick, tenant)
    quick.commit()

    early, position = read(reader, tenant, **filters)
    reader.commit()
    slow.commit()
    late, _ = read(reader, tenant, position, **filters)

    assert (early, position, late) == ([1], 1, [2, 3])


def test_a_reader_stays_before_the_slowest_of_many_appenders(connect: Callable[[], Connection]) -> None:
    """However many appenders are under way, and whichever ends first, no reader gets beyond the first that has not."""
    tenant, reader = new_id(), connect()
    appenders = [connect() for _ in range(5)]
    for appender in appenders:
        append(appender, tenant)
    seen: list[int] = []
    position = 0

    for index in (3, 1, 0, 4, 2):
        appenders[index].commit()
        found, position = read(reader, tenant, position)
        reader.commit()
        seen += found
        assert position == {3: 0, 1: 0, 0: 2, 4: 2, 2: 5}[index]

    assert seen == [1, 2, 3, 4, 5]


def test_numbers_of_an_append_that_was_given_up_hold_nobody_up(connect: Callable[[], Connection]) -> None:
    """Numbers that were drawn and never committed are a gap like any other once their transaction has ended."""
    tenant, failing, quick, reader = new_id(), connect(), connect(), connect()
    append(failing, tenant)
    append(quick, tenant)
    quick.commit()
    assert read(reader, tenant) == ([], 0)
    reader.commit()

    failing.rollback()

    assert read(reader, tenant) == ([2], 2)


def test_an_appender_waits_for_no_reader_and_a_reader_for_no_appender(connect: Callable[[], Connection]) -> None:
    """A read that is under way, and an append that is, let any other of both kinds begin and end."""
    tenant, slow_reader, slow_appender = new_id(), connect(), connect()
    read(slow_reader, tenant)
    append(slow_appender, tenant)

    appender, reader = connect(), connect()
    append(appender, tenant)
    appender.commit()
    assert read(reader, tenant) == ([], 0)


def test_a_stream_of_the_feed_goes_on_where_the_reader_was(connect: Callable[[], Connection]) -> None:
    """From any position, the feed of one stream shows the rest of it; another tenant's stream is empty."""
    tenant, stream, connection = new_id(), new_id(), connect()
    for version in range(20):
        append(connection, tenant, stream, version)
        append(connection, tenant)
        connection.commit()

    whole = [2 * version + 1 for version in range(20)]
    for after in range(42):
        found, position = read(connection, tenant, after, stream_id=stream, limit=7)
        assert found == [number for number in whole if number > after][:7]
        assert position == (found[-1] if len(found) == 7 else max(40, after))
    assert read(connection, new_id(), stream_id=stream) == ([], 40)


def test_an_appender_that_tells_no_number_is_waited_out(connect: Callable[[], Connection]) -> None:
    """While somebody holds the lock of the way of appending before this one, the feed goes no further."""
    tenant, former, appender, reader = new_id(), connect(), connect(), connect()
    append(appender, tenant)
    appender.commit()
    former.execute("select pg_advisory_xact_lock_shared(7310001)")
    assert read(reader, tenant) == ([], 0)
    reader.commit()

    former.commit()

    assert read(reader, tenant) == ([1], 1)


def test_numbers_beyond_four_billion_are_told_apart(connect: Callable[[], Connection], database_url: str) -> None:
    """A lock's key holds the low half of a number: the mark is right on both sides of where that begins again."""
    with psycopg.connect(database_url, autocommit=True) as owner:
        owner.execute("alter sequence event_store_sequence_number_seq restart with 4294967294")
    tenant, slow, quick, reader = new_id(), connect(), connect(), connect()
    append(quick, tenant)
    quick.commit()
    append(slow, tenant)
    for _ in range(4):
        append(quick, tenant)
        quick.commit()

    assert read(reader, tenant) == ([4294967294], 4294967294)
    reader.commit()
    slow.commit()
    assert read(reader, tenant, 4294967294)[0] == [4294967295 + number for number in range(5)]


def test_the_feed_is_not_read_in_one_snapshot(connect: Callable[[], Connection]) -> None:
    """A transaction whose statements all see the same moment cannot know what was committed since: it is refused."""
    reader = connect()
    reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ

    with pytest.raises(psycopg.errors.ActiveSqlTransaction):
        read(reader, new_id())
