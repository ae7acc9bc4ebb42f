"""The journal: appends of all concurrent runs, committed together.

While one call to the database is under way, whatever else is appended waits and goes with the next: the busier the
drain, the larger its batches, and nobody waits for a timer. Each stream is judged on its own by the database, so a
conflict in one fails no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass

from shared.errors import StorageUnavailableError
from shared.observability import mean
from shared.repositories.event_store import Append, Appended, EventStoreRepository

logger = logging.getLogger(__name__)

# Enough to make the cost of a call vanish, small enough that its transaction stays short.
MAX_STREAMS = 200
MAX_EVENTS = 2_000
# The repetitions' pauses; the repository has made a few quick ones of its own before each.
RETRY_SECONDS = (0.5, 1.0, 2.0, 4.0)


@dataclass(slots=True)
class _Waiting:
    append: Append
    future: asyncio.Future[Appended]


class Journal:
    """One process's writer. Belongs to one event loop."""

    def __init__(self, events: EventStoreRepository) -> None:
        """Appends through `events`."""
        self._events = events
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None

    async def append(self, append: Append) -> Appended:
        """What became of the append, once it is durable; a conflict is an answer.

        A database that stays out of reach raises `StorageUnavailableError`; the append may then have happened, and
        may be repeated as it is. One that refuses this append raises its error.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Appended] = loop.create_future()
        self._waiting.append(_Waiting(append, future))
        if self._writer is None:
            # The task starts in the loop's next turn: what this turn appends goes with it.
            # In nobody's context: what it logs is not about the run that happens to come first.
            self._writer = loop.create_task(self._write(), context=Context())
        return await future

    async def _write(self) -> None:
        try:
            while self._waiting:
                await self._commit(self._batch())
        finally:
            self._writer = None

    def _batch(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        later: list[_Waiting] = []
        streams: set[str] = set()
        events = 0
        for waiting in self._waiting:
            # A stream may stand in a call once.
            full = len(batch) >= MAX_STREAMS or (batch and events + len(waiting.append.events) > MAX_EVENTS)
            if full or waiting.append.stream_id in streams:
                later.append(waiting)
            elif not waiting.future.done():
                batch.append(waiting)
                streams.add(waiting.append.stream_id)
                events += len(waiting.append.events)
        self._waiting = later
        return batch

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        if not batch:
            return
        try:
            results = await self._append([waiting.append for waiting in batch])
        except StorageUnavailableError as error:
            for waiting in batch:
                _fail(waiting, error)
        except Exception as error:  # whatever it is, whoever waits must be told, or would wait for ever
            if len(batch) == 1:
                logger.exception("append_refused", extra={"stream_id": batch[0].append.stream_id})
                _fail(batch[0], error)
                return
            # One of them is not acceptable: the halves go on their own, so that it fails alone.
            middle = len(batch) // 2
            await self._commit(batch[:middle])
            await self._commit(batch[middle:])
        else:
            mean("AppendBatchSize", sum(len(waiting.append.events) for waiting in batch))
            for waiting, result in zip(batch, results, strict=True):
                if not waiting.future.done():
                    waiting.future.set_result(result)

    async def _append(self, appends: Sequence[Append]) -> list[Appended]:
        for pause in RETRY_SECONDS:
            try:
                return await self._events.append(appends)
            except StorageUnavailableError:
                logger.warning("storage_unavailable", extra={"streams": len(appends), "retry_in_seconds": pause})
                await asyncio.sleep(pause)
        return await self._events.append(appends)


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.future.done():
        waiting.future.set_exception(error)
