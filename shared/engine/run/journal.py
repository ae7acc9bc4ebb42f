"""The journal: appends of all concurrent runs, committed together.

While one call to the database is under way, whatever else is appended waits and goes with the next: the busier the
drain, the larger its batches, and nobody waits for a timer. Each stream is judged on its own by the database, so a
conflict in one fails no other. Nor does a stream that cannot be written: what was not written together is written in
parts, smaller with each repetition, until it stands alone; meanwhile others are committed. A large append has a call of
its own beside the others, which would wait for it; the next one is that of the tenant with the fewest under way.

Entries of the delivery log may ride along with a commit as its `Piggyback`: they need no call of their own then.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, get_args

from shared.domain.webhook.delivery_log import Verdict
from shared.errors import RunLimitError, StorageUnavailableError, UnavailableError
from shared.observability import count, mean
from shared.platform.slots import LARGE_ASIDE_OF_A_TENANT, waiting_outside
from shared.repositories.append import Append, Appended, encoded
from shared.repositories.event_store import EventStoreRepository

if TYPE_CHECKING:
    from shared.domain.webhook.delivery_log import DeliveryLogEntry

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

# Enough to make the cost of a call vanish, small enough that its transaction stays short.
MAX_STREAMS = 200
MAX_EVENTS = 2_000
# A larger append goes alone. It takes the database a fraction of the time that a call may take.
MAX_BYTES = 8_388_608
# An append of so many bytes takes the database longer than a batch of usual ones; so many of these are written at once,
# of which so many may be one tenant's.
LARGE_BYTES = 1_048_576
MAX_LARGE, LARGE_OF_A_TENANT = 3, 2
# The repetitions' pauses; the repository has made a few quick ones of its own before each.
RETRY_SECONDS = (0.5, 1.0, 2.0, 4.0)
# Into so many parts a batch is divided with each repetition: before the last, no two of 200 streams are together.
PARTS = 4
# How long log entries wait for a commit to ride along with. A busy drain commits many times in this.
PIGGYBACK_SECONDS = 0.1

_VERDICT_METRICS = {verdict: f"Deliveries{verdict.title().replace('_', '')}" for verdict in get_args(Verdict)}


@dataclass(slots=True)
class _Waiting:
    append: Append
    future: asyncio.Future[Appended]


class Piggyback:
    """The delivery log's seat in the journal's group commits. Belongs to one event loop, and to one writer of the log,
    which offers one batch at a time."""

    def __init__(self) -> None:
        self._offer: tuple[Sequence[DeliveryLogEntry], asyncio.Future[bool]] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether entries wait for a commit that takes them along."""
        return self._offer is not None

    async def ride(self, entries: Sequence[DeliveryLogEntry]) -> bool:
        """Whether a commit has written the entries; `False` when there was none in time, or it was refused with them:
        then nothing is known of them, and they are to be written on their own."""
        is_written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._offer = (entries, is_written)
        try:
            await asyncio.wait([is_written], timeout=PIGGYBACK_SECONDS)
            # Once a commit has taken them, its end is waited for, however long it takes.
            return False if self._offer is not None else await is_written
        finally:
            self._offer = None

    async def append(self, events: EventStoreRepository, appends: Sequence[Append]) -> list[Appended]:
        """Appends, and takes along what waits. Entries that the database refuses fail no append: it is repeated without
        them. Raises as `EventStoreRepository.append`."""
        if self._offer is None:
            return await events.append(appends)
        (entries, is_written), self._offer = self._offer, None
        try:
            appended = await events.append(appends, entries)
        except UnavailableError:
            raise
        except Exception:  # noqa: BLE001  # an append or an entry is refused: both sides look for it among their own
            _resolve(is_written, False)
            return await events.append(appends)
        else:
            _resolve(is_written, True)
            return appended
        finally:
            # The log's writer gets an answer in every case, a cancellation included.
            _resolve(is_written, False)


