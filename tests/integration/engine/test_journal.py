"""The journal's group commit on a real store."""

from __future__ import annotations

import asyncio

import pytest

from shared.domain.execution import ExecutionState
from shared.domain.execution_fold import apply
from shared.domain.execution_row import row
from shared.engine.journal import Journal
from shared.errors import WorkflowEngineError
from shared.events.codec import encode
from shared.events.execution import ExecutionQueued
from shared.events.record import NewEvent
from shared.ids import new_id
from shared.repositories.event_store import Append
from tests.integration.engine.bench import Bench

AT = "2026-11-01T00:00:00.000000Z"


def queued(bench: Bench, **changes: object) -> Append:
    """A run that is asked for; `changes` to its row."""
    fact = ExecutionQueued(bench.tenant_id, None, {"type": "manual"})
    state = ExecutionState(new_id(), bench.tenant_id)
    apply(state, fact, AT)
    event = NewEvent(new_id(), "ExecutionQueued", AT, encode(fact))
    return Append(bench.tenant_id, state.id, "execution", 0, (event,), row={**row(state), **changes})


async def test_concurrent_appends_share_transactions(bench: Bench) -> None:
    """A hundred appends of one moment take very few calls."""
    journal = Journal(bench.services.events)
    results = await asyncio.gather(*(journal.append(queued(bench)) for _ in range(100)))
    assert {result.status for result in results} == {"appended"}
    moments = await bench.services.database.select(
        "event_store", "created_at", lambda query: query.eq("tenant_id", bench.tenant_id)
    )
    assert len({moment["created_at"] for moment in moments}) <= 2


async def test_append_that_the_store_refuses_fails_alone(bench: Bench) -> None:
    """One row breaks a constraint: its writer gets the error, the other nineteen are committed."""
    journal = Journal(bench.services.events)
    appends = [queued(bench) for _ in range(20)]
    appends[7] = queued(bench, status="lost")
    results = await asyncio.gather(*(journal.append(append) for append in appends), return_exceptions=True)
    refused = [result for result in results if isinstance(result, WorkflowEngineError)]
    assert (results[7], len(refused)) == (refused[0], 1)


async def test_append_that_cannot_be_written_fails_alone(bench: Bench) -> None:
    """JSON too deep to be written: its writer gets the error instead of waiting for ever, the others are committed."""
    journal, deep = Journal(bench.services.events), queued(bench)
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    deep.events[0].payload["trigger"]["body"] = nested
    async with asyncio.timeout(20):
        appends = (queued(bench), deep, queued(bench))
        results = await asyncio.gather(*(journal.append(append) for append in appends), return_exceptions=True)
    assert isinstance(results[1], RecursionError)
    assert [result.status for result in (results[0], results[2]) if not isinstance(result, BaseException)] == [
        "appended",
        "appended",
    ]


async def test_conflict_is_one_streams_answer(bench: Bench) -> None:
    """Twenty writers of one stream: one wins; a repeated append is a duplicate, not a conflict."""
    journals = [Journal(bench.services.events) for _ in range(20)]
    first = queued(bench)
    rivals = [
        Append(first.tenant_id, first.stream_id, "execution", 0, queued(bench).events, row=first.row) for _ in journals
    ]
    results = await asyncio.gather(*(journal.append(rival) for journal, rival in zip(journals, rivals, strict=True)))
    statuses = [result.status for result in results]
    assert (statuses.count("appended"), statuses.count("conflict")) == (1, 19)
    again = await journals[0].append(rivals[statuses.index("appended")])
    assert again.status == "duplicate"


async def test_appends_to_one_stream_go_one_after_another(bench: Bench) -> None:
    """A stream stands in a call once; the second append waits for its turn."""
    journal = Journal(bench.services.events)
    first, second = queued(bench), queued(bench)
    follow = Append(
        first.tenant_id, first.stream_id, "execution", 1, second.events, row={**first.row, "stream_version": 2}
    )  # type: ignore[dict-item]  # it has one
    results = await asyncio.gather(journal.append(first), journal.append(follow))
    assert [result.status for result in results] == ["appended", "appended"]


@pytest.mark.slow
async def test_store_out_of_reach_is_said_so(bench: Bench) -> None:
    """After some patience the writer is told that the store cannot be reached."""
    from shared.errors import StorageUnavailableError
    from shared.repositories.database import Database
    from shared.repositories.event_store import EventStoreRepository

    nowhere = Database("http://127.0.0.1:1", "key")
    with pytest.raises(StorageUnavailableError):
        await Journal(EventStoreRepository(nowhere)).append(queued(bench))
    await nowhere.close()
