"""The journal's group commit on a real store."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from shared.domain.execution.fold import apply
from shared.domain.execution.row import row
from shared.domain.execution.state import ExecutionState
from shared.domain.webhook.delivery_log import DeliveryLogEntry
from shared.engine.run.journal import LARGE_BYTES, MAX_BYTES, Journal, Piggyback
from shared.errors import RunLimitError, StorageUnavailableError, WorkflowEngineError
from shared.events.codec import encode
from shared.events.envelope import NewEvent
from shared.events.execution import ExecutionQueued
from shared.ids import new_id
from shared.repositories.append import Append, Appended, encoded
from shared.repositories.event_store import EventStoreRepository
from tests.integration.engine.harness import EngineHarness

AT = "2026-11-01T00:00:00.000000Z"


def queued(harness: EngineHarness, **changes: object) -> Append:
    """A run that is asked for; `changes` to its row."""
    fact = ExecutionQueued(harness.tenant_id, None, {"type": "manual"})
    state = ExecutionState(new_id(), harness.tenant_id)
    apply(state, fact, AT)
    event = NewEvent(new_id(), "ExecutionQueued", AT, encode(fact))
    return Append(harness.tenant_id, state.id, "execution", 0, (event,), row={**row(state), **changes})


async def test_concurrent_appends_share_transactions(harness: EngineHarness) -> None:
    """A hundred appends of one moment take very few calls."""
    journal = Journal(harness.services.events)
    results = await asyncio.gather(*(journal.append(queued(harness)) for _ in range(100)))
    assert {result.status for result in results} == {"appended"}
    moments = await harness.services.database.select(
        "event_store", "created_at", lambda query: query.eq("tenant_id", harness.tenant_id)
    )
    assert len({moment["created_at"] for moment in moments}) <= 2


async def test_append_that_the_store_refuses_fails_alone(harness: EngineHarness) -> None:
    """One row breaks a constraint: its writer gets the error, the other nineteen are committed."""
    journal = Journal(harness.services.events)
    appends = [queued(harness) for _ in range(20)]
    appends[7] = queued(harness, status="lost")
    results = await asyncio.gather(*(journal.append(append) for append in appends), return_exceptions=True)
    refused = [result for result in results if isinstance(result, WorkflowEngineError)]
    assert (results[7], len(refused)) == (refused[0], 1)


async def test_append_that_cannot_be_written_fails_alone(harness: EngineHarness) -> None:
    """JSON too deep to be written: its writer gets the error instead of waiting for ever, the others are committed."""
    journal, deep = Journal(harness.services.events), queued(harness)
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    deep.events[0].payload["trigger"]["body"] = nested
    async with asyncio.timeout(20):
        appends = (queued(harness), deep, queued(harness))
        results = await asyncio.gather(*(journal.append(append) for append in appends), return_exceptions=True)
    assert isinstance(results[1], RecursionError)
    assert [result.status for result in (results[0], results[2]) if not isinstance(result, BaseException)] == [
        "appended",
        "appended",
    ]


async def test_conflict_is_one_streams_answer(harness: EngineHarness) -> None:
    """Twenty writers of one stream: one wins; a repeated append is a duplicate, not a conflict."""
    journals = [Journal(harness.services.events) for _ in range(20)]
    first = queued(harness)
    rivals = [
        Append(first.tenant_id, first.stream_id, "execution", 0, queued(harness).events, row=first.row)
        for _ in journals
    ]
    results = await asyncio.gather(*(journal.append(rival) for journal, rival in zip(journals, rivals, strict=True)))
    statuses = [result.status for result in results]
    assert (statuses.count("appended"), statuses.count("conflict")) == (1, 19)
    again = await journals[0].append(rivals[statuses.index("appended")])
    assert again.status == "duplicate"


async def test_appends_to_one_stream_go_one_after_another(harness: EngineHarness) -> None:
    """A stream stands in a call once; the second append waits for its turn."""
    journal = Journal(harness.services.events)
    first, second = queued(harness), queued(harness)
    follow = Append(
        first.tenant_id, first.stream_id, "execution", 1, second.events, row={**first.row, "stream_version": 2}
    )  # type: ignore[dict-item]  # it has one
    results = await asyncio.gather(journal.append(first), journal.append(follow))
    assert [result.status for result in results] == ["appended", "appended"]


class Told(EventStoreRepository):
    """The store; it keeps what each call brought, does not take calls with the streams in `slow` in time, and takes
    those with a stream in `pauses` when that is over."""

    def __init__(self, harness: EngineHarness) -> None:
        super().__init__(harness.services.database)
        self.calls: list[Sequence[Append]] = []
        self.slow: set[str] = set()
        self.pauses: dict[str, asyncio.Event] = {}
        self.called = asyncio.Event()

    async def append(self, appends: Sequence[Append], lines: Sequence[DeliveryLogEntry] = ()) -> list[Appended]:
        self.calls.append(appends)
        self.called.set()
        if self.slow & {append.stream_id for append in appends}:
            raise StorageUnavailableError
        for append in appends:
            if append.stream_id in self.pauses:
                await self.pauses[append.stream_id].wait()
        return await super().append(appends, lines)


def heavy(harness: EngineHarness, size_bytes: int) -> Append:
    """A run with a body of this size."""
    append = queued(harness)
    append.events[0].payload["trigger"]["body"] = "x" * size_bytes
    return append


async def test_batches_have_a_limit_in_bytes(harness: EngineHarness) -> None:
    """Together what a call can take; what is larger than that goes alone."""
    store = Told(harness)
    journal, sizes = Journal(store), [LARGE_BYTES // 2] * 20 + [MAX_BYTES + 1] + [10] * 20
    results = await asyncio.gather(*(journal.append(heavy(harness, size)) for size in sizes))
    assert {result.status for result in results} == {"appended"}
    called = [[append.size_bytes for append in call] for call in store.calls]
    assert all(sum(call) <= MAX_BYTES or len(call) == 1 for call in called)
    assert sum(map(len, called)) == len(sizes)
    assert len(called) <= 4


async def test_large_appends_hold_up_no_others(harness: EngineHarness) -> None:
    """Each has a call of its own, two at a time, and what else there is to write does not wait for them."""
    store = Told(harness)
    journal, slow = Journal(store), [heavy(harness, LARGE_BYTES) for _ in range(5)]
    store.pauses = {append.stream_id: asyncio.Event() for append in slow}
    large = [asyncio.ensure_future(journal.append(append)) for append in slow]
    for _ in range(3):
        async with asyncio.timeout(20):
            assert (await journal.append(queued(harness))).status == "appended"
    assert [append.stream_id for call in store.calls for append in call if append.stream_id in store.pauses] == [
        append.stream_id for append in slow[:2]
    ]
    for pause in store.pauses.values():
        pause.set()
    assert {result.status for result in await asyncio.gather(*large)} == {"appended"}
    assert [len(call) for call in store.calls if call[0].size_bytes >= LARGE_BYTES] == [1] * 5


async def test_large_appends_of_one_tenant_hold_up_no_others(harness: EngineHarness) -> None:
    """However many it has and however long they take; of two tenants that wait, the one with fewer under way is next,
    and of each who came first."""
    store, other = Told(harness), EngineHarness(harness.services, harness.guard, new_id())
    many, few = ([heavy(one, LARGE_BYTES) for _ in range(4)] for one in (harness, other))
    journal, names = Journal(store), {append.stream_id: f"many {number}" for number, append in enumerate(many)}
    names |= {append.stream_id: f"few {number}" for number, append in enumerate(few)}
    store.pauses = {stream_id: asyncio.Event() for stream_id in names}
    appending = [asyncio.create_task(journal.append(append)) for append in [*many, *few]]

    async def called(count: int) -> list[str]:
        async with asyncio.timeout(20):
            while len(store.calls) < count:
                store.called.clear()
                await store.called.wait()
        return [names[call[0].stream_id] for call in store.calls]

    assert await called(3) == ["many 0", "few 0", "many 1"]
    store.pauses[many[0].stream_id].set()
    assert (await called(4))[3:] == ["many 2"]
    store.pauses[few[0].stream_id].set()
    assert (await called(5))[4:] == ["few 1"]
    for pause in store.pauses.values():
        pause.set()
    assert {result.status for result in await asyncio.gather(*appending)} == {"appended"}


@pytest.mark.parametrize(("size_bytes", "expected"), [(10, True), (LARGE_BYTES, False)])
async def test_lines_of_the_ledger_do_not_go_with_a_large_append(
    harness: EngineHarness, size_bytes: int, expected: bool
) -> None:
    """It may take the store seconds, and they are everybody's."""
    piggyback = Piggyback()
    journal, is_carried = Journal(harness.services.events, piggyback=piggyback), asyncio.create_task(piggyback.ride([]))
    await asyncio.sleep(0)
    assert (await journal.append(heavy(harness, size_bytes))).status == "appended"
    assert await is_carried is expected


