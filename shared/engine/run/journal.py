"""The journal: group commit. Appends of all concurrent runs are written together, in one call and transaction.

While one call to the database is under way, all further appends wait and go with the next: the busier the drain, the
larger its batches, and nothing waits for a timer. The database decides each stream on its own, so a conflict in one
fails no other. Nor does a stream that cannot be written: a batch that fails is retried in parts, smaller with each
retry, until the stream is alone; meanwhile others are committed. A large append has a call of its own beside the
others, which would wait for it; the next one is that of the tenant with the fewest under way.

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
# An append of this size takes the database longer than a batch of usual ones. `MAX_LARGE` of them are written at once,
# of which `LARGE_OF_A_TENANT` may be one tenant's.
LARGE_BYTES = 1_048_576
MAX_LARGE, LARGE_OF_A_TENANT = 3, 2
# The backoff before each retry; the repository has made a few quick retries of its own before.
RETRY_SECONDS = (0.5, 1.0, 2.0, 4.0)
# Into so many parts a batch is divided with each retry: at the last, each of 200 streams is alone.
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
    """One process's writer. Belongs to one event loop.

    An append is in one place at a time: `_waiting` until the writer takes it, then in the writer's call, or in a task
    `_beside` it (a large append, or a batch that is retried). Streams in such tasks are `_held`: their further appends
    keep waiting, since a stream's appends must be written in order.
    """

    def __init__(
        self,
        events: EventStoreRepository,
        retry_seconds: Sequence[float] = RETRY_SECONDS,
        piggyback: Piggyback | None = None,
    ) -> None:
        """Appends through `events`; `retry_seconds` are the pauses before each retry; `piggyback` holds what may ride
        along with commits, large ones excepted."""
        self._events, self._retry_seconds = events, retry_seconds
        self._piggyback = piggyback or Piggyback()
        self._waiting: list[_Waiting] = []
        self._writer: asyncio.Task[None] | None = None
        self._beside: set[asyncio.Task[None]] = set()
        self._held: set[str] = set()
        # By tenant, how many of its large appends are under way.
        self._large: dict[str, int] = {}
        self._commits = 0

    async def append(self, append: Append) -> Appended:
        """The result of the append, once it is durable; a conflict is a result.

        Raises `StorageUnavailableError` when the database stays out of reach; the append may have been committed, and
        may be repeated as it is. Raises the database's error when it refuses this append, and `RunLimitError` when it
        takes other appends in time but not this large one.
        """
        future: asyncio.Future[Appended] = asyncio.get_running_loop().create_future()
        append = encoded(append)
        self._waiting.append(_Waiting(append, future))
        self._start_writer()
        if append.size_bytes < LARGE_BYTES:
            return await future
        with waiting_outside(LARGE_ASIDE_OF_A_TENANT):  # other tenants' may be written before it
            return await future

    def _start_writer(self) -> None:
        if self._writer is None:
            # The task starts in the loop's next turn: all appends of this turn go with its first call.
            # In an empty context: its log lines are not about the run that happens to append first.
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
                    return  # what waits does so for a task beside, at whose end another writer starts
        finally:
            self._writer = None

    def _batches(self) -> tuple[list[_Waiting], list[_Waiting]]:
        """The batch that is to be written now, and the large appends that are to be written beside it; both are removed
        from `_waiting`."""
        batch: list[_Waiting] = []
        large: list[_Waiting] = []
        later: list[_Waiting] = []
        # A stream may stand in a call once, and in one call at a time; whatever comes after it in `_waiting` waits.
        streams = set(self._held)
        events = size_bytes = 0
        for waiting in self._waiting:
            append = waiting.append
            if waiting.future.done():
                continue  # its run was cancelled
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
        taken = {id(waiting) for waiting in chosen}  # by identity: comparing appends compares their events
        self._waiting = [waiting for waiting in later if id(waiting) not in taken]
        return batch, chosen

    def _next_large(self, candidates: list[_Waiting]) -> list[_Waiting]:
        """Those of the large appends, given in the order in which they came, that are written now. They count as under
        way from here."""
        chosen: list[_Waiting] = []
        while candidates and sum(self._large.values()) < MAX_LARGE:
            following = min(candidates, key=lambda waiting: self._large.get(waiting.append.tenant_id, 0))
            tenant_id = following.append.tenant_id
            under_way = self._large.get(tenant_id, 0)
            if under_way >= LARGE_OF_A_TENANT:
                break
            self._large[tenant_id] = under_way + 1
            candidates = [waiting for waiting in candidates if waiting is not following]
            chosen.append(following)
        return chosen

    async def _commit_or_repeat(self, batch: Sequence[_Waiting]) -> None:
        """Returns when the batch has been written, or is retried by a task beside the writer."""
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
        """Makes a task of `write`, which writes the batch beside the writer."""
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
        """Retries a batch for which the database was out of reach, or too slow, in parts and after a pause."""
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
        """Whether every append of the batch has its result, or its error; `False` where the database is out of
        reach."""
        try:
            results = await self._append([waiting.append for waiting in batch])
        except StorageUnavailableError:
            return False
        except Exception as error:  # any error: the waiting runs must learn it, or would wait for ever
            if len(batch) == 1:
                logger.exception("append_refused", extra=_named(batch[0].append))
                _fail(batch[0], error)
                return True
            # The database refuses one of them: the halves are written on their own, so that it fails alone.
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
        """Fails an append after the last retry. `is_alone`: it was retried on its own, and others were committed
        meanwhile, so the fault is in it and not in the database."""
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
    """Counts durable entries of the delivery log by verdict: `rejected_stale` is `DeliveriesRejectedStale`."""
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
