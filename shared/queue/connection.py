"""The connection to Redis: one pool per process, Redis's errors in our terms, and the circuit breaker around it."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from redis import __version__
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import (
    AskError,
    ClusterDownError,
    InvalidResponse,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.errors import QueueError, QueueUnavailableError
from shared.platform.deadline import seconds_left
from shared.settings import Settings

logger = logging.getLogger(__name__)

MAX_CONNECTIONS = 32
# The deadline of a call that does not block: locks are renewed more often than that.
CALL_SECONDS = 5.0
# After Redis failed, callers with another way take that for this long; each attempt could cost a second or two.
CIRCUIT_OPEN_SECONDS = 2.0
# A Redis that refuses says so at once, one that hangs costs its deadline: twice as long each time, up to this.
MAX_CIRCUIT_OPEN_SECONDS = 16.0
# Error replies that are temporary. The server names them in its source alone (`createSharedObjects` in
# https://github.com/valkey-io/valkey/blob/unstable/src/server.c). The client has classes for some, of which `AskError`
# is MOVED's too, and `ClusterDownError` MASTERDOWN's.
_NOT_NOW = (AskError, ClusterDownError, NoScriptError, OutOfMemoryError, ReadOnlyError, TryAgainError)
# The others' codes: at the beginning, behind what a pipeline says of its command, or, in a script's error before Redis
# 7, behind a dash.
_NOT_NOW_CODE = re.compile(
    r"""(?:^|-|caused error: \(?['"]?)"""
    r"(?:BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOREPLICAS|OOM|READONLY|UNBLOCKED)\b"
)


def connect(settings: Settings) -> Redis:
    """The client of the queue's server; it connects on first use and belongs to one event loop.

    `decode_responses` is what BullMQ's scripts expect. The socket timeout is above the longest blocking wait for a
    job. A call is repeated once on a new connection, because a function that was frozen finds its connections closed,
    and after a failover they lead to a server that takes no writes any more; every call here may be repeated, since
    jobs have ids of their own.
    """
    pool = BlockingConnectionPool(
        max_connections=MAX_CONNECTIONS,
        timeout=5,
        connection_class=SSLConnection if settings.redis_tls else Connection,
        host=settings.redis_host,
        port=settings.redis_port,
        password=settings.redis_password,
        decode_responses=True,
        encoding_errors="replace",
        socket_timeout=30,
        socket_connect_timeout=2,
        socket_keepalive=True,
        retry=Retry(ConstantBackoff(0.05), 1),
        retry_on_error=[ReadOnlyError],
        # Each connection would look its version up in the package's description: 10 ms, most of it a parser of mails.
        driver_info=DriverInfo(lib_version=__version__),
    )
    return Redis(connection_pool=pool)


@contextmanager
def in_our_terms() -> Iterator[None]:
    """Raises `QueueUnavailableError` for whatever keeps Redis from answering, and for its temporary error replies
    (loading, out of memory, a read-only replica …), which a later attempt may not meet.

    Any other error reply is a mistake of ours, in a script say, or of another client that has written into our keys.
    The same call would be refused again: it is logged, and raised as `QueueError`.
    """
    try:
        yield
    except (RedisError, OSError, TimeoutError) as error:
        if _is_passing(error):
            raise QueueUnavailableError from error
        logger.exception("queue_refused")
        raise QueueError from error


def _is_passing(error: Exception) -> bool:
    if not isinstance(error, RedisError) or isinstance(error, (RedisConnectionError, RedisTimeoutError)):
        return True
    return isinstance(error, (InvalidResponse, *_NOT_NOW)) or _NOT_NOW_CODE.search(str(error)) is not None


@asynccontextmanager
async def in_time(seconds: float = CALL_SECONDS) -> AsyncIterator[None]:
    """A deadline around calls: after `seconds`, or when the caller's own deadline is over (see
    `shared.platform.deadline`), the block ends with the `QueueUnavailableError` that an unreachable Redis raises. What
    was sent may be executed all the same."""
    with in_our_terms():
        async with asyncio.timeout(seconds_left(seconds)):
            yield


class CircuitBreaker:
    """Keeps callers that have another way from waiting for each failure of Redis: it opens when a call fails, closes
    when one succeeds, and lets a call through again after a while. One per process, for all that intake asks."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """The circuit is closed. `clock` is monotonic, in seconds."""
        self._clock, self._until, self._hangs = clock, 0.0, 0

    @property
    def is_open(self) -> bool:
        """Whether Redis must not be asked now."""
        return self._clock() < self._until

    def open(self, error: QueueUnavailableError | QueueError) -> None:
        """Opens the circuit after a failure; for longer each time, where a time-out says that Redis hangs.

        A `QueueError`, say for a key of the wrong type, says nothing about the next call and leaves it closed."""
        if isinstance(error, QueueError):
            return
        self._hangs = self._hangs + 1 if isinstance(error.__cause__, TimeoutError) else 0
        longer = min(
            CIRCUIT_OPEN_SECONDS * 2.0 ** max(0, self._hangs - 1), max(MAX_CIRCUIT_OPEN_SECONDS, CIRCUIT_OPEN_SECONDS)
        )
        self._until = self._clock() + longer

    def close(self) -> None:
        """Closes the circuit: Redis has answered."""
        self._until, self._hangs = 0.0, 0