async def test_what_comes_later_does_not_wait_for_what_is_written_again(harness: EngineHarness) -> None:
    """A stream that the store does not take is alone to be written, and is tried again an hour later: another one that
    comes meanwhile is written at once."""
    store, slow = Told(harness), queued(harness)
    store.slow = {slow.stream_id}
    journal = Journal(store, (3600.0,))
    waiting = [asyncio.ensure_future(journal.append(append)) for append in (slow, slow)]
    await store.called.wait()
    await asyncio.sleep(0.1)
    async with asyncio.timeout(20):
        assert (await journal.append(queued(harness))).status == "appended"
    assert not any(future.done() for future in waiting)
    for future in waiting:
        future.cancel()


async def test_payloads_are_encoded_once(harness: EngineHarness) -> None:
    """However often a batch is written, and in whatever parts."""
    store = Told(harness)
    slow = encoded(queued(harness))
    store.slow = {slow.stream_id}
    rest = [queued(harness) for _ in range(5)]
    journal = Journal(store, (0.0, 0.0, 0.0))
    await asyncio.gather(*map(journal.append, [*rest, slow]), return_exceptions=True)
    written = {append.stream_id: append.encoded for call in store.calls for append in call}
    again = [append for call in store.calls for append in call if append.encoded is not written[append.stream_id]]
    assert (again, written[slow.stream_id] is slow.encoded) == ([], True)