class Journal:
    """One process's writer. Belongs to one event loop."""

    def __init__(
        self,
        events: EventStoreRepository,
        retry_seconds: Sequence[float] = RETRY_SECONDS,
        piggyback: Piggyback | None = None,
    ) -> None:
        """Appends through `events`; `retry_seconds` are the pauses before what was not written is written again;
        `piggyback` is what may ride along with commits, large ones excepted."""
        self._events, self._retry_seconds = events, retry_seconds
        self._piggyback = piggyback or Piggyback()
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None
        # What is written beside the others, large appends and batches that were not written at once, and the streams
        # that are in it.
        self._beside: set[asyncio.Task[None]] = set()
        # How many large ones of each tenant's are.
        self._large: dict[str, int] = {}
        self._held: set[str] = set()
        self._commits = 0

    async def append(self, append: Append) -> Appended:
        """What became of the append, once it is durable; a conflict is an answer.

        A database that stays out of reach raises `StorageUnavailableError`; the append may then have happened, and
        may be repeated as it is. One that refuses this append raises its error, and one that takes others but not this
        large one `RunLimitError`.
        """
        future: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        append = encoded(append)
        self._waiting.append(_Waiting(append, future))
        self._start_writer()
        if append.size_bytes < LARGE_BYTES:
            return await future
        with waiting_outside(LARGE_ASIDE_OF_A_TENANT):  # others' may be written before it
            return await future

    def _start_writer(self) -> None:
        if self._writer is None:
            # The task starts in the loop's next turn: what this turn appends goes with it.
            # In nobody's context: what it logs is not about the run that happens to come first.
            self._writer = asyncio.get_running_loop().create_task(self._write(), context=Context())

    async def _write(self) -> None:
        try:
            while self._waiting:
                batch, large = self._batches()
                for waiting in large:
                    self._write_beside([waiting], self._commit_large(waiting))
                if batch:
                    await self._commit_or_repeat(batch)
                elif not large:
                    return  # whoever waits does so for what is written beside, at whose end another writer starts
        finally:
            self._writer = None

    def _batches(self) -> tuple[list[_Waiting], list[_Waiting]]:
        """What is to be written together now, and the large appends that are written beside it."""
        batch: list[_Waiting] = []
        large: list[_Waiting] = []
        later: list[_Waiting] = []
        # A stream may stand in a call once, and in one call at a time.
        streams = set(self._held)
        events = size_bytes = 0
        for waiting in self._waiting:
            append = waiting.append
            if waiting.future.done():
                continue
            is_large = append.size_bytes >= LARGE_BYTES
            full = bool(batch) and (
                len(batch) >= MAX_STREAMS
                or events + len(append.events) > MAX_EVENTS
                or size_bytes + append.size_bytes > MAX_BYTES
            )
            if is_large and append.stream_id not in streams:
                large.append(waiting)
            if is_large or full or append.stream_id in streams:
                later.append(waiting)
            else:
                batch.append(waiting)
                events += len(append.events)
                size_bytes += append.size_bytes
            streams.add(append.stream_id)
        chosen = self._next_large(large)
        self._waiting = [waiting for waiting in later if all(waiting is not one for one in chosen)]
        return batch, chosen

    def _next_large(self, waiting: list[_Waiting]) -> list[_Waiting]:
        """Those of the large appends, in the order in which they came, that are written now: each counts from here."""
        chosen: list[_Waiting] = []
        while waiting and sum(self._large.values()) < MAX_LARGE:
            following = min(waiting, key=lambda one: self._large.get(one.append.tenant_id, 0))
            tenant_id = following.append.tenant_id
            under_way = self._large.get(tenant_id, 0)
            if under_way >= LARGE_OF_A_TENANT:
                break
            self._large[tenant_id] = under_way + 1
            waiting = [one for one in waiting if one is not following]
            chosen.append(following)
        return chosen

    async def _commit_or_repeat(self, batch: Sequence[_Waiting]) -> None:
        """Returns when the batch has been written, or is being written again beside what comes next."""
        before = self._commits
        if not await self._commit(batch):
            self._write_beside(batch, self._repeat(batch, before, self._retry_seconds))

    async def _commit_large(self, waiting: _Waiting) -> None:
        before = self._commits
        try:
            if not await self._commit([waiting]):
                await self._repeat([waiting], before, self._retry_seconds)
        finally:
            tenant_id = waiting.append.tenant_id
            self._large[tenant_id] -= 1
            if not self._large[tenant_id]:
                del self._large[tenant_id]

    def _write_beside(self, batch: Sequence[_Waiting], write: Coroutine[object, object, None]) -> None:
        """Lets the batch be written by `write`, a task beside what else is written."""
        streams = {waiting.append.stream_id for waiting in batch}
        self._held |= streams
        task = asyncio.get_running_loop().create_task(write)
        self._beside.add(task)

        def done(_task: asyncio.Task[None]) -> None:
            self._beside.discard(task)
            self._held -= streams
            if self._waiting:
                self._start_writer()

        task.add_done_callback(done)

    async def _repeat(self, batch: Sequence[_Waiting], before: int, pauses: Sequence[float]) -> None:
        """Writes a batch that the database could not be reached for, or not take in time, in parts, after a pause."""
        if not pauses:
            for waiting in batch:
                self._give_up(waiting, is_alone=len(batch) == 1 and self._commits > before)
            return
        logger.warning("storage_unavailable", extra={"streams": len(batch), "retry_in_seconds": pauses[0]})
        await asyncio.sleep(pauses[0])
        size = -(-len(batch) // PARTS)
        parts = [batch[start : start + size] for start in range(0, len(batch), size)]
        written = await asyncio.gather(*map(self._commit, parts))
        left = [part for part, is_written in zip(parts, written, strict=True) if not is_written]
        await asyncio.gather(*(self._repeat(part, before, pauses[1:]) for part in left))

    async def _commit(self, batch: Sequence[_Waiting]) -> bool:
        """Whether all of them have been told what became of them; `False` where the database is out of reach."""
        try:
            results = await self._append([waiting.append for waiting in batch])
        except StorageUnavailableError:
            return False
        except Exception as error:  # whatever it is, whoever waits must be told, or would wait for ever
            if len(batch) == 1:
                logger.exception("append_refused", extra=_named(batch[0].append))
                _fail(batch[0], error)
                return True
            # One of them is not acceptable: the halves go on their own, so that it fails alone.
            middle = len(batch) // 2
            for half in (batch[:middle], batch[middle:]):
                await self._commit_or_repeat(half)
        else:
            self._commits += 1
            mean("AppendBatchSize", sum(len(waiting.append.events) for waiting in batch))
            for waiting, result in zip(batch, results, strict=True):
                if result.status == "appended" and waiting.append.deliveries:
                    count_deliveries(waiting.append.deliveries)
                _resolve(waiting.future, result)
        return True

    async def _append(self, appends: Sequence[Append]) -> list[Appended]:
        if any(append.size_bytes >= LARGE_BYTES for append in appends):
            # It may take the database seconds: nothing rides along.
            return await self._events.append(appends)
        return await self._piggyback.append(self._events, appends)

    def _give_up(self, waiting: _Waiting, *, is_alone: bool) -> None:
        """Tells who waits that nothing was written; `is_alone`: while others were."""
        append = waiting.append
        if is_alone:
            count("AppendsPutAside")
            logger.error("append_put_aside", extra=_named(append))
        if is_alone and append.size_bytes > MAX_BYTES:
            message = f"The store does not take {append.size_bytes} bytes of facts at once in time."
            _fail(waiting, RunLimitError(message))
        else:
            _fail(waiting, StorageUnavailableError())


def count_deliveries(entries: Sequence[DeliveryLogEntry]) -> None:
    """Counts entries of the delivery log that are durable, each under its verdict: `rejected_stale` is the metric
    `DeliveriesRejectedStale`."""
    for entry in entries:
        if entry["verdict"] in _VERDICT_METRICS:  # a newer intake may know others
            count(_VERDICT_METRICS[entry["verdict"]], entry.get("count", 1))


def _named(append: Append) -> dict[str, object]:
    return {
        "tenant_id": append.tenant_id,
        "stream_id": append.stream_id,
        "events": len(append.events),
        "size_bytes": append.size_bytes,
    }


def _resolve(future: asyncio.Future[Result], result: Result) -> None:
    if not future.done():
        future.set_result(result)


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.future.done():
        waiting.future.set_exception(error)