async def test_stream_that_is_not_written_in_time_fails_alone(
    harness: EngineHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """The others of its batch are committed, and what comes later does not wait for it; the log names its tenant."""
    store = Told(harness)
    appends = [queued(harness) for _ in range(40)]
    store.slow = {appends[7].stream_id}
    journal = Journal(store, (0.0, 0.0, 0.2, 0.2))
    tasks = [asyncio.create_task(journal.append(append)) for append in appends]
    slow = tasks.pop(7)
    assert {result.status for result in await asyncio.gather(*tasks)} == {"appended"}
    assert (await journal.append(queued(harness))).status == "appended"
    assert not slow.done()
    with pytest.raises(StorageUnavailableError):
        await slow
    (line,) = [record for record in caplog.records if record.message == "append_put_aside"]
    assert (line.tenant_id, line.stream_id) == (harness.tenant_id, appends[7].stream_id)  # type: ignore[attr-defined]


async def test_large_append_that_is_never_written_in_time_is_beyond_a_limit(harness: EngineHarness) -> None:
    """Repeating it later would bring nothing: its run is told so, and can end."""
    store = Told(harness)
    append = heavy(harness, MAX_BYTES + 1)
    store.slow = {append.stream_id}
    journal = Journal(store, (0.0, 0.1))
    results = await asyncio.gather(journal.append(append), journal.append(queued(harness)), return_exceptions=True)
    assert isinstance(results[0], RunLimitError)


async def test_one_stream_has_one_append_under_way(harness: EngineHarness) -> None:
    """What comes for a stream that is being written again waits for it."""
    store = Told(harness)
    first = queued(harness)
    follow = Append(
        first.tenant_id,
        first.stream_id,
        "execution",
        1,
        queued(harness).events,
        row={**(first.row or {}), "stream_version": 2},
    )
    store.slow = {first.stream_id}
    journal = Journal(store, (0.05, 0.05))
    tasks = [asyncio.create_task(journal.append(append)) for append in (first, follow)]
    await store.called.wait()
    store.slow.clear()
    assert [result.status for result in await asyncio.gather(*tasks)] == ["appended", "appended"]


@pytest.mark.slow
async def test_store_out_of_reach_is_said_so(harness: EngineHarness) -> None:
    """After some patience the writer is told that the store cannot be reached."""
    from shared.errors import StorageUnavailableError
    from shared.repositories.database import Database
    from shared.repositories.event_store import EventStoreRepository

    nowhere = Database("http://127.0.0.1:1", "key")
    with pytest.raises(StorageUnavailableError):
        await Journal(EventStoreRepository(nowhere)).append(queued(harness))
    await nowhere.close()


async def test_append_that_nobody_waits_for_any_more_is_left_out(harness: EngineHarness) -> None:
    """A run that is given up before its facts are on their way leaves the writer as it was."""
    journal = Journal(harness.services.events)
    given_up = asyncio.create_task(journal.append(queued(harness)))
    await asyncio.sleep(0)
    given_up.cancel()
    writer = journal._writer
    assert writer is not None
    await asyncio.wait([writer])
    assert writer.exception() is None
    assert (await journal.append(queued(harness))).status == "appended"
